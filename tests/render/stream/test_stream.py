"""Images that are written tile by tile: what is in the files, and what is continued."""

from __future__ import annotations

import errno
import io
import itertools
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import tifffile
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image
from torch import multiprocessing

from sgkit.errors import InputError, ResourceError, UsageError
from sgkit.render.files import read_sheet
from sgkit.render.stream import PlaneOf, png, stream
from sgkit.render.stream import run as running
from sgkit.render.stream.deepzoom import halved
from sgkit.render.stream.journal import ForeignJournalError, Journal
from sgkit.runtime.distributed import distributed
from sgkit.runtime.files import partial
from tests.render.stream.planes import NAMES, SHEET, Counted, content, picture

TILE, TILES = 32, 15


def level(folder: Path, number: int, height: int, width: int, side: int = TILE) -> np.ndarray:
    """The pixels of one level of a deep-zoom folder."""
    rows = []
    for y in range(-(-height // side)):
        tiles = [
            np.asarray(Image.open(folder / "image_files" / str(number) / f"{x}_{y}.png"))
            for x in range(-(-width // side))
        ]
        rows.append(np.concatenate(tiles, axis=1))
    return np.concatenate(rows)


def pixels_of(path: Path, height: int, width: int) -> np.ndarray:
    found = level(path, 8, height, width) if path.is_dir() else np.asarray(Image.open(path))
    return found[:, :, None] if found.ndim == 2 else found


@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize("name", NAMES)
def test_a_file_holds_every_pixel_and_the_scene(name: str, channels: int, tmp_path: Path) -> None:
    pixels, path = picture(channels=channels), tmp_path / name
    progress: list[float] = []
    result = stream(PlaneOf(pixels), path, SHEET, tile=TILE, on_progress=lambda one: progress.append(one.done))
    assert (result.tiles, result.resumed, result.width, result.height) == (TILES, 0, 130, 75)
    assert np.array_equal(pixels_of(path, 75, 130), pixels)
    assert read_sheet(path) == SHEET
    assert [entry.name for entry in tmp_path.iterdir()] == [name]
    assert progress == sorted(progress)
    assert progress[-1] == pytest.approx(75 * 130 / 1e6)
    if name.endswith("tif"):
        with tifffile.TiffFile(path) as file:
            assert (file.is_bigtiff, file.pages.first.tile) == (True, (TILE, TILE))
        assert np.array_equal(tifffile.imread(path).reshape(pixels.shape), pixels)


@pytest.mark.parametrize(("height", "width"), [(1, 1), (16, 16), (17, 1), (1, 200)])
@pytest.mark.parametrize("name", NAMES)
def test_sizes_at_the_edge_of_tiles(name: str, height: int, width: int, tmp_path: Path) -> None:
    pixels = picture(height, width)
    stream(PlaneOf(pixels), tmp_path / name, SHEET, tile=16)
    if name.endswith("dzi"):
        top = max(map(int, (one.name for one in (tmp_path / name / "image_files").iterdir())))
        assert np.array_equal(level(tmp_path / name, top, height, width, 16), pixels)
        assert 2**top >= max(height, width) > 2**top // 2
    else:
        assert np.array_equal(np.asarray(Image.open(tmp_path / name)), pixels)


@given(
    arrays(np.uint8, st.tuples(st.integers(1, 9), st.integers(1, 9), st.sampled_from([1, 3, 4]))),
    st.lists(st.integers(1, 4), max_size=4),
)
def test_filtered_rows_decode_to_themselves(pixels: np.ndarray, cuts: list[int]) -> None:
    height, width, channels = pixels.shape
    edges = [0, *(edge for edge in np.cumsum(cuts, dtype=int) if edge < height), height]
    data, adler = png.head(height, width, channels, {"sgkit.scene": "{}"}), 1
    for first, last in itertools.pairwise(edges):
        for part, adler in png.band((pixels[y : y + 1] for y in range(first, last)), adler):  # noqa: B007, B020
            data += part
    with Image.open(io.BytesIO(data + png.tail(adler))) as image:
        assert image.text == {"sgkit.scene": "{}"}
        assert np.array_equal(np.asarray(image).reshape(pixels.shape), pixels)


def test_each_level_of_a_pyramid_is_half_the_one_below(tmp_path: Path) -> None:
    pixels = picture()
    stream(PlaneOf(pixels), tmp_path / "image_dzi", SHEET, tile=TILE)
    for number in range(8, -1, -1):
        found = level(tmp_path / "image_dzi", number, *pixels.shape[:2])
        assert np.array_equal(found, pixels), number
        even = np.pad(pixels, ((0, pixels.shape[0] % 2), (0, pixels.shape[1] % 2), (0, 0)), mode="edge")
        height, width, channels = even.shape
        means = even.reshape(height // 2, 2, width // 2, 2, channels).astype(float).mean(axis=(1, 3))
        pixels = np.floor(means + 0.5).astype(np.uint8)
    assert halved(pixels).shape == (1, 1, 3)


def test_a_deep_zoom_folder_has_a_page_that_loads_nothing_from_elsewhere(tmp_path: Path) -> None:
    stream(PlaneOf(picture()), tmp_path / "image_dzi", SHEET, tile=TILE)
    folder = tmp_path / "image_dzi"
    page = (folder / "index.html").read_text()
    assert '"width": 130' in page
    assert '"maxLevel": 8' in page
    assert "http" not in page
    assert 'Overlap="0" TileSize="32"' in (folder / "image.dzi").read_text()
    assert (folder / "openseadragon.min.js").read_text().startswith("//! openseadragon 6.1.1")
    assert "Redistribution and use" in (folder / "openseadragon-LICENSE.txt").read_text()


# ------------------------------------------------------------------------------------------------ resuming


@pytest.mark.parametrize("last", [0, 1, 5, 14])
@pytest.mark.parametrize("name", NAMES)
def test_an_interrupted_image_continues_at_its_last_tile(name: str, last: int, tmp_path: Path) -> None:
    pixels, path, notes = picture(), tmp_path / name, []
    stream(PlaneOf(pixels), tmp_path / "whole" / name, SHEET, tile=TILE)
    with pytest.raises(KeyboardInterrupt):
        stream(Counted(pixels, last=last, fault=KeyboardInterrupt()), path, SHEET, tile=TILE, on_note=notes.append)
    assert not path.exists()
    assert any(f"{last} of 15 tiles are kept in {path}.partial" in note for note in notes) == (last > 0)
    rest = Counted(pixels)
    result = stream(rest, path, SHEET, tile=TILE, on_note=notes.append)
    assert (len(rest.drawn), result.resumed) == (TILES - last, last)
    assert content(path) == content(tmp_path / "whole" / name)
    assert sorted(one.name for one in tmp_path.iterdir()) == sorted([name, "whole"])


def cut(pixels: np.ndarray, path: Path, last: int = 7) -> Path:
    """An image that was interrupted after ``last`` tiles; its temporary folder."""
    with pytest.raises(KeyboardInterrupt):
        stream(Counted(pixels, last=last, fault=KeyboardInterrupt()), path, SHEET, tile=TILE)
    return partial(path)


def spoil_tile(folder: Path) -> None:
    for file in [*folder.glob("row-*.raw"), *folder.glob("image.tif"), *folder.glob("image/image_files/8/1_1.png")]:
        data = bytearray(file.read_bytes())
        data[2000 if file.suffix == ".tif" else 50] ^= 255  # of the first tile of the file
        file.write_bytes(data)


def spoil_journal(folder: Path) -> None:
    path = folder / "journal-00000.txt"
    path.write_bytes(path.read_bytes().replace(b'"tile 3"', b'"tile 2"'))


def shorten_journal(folder: Path) -> None:
    path = folder / "journal-00000.txt"
    path.write_bytes(path.read_bytes()[:-5])


def lengthen_journal(folder: Path) -> None:
    with (folder / "journal-00000.txt").open("ab") as file:
        file.write(b"\xff" * 100)


def remove_journal(folder: Path) -> None:
    (folder / "journal-00000.txt").unlink()


def garbage_journal(folder: Path) -> None:
    (folder / "journal-00000.txt").write_bytes(bytes(range(256)) * 40)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    ("damage", "drawn", "said"),
    [
        (shorten_journal, 9, "6 of 15 tiles are finished"),
        (lengthen_journal, 8, "7 of 15 tiles are finished"),
        (remove_journal, 15, ""),
        (spoil_journal, 15, "is damaged after 3 parts. Starting again"),
        (garbage_journal, 15, "is damaged after 0 parts. Starting again"),
    ],
)
def test_a_damaged_journal_is_noticed(
    name: str, damage: Callable[[Path], None], drawn: int, said: str, tmp_path: Path
) -> None:
    pixels, path, notes = picture(), tmp_path / name, []
    stream(PlaneOf(pixels), tmp_path / "whole" / name, SHEET, tile=TILE)
    damage(cut(pixels, path))
    rest = Counted(pixels)
    stream(rest, path, SHEET, tile=TILE, on_note=notes.append)
    assert len(rest.drawn) == drawn or (name == "image.png" and said == "6 of 15 tiles are finished")
    assert said in " ".join(notes)
    assert content(path) == content(tmp_path / "whole" / name)


@pytest.mark.parametrize("name", NAMES)
def test_a_damaged_tile_is_drawn_again(name: str, tmp_path: Path) -> None:
    pixels, path = picture(), tmp_path / name
    stream(PlaneOf(pixels), tmp_path / "whole" / name, SHEET, tile=TILE)
    spoil_tile(cut(pixels, path))
    rest = Counted(pixels)
    stream(rest, path, SHEET, tile=TILE)
    assert TILES - 7 < len(rest.drawn) < TILES
    assert content(path) == content(tmp_path / "whole" / name)


def test_a_damaged_row_of_a_png_is_drawn_again(tmp_path: Path) -> None:
    pixels, path = picture(), tmp_path / "image.png"
    stream(PlaneOf(pixels), tmp_path / "whole.png", SHEET, tile=TILE)
    file = cut(pixels, path, 12) / "image.png"
    data = bytearray(file.read_bytes())
    data[-10] ^= 255  # in the second of two rows
    file.write_bytes(data)
    rest = Counted(pixels)
    stream(rest, path, SHEET, tile=TILE)
    assert rest.drawn == [(32, left) for left in range(0, 130, 32)] + [(64, left) for left in (64, 96, 128)]
    assert path.read_bytes() == (tmp_path / "whole.png").read_bytes()


@pytest.mark.parametrize(
    ("what", "said"),
    [
        ("tile", "it was made with another tile size"),
        ("scene", "it was made with another scene"),
        ("size", "it was made with another size"),
        ("version", "it was made with another version of sgkit"),
    ],
)
def test_a_journal_of_something_else_is_not_continued(
    what: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pixels, path, notes = picture(), tmp_path / "image.png", []
    cut(pixels, path)
    sheet = SHEET.changed(scale=2) if what == "scene" else SHEET
    pixels = picture(80) if what == "size" else pixels
    if what == "version":
        monkeypatch.setattr("sgkit.__version__", "0.0.1")
    rest = Counted(pixels)
    stream(rest, path, sheet, tile=48 if what == "tile" else TILE, on_note=notes.append)
    assert f"{path}.partial cannot be continued: {said}. Starting again from the first tile." in notes
    assert np.array_equal(np.asarray(Image.open(path)), pixels)


def test_where_the_model_file_is_does_not_matter(tmp_path: Path) -> None:
    pixels, path = picture(), tmp_path / "image.png"
    cut(pixels, path)
    (scene,) = SHEET.filled
    moved = SHEET.changed(scenes=(scene.changed(models={}),))
    assert stream(Counted(pixels), path, moved, tile=TILE).resumed == 7


JOURNAL = {"scene": "abc", "tile size": "32"}


@given(st.lists(st.tuples(st.integers(0, 400), st.binary(max_size=3), st.integers(0, 4)), max_size=3))
def test_a_journal_of_any_bytes_is_read_or_refused(changes: list[tuple[int, bytes, int]]) -> None:
    with tempfile.TemporaryDirectory() as name:
        written = Journal(Path(name), JOURNAL)
        for number in range(6):
            written.add(f"tile {number}", number, 7)
        written.close()
        path = Path(name) / "journal-00000.txt"
        data = path.read_bytes()
        for place, new, length in changes:
            data = data[:place] + new + data[place + length :]
        path.write_bytes(data)
        found = Journal(Path(name), JOURNAL)
        with suppress(ForeignJournalError):
            found.read()
        assert all(written.done.get(part) == values for part, values in found.done.items())


# ----------------------------------------------------------------------------------------- refusals and faults


@pytest.mark.parametrize("name", ["image.jpg", "image.webp", "image"])
def test_other_formats_are_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"Unsupported extension .*Use \.png, \.tif .*_dzi"):
        stream(PlaneOf(picture()), tmp_path / name, SHEET, tile=TILE)


@pytest.mark.parametrize("tile", [0, 8, 40])
def test_tiles_are_of_multiples_of_16(tile: int, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"must be a multiple of 16\. Nearest: (16 or 32|32 or 48)"):
        stream(PlaneOf(picture()), tmp_path / "image.png", SHEET, tile=tile)


@pytest.mark.parametrize("name", NAMES)
def test_an_existing_output_stays_until_the_new_one_is_complete(name: str, tmp_path: Path) -> None:
    path, old, new = tmp_path / name, picture(), picture(60)
    stream(PlaneOf(old), path, SHEET, tile=TILE)
    before = content(path)
    with pytest.raises(InputError, match="exists already"):
        stream(PlaneOf(new), path, SHEET, tile=TILE)
    with pytest.raises(KeyboardInterrupt):
        stream(Counted(new, last=3, fault=KeyboardInterrupt()), path, SHEET, tile=TILE, overwrite=True)
    assert content(path) == before
    assert stream(PlaneOf(new), path, SHEET, tile=TILE, overwrite=True).resumed == 3
    assert np.array_equal(pixels_of(path, 60, 130), new)


def test_a_folder_with_other_files_is_not_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "image_dzi"
    stream(PlaneOf(picture()), path, SHEET, tile=TILE)
    (path / "notes.txt").write_text("mine")
    with pytest.raises(InputError, match=r"also holds notes\.txt"):
        stream(PlaneOf(picture(60)), path, SHEET, tile=TILE, overwrite=True)
    assert (path / "notes.txt").read_text() == "mine"


@pytest.mark.parametrize("name", NAMES)
def test_a_disk_that_is_too_small_is_refused_before_it_is_full(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(running.shutil, "disk_usage", lambda path: SimpleNamespace(free=5_000))
    plane = Counted(picture())
    with pytest.raises(ResourceError, match=r"needs about .* and the disk has 4\.9 KiB free\. Free some space") as told:
        stream(plane, tmp_path / name, SHEET, tile=TILE)
    assert told.value.errno == errno.ENOSPC
    assert len(plane.drawn) <= 1


@pytest.mark.parametrize("name", NAMES)
def test_a_full_disk_loses_nothing(name: str, tmp_path: Path) -> None:
    pixels, path = picture(), tmp_path / name
    full = OSError(errno.ENOSPC, "No space left on device", str(partial(path) / "row-000001.raw"))
    with pytest.raises(
        ResourceError, match=r"the disk is full\..*About .* more are needed\. 7 of 15 tiles are kept in .*give the same"
    ):
        stream(Counted(pixels, last=7, fault=full), path, SHEET, tile=TILE)
    assert stream(Counted(pixels), path, SHEET, tile=TILE).resumed == 7
    assert np.array_equal(pixels_of(path, 75, 130), pixels)


def test_two_commands_do_not_write_one_file(tmp_path: Path) -> None:
    path = tmp_path / "image.png"

    class Nested(Counted):
        def window(self, top: int, left: int, height: int, width: int) -> np.ndarray:
            with pytest.raises(InputError, match="is being written by this process"):
                stream(PlaneOf(self.pixels), path, SHEET, tile=TILE)
            return super().window(top, left, height, width)

    stream(Nested(picture()), path, SHEET, tile=TILE)
    assert path.is_file()


# ------------------------------------------------------------------------------------------------- processes


@pytest.mark.skipif(sys.platform == "win32", reason="signals and limits of POSIX")
def test_killed_at_any_moment_or_out_of_room_it_continues_to_the_same_bytes() -> None:
    script = Path(__file__).with_name("killed.py")
    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["image.png", "image.tif", "image_dzi", "limits"]


def _work(rank: int, count: int, folder: str, port: int) -> None:
    import os

    os.environ.update(
        WORLD_SIZE=str(count), RANK=str(rank), LOCAL_RANK=str(rank), MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port)
    )
    with distributed("cpu") as context:
        for name in NAMES:
            plane = Counted(picture())
            stream(plane, Path(folder, name), SHEET, tile=TILE, context=context)
            stream(PlaneOf(picture(200, 20)), Path(folder, f"tall-{name}"), SHEET, tile=TILE, context=context)
            Path(folder, f"{rank}-{name}.txt").write_text(str(len(plane.drawn)))


@pytest.mark.skipif(sys.platform == "win32", reason="gloo needs a network device name there")
@pytest.mark.parametrize("count", [2, 3])
def test_processes_share_the_tiles_and_write_the_same_file(count: int, tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    (tmp_path / "shared").mkdir()
    multiprocessing.spawn(_work, args=(count, str(tmp_path / "shared"), port), nprocs=count)
    for name in NAMES:
        stream(PlaneOf(picture()), tmp_path / name, SHEET, tile=TILE)
        stream(PlaneOf(picture(200, 20)), tmp_path / f"tall-{name}", SHEET, tile=TILE)
        assert content(tmp_path / "shared" / name) == content(tmp_path / name)
        assert content(tmp_path / "shared" / f"tall-{name}") == content(tmp_path / f"tall-{name}")
        drawn = [int((tmp_path / "shared" / f"{rank}-{name}.txt").read_text()) for rank in range(count)]
        assert sum(drawn) == TILES
        assert min(drawn) > TILES // count - 3


def test_processes_continue_what_one_began(tmp_path: Path) -> None:
    path, pixels = tmp_path / "image.png", picture()
    folder = cut(pixels, path)
    lines = (folder / "journal-00000.txt").read_bytes().splitlines(keepends=True)
    (folder / "journal-00000.txt").write_bytes(b"".join(lines[:-1]))
    (folder / "journal-00001.txt").write_bytes(lines[0] + lines[-1])  # as if a second process had drawn the last one
    assert stream(Counted(pixels), path, SHEET, tile=TILE).resumed == 7
