from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sgkit.checkpoint import save
from sgkit.cli.app import main
from sgkit.errors import InputError
from sgkit.measure.seams import feature_steps, measure_seams
from sgkit.render.files import read_sheet, write_picture, write_sheet
from sgkit.render.generate import generate_grid
from sgkit.render.panorama import panorama_file
from sgkit.render.panorama_scene import PanoramaSettings
from tests.builders import drawn_model
from tests.conftest import Colours

pytestmark = pytest.mark.usefixtures("cheap_features")


@pytest.fixture
def wide(tmp_path: Path) -> Path:
    """A panorama of 3x2 images of 16 pixels."""
    settings = PanoramaSettings(grid=(3, 2), endless=1)
    return panorama_file(drawn_model(), [], tmp_path / "wide.png", arrangement=settings).file


def test_a_panorama_is_measured_where_its_images_meet(wide: Path) -> None:
    found = measure_seams(wide)
    assert (found.width, found.height, found.columns, found.rows) == (48, 32, 3, 2)
    assert found.seams.x is not None
    assert found.seams.y is not None
    assert found.seam_ratio == max(found.seams.x.ratio, found.seams.y.ratio)
    assert found.features_x is not None
    with Image.open(wide) as image:
        pixels = np.asarray(image).copy()
    pixels[:, 16:32] = 255 - pixels[:, 16:32]
    write_picture(pixels, wide, read_sheet(wide))
    broken = measure_seams(wide)
    assert broken.seams.x is not None
    assert broken.seams.x.ratio > 2 * found.seams.x.ratio
    assert broken.features_x is not None
    assert broken.features_x.ratio > found.features_x.ratio


def test_features_are_compared_on_both_sides_of_joins() -> None:
    """A step of brightness at a join, and none half-way between joins."""
    pixels = np.full((32, 64, 3), 50, dtype=np.uint8)
    pixels[:, 32:] = 200
    found = feature_steps(pixels, [32], Colours())
    assert found is not None
    assert (found.at_joins > 0.5, found.elsewhere) == (True, 0)
    assert feature_steps(pixels, [], Colours()) is None
    assert feature_steps(pixels, [4], Colours()) is None
    assert feature_steps(pixels.transpose(1, 0, 2), [32], Colours(), axis="y") == found


def test_a_scene_is_drawn_and_measured(wide: Path, tmp_path: Path) -> None:
    save(drawn_model(), tmp_path / "model.safetensors")
    line = ["panorama", str(tmp_path / "model.safetensors"), "--grid", "2x1", "--endless", "1", "--precision", "fp32"]
    assert main([*line, "--out", str(tmp_path / "a.png")]) == 0
    write_sheet(read_sheet(tmp_path / "a.png"), tmp_path / "a.json")
    assert measure_seams(tmp_path / "a.json").seams == measure_seams(tmp_path / "a.png").seams
    write_sheet(read_sheet(wide), tmp_path / "wide.json")
    with pytest.raises(InputError, match=r"The model of .*wide\.json is not there"):
        measure_seams(tmp_path / "wide.json")


def test_the_command_measures_seams(wide: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["metrics", "seams", str(wide), "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["columns"] == 3
    assert report["seam_ratio"] == measure_seams(wide).seam_ratio
    assert main(["metrics", str(wide), "--metrics", "seams"]) == 0
    assert "features, columns" in capsys.readouterr().out
    assert main(["metrics", str(wide)]) == 2
    assert "Missing option '--data'" in capsys.readouterr().err


def test_what_is_no_panorama_is_refused(tmp_path: Path) -> None:
    generate_grid(drawn_model(), [0, 1], tmp_path / "grid.png")
    with pytest.raises(InputError, match=r"grid\.png is not a panorama, so it has no joins"):
        measure_seams(tmp_path / "grid.png")
