"""Several classes at once: every seed in each of them, or one after another along a walk."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import sgkit
from sgkit.cli.app import main
from sgkit.errors import UsageError
from sgkit.model import Model, ModelInfo
from sgkit.model.labels import class_list, label_vector
from sgkit.render.drawing import DrawSettings
from sgkit.render.files import read_sheet
from sgkit.render.generate import generate
from sgkit.render.interpolate import interpolate
from sgkit.render.panorama import PanoramaSettings, panorama
from tests.builders import drawn_model


@pytest.fixture(scope="module")
def model() -> Model:
    model = drawn_model(noise=0.1, label_dim=4)
    model.info = ModelInfo(provenance={"class_names": ["rose", "lily", "3-4", "all day"]})
    return model


@pytest.mark.parametrize(
    ("label", "classes"),
    [
        (None, []),
        (1, []),
        ("1", []),
        ("rose", []),
        ("random", []),
        ("3-4", []),  # a class of that name
        ("0.1,0.2,0.3,0.4", []),
        ((0.0, 1.0, 0.0, 0.0), []),
        ("all", ["rose", "lily", "3-4", "all day"]),
        ("0-2", [0, 1, 2]),
        ("2,0", [2, 0]),
        ("lily, rose", ["lily", "rose"]),
        ("rose,1-2,3-4", ["rose", 1, 2, "3-4"]),
        (["rose", 2], ["rose", 2]),
        ((0, 1), [0, 1]),
    ],
)
def test_lists_of_classes_are_told_from_single_labels(model: Model, label: object, classes: list[object]) -> None:
    assert [*class_list(model, label)] == classes  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("label", "piece"), [("0-9", "Class 4 is out of range"), (["rose", "lilly"], "'lilly' is not a class .* lily")]
)
def test_a_class_that_there_is_not_is_named_before_anything_is_drawn(model: Model, label: object, piece: str) -> None:
    with pytest.raises(UsageError, match=piece):
        class_list(model, label)  # type: ignore[arg-type]


def test_every_seed_is_drawn_in_each_class(model: Model) -> None:
    found = list(generate(model, [5, 7], DrawSettings(label="lily,0")))
    assert [one.scene.main()[0] for one in found] == ["seed0005-lily", "seed0005-0", "seed0007-lily", "seed0007-0"]
    for one, (seed, label) in zip(found, [(5, 1), (5, 0), (7, 1), (7, 0)], strict=True):
        (alone,) = generate(model, [seed], DrawSettings(label=label))
        assert np.array_equal(one.pixels, alone.pixels)


def test_a_grid_has_a_column_for_each_class(model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    sgkit.save(model, "m.safetensors")
    assert main(["generate", "m.safetensors", "--seeds", "0-2", "--class", "all", "--out", "a.png"]) == 0
    sheet = read_sheet("a.png")
    assert (sheet.columns, sheet.rows) == (4, 3)
    with Image.open("a.png") as image:
        assert image.size == (64, 48)
    assert (
        main(
            ["generate", "m.safetensors", "--seeds", "0,1", "--class", "rose,lily", "--out", "out", "--format", "webp"]
        )
        == 0
    )
    assert {path.name for path in Path("out").glob("*.webp")} == {
        f"seed000{seed}-{name}.webp" for seed in (0, 1) for name in ("rose", "lily")
    }


def test_a_walk_passes_through_the_classes_of_one_seed(model: Model) -> None:
    frames = list(interpolate(model, [3], DrawSettings(label=["rose", "lily", 2]), frames=3))
    for frame, label in zip(frames, (0, 1, 2), strict=True):
        (alone,) = generate(model, [3], DrawSettings(label=label))
        assert np.abs(frame.astype(int) - alone.pixels).max() <= 1


def test_each_walk_of_a_grid_passes_through_all_classes(model: Model) -> None:
    frames = list(interpolate(model, [3, 4], DrawSettings(label="0,1"), frames=2, grid=(2, 1)))
    for seed, side in ((3, slice(0, 16)), (4, slice(16, 32))):
        (alone,) = generate(model, [seed], DrawSettings(label=1))
        assert np.abs(frames[1][:, side].astype(int) - alone.pixels).max() <= 1


def test_a_panorama_passes_through_the_classes(model: Model) -> None:
    found = panorama(model, [3], DrawSettings(label="all"), PanoramaSettings())
    assert found.names == ("seed0003-rose", "seed0003-lily", "seed0003-3-4", "seed0003-all day")
    assert found.image.shape == (16, 64, 3)


def test_numbers_of_a_label_vector_need_points(model: Model) -> None:
    with pytest.raises(UsageError, match=r"'0,1,0,0' names 4 classes.*points: 0\.0,1\.0,0\.0,0\.0"):
        label_vector(model, "0,1,0,0")
