from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from sgkit.checkpoint.latents import Latents, convert, join, load_latents, save_latents, to_styles, to_ws
from sgkit.config import MappingConfig, ModelConfig, SynthesisConfig
from sgkit.errors import InputError, UsageError
from sgkit.model import Model, build


def tiny(**changes: object) -> Model:
    values: dict[str, object] = {
        "image_size": (16, 16),
        "z_dim": 6,
        "w_dim": 8,
        "mapping": MappingConfig(num_layers=2),
        "synthesis": SynthesisConfig(channel_base=64, channel_max=8),
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
    with pytest.raises(UsageError, match=r"shape \[3, 6, 8\] were given; the model has 8 w of length 8"):
        to_ws(convert(z, model, "w+"), other)
    with pytest.raises(UsageError, match=r"at layer 'b32_conv0': none was given, the model has length"):
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
        ({"image": np.zeros(3)}, r"holds no latents: neither 'space' nor 'w' is among its arrays \(image\)"),
        ({"space": np.array("x")}, r"unknown space 'x'.*Allowed: z, w, w\+, s"),
        (
            {"space": np.array("w+"), "w": np.zeros((2, 3))},
            r"space w\+, but its arrays do not fit that: \{'w': \[2, 3\]\}",
        ),
        ({"space": np.array("z")}, r"space z, but its arrays do not fit that: there are none"),
        ({"w": np.zeros((0, 3))}, "do not fit"),
        ({"w": np.full((1, 3), np.nan)}, "not finite"),
        ({"w": np.array([["a"]])}, "numbers were expected"),
        ({"w": np.array([[{}]])}, r"cannot be read as a latent file \(.npz of plain arrays\)"),
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


def test_files_that_are_no_npz_say_so(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="There is no latent file"):
        load_latents(tmp_path / "missing.npz")
    with pytest.raises(InputError, match="is a folder"):
        load_latents(tmp_path)
    (tmp_path / "a.npz").write_bytes(b"no zip at all")
    with pytest.raises(InputError, match="cannot be read as a latent file"):
        load_latents(tmp_path / "a.npz")
    np.save(tmp_path / "b.npy", np.zeros(3))
    with pytest.raises(InputError, match="one bare array"):
        load_latents(tmp_path / "b.npy")
