from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from sgkit.checkpoint import save
from sgkit.cli.app import main
from sgkit.config import DiscriminatorConfig, MappingConfig, ModelConfig, SynthesisConfig
from sgkit.errors import UsageError
from sgkit.latents.spaces import Latents, save_latents
from sgkit.model import Model, build
from sgkit.render.drawing import DrawSettings
from sgkit.render.files import read_sheet
from sgkit.render.panorama import panorama, panorama_file
from sgkit.render.panorama_scene import PanoramaSettings
from tests.builders import drawn_model


@pytest.fixture(scope="module")
def model() -> Model:
    config = ModelConfig(
        image_size=(16, 16),
        z_dim=8,
        w_dim=8,
        mapping=MappingConfig(num_layers=2),
        synthesis=SynthesisConfig(channel_base=128, channel_max=8),
        discriminator=DiscriminatorConfig(channel_base=128, channel_max=8),
    )
    return build(config, seed=3)


@pytest.fixture(scope="module")
def file(model: Model, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("model") / "model.safetensors"
    save(model, path)
    return path


def test_seeds_and_latent_files_stand_in_the_order_given(model: Model, tmp_path: Path) -> None:
    ws = model.map(model.sample_z([7]))
    save_latents(Latents(space="w+", values={"w": ws}, names=("face",)), tmp_path / "a.npz")
    woven = panorama(model, [3, tmp_path / "a.npz", 5])
    assert woven.image.shape == (16, 48, 3)
    assert woven.names == ("seed0003", "face", "seed0005")
    assert woven.layout.joins_x == (16, 32)
    np.testing.assert_allclose(woven.image, panorama(model, [3, 7, 5]).image, atol=1)


def test_psi_0_makes_every_part_alike(model: Model) -> None:
    settings = DrawSettings(truncation_psi=0.0, noise="none")
    assert np.array_equal(panorama(model, [0, 1, 2], settings).image, panorama(model, [3, 4, 5], settings).image)


def test_smoothing_brings_neighbours_together_and_keeps_unit_variance(model: Model) -> None:
    plain, alike = (
        panorama(model, range(6), arrangement=PanoramaSettings(smoothing=s, wrap="x")).image for s in (0, 40)
    )
    parts = [image.reshape(16, 6, 16, 3).astype(float) for image in (plain, alike)]
    apart = [np.abs(part[:, 1:] - part[:, :-1]).mean() for part in parts]
    assert apart[1] < apart[0] / 2
    latents = Latents(space="w", values={"w": torch.zeros(2, 8)})
    with pytest.raises(UsageError, match="averages neighbouring z"):
        panorama(model, [latents], arrangement=PanoramaSettings(smoothing=1))


def test_random_noise_is_a_function_of_its_seed(model: Model) -> None:
    for parameter in (p for n, p in model.generator.named_parameters() if n.endswith("noise_strength")):
        parameter.fill_(0.5)
    settings = DrawSettings(noise="random")
    first, again, other = (
        panorama(model, [0, 1], settings, PanoramaSettings(noise_seed=seed)).image for seed in (1, 1, 2)
    )
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_the_file_says_how_it_was_made(model: Model, tmp_path: Path) -> None:
    result = panorama_file(model, [1, 2], tmp_path / "new" / "wide.png", arrangement=PanoramaSettings(wrap="x"))
    with Image.open(result.file) as picture:
        assert picture.size == (32, 16) == (result.width, result.height)
    (scene,) = read_sheet(result.file).filled
    assert scene.main() == ("seed0001", "seed0002")
    assert scene.models["model"].hash == model.content_hash() == result.model_hash
    assert result.joins == (16, 32)
    assert result.seams.x is not None
    assert result.seam_ratio == result.seams.x.ratio > 0
    with pytest.raises(UsageError, match=r"Unsupported extension \.gif of --out wide\.gif\. Use \.png, \.jpg"):
        panorama_file(model, [1], tmp_path / "wide.gif")
    panorama_file(model, [1], tmp_path / "wide.jpg")
    assert read_sheet(tmp_path / "wide.jpg").filled[0].main() == ("seed0001",)
    with pytest.raises(UsageError, match="cannot be written tile by tile"):
        panorama_file(model, [1], tmp_path / "tiled.jpg", tile=16)


def test_the_command_weaves_any_width(file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "wide.png"
    assert main(["panorama", str(file), "--seeds", "0-6", "--width", "90", "--psi", "0.7", "--out", str(out)]) == 0
    assert "90x16, 7 images in" in capsys.readouterr().out
    with Image.open(out) as picture:
        assert picture.size == (90, 16)


def test_the_command_reports_as_json(file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "tall.png"
    assert main(["panorama", str(file), "--vertical", "--height", "70", "--json", "--out", str(out)]) == 0
    report = json.loads(capsys.readouterr().out)
    assert (report["width"], report["height"]) == (16, 70)
    assert report["styles"] == [f"seed000{index}" for index in range(5)]
    assert report["joins_y"] == [14, 29, 43, 58]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--wrap", "--width", "90"], "Nearest: 88 or 92"),
        (["--height", "90"], "--height has no effect here: the model fixes it"),
        (["--vertical", "--width", "90"], "whose length is --height"),
        (["--overlap", "2"], "--overlap"),
        (["--latent", "missing.npz"], "There is no latent file"),
        (["--class", "3"], "unconditional: remove --class"),
    ],
)
def test_the_command_says_what_cannot_be(
    file: Path, tmp_path: Path, options: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["panorama", str(file), "--out", str(tmp_path / "x.png"), *options]) in (1, 2)
    assert message in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


@pytest.fixture(scope="module")
def conditional(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model with three classes, and a map of 2x1 pixels, red and blue."""
    folder = tmp_path_factory.mktemp("conditional")
    save(drawn_model(label_dim=3), folder / "model.safetensors")
    Image.fromarray(np.array([[[255, 0, 0], [0, 0, 255]]], dtype=np.uint8)).save(folder / "map.png")
    return folder


def scene_at(path: Path) -> dict[str, Any]:
    (scene,) = read_sheet(path).filled
    return scene.to_dict()


@pytest.mark.parametrize(
    ("options", "periodic"),
    [
        ("--wrap", ["x"]),
        ("--vertical --wrap", ["y"]),
        ("--grid 2x1 --wrap", ["x", "y"]),
        ("--wrap y --grid 2x1", ["y"]),
        ("--wrap both", ["x", "y"]),
        ("--wrap none", None),
    ],
)
def test_wrap_may_name_axes(file: Path, tmp_path: Path, options: str, periodic: list[str] | None) -> None:
    assert main(["panorama", str(file), "--seeds", "0,1", *options.split(), "--out", str(tmp_path / "a.png")]) == 0
    assert scene_at(tmp_path / "a.png").get("periodic") == (None if periodic is None else tuple(periodic))


def test_a_painted_map_chooses_classes_and_images(conditional: Path, tmp_path: Path) -> None:
    def run(*words: str) -> dict[str, Any]:
        line = ["panorama", str(conditional / "model.safetensors"), "--out", str(tmp_path / "a.png"), "--force"]
        assert main([*line, *words]) == 0
        return scene_at(tmp_path / "a.png")

    painted = ["--map", str(conditional / "map.png")]
    scene = run(*painted, "--legend", "red=2,blue=0", "--endless", "5")
    assert scene["subjects"] == {
        "endless@2": {"from": {"endless": 5}, "label": "2"},
        "endless@0": {"from": {"endless": 5}, "label": "0"},
    }
    assert scene["arrangement"]["map"] == {"columns": 2, "rows": 1, "of": (0, 1)}
    scene = run(*painted, "--legend", "red=seed:3,blue=seed:4", "--class", "1", "--grid", "4x3")
    assert (scene["arrangement"]["columns"], scene["arrangement"]["rows"]) == (4, 3)
    assert [one["from"] for one in scene["subjects"].values()] == [{"seed": 3}, {"seed": 4}]
    scene = run(*painted, "--legend", "red=2,blue=0", "--seeds", "7,7")
    assert list(scene["subjects"]) == ["seed0007@2", "seed0007@0"]
    assert scene["arrangement"]["of"] == ("seed0007@2", "seed0007@0")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("--grid 4x3 --seeds 0-9", "A grid of 4x3 has 12 places; 10 images were given. Give 12 images, row by row"),
        ("--endless 3", "--endless needs a size: give --grid COLSxROWS, or --width and --height"),
        ("--map map.png --endless 1", "--map needs --legend, which says what its colours choose"),
        ("--map map.png --legend red=0,blue=7", "Class 7 is out of range; the model has classes 0 to 2"),
        ("--map map.png --legend red=0", "is #0000ff, which the legend does not name. It names #ff0000"),
        ("--map map.png --legend red=0,blue=0", "Two colours of the legend choose endless@0"),
        ("--map map.png --legend red=seed:1,blue=0 --seeds 1,2", "--seeds or --latent give images, too"),
        ("--grid 2x2 --endless 0 --wrap y --height 30 --class 0", "The height is 30 pixels; so that its ends join"),
        ("--grid 40x1 --endless 0 --width 80 --class 0", "40 columns do not fit into a width of 80 pixels"),
        ("--endless 0 --grid 2x2 --class 0,1", "takes one class, or random. For several classes, say which is where"),
        ("--places missing.txt", "There is no list of places missing.txt"),
    ],
)
def test_the_command_says_what_does_not_fit_a_grid(
    conditional: Path, options: str, message: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(conditional)
    assert main(["panorama", "model.safetensors", "--out", "a.png", *options.split()]) in (1, 2)
    assert message in capsys.readouterr().err.replace("\n", " ")
    assert not Path("a.png").exists()
