from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import sgkit
from sgkit.cli.app import main
from sgkit.errors import UsageError
from sgkit.latents.spaces import Latents, convert, save_latents
from sgkit.model import Model
from sgkit.render.compile import layer_numbers
from sgkit.render.drawing import DrawSettings
from sgkit.render.files import read_sheet
from sgkit.render.mix import mix
from sgkit.render.pictures import to_pixels
from sgkit.render.render import Rendered
from tests.builders import drawn_model


def tiny(**changes: object) -> Model:
    return drawn_model(image_size=(32, 32), **changes)


def pixels(pictures: Sequence[Rendered]) -> np.ndarray:
    return np.stack([one.pixels for one in pictures])


@pytest.fixture(scope="module")
def model() -> Model:
    return tiny()


@pytest.mark.parametrize(
    ("layers", "numbers"),
    [("coarse", (0, 1, 2, 3)), ("middle", (4, 5, 6, 7)), ("fine", (8, 9)), ([5, 0, 5], (0, 5))],
)
def test_layers_by_name_and_number(layers: str | list[int], numbers: tuple[int, ...]) -> None:
    assert layer_numbers(layers, 10) == numbers


def test_layers_that_are_not_there_are_refused() -> None:
    with pytest.raises(
        UsageError,
        match=r"fine starts at layer 8; the model has 8 layers of w\+\. Allowed: coarse, middle, numbers from 0 to 7",
    ):
        layer_numbers("fine", 8)
    with pytest.raises(UsageError, match=r"Unknown layers 'corse'\. Did you mean 'coarse'\?"):
        layer_numbers("corse", 8)
    with pytest.raises(UsageError, match=r"Layer 8 of --layers is out of range; the model has 8 layers of w\+"):
        layer_numbers([1, 8], 8)
    with pytest.raises(UsageError, match="No layers were given"):
        layer_numbers([], 8)


@pytest.mark.parametrize("batch", [1, 5, 64])
def test_mixing_in_s_is_mixing_in_w_plus(model: Model, batch: int) -> None:
    mixture = mix(model, [0, 1], [2, 3, 4], DrawSettings(truncation_psi=0.8), layers="middle", batch=batch)
    ws = model.map(model.sample_z(range(5)), truncation_psi=0.8)
    assert (len(mixture.rows), len(mixture.cols), [len(row) for row in mixture.cells]) == (2, 3, [3, 3])
    plain = to_pixels(model.synthesize(ws)).astype(int)
    assert np.abs(plain - pixels([*mixture.rows, *mixture.cols])).max() <= 1
    for row, col in np.ndindex(2, 3):
        mixed = ws[row].clone()
        mixed[4:8] = ws[2 + col][4:8]
        expected = to_pixels(model.synthesize(mixed[None]))[0].astype(int)
        assert np.abs(expected - mixture.cells[row][col].pixels).max() <= 1


def test_all_layers_give_the_columns_and_sources_of_any_space_mix(model: Model, tmp_path: Path) -> None:
    seeds = Latents(space="z", values={"z": model.sample_z([7, 8])}, names=("a", "b"))
    save_latents(convert(seeds, model, "s"), tmp_path / "s.npz")
    mixture = mix(model, [0, convert(seeds, model, "w")], [tmp_path / "s.npz", 1], layers=tuple(range(8)))
    assert mixture.row_names == ("seed0000", "a", "b")
    assert mixture.col_names == ("a", "b", "seed0001")
    for row in range(3):
        assert np.abs(pixels(mixture.cells[row]).astype(int) - pixels(mixture.cols)).max() <= 1


def test_cells_keep_the_rows_noise(model: Model) -> None:
    noisy = tiny(noise=0.5)
    specs = [spec for spec in noisy.generator.synthesis.plan if spec.has_noise]
    maps = {spec.name: torch.randn(1, 1, *spec.size) for spec in specs}
    own = Latents(space="w+", values={"w": noisy.map(noisy.sample_z([0]))}, noise=maps, names=("face",))
    mixture = mix(noisy, [own, 0], [own, 0], layers="coarse")
    assert not np.array_equal(mixture.rows[0].pixels, mixture.rows[1].pixels)
    for row, col in np.ndindex(2, 2):
        assert np.abs(mixture.cells[row][col].pixels.astype(int) - mixture.rows[row].pixels).max() <= 1


def test_the_picture_has_the_sources_on_its_margins(model: Model) -> None:
    mixture = mix(model, [0, 1], [2, 3, 4])
    picture = mixture.picture(gap=1)
    assert picture.shape == (3 * 33 - 1, 4 * 33 - 1, 3)
    assert (picture[:33, :33] == 255).all()
    assert np.array_equal(picture[33:65, :32], mixture.rows[0].pixels)
    assert np.array_equal(picture[:32, 66:98], mixture.cols[1].pixels)
    assert np.array_equal(picture[66:, 99:], mixture.cells[1][2].pixels)


def test_conditional_models_mix() -> None:
    model = tiny(label_dim=2)
    mixture = mix(model, [0], [1], DrawSettings(label=1))
    other = mix(model, [0], [1], DrawSettings(label=0))
    assert not np.array_equal(mixture.cells[0][0].pixels, other.cells[0][0].pixels)


def test_empty_sides_are_refused(model: Model) -> None:
    with pytest.raises(UsageError, match="at least one row, one column"):
        mix(model, [], [1])


# ----------------------------------------------------------------------------------------- command line


@pytest.fixture(scope="module")
def file(model: Model, tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("model") / "model.safetensors"
    sgkit.save(model, path)
    return str(path)


def test_the_command_mixes_seeds_and_files(
    model: Model, file: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    latents = Latents(space="z", values={"z": model.sample_z([9, 10])}, names=("a", "b"))
    save_latents(convert(latents, model, "w+"), tmp_path / "faces.npz")
    out = tmp_path / "mix.png"
    sides = ["--rows", "0-1,5", "--cols", f"3,{tmp_path / 'faces.npz'}", "--layers", "0-2,6", "--gap", "0"]
    assert main(["mix", file, "--out", str(out), *sides]) == 0
    assert "3 x 3 mixtures" in capsys.readouterr().out
    with Image.open(out) as image:
        assert image.size == (128, 128)
    corner, col, *_ = read_sheet(out).scenes
    assert corner is None
    assert col.main() == ("seed0003",)
    assert read_sheet(out).scenes[-1].subjects["seed0005"].mix[0].layers == (0, 1, 2, 6)
    assert main(["mix", file, "--out", str(out), *sides]) == 1
    assert "mix.png exists already; nothing was changed" in capsys.readouterr().err
    assert main(["mix", file, "--out", str(out), *sides, "--force", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["layers"] == [0, 1, 2, 6]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--layers", "fine"], "--layers fine starts at layer 8"),
        (
            ["--layers", "corse"],
            "'--layers': Unknown layers 'corse'. Did you mean 'coarse'? Allowed: coarse, middle, fine.",
        ),
        (["--rows", "0,face"], "'--rows': Not a seed or latent file: 'face'"),
        (["--out", "a.gif"], "'a.gif' does not end in one of .png, .jpg, .jpeg, .webp"),
        (["--rows", "5-2"], "The range '5-2' is reversed"),
    ],
)
def test_the_command_refuses(
    file: str,
    arguments: list[str],
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["mix", file, "--out", "a.png", "--rows", "0", "--cols", "1", *arguments]) == 2
    assert message in capsys.readouterr().err.replace("\n", " ")
    assert list(tmp_path.iterdir()) == []
