from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import sgkit
from sgkit.cli.app import main
from sgkit.errors import UsageError
from sgkit.model import Branch, Canvas, Model, State
from sgkit.render.inputs import Inputs
from sgkit.render.translate import BASE, TARGET, TranslateSettings, relation, translate, warnings_of
from tests.builders import drawn_model


def related(*, mapping: bool = True, affine: bool = True) -> Inputs:
    """A base, and a target whose convolutions are different ones; ``mapping``, ``affine``: whether they are shared."""
    base, target = drawn_model(noise=0.3, seed=1), drawn_model(noise=0.3, seed=1)
    generator = torch.Generator().manual_seed(2)
    for name, tensor in target.generator.state_dict().items():
        kept = (mapping and name.startswith("mapping")) or (affine and "affine" in name)
        if not kept and name.endswith("weight"):
            tensor.add_(torch.randn(tensor.shape, generator=generator) * 0.3)
    return Inputs({BASE: base, TARGET: target})


@pytest.fixture
def pair() -> Inputs:
    return related()


def plain(model: Model, seed: int) -> torch.Tensor:
    return model.synthesize(model.map(model.sample_z([seed])))[0]


def one(inputs: Inputs, seed: int = 0, **settings: object) -> torch.Tensor:
    return translate(inputs, seed, TranslateSettings(**settings))[0].image  # type: ignore[arg-type]


def test_the_ends_are_the_two_models(pair: Inputs) -> None:
    assert torch.equal(one(pair, alphas=(0.0,)), plain(pair.model_of(BASE), 0))
    assert torch.equal(one(pair, alphas=(1.0,)), plain(pair.model_of(TARGET), 0))


@pytest.mark.parametrize(("layers", "numbers"), [("all", range(99)), ("3-5", range(3, 6)), ("coarse", range(4))])
@pytest.mark.parametrize("alpha", [0.3, 1.0])
def test_features_are_mixed_layer_by_layer(pair: Inputs, layers: str, numbers: range, alpha: float) -> None:
    """Both networks get the same features; after every layer f = (1 - a) f_base + a f_target, a = 0 elsewhere."""
    models = [pair.model_of(key) for key in (BASE, TARGET)]
    branches = [Branch(m.generator.synthesis, m.styles(m.map(m.sample_z([0])))) for m in models]
    plan = branches[0].network.plan
    state = State(canvas=Canvas.canonical(plan))
    for spec in plan:
        first, second = (branch.network.step(spec, branch.styles, state, branch.noise) for branch in branches)
        everywhere = layers == "all" and spec.style_index is None
        a = alpha if everywhere or spec.style_index in numbers else 0.0
        state = State(
            x=first.features * (1 - a) + second.features * a,
            rgb=None if first.rgb is None or second.rgb is None else first.rgb * (1 - a) + second.rgb * a,
            canvas=first.canvas,
        )
    assert (one(pair, alphas=(alpha,), layers=layers) - state.image[0]).abs().max() < 1e-5


def test_swapping_takes_whole_layers(pair: Inputs) -> None:
    """Pinkney and Adler 2020: a network whose coarse layers are the target's."""
    swapped = drawn_model(noise=0.3, seed=1)
    weights = swapped.generator.synthesis.state_dict()
    for name, tensor in pair.model_of(TARGET).generator.synthesis.state_dict().items():
        if name.startswith(("b4_", "b8_")):
            weights[name].copy_(tensor)
    assert (one(pair, mode="swap", layers="to 8px") - plain(swapped, 0)).abs().max() < 1e-5


def test_a_region_is_translated_alone(pair: Inputs) -> None:
    local = one(pair, region="box:0,0,0.5,1", softness=0.0, layers="4-5")
    whole, base = one(pair, layers="4-5"), plain(pair.model_of(BASE), 0)
    assert (local[..., :6] - whole[..., :6]).abs().mean() < (local[..., :6] - base[..., :6]).abs().mean()
    assert torch.equal(local[..., 12:], base[..., 12:])


def test_weights_by_layer_multiply_alpha(pair: Inputs) -> None:
    assert torch.equal(one(pair, alphas=(0.4,), layers="3-5"), one(pair, alphas=(0.8,), by_layer={"3-5": 0.5}))


def test_styles_of_others_make_it_multimodal(pair: Inputs) -> None:
    found = translate(pair, [0, 1], TranslateSettings(style_layers="2-5", alphas=(0.5, 1.0)), styles=[7, 8, 9])
    assert len(found) == 2 * 3 * 2
    target = pair.model_of(TARGET)
    ws = target.map(target.sample_z([0])).clone()
    ws[:, 2:] = target.map(target.sample_z([8]))[:, 2:]
    assert (found[3].image - target.synthesize(ws)[0]).abs().max() < 1e-5


@pytest.mark.parametrize(
    ("mapping", "affine", "seeds", "message"),
    [
        (True, True, True, None),
        (False, True, True, "The mapping networks differ, so a seed has another w in the target"),
        (False, True, False, None),
        (True, False, True, "The target is not related to the base: 0 of 8 affine layers are equal"),
    ],
)
def test_unrelated_models_are_told(mapping: bool, affine: bool, seeds: bool, message: str | None) -> None:
    inputs = related(mapping=mapping, affine=affine)
    found = relation(inputs.model_of(BASE), inputs.model_of(TARGET))
    assert (found.is_related, found.mapping) == (affine, mapping)
    said = warnings_of(found, has_seeds=seeds)
    assert [message] == [one[: len(message or "")] for one in said] if message else said == ()


def test_models_of_different_plans_are_refused() -> None:
    with pytest.raises(UsageError, match=r"different layers \(layer 9 \(b32_conv0\) exists in one only\).*--init BASE"):
        relation(drawn_model(), drawn_model(image_size=(32, 32)))


# ------------------------------------------------------------------------------------------- the command


@pytest.fixture
def here(pair: Inputs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with both models in it, and one that is not related."""
    monkeypatch.chdir(tmp_path)
    for key in (BASE, TARGET):
        sgkit.save(pair.model_of(key), f"{key}.safetensors")
    sgkit.save(drawn_model(noise=0.3, seed=9), "stranger.safetensors")
    return tmp_path


COMMAND = "translate base.safetensors target.safetensors --out a.png --seeds 0,3"


@pytest.mark.parametrize(
    "options",
    [
        "--alpha 0,0.5,1 --show-inputs",
        "--mode swap --layers coarse --psi 0.5",
        "--by-layer coarse=0.5 --by-layer 4-5=1 --noise random",
        "--styles 5,6 --style-layers 2-5 --alpha 0.7,1 --region box:0,0,0.5,1",
    ],
)
def test_translations_are_made_again_bit_for_bit(here: Path, options: str) -> None:
    assert main(f"{COMMAND} {options}".split()) == 0
    assert main(["replay", "a.png", "--out", "b.png"]) == 0
    with Image.open("a.png") as first, Image.open("b.png") as second:
        assert np.array_equal(np.asarray(first), np.asarray(second))


def test_projections_are_translated(here: Path) -> None:
    assert main(["generate", "base.safetensors", "--seeds", "4", "--latents", "--space", "w+", "--out", "d"]) == 0
    assert main(f"{COMMAND} --seeds d/seed0004.npz".split()) == 0
    assert main(["generate", "target.safetensors", "--latent", "d/seed0004.npz", "--out", "e"]) == 0
    (file,) = Path("e").glob("*.png")
    with Image.open("a.png") as first, Image.open(file) as second:
        assert np.array_equal(np.asarray(first), np.asarray(second))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("--alpha 2", "Not a list of weights from 0 (the base) to 1 (the target): '2'. Write it like 0.7 or 0,0.5,1."),
        ("--alpha half", "Not a list of weights"),
        ("--by-layer coarse", "Not a weight of layers: 'coarse'. Write LAYERS=WEIGHT with a weight from 0 to 1"),
        ("--by-layer course=0.5", "Unknown layers 'course'. Did you mean 'coarse'?"),
        ("--region chin", "Unknown part or shape 'chin'"),
        ("--layers 40", "Layer 40 is out of range"),
    ],
)
def test_the_command_says_what_is_wrong(
    here: Path, options: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    capsys.readouterr()
    assert main(f"{COMMAND} {options}".split()) == 2
    assert message in " ".join(capsys.readouterr().err.split())
    assert not Path("a.png").exists()


def test_a_stranger_is_warned_of(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    line = f"{COMMAND} --alpha 0.5".replace("target.s", "stranger.s")
    capsys.readouterr()
    assert main(line.split()) == 0
    shown = capsys.readouterr()
    assert "The target is not related to the base: 0 of 8 affine layers are equal." in " ".join(shown.err.split())
    assert "0 of 8 affine layers" in shown.out


def test_python_translates_to_a_model(here: Path) -> None:
    base, target = sgkit.load("base.safetensors"), sgkit.load("target.safetensors")
    images = base.translate(target, [0, 3], alpha=[0, 0.5, 1], psi=0.7)
    assert images.numpy().shape == (6, 16, 16, 3)
    images.save("c.png")
    assert main(["replay", "c.png", "--out", "d.png"]) == 0
    with Image.open("c.png") as first, Image.open("d.png") as second:
        assert np.array_equal(np.asarray(first), np.asarray(second))
