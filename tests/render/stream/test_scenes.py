"""Panoramas that are written tile by tile, and made again; videos of a view that moves over them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sgkit.errors import SceneError, UsageError
from sgkit.render.files import read_sheet
from sgkit.render.grid import Endless, Grid
from sgkit.render.inputs import Inputs
from sgkit.render.pan import Pan, straight
from sgkit.render.parsing import parse_sheet
from sgkit.render.pictures import to_pixels
from sgkit.render.render import render
from sgkit.render.replay import replay
from sgkit.render.scene import Line, Scene, Seed, Sheet, Subject
from sgkit.render.stream import scenes as streaming
from sgkit.render.stream.scenes import is_large, pan_scene, stream_scene
from tests.builders import drawn_model
from tests.render.stream.planes import NAMES, SHEET

WIDTH, HEIGHT = 112, 48


@pytest.fixture(scope="module")
def inputs() -> Inputs:
    return Inputs(drawn_model(noise=0.3))


def endless(**changes: object) -> Scene:
    """A world of 7x3 places of 16 px."""
    values = {
        "subjects": {"world": Subject(source=Endless(endless=1))},
        "arrangement": Grid(kind="grid", of=("world",), columns=7, rows=3, tile=32),
        "periodic": ("x",),
    }
    return Scene(**{**values, **changes})


def line() -> Scene:
    subjects = {f"seed{seed}": Subject(source=Seed(seed=seed)) for seed in range(4)}
    return Scene(subjects=subjects, arrangement=Line(kind="line", of=tuple(subjects)))


def pixels_of(path: Path) -> np.ndarray:
    if not path.is_dir():
        return np.asarray(Image.open(path))
    top = path / "image_files" / str(max(int(one.name) for one in (path / "image_files").iterdir()))
    columns = max(int(one.name.split("_")[0]) for one in top.iterdir()) + 1
    rows = len(list(top.iterdir())) // columns
    read = [[np.asarray(Image.open(top / f"{x}_{y}.png")) for x in range(columns)] for y in range(rows)]
    return np.concatenate([np.concatenate(row, axis=1) for row in read])


@pytest.mark.parametrize("name", NAMES)
def test_a_streamed_panorama_has_the_pixels_of_the_whole_one_and_is_made_again(
    name: str, inputs: Inputs, tmp_path: Path
) -> None:
    [whole] = render(endless(), inputs)
    result = stream_scene(Sheet(scenes=(endless(),)), inputs, tmp_path / name)
    assert (result.width, result.height, result.tile, result.tiles) == (WIDTH, HEIGHT, 32, 8)
    assert np.array_equal(pixels_of(tmp_path / name), whole.pixels)
    again = tmp_path / f"again-{name}"
    assert replay(read_sheet(tmp_path / name), inputs, again).scenes == 1
    assert np.array_equal(pixels_of(again), whole.pixels)
    assert read_sheet(again) == read_sheet(tmp_path / name)


def test_the_tiles_are_recorded_and_used_again(inputs: Inputs, tmp_path: Path) -> None:
    stream_scene(Sheet(scenes=(line(),)), inputs, tmp_path / "a.png", tile=16)
    (scene,) = read_sheet(tmp_path / "a.png").filled
    assert isinstance(scene.arrangement, Grid)
    assert (scene.arrangement.tile, scene.arrangement.columns, scene.precision) == (16, 4, "fp32")
    replay(Sheet(scenes=(scene,)), inputs, tmp_path / "b.png")
    assert np.array_equal(pixels_of(tmp_path / "a.png"), pixels_of(tmp_path / "b.png"))
    [whole] = render(line(), inputs)
    assert np.abs(pixels_of(tmp_path / "a.png").astype(int) - whole.pixels).max() <= 1


def test_large_panoramas_are_streamed_and_small_ones_are_not(
    inputs: Inputs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sheet, path = Sheet(scenes=(endless(),)), tmp_path / "a.png"
    assert not is_large(path, sheet, inputs)
    assert is_large(tmp_path / "a.tif", sheet, inputs)
    monkeypatch.setattr(streaming, "LARGE", WIDTH * HEIGHT - 1)
    assert is_large(path, sheet, inputs)
    assert not is_large(path, SHEET, inputs)
    assert not is_large(path, Sheet(scenes=(line(), line())), inputs)
    replay(sheet, inputs, path)
    stream_scene(sheet, inputs, tmp_path / "b.png")
    assert path.read_bytes() == (tmp_path / "b.png").read_bytes()


def test_a_slip_of_terabytes_is_refused(inputs: Inputs, tmp_path: Path) -> None:
    huge = Grid(kind="grid", of=("world",), columns=1_000_000, rows=1_000, tile=512)
    with pytest.raises(
        UsageError,
        match=r"16,000,000x16,000 has 256,000 megapixels \(715\.3 GiB uncompressed\); the limit is 4,000\. If you mean "
        r"it: --max-pixels 256000000000",
    ):
        stream_scene(Sheet(scenes=(endless(arrangement=huge),)), inputs, tmp_path / "a.png")
    assert not list(tmp_path.iterdir())


def test_only_panoramas_are_streamed(inputs: Inputs, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="Only panoramas are drawn tile by tile"):
        replay(SHEET, inputs, tmp_path / "a.tif")


def pan_sheet(**changes: object) -> Sheet:
    pan = straight("x", width=WIDTH, height=HEIGHT, view=(40, 48), wraps=(True, False))
    return Sheet(scenes=(endless(),), **{"pan": pan, "frames": 14, "fps": 10.0, **changes})


def test_frames_of_a_pan_are_windows_of_the_panorama(inputs: Inputs, tmp_path: Path) -> None:
    [whole] = render(endless(), inputs)
    pan_scene(pan_sheet(), inputs, tmp_path / "frames")
    for frame in range(14):
        found = pixels_of(tmp_path / "frames" / f"frame{frame:05d}.png")
        assert np.array_equal(found, np.roll(whole.pixels, -8 * frame, axis=1)[:, :40]), frame


@pytest.mark.parametrize("name", ["a.mp4", "a.gif", "a.webp"])
def test_a_pan_is_made_again_from_its_file(name: str, inputs: Inputs, tmp_path: Path) -> None:
    pan_scene(pan_sheet(), inputs, tmp_path / name)
    sheet = read_sheet(tmp_path / name)
    assert sheet.pan == pan_sheet().pan
    result = replay(sheet, inputs, tmp_path / f"again-{name}")
    assert result.frames == 14
    assert (tmp_path / name).read_bytes() == (tmp_path / f"again-{name}").read_bytes()


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"frames": 0}, "a pan needs 2 or more frames, and one scene"),
        ({"scenes": [endless().to_dict()] * 2, "columns": 2}, "a pan needs 2 or more frames, and one scene"),
        ({"pan": {"path": [[0, 0]], "width": 1, "height": 1}}, r"pan\.path"),
        ({"pan": {"path": [[0, 0], [0, -1]], "width": 1, "height": 1}}, r"pan\.path"),
        ({"pan": {"path": [[0, 0], [9, 1]], "width": 1, "height": 1, "speed": 3}}, "speed"),
    ],
)
def test_a_pan_of_nothing_is_refused(changes: dict[str, object], said: str) -> None:
    values = {"sheet": 1, "frames": 3, "pan": pan_sheet().pan.to_dict(), "scenes": [endless().to_dict()], **changes}
    with pytest.raises(SceneError, match=said):
        parse_sheet(values, name="a.json")


def test_a_view_that_leaves_the_panorama_is_refused(inputs: Inputs, tmp_path: Path) -> None:
    pan = Pan(path=((0, 0), (0, 9)), width=40, height=40)
    with pytest.raises(UsageError, match=r"at 0,9 leaves the image of 112x48"):
        pan_scene(pan_sheet(pan=pan), inputs, tmp_path / "a.gif")


def test_large_files_are_read_although_pillow_refuses_their_size(
    inputs: Inputs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from sgkit.tasks.info import info

    for name in NAMES:
        stream_scene(Sheet(scenes=(endless(),)), inputs, tmp_path / name)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", WIDTH * HEIGHT // 3)
    for name in NAMES:
        assert read_sheet(tmp_path / name).filled[0].arrangement.tile == 32
        found = info(tmp_path / name)
        assert found.facts["shows"] == "world"
        assert "sgkit replay" in found.advice


def test_pixels_of_windows_are_those_of_the_tensors(inputs: Inputs) -> None:
    plane = streaming.plane_of(endless(), inputs)
    found = streaming.Tiles(plane).window(3, 5, 20, 30)
    assert np.array_equal(found, to_pixels(plane.window(3, 5, 20, 30))[0])
