from __future__ import annotations

import pytest
import torch

from sgkit.errors import UsageError
from sgkit.latents.sources import Origin
from sgkit.latents.spaces import Latents, join
from sgkit.model import Model
from sgkit.render.compile import Compiler, smoothed
from sgkit.render.inputs import Inputs
from sgkit.render.scene import Alone, Line, Mix, Scene, Seed, Subject
from tests.builders import drawn_model


@pytest.fixture
def conditional() -> Model:
    return drawn_model(label_dim=3)


def of_seed(seed: int, label: str | int) -> Scene:
    return Scene(subjects={"a": Subject(source=Seed(seed=seed), label=label)}, arrangement=Alone(of="a"))


def test_a_random_class_is_chosen_by_the_seed(conditional: Model) -> None:
    compiler = Compiler(Inputs(conditional))
    labels = [compiler.latents(of_seed(seed, "random"), "a").label for seed in range(12)]
    again = [compiler.latents(of_seed(seed, "random"), "a").label for seed in range(12)]
    assert all(torch.equal(one, other) for one, other in zip(labels, again, strict=True))  # type: ignore[arg-type]
    assert len({tuple(label[0].tolist()) for label in labels if label is not None}) == 3


def zs(count: int) -> list[Latents]:
    generator = torch.Generator().manual_seed(1)
    return [Latents(space="z", values={"z": torch.randn(1, 64, generator=generator)}) for _ in range(count)]


def line(smoothing: float) -> Line:
    return Line(kind="line", of=("a",), smoothing=smoothing)


def test_smoothed_latents_have_unit_second_moment_and_follow_their_neighbours() -> None:
    given = zs(6)
    found = smoothed(given, line(1.0), is_ring=False)
    for one in found:
        assert one.only.square().mean().item() == pytest.approx(1.0, abs=1e-5)
    before, after = ((x[0].only * x[1].only).mean().item() for x in (given, found))
    assert after > before + 0.2


def test_on_a_ring_the_last_latent_is_a_neighbour_of_the_first() -> None:
    given = zs(8)
    apart, around = (smoothed(given, line(1.0), is_ring=is_ring) for is_ring in (False, True))
    products = [(found[0].only * found[-1].only).mean().item() for found in (apart, around)]
    assert products[1] > products[0] + 0.2


def test_joined_latents_name_a_model_only_where_all_have_the_same() -> None:
    one, other = (Latents(space="w", values={"w": torch.zeros(1, 4)}, model_hash=name) for name in "ab")
    assert join([one, one]).model_hash == "a"
    assert join([one, other]).model_hash is None


def test_styles_are_taken_channel_by_channel() -> None:
    model = drawn_model()
    own, other = (model.styles(model.map(model.sample_z([seed]))) for seed in (0, 1))
    weights = {name: torch.linspace(0, 1, style.shape[1])[None] for name, style in own.items()}
    inputs = Inputs(model)
    layers = tuple(range(model.num_ws))

    def mixed(channels: Latents) -> dict[str, torch.Tensor]:
        ref = inputs.source(Origin(name="q", latents=channels))
        mix = Mix(subject="b", layers=layers, channels=ref)  # type: ignore[arg-type]
        subjects = {"a": Subject(source=Seed(seed=0), mix=(mix,)), "b": Subject(source=Seed(seed=1))}
        scene = Scene(subjects=subjects, arrangement=Alone(of="a"))
        return Compiler(inputs).styled([(scene, "a")])[0].styles

    for name, style in mixed(Latents(space="s", values=weights)).items():
        torch.testing.assert_close(style, own[name] + weights[name] * (other[name] - own[name]))
    del weights["b8_conv0"]
    with pytest.raises(UsageError, match="layer b8_conv0 has 8 channels, the file has none"):
        mixed(Latents(space="s", values=weights))
