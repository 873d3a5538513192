"""The models in the package: what the table says of them, and their names in place of paths."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import sgkit
from sgkit.checkpoint import read_header
from sgkit.cli.app import main
from sgkit.packaged import ASSETS, MODELS, PackagedModel, packaged_path
from sgkit.render.files import read_sheet
from tests.schemas import checked_result

MOST_BYTES = 12_000_000


@pytest.mark.parametrize("model", MODELS.values(), ids=lambda model: model.name)
def test_the_table_says_what_the_file_holds(model: PackagedModel) -> None:
    header = read_header(model.path)
    assert header.config.image_size == model.image_size
    assert tuple(header.info.provenance["class_names"]) == model.classes
    assert {dtype for dtype, _ in header.tensors.values()} == {"F16"}
    assert (ASSETS.parents[1] / model.card).is_file()


def test_the_package_stays_small_and_every_file_has_its_row() -> None:
    files = list(ASSETS.iterdir())
    assert sum(file.stat().st_size for file in files) <= MOST_BYTES
    assert {file for file in files if file.suffix == ".safetensors"} == {model.path for model in MODELS.values()}


def test_models_lists_them(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models", "--json"]) == 0
    (row,) = checked_result(["models"], capsys.readouterr().out)
    assert row["name"] == "landscapes"
    assert row["bytes"] == MODELS["landscapes"].path.stat().st_size
    assert main(["models"]) == 0
    assert "winter-night" in capsys.readouterr().out
    assert [model.name for model in sgkit.list_models()] == ["landscapes"]


def test_something_of_that_name_in_the_working_directory_wins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert packaged_path("landscapes") == MODELS["landscapes"].path
    assert packaged_path("elsewhere/landscapes") == Path("elsewhere/landscapes")
    Path("landscapes").mkdir()
    assert packaged_path("landscapes") == Path("landscapes")
    assert main(["generate", "landscapes", "--seeds", "0", "--out", "out"]) == 1


def test_scenes_record_the_name_and_replay_finds_the_model_by_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    generated = ["--seeds", "0", "--class", "winter-day", "--out", "a.png", "--grid", "1x1"]
    assert main(["generate", "landscapes", *generated]) == 0
    (scene,) = read_sheet(Path("a.png")).filled
    assert [reference.path for reference in scene.models.values()] == ["landscapes"]
    Path("elsewhere").mkdir()
    Path("a.png").rename("elsewhere/a.png")
    monkeypatch.chdir("elsewhere")
    assert main(["replay", "a.png", "--out", "b.png"]) == 0
    first, second = (np.asarray(Image.open(name)) for name in ("a.png", "b.png"))
    assert np.array_equal(first, second)


@pytest.mark.parametrize(
    "line", ["info landscapes --json", "convert landscapes out.npz", "train STORE --init landscapes --dry-run"]
)
def test_commands_without_images_take_the_name(
    line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    if "STORE" in line:
        prepared = ["prepare", "sample:landscapes?count=16&labels=season-hour", "--size", "128", "--out", "STORE"]
        assert main(prepared) == 0
    assert main(line.split()) == 0


@pytest.mark.usefixtures("cheap_features")
def test_metrics_measures_it_by_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["generate", "landscapes", "--seeds", "0-1", "--class", "3", "--out", "images"]) == 0
    capsys.readouterr()
    words = ["--data", "images", "--metrics", "kd_effnet", "--num-images", "2", "--class", "3", "--no-cache"]
    assert main(["metrics", "landscapes", *words, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)["images"]
    assert (found["path"], found["kind"]) == ("landscapes", "model")


@pytest.mark.parametrize("line", ["generate landscape --out o", "info Landscapes", "train . --out o --init landscpes"])
def test_a_name_with_a_slip_is_answered_with_the_right_one(
    line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(line.split()) == 1
    assert "Did you mean 'landscapes'?" in capsys.readouterr().err
