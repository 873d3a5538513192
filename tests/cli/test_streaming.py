"""Large panoramas and videos of them, through the command line."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import sgkit
from sgkit.cli.app import main
from sgkit.render.files import read_sheet
from tests.builders import drawn_model
from tests.render.stream.planes import content


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("model") / "model.safetensors"
    sgkit.save(drawn_model(noise=0.3), path)
    return str(path)


ROW = ["--seeds", "0-9", "--wrap", "--precision", "fp32"]


@pytest.mark.parametrize("name", ["wide.png", "wide.tif", "wide.dzi", "wide_dzi"])
def test_a_streamed_panorama_is_described_and_made_again(
    name: str, model: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / name
    assert main(["panorama", model, *ROW, "--tile", "32", "--out", str(out), "--json"]) == 0
    said = capsys.readouterr()
    result = json.loads(said.out)
    assert (result["width"], result["height"], result["tiles"], result["resumed"]) == (160, 16, 5, 0)
    assert f"{name}: 160x16 pixels, 0.0 megapixels in 5 tiles" in said.err
    assert main(["info", str(out)]) == 0
    said = capsys.readouterr()
    assert "seed0000" in said.out
    assert "sgkit replay" in said.err
    assert main(["replay", str(out)]) == 0
    again = tmp_path / (name.replace("wide", "wide-replay") if "_" not in name else "wide-replay_dzi")
    assert read_sheet(again) == read_sheet(out)
    if out.is_dir():
        assert content(again) == content(out)
    else:
        assert np.array_equal(np.asarray(Image.open(again)), np.asarray(Image.open(out)))


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["--out", "a.bmp"], 2, "Unsupported extension .bmp of --out a.bmp. Use .png, .jpg, .jpeg, .webp, .tif"),
        (["--out", "a.jpg", "--tile", "16"], 2, ".jpg cannot be written tile by tile."),
        (["--out", "a.mp4"], 2, "For a video of a moving view, add --pan x."),
        (["--out", "a.png", "--tile", "40"], 2, "must be a multiple of 16. Nearest: 32 or 48."),
        (["--out", "a.png", "--tile", "8"], 2, "'--tile'"),
        (["--out", "a.tif", "--max-pixels", "2000"], 2, "160x16 has 0 megapixels (7.5 KiB uncompressed)"),
        (["--out", "a.png", "--fps", "3"], 2, "--fps has no effect here: it is about the video of --pan."),
        (["--out", "a.png", "--pan", "x"], 2, "Unsupported extension .png of --out a.png. Use .gif"),
        (["--out", "a.gif", "--pan", "z"], 2, "Not a path: 'z'. Use x, y, or at least two points"),
        (["--out", "a.gif", "--pan", "1,1"], 2, "Not a path: '1,1'."),
        (["--out", "a.gif", "--pan", "x", "--max-pixels", "5"], 2, "a video never holds the whole image"),
        (
            ["--out", "a.gif", "--pan", "x", "--view", "200x16"],
            2,
            "200x16 is larger than the image of 160x16",
        ),
        (["--out", "a.gif", "--pan", "0,0 0,9", "--view", "8x8"], 2, "at 0,9 leaves the image of 160x16"),
        (["--out", "a.gif", "--pan", "y", "--view", "8x16"], 2, "cannot move"),
        (["--out", "a.gif", "--pan", "x", "--speed", "0"], 2, "--speed is 0; it must be above 0"),
        (["--out", "a.gif", "--pan", "x", "--speed", "999"], 2, "must be above 0 and at most 160"),
    ],
)
def test_what_cannot_be_is_refused(
    arguments: list[str],
    code: int,
    said: str,
    model: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["panorama", model, *ROW, *arguments]) == code
    assert said in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_a_video_of_a_moving_view(model: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "pan.gif"
    pan = ["--pan", "0,0 100,0 0,4", "--view", "32x8", "--speed", "20", "--fps", "10"]
    assert main(["panorama", model, *ROW, *pan, "--out", str(out), "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    with Image.open(out) as film:
        assert (film.n_frames, film.size, film.info["duration"]) == (11, (32, 8), 100)
    assert (result["frames"], result["width"], result["height"]) == (11, 160, 16)
    assert main(["info", str(out)]) == 0
    assert "32x8, moves over the panorama" in capsys.readouterr().out
    assert main(["replay", str(out), "--out", str(tmp_path / "again.gif")]) == 0
    assert (tmp_path / "again.gif").read_bytes() == out.read_bytes()


def test_large_panoramas_are_streamed_without_being_asked(
    model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sgkit.render.panorama.LARGE", 2000)
    assert main(["panorama", model, *ROW, "--out", str(tmp_path / "a.png"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["tiles"] == 1
    assert read_sheet(tmp_path / "a.png").filled[0].arrangement.tile == 512


# ------------------------------------------------------------------------------------------------- processes

SLOW = """
import signal, sys, time
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs inherit that it is ignored
from sgkit.cli.app import main
from sgkit.render.stream.writers import PngWriter
put = PngWriter.put
def slowly(self, box, pixels):
    time.sleep(0.3)
    return put(self, box, pixels)
PngWriter.put = slowly
sys.exit(main(sys.argv[1:]))
"""


@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGKILL, -9)])
def test_a_signal_loses_no_tile(
    number: signal.Signals, code: int, model: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "wide.png"
    arguments = ["panorama", model, *ROW, "--tile", "16", "--out", str(out)]
    process = subprocess.Popen(
        [sys.executable, "-c", SLOW, *arguments], stderr=subprocess.PIPE, text=True, cwd=Path(__file__).parents[2]
    )
    journal = tmp_path / "wide.png.partial" / "journal-00000.txt"
    deadline = time.monotonic() + 120
    while not (journal.is_file() and journal.read_bytes().count(b'["tile ') >= 3):
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.05)
    process.send_signal(number)
    _, said = process.communicate(timeout=60)
    assert process.returncode == code
    assert not out.exists()
    if number != signal.SIGKILL:
        assert "of 10 tiles are kept in" in said
        assert "Give the same command again to continue." in said
    assert main(["info", str(journal.parent)]) == 0
    assert "Finish it: give the command that was stopped again." in capsys.readouterr().err
    assert main([*arguments, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["resumed"] >= 3
    assert main([*arguments[:-1], str(tmp_path / "straight.png")]) == 0
    assert out.read_bytes() == (tmp_path / "straight.png").read_bytes()
    assert sorted(one.name for one in tmp_path.iterdir()) == ["straight.png", "wide.png"]


@pytest.mark.skipif(sys.platform == "win32", reason="gloo needs a network device name there")
@pytest.mark.parametrize("name", ["wide.png", "wide.tif", "wide_dzi"])
def test_processes_of_torchrun_write_the_same_file(name: str, model: str, tmp_path: Path) -> None:
    arguments = ["panorama", model, *ROW, "--tile", "16", "--json"]
    assert main([*arguments, "--out", str(tmp_path / "one" / name)]) == 0
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "sgkit"]
    environment = {key: value for key, value in os.environ.items() if key not in ("RANK", "WORLD_SIZE")}
    command = [*torchrun, *arguments, "--out", str(tmp_path / "two" / name)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["tiles"] == 10
    assert content(tmp_path / "two" / name) == content(tmp_path / "one" / name)


def test_the_cache_of_compiled_convolutions_is_bounded_before_anything_is_computed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = "ONEDNN_PRIMITIVE_CACHE_CAPACITY"
    sgkit.save(drawn_model(), tmp_path / "m.safetensors")
    lines = (
        ["panorama", str(tmp_path / "m.safetensors"), "--seeds", "0,1", "--out", str(tmp_path / "a.png")],
        ["replay", str(tmp_path / "a.png"), "--out", str(tmp_path / "b.png")],
    )
    for line in lines:
        monkeypatch.delenv(name, raising=False)
        assert main(line) == 0
        assert os.environ.pop(name) == "64"
