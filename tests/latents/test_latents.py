from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from sgkit.config import DiscriminatorConfig, MappingConfig, ModelConfig, SynthesisConfig
from sgkit.errors import CheckpointWarning, InputError, UsageError
from sgkit.latents.files import load_latents
from sgkit.latents.sources import read_origins
from sgkit.latents.spaces import Latents, convert, join, save_latents, to_styles, to_ws
from sgkit.model import Model, build
from sgkit.render.drawing import DrawSettings
from sgkit.render.generate import generate


def tiny(**changes: object) -> Model:
    values: dict[str, object] = {
        "image_size": (16, 16),
        "z_dim": 6,
        "w_dim": 8,
        "mapping": MappingConfig(num_layers=2),
        "synthesis": SynthesisConfig(channel_base=64, channel_max=8),
        "discriminator": DiscriminatorConfig(channel_base=64, channel_max=8),
    }
    model = build(ModelConfig(**{**values, **changes}))
    model.generator.mapping.w_avg.copy_(torch.linspace(-1, 1, 8))
    return model


@pytest.fixture(scope="module")
def model() -> Model:
    return tiny()


@pytest.fixture(scope="module")
def z(model: Model) -> Latents:
    return Latents(space="z", values={"z": model.sample_z([3, 4, 5])}, names=("a", "b", "c"))


@pytest.mark.parametrize("space", ["z", "w", "w+", "s"])
def test_every_space_survives_the_file(tmp_path: Path, model: Model, z: Latents, space: str) -> None:
    latents = replace(convert(z, model, space), model_hash="abc")
    save_latents(latents, tmp_path / "a.npz")
    loaded = load_latents(tmp_path / "a.npz")
    assert (loaded.space, loaded.names, loaded.model_hash, len(loaded)) == (space, ("a", "b", "c"), "abc", 3)
    assert loaded.values.keys() == latents.values.keys()
    assert all(torch.equal(loaded.values[name], latents.values[name]) for name in latents.values)


def test_labels_and_noise_survive_the_file(tmp_path: Path, z: Latents) -> None:
    noise = {"b8_conv0": torch.randn(3, 1, 8, 8), "b8_conv1": torch.randn(1, 1, 8, 8)}
    save_latents(replace(z, label=torch.eye(3), noise=noise), tmp_path / "a.npz")
    loaded = load_latents(tmp_path / "a.npz")
    assert loaded.label is not None
    assert torch.equal(loaded.label, torch.eye(3))
    assert torch.equal(loaded[1].noise["b8_conv0"], noise["b8_conv0"][1:2])
    assert torch.equal(loaded[1].noise["b8_conv1"], noise["b8_conv1"])
    assert loaded[2].names == ("c",)


def test_a_projection_of_nvidias_tools_loads_as_w_plus(tmp_path: Path, model: Model) -> None:
    w = np.random.default_rng(0).standard_normal((1, model.num_ws, 8)).astype(np.float32)
    np.savez(tmp_path / "projected_w.npz", w=w)
    loaded = load_latents(tmp_path / "projected_w.npz")
    assert (loaded.space, loaded.names, loaded.model_hash) == ("w+", ("projected_w",), None)
    assert np.array_equal(to_ws(loaded, model).numpy(), w)


def test_the_spaces_follow_each_other(model: Model, z: Latents) -> None:
    ws = model.map(z.values["z"], truncation_psi=0.5)
    for space in ("z", "w", "w+"):
        latents = convert(z, model, space, psi=0.5)
        psi = 0.5 if space == "z" else 1.0
        assert torch.equal(to_ws(latents, model, psi=psi), ws)
    styles = model.styles(ws)
    given = to_styles(convert(z, model, "s", psi=0.5), model)
    assert all(torch.equal(given[name], styles[name]) for name in styles)


def test_truncation_leaves_w_alone(model: Model, z: Latents) -> None:
    w = convert(z, model, "w")
    assert torch.equal(to_ws(w, model, psi=0.0), to_ws(w, model))


def test_there_is_no_way_back(model: Model, z: Latents) -> None:
    with pytest.raises(UsageError, match=r"of the space w cannot be taken back to z"):
        convert(convert(z, model, "w"), model, "z")
    with pytest.raises(UsageError, match="space s have no w"):
        to_ws(convert(z, model, "s"), model)
    with pytest.raises(UsageError, match=r"use the space w\+"):
        convert(z, model, "w", psi=0.5, cutoff=2)


def test_latents_of_another_shape_are_refused(model: Model, z: Latents) -> None:
    other = tiny(image_size=(32, 32))
    with pytest.raises(UsageError, match=r"w\+ has 6 layers, the model needs 8 \(it makes 32x32 images\)"):
        to_ws(convert(z, model, "w+"), other)
    with pytest.raises(UsageError, match=r"the style of layer b32_conv0 has no numbers, the model needs \d+\."):
        to_styles(convert(z, model, "s"), other)


def test_join_keeps_order_and_refuses_mixtures(model: Model, z: Latents) -> None:
    joined = join([z[2], z[0]])
    assert joined.names == ("c", "a")
    assert torch.equal(joined.values["z"], z.values["z"][[2, 0]])
    with pytest.raises(UsageError, match="several spaces or shapes cannot be joined"):
        join([z, convert(z, model, "w")])


def test_join_keeps_noise_that_all_have(z: Latents) -> None:
    one, two = replace(z[0], noise={"n": torch.ones(1, 1, 2, 2)}), replace(z[1], noise={"n": torch.zeros(1, 1, 2, 2)})
    assert join([one, two]).noise["n"][:, 0, 0, 0].tolist() == [1, 0]
    assert join([one, z[2]]).noise == {}


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"image": np.zeros(3)}, r"holds no latents: .*w, ws, w_plus.* is among its entries \(image\)"),
        ({"space": np.array("x")}, r"unknown space 'x'.*Allowed: z, w, w\+, s"),
        (
            {"space": np.array("w+"), "w": np.zeros((2, 3))},
            r"space w\+, but its arrays do not fit that: \{'w': \[2, 3\]\}",
        ),
        ({"space": np.array("z")}, r"space z, but its arrays do not fit that: there are none"),
        ({"w": np.zeros((0, 3))}, "do not fit"),
        ({"w": np.full((1, 3), np.nan)}, "not finite"),
        ({"w": np.array([["a"]])}, "latents are numbers"),
        ({"w": np.array([[{}]])}, "Cannot read latents from .*Python objects"),
        (
            {"w": np.zeros((2, 3)), "noise_b8_conv0": np.zeros((3, 1, 8, 8))},
            r"noise maps that are not of shape \[2 or 1",
        ),
        ({"w": np.zeros((2, 3)), "label": np.zeros((3, 2))}, r"holds 2 latents, but labels of shape \[3, 2\]"),
    ],
)
def test_what_is_no_latent_file_says_why(tmp_path: Path, arrays: dict[str, np.ndarray], message: str) -> None:
    np.savez(tmp_path / "a.npz", **arrays)
    with pytest.raises(InputError, match=message):
        load_latents(tmp_path / "a.npz")


def test_other_files_are_named_as_what_they_are(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="There is no latent file"):
        load_latents(tmp_path / "missing.npz")
    with pytest.raises(InputError, match="is an empty folder"):
        load_latents(tmp_path)
    (tmp_path / "a.npz").write_bytes(b"no zip at all")
    with pytest.raises(InputError, match="is a text file that begins 'no zip at all'"):
        load_latents(tmp_path / "a.npz")
    Image.new("RGB", (4, 4)).save(tmp_path / "me.jpg")
    with pytest.raises(InputError, match=r"is a JPEG image\. Find its latent first.*sgkit project MODEL .*me\.jpg"):
        load_latents(tmp_path / "me.jpg")


# --------------------------------------------------------------------------------------- other tools' files

W = np.random.default_rng(0).standard_normal((1, 6, 8)).astype(np.float32)
"""One w+ of the model above: 6 layers, w of 8 numbers."""


def torched(value: object) -> Callable[[Path], None]:
    return lambda path: torch.save(value, path)


def projector(*names: str, sides: Sequence[int] = (4, 8, 8, 16, 16)) -> Callable[[Path], None]:
    """What rosinality's projector saves."""
    noise = [torch.full((1, 1, side, side), float(side)) for side in sides]
    one = {"img": torch.zeros(1, 3, 16, 16), "latent": torch.from_numpy(W[0]), "noise": noise}
    return torched({f"faces/{name}.png": one for name in names})


CIRCULATING: dict[str, tuple[str, Callable[[Path], None], str, int, tuple[str, ...]]] = {
    "NVIDIA's projected_w.npz": ("p.npz", lambda f: np.savez(f, w=W), "w+", 1, ("p",)),
    "many w+": ("p.npz", lambda f: np.savez(f, w=W.repeat(3, 0)), "w+", 3, ("p-0", "p-1", "p-2")),
    "one w+ without its first axis": ("p.npz", lambda f: np.savez(f, w=W[0]), "w+", 1, ("p",)),
    "float64": ("p.npz", lambda f: np.savez(f, w=W.astype(np.float64)), "w+", 1, ("p",)),
    "half precision": ("p.npz", lambda f: np.savez(f, w=W.astype(np.float16)), "w+", 1, ("p",)),
    "compressed": ("p.npz", lambda f: np.savez_compressed(f, w=W), "w+", 1, ("p",)),
    "arr_0": ("p.npz", lambda f: np.savez(f, W[0]), "w+", 1, ("p",)),
    "TensorFlow's dlatents.npz": ("p.npz", lambda f: np.savez(f, dlatents=W), "w+", 1, ("p",)),
    "ws": ("p.npz", lambda f: np.savez(f, ws=W), "w+", 1, ("p",)),
    "an array": ("p.npy", lambda f: np.save(f, W), "w+", 1, ("p",)),
    "an array of one w": ("p.npy", lambda f: np.save(f, W[0, 0]), "w", 1, ("p",)),
    "z": ("p.npz", lambda f: np.savez(f, z=W[0, :, :6]), "z", 6, ()),
    "a tensor (e4e, PTI)": ("p.pt", torched(torch.from_numpy(W)), "w+", 1, ("p",)),
    "a tensor of one w (PTI)": ("p.pt", torched(torch.from_numpy(W[:, :1])), "w", 1, ("p",)),
    "a tensor in half precision on tensors of tensors": (
        "p.pt",
        torched(torch.from_numpy(W[None]).half()),
        "w+",
        1,
        ("p",),
    ),
    "a parameter": ("p.pt", torched(torch.nn.Parameter(torch.from_numpy(W))), "w+", 1, ("p",)),
    "a list of tensors": ("p.pt", torched([torch.from_numpy(W[0])] * 2), "w+", 2, ("p-0", "p-1")),
    "a table (latent)": ("p.pt", torched({"latent": torch.from_numpy(W[0])}), "w+", 1, ("p",)),
    "rosinality's projector": ("p.pt", projector("me", "you"), "w+", 2, ("me", "you")),
}


@pytest.mark.parametrize("shape", CIRCULATING)
def test_latents_of_other_tools_load(shape: str, tmp_path: Path, model: Model) -> None:
    name, write, space, count, names = CIRCULATING[shape]
    write(tmp_path / name)
    loaded = load_latents(tmp_path / name, model=model)
    assert (loaded.space, len(loaded)) == (space, count)
    assert not names or loaded.names == names
    if space == "w+":
        assert np.allclose(to_ws(loaded, model)[:1].numpy(), W, atol=1e-2 if "half" in shape else 0)


def test_one_w_for_each_layer_is_said_and_the_flag_decides(tmp_path: Path, model: Model) -> None:
    np.savez(tmp_path / "p.npz", w=W[0])
    with pytest.warns(CheckpointWarning, match=r"w of shape \[6, 8\] is read as one w\+ latent.*--latent-space w"):
        assert load_latents(tmp_path / "p.npz", model=model).space == "w+"
    assert len(load_latents(tmp_path / "p.npz", model=model, space="w")) == 6
    assert len(load_latents(tmp_path / "p.npz", model=tiny(image_size=(32, 32)))) == 6
    save_latents(Latents(space="w", values={"w": torch.from_numpy(W[0])}), tmp_path / "own.npz")
    assert len(load_latents(tmp_path / "own.npz", model=model)) == 6


def test_the_flag_refuses_what_the_shape_rules_out(tmp_path: Path, model: Model) -> None:
    np.savez(tmp_path / "p.npz", w=W)
    with pytest.raises(InputError, match=r"differ from layer to layer.*--latent-space w\+"):
        load_latents(tmp_path / "p.npz", model=model, space="w")


def test_noise_of_rosinalitys_projector_goes_to_its_layers(tmp_path: Path, model: Model) -> None:
    projector("me")(tmp_path / "p.pt")
    noise = load_latents(tmp_path / "p.pt", model=model).noise
    assert {name: tuple(maps.shape) for name, maps in noise.items()} == {
        spec.name: (1, 1, *spec.size) for spec in model.generator.synthesis.plan if spec.has_noise
    }


def test_noise_of_another_model_says_so(tmp_path: Path, model: Model) -> None:
    np.savez(tmp_path / "p.npz", w=W, noise_b4_conv1=np.zeros((1, 1, 4, 4)))
    with pytest.raises(UsageError, match="noise maps belong to another model or size: layer b8_conv0"):
        list(generate(model, tmp_path / "p.npz"))
    assert len(list(generate(model, tmp_path / "p.npz", DrawSettings(noise="none")))) == 1


def test_noise_of_rosinalitys_projector_that_does_not_fit_is_ignored(tmp_path: Path, model: Model) -> None:
    projector("me", sides=(4, 8, 8))(tmp_path / "p.pt")
    with pytest.warns(CheckpointWarning, match="noise maps do not fit"):
        assert not load_latents(tmp_path / "p.pt", model=model).noise


@pytest.mark.parametrize(
    ("array", "message"),
    [
        ({"w": np.full((1, 3), 1e300)}, "not finite"),
        ({"w": np.zeros((1, 3)), "noise_b4_conv1": np.full((1, 1, 4, 4), np.inf)}, "not finite"),
        ({"w": np.zeros((1, 3), np.complex64)}, "of type"),
        ({"w": np.zeros((1, 3), bool)}, "latents are numbers"),
    ],
)
def test_what_is_no_number_is_refused(array: dict[str, np.ndarray], message: str, tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", **array)
    with pytest.raises(InputError, match=message):
        load_latents(tmp_path / "a.npz")


def test_a_model_is_no_latent_file(tmp_path: Path) -> None:
    torch.save({"g_ema": {"conv1.conv.weight": torch.zeros(3)}}, tmp_path / "g.pt")
    with pytest.raises(InputError, match="holds no latents"):
        load_latents(tmp_path / "g.pt")


def test_folders_of_projections_stand_for_their_latents(tmp_path: Path, model: Model) -> None:
    for name in ("b", "a"):
        (tmp_path / "out" / name).mkdir(parents=True)
        np.savez(tmp_path / "out" / name / "latent.npz", w=W)
    origins = list(read_origins([tmp_path / "out", tmp_path / "out" / "b"], model))
    assert [origin.name for origin in origins] == ["a", "b", "b"]
