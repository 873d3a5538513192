from __future__ import annotations

import importlib.util
import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageSequence

from sgkit.errors import InputError, MissingDependencyError, UsageError
from sgkit.render import video
from sgkit.render.video import write_animation
from sgkit.runtime.outputs import check_animation

needs_av = pytest.mark.skipif(importlib.util.find_spec("av") is None, reason="the extra 'video' is not installed")


def frames(count: int, *, size: tuple[int, int] = (9, 7), channels: int = 3) -> Iterator[np.ndarray]:
    """Plain frames, each of a different brightness; with alpha, the first pixel is transparent."""
    for index in range(count):
        frame = np.full((*size, channels), 20 * index, np.uint8)
        if channels == 4:
            frame[..., 3] = 255
            frame[0, 0, 3] = 0
        yield frame


def ramp() -> np.ndarray:
    """An image [48, 48, 3] of many colours."""
    values = np.linspace(0, 255, 48).astype(np.uint8)
    return np.stack([*np.meshgrid(values, values), np.full((48, 48), 90)], axis=-1).astype(np.uint8)


def decoded(path: Path) -> list[np.ndarray]:
    """Frames [H, W, 3] of a video."""
    av: Any = pytest.importorskip("av")
    with av.open(str(path)) as container:
        return [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]


@pytest.fixture(params=[".gif", ".webp", pytest.param("long .webp", marks=needs_av)])
def animation(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where to write an animation; a long one is not held in memory."""
    length, _, suffix = request.param.rpartition(" ")
    if length:
        monkeypatch.setattr(video, "MAX_IN_MEMORY", 1)
    return tmp_path / f"a{suffix}"


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_frames_come_back_in_order_with_their_times(animation: Path, channels: int) -> None:
    assert write_animation(frames(6, channels=channels), animation, count=6, fps=30) == 6
    with Image.open(animation) as image:
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
    assert sum(times) == pytest.approx(200, abs=1)


def test_colours_of_a_photograph_survive(animation: Path) -> None:
    write_animation([ramp(), ramp()[::-1]], animation, count=2)
    with Image.open(animation) as image:
        image.seek(1)
        error = np.abs(np.asarray(image.convert("RGB")).astype(int) - ramp()[::-1])
    assert error.mean() < {".gif": 12, ".webp": 8}[animation.suffix]


def test_webp_keeps_alpha_and_gif_lays_it_over_white(animation: Path) -> None:
    write_animation(frames(3, channels=4), animation, count=3)
    with Image.open(animation) as image:
        image.seek(2)
        pixel = image.convert("RGBA").getpixel((0, 0))
    assert pixel == (255, 255, 255, 255) if animation.suffix == ".gif" else pixel[3] == 0


@needs_av
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_an_mp4_has_every_frame_at_even_size(tmp_path: Path, channels: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))  # no ffmpeg
    path = tmp_path / "pipe:a.mp4"  # not the protocol pipe:
    assert write_animation(frames(6, channels=channels), path, count=6, fps=12.5) == 6
    shown = decoded(path)
    assert [frame.shape for frame in shown] == [(10, 8, 3)] * 6
    for index, frame in enumerate(shown):
        assert frame[5, 5] == pytest.approx(20 * index, abs=3)
    if channels == 4:
        assert shown[5][0, 0].min() > 150  # white shows through


@needs_av
def test_an_mp4_keeps_colours_and_rate(tmp_path: Path) -> None:
    write_animation([ramp()] * 5, tmp_path / "a.mp4", count=5, fps=29.97)
    assert np.abs(decoded(tmp_path / "a.mp4")[2].astype(int) - ramp()).mean() < 4
    import av

    with av.open(str(tmp_path / "a.mp4")) as container:
        stream = container.streams.video[0]
        assert float(stream.average_rate) == pytest.approx(29.97, abs=1e-3)
        assert stream.codec_context.colorspace == 1  # BT.709


@needs_av
def test_frames_of_an_mp4_are_taken_one_at_a_time(tmp_path: Path) -> None:
    made = 0

    def watched() -> Iterator[np.ndarray]:
        nonlocal made
        for frame in itertools.repeat(ramp()):
            made += 1
            if made == 1000:
                raise KeyboardInterrupt
            yield frame

    with pytest.raises(KeyboardInterrupt):
        write_animation(watched(), tmp_path / "a.mp4", count=10**9)
    assert made == 1000


def test_a_folder_gets_numbered_pngs(tmp_path: Path) -> None:
    assert write_animation(frames(3), tmp_path / "frames", count=3) == 3
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
        write_animation([], tmp_path / "a.gif", count=0)


def test_what_is_too_long_is_refused_at_its_first_frame(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UsageError, match=r"20,000 frames of 128x256 take 1\.8 GiB.*GIF\. Use \.mp4 or"):
        write_animation(frames(1, size=(256, 128)), tmp_path / "a.gif", count=20_000)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(MissingDependencyError, match=r"take 1\.8 GiB.*longer WebP.*stylegan-sgkit\[video\].*fewer"):
        write_animation(frames(1, size=(256, 128)), tmp_path / "a.webp", count=20_000)
    assert list(tmp_path.iterdir()) == []


def test_mp4_without_its_package_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(MissingDependencyError, match=r"MP4 needs the package av.*\[video\]'; or use \.webp, \.gif or"):
        check_animation(Path("a.mp4"), fps=30)


@needs_av
def test_what_cannot_be_written_is_an_error_of_the_system(tmp_path: Path) -> None:
    path = tmp_path / "missing" / "a.mp4"
    with pytest.raises(FileNotFoundError) as caught:
        write_animation(frames(2), path, count=2)
    assert caught.value.filename == str(path)


@needs_av
def test_what_cannot_be_encoded_is_an_error_with_its_reason(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"Cannot write .*a\.webp: "):
        video._write_frame_by_frame(
            iter([np.zeros((1, 20_000, 3), np.uint8)]), tmp_path / "a.webp", 30, video._WEBP, ""
        )
