from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageSequence

from sgkit.errors import InputError, MissingDependencyError, UsageError
from sgkit.render.video import check_animation, write_animation


def frames(count: int, *, size: tuple[int, int] = (9, 7), channels: int = 3) -> Iterator[np.ndarray]:
    """Plain frames, each of another brightness."""
    for index in range(count):
        frame = np.full((*size, channels), 20 * index, np.uint8)
        if channels == 4:
            frame[..., 3] = 255
            frame[0, 0, 3] = 0
        yield frame


@pytest.mark.parametrize("suffix", [".gif", ".webp"])
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_frames_come_back_in_order_with_their_times(tmp_path: Path, suffix: str, channels: int) -> None:
    path = tmp_path / f"a{suffix}"
    assert write_animation(frames(6, channels=channels), path, fps=30) == 6
    with Image.open(path) as image:
        assert image.n_frames == 6
        assert image.size == (7, 9)
        assert image.info["loop"] == 0
        shown = [frame.convert("RGB").getpixel((3, 4)) for frame in ImageSequence.Iterator(image)]
        assert shown == [pytest.approx((20 * index,) * 3, abs=2) for index in range(6)]
        times = []
        for index in range(6):
            image.seek(index)
            image.load()
            times.append(image.info["duration"])
    assert sum(times) == 200


def test_colours_of_a_photograph_survive(tmp_path: Path) -> None:
    ramp = np.linspace(0, 255, 48).astype(np.uint8)
    frame = np.stack([*np.meshgrid(ramp, ramp), np.full((48, 48), 90)], axis=-1).astype(np.uint8)
    for suffix, worst in ((".gif", 12), (".webp", 8)):
        write_animation([frame, frame], tmp_path / f"a{suffix}")
        with Image.open(tmp_path / f"a{suffix}") as image:
            image.seek(1)
            error = np.abs(np.asarray(image.convert("RGB")).astype(int) - frame)
        assert error.mean() < worst


def test_playing_once_is_kept(tmp_path: Path) -> None:
    for suffix in (".gif", ".webp"):
        write_animation(frames(2), tmp_path / f"a{suffix}", repeat=False)
    with Image.open(tmp_path / "a.gif") as image:
        assert "loop" not in image.info
    with Image.open(tmp_path / "a.webp") as image:
        assert image.info["loop"] == 1


def test_webp_keeps_alpha_and_gif_lays_it_over_white(tmp_path: Path) -> None:
    for suffix, corner in ((".webp", 0), (".gif", 255)):
        write_animation(frames(3, channels=4), tmp_path / f"a{suffix}")
        with Image.open(tmp_path / f"a{suffix}") as image:
            image.seek(2)
            pixel = image.convert("RGBA").getpixel((0, 0))
        assert pixel[3] == corner
        assert corner == 0 or pixel[:3] == (255, 255, 255)


def test_frames_are_taken_one_at_a_time(tmp_path: Path) -> None:
    sizes: list[int] = []

    def watched() -> Iterator[np.ndarray]:
        generator = np.random.default_rng(0)
        for _ in range(3):
            sizes.append((tmp_path / "a.gif").stat().st_size)
            yield generator.integers(0, 256, (64, 64, 3), dtype=np.uint8)

    write_animation(watched(), tmp_path / "a.gif")
    assert sizes[2] > sizes[0], "earlier frames must be on their way to disk before later ones are made"


def test_a_folder_gets_numbered_pngs(tmp_path: Path) -> None:
    assert write_animation(frames(3), tmp_path / "frames") == 3
    assert sorted(path.name for path in (tmp_path / "frames").iterdir()) == [
        "frame00000.png",
        "frame00001.png",
        "frame00002.png",
    ]


def test_unknown_suffixes_and_rates_are_refused() -> None:
    with pytest.raises(UsageError, match=r"Unsupported extension \.avi of --out a\.avi.*\.gif, \.webp, \.mp4.*folder"):
        check_animation(Path("a.avi"), fps=30)
    with pytest.raises(UsageError, match=r"0 frames per second is out of range"):
        check_animation(Path("a.gif"), fps=0)


def test_no_frames_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="No frames were given"):
        write_animation([], tmp_path / "a.gif")


def test_mp4_without_ffmpeg_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(MissingDependencyError, match=r"MP4 needs the program ffmpeg.*write \.webp, \.gif or a folder"):
        check_animation(Path("a.mp4"), fps=30)


needs_shell = pytest.mark.skipif(os.name == "nt", reason="the stand-in for ffmpeg is a shell script")


def _stand_in(folder: Path, script: str, monkeypatch: pytest.MonkeyPatch) -> None:
    program = folder / "ffmpeg"
    program.write_text("#!/bin/sh\n" + script)
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")


@needs_shell
@pytest.mark.parametrize("channels", [1, 4])
def test_mp4_pipes_rgb_frames_to_ffmpeg(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, channels: int) -> None:
    _stand_in(tmp_path, f'echo "$@" > {tmp_path}/arguments\nfor last; do :; done\ncat > "$last"\n', monkeypatch)
    assert write_animation(frames(4, channels=channels), tmp_path / "a.mp4", fps=12.5) == 4
    assert (tmp_path / "a.mp4").stat().st_size == 4 * 9 * 7 * 3
    arguments = (tmp_path / "arguments").read_text()
    assert "-s 7x9 -r 12.5 -i -" in arguments
    assert "-pix_fmt yuv420p" in arguments


@needs_shell
def test_ffmpegs_own_message_is_passed_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _stand_in(tmp_path, "echo 'Unknown encoder libx264' >&2\nexit 8\n", monkeypatch)
    with pytest.raises(InputError, match=r"ffmpeg could not write .*exit code 8.*Unknown encoder libx264"):
        write_animation(frames(3, size=(256, 256)), tmp_path / "a.mp4")
