"""Animations from frames: GIF and WebP by Pillow, MP4 and long WebP by PyAV, or a folder of PNG files."""

from __future__ import annotations

import importlib.util
import itertools
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from sgkit.errors import InputError, MissingDependencyError, UsageError
from sgkit.render.pictures import WEBP_METHOD, Pixels, opaque, to_picture, write_png
from sgkit.runtime.background import in_background
from sgkit.runtime.outputs import INSTALL_VIDEO, check_animation, is_frame_folder

FRAMES = re.compile(r"frame\d{5,}\.png")
"""Names of the files in a folder of frames."""

WEBP_QUALITY = 90
MAX_IN_MEMORY = 1024**3
"""Bytes of frames that Pillow may be given: it keeps all of them until it has written the file."""


@dataclass(frozen=True, kw_only=True)
class _Codec:
    """How FFmpeg's libraries write a kind of file, frame by frame."""

    name: str
    pixel_format: str
    options: dict[str, str]
    container: str
    container_options: dict[str, str] = field(default_factory=dict)
    alpha_format: str = ""
    """Pixel format of frames with alpha; video has none, and lays alpha over white."""
    is_video: bool = False
    """What players expect of video: even sides, and colours coded and marked as by BT.709 rather than BT.601."""


_H264 = _Codec(
    name="libx264",
    pixel_format="yuv420p",
    options={"crf": "16"},  # constant rate factor: 16 looks like the source
    container="mp4",
    container_options={"movflags": "faststart"},
    is_video=True,
)
_WEBP = _Codec(
    name="libwebp_anim",
    pixel_format="yuv420p",
    alpha_format="yuva420p",
    options={"quality": str(WEBP_QUALITY)},
    container="webp",
    container_options={"loop": "0"},
)


def write_animation(frames: Iterable[Pixels], path: Path, *, count: int, fps: float = 30.0, text: str = "") -> int:
    """Write an endless loop (MP4: a video) to ``path``, or, if its suffix is none of ``FILMS``, a folder of PNG files.

    MP4 and folders take any number of frames: each is written before the next one is made. GIF and WebP are held in
    memory up to ``MAX_IN_MEMORY``; beyond that, WebP is written frame by frame by PyAV.

    Args:
        frames: [H, W, C] each, of one size. GIF and MP4 lay alpha over white.
        path: the file or folder.
        count: how many frames there will be.
        fps: frames per second; GIF counts in hundredths of a second, WebP in thousandths.
        text: kept in the file's metadata (GIF and MP4: comment, WebP: XMP).

    Returns:
        How many frames were written.

    Raises:
        UsageError, MissingDependencyError: as :func:`check_animation`, or the frames are too many for the format.
        InputError: there are no frames, or they cannot be encoded.
        OSError: the file cannot be written.
    """
    check_animation(path, fps=fps)
    given = iter(frames)
    first = next(given, None)
    if first is None:
        raise InputError(f"No frames were given for {path}.")
    every, suffix = itertools.chain([first], given), path.suffix.lower()
    if is_frame_folder(path) or path.is_dir():
        path.mkdir(parents=True, exist_ok=True)
        return write_folder(((frame, {}) for frame in every), path)
    if suffix == ".mp4":
        return _write_frame_by_frame(every, path, fps, _H264, text)
    size = count * first.nbytes
    if size <= MAX_IN_MEMORY:
        return _write_at_once(every, path, fps, text)
    height, width, _ = first.shape
    what = f"{count:,} frames of {width}x{height} take {size / 1024**3:.1f} GiB, more than Pillow may hold (1 GiB)"
    if suffix == ".gif":
        raise UsageError(f"{what}, so they cannot be written as GIF. Use .mp4 or .webp, or fewer --frames.")
    if importlib.util.find_spec("av") is None:
        raise MissingDependencyError(
            f"{what}. A longer WebP needs the package av. {INSTALL_VIDEO}; or use fewer --frames."
        )
    return _write_frame_by_frame(every, path, fps, _WEBP, text)


def write_folder(frames: Iterable[tuple[Pixels, Mapping[str, str]]], folder: Path) -> int:
    """Write a PNG file for each frame [H, W, C], with its text, while the next ones are drawn; how many there were."""
    tasks = (
        partial(write_png, pixels, folder / f"frame{index:05d}.png", text=text)
        for index, (pixels, text) in enumerate(frames)
    )
    return sum(1 for _ in in_background(tasks))


def _write_at_once(frames: Iterator[Pixels], path: Path, fps: float, text: str) -> int:
    options: dict[str, Any]
    if path.suffix.lower() == ".gif":
        name, unit, options = "GIF", 10, {"comment": text.encode()} if text else {}
        first, *rest = in_background(partial(_palette, frame) for frame in frames)
    else:
        name, unit, options = "WEBP", 1, {"xmp": text.encode()} if text else {}
        options |= {
            "quality": WEBP_QUALITY,
            "method": WEBP_METHOD,
            "kmin": 0,
            "kmax": 0,
        }  # keyframes would take a third longer
        first, *rest = (to_picture(frame) for frame in frames)
    durations = _durations(1 + len(rest), fps, unit=unit)
    first.save(path, name, save_all=True, append_images=rest, duration=durations, loop=0, **options)
    return 1 + len(rest)


def _palette(frame: Pixels) -> Image.Image:
    return to_picture(opaque(frame)).quantize(256)


def _durations(count: int, fps: float, *, unit: int) -> list[int]:
    """Milliseconds of each frame, in multiples of ``unit``, whose sum stays true to the rate."""
    ends = [round(index * 1000 / fps / unit) for index in range(count + 1)]
    return [max(end - begin, 1) * unit for begin, end in itertools.pairwise(ends)]


def _write_frame_by_frame(frames: Iterator[Pixels], path: Path, fps: float, codec: _Codec, text: str) -> int:
    import av

    written = 0
    url = f"file:{path.absolute()}"  # a name may look like another protocol
    try:
        with av.open(url, "w", format=codec.container, container_options=codec.container_options) as container:
            if text:
                container.metadata["comment"] = text
            stream = container.add_stream(codec.name, rate=Fraction(fps).limit_denominator(1001), options=codec.options)
            encode = partial(_encode, container, stream, codec)
            tasks = (partial(encode, frame, is_first=index == 0) for index, frame in enumerate(frames))
            written = sum(1 for _ in in_background(tasks))
            container.mux(stream.encode())
    except av.error.FFmpegError as error:
        if isinstance(error, OSError):  # such as a full disk: known by its number, and with the path as it was given
            raise OSError(error.errno, error.strerror, str(path)) from error
        raise InputError(f"Cannot write {path}: {error}.") from error
    return written


def _encode(container: Any, stream: Any, codec: _Codec, given: Pixels, *, is_first: bool) -> None:
    """Add a frame; the first one settles size and colours of the stream."""
    import av

    frame = _even(opaque(given)) if codec.is_video else given
    has_alpha = frame.shape[2] == 4
    if is_first:
        stream.height, stream.width = frame.shape[:2]
        stream.pix_fmt = codec.alpha_format if has_alpha else codec.pixel_format
        if codec.is_video:
            context = stream.codec_context
            context.colorspace = context.color_primaries = context.color_trc = context.color_range = 1
    colours = frame if has_alpha else np.ascontiguousarray(np.broadcast_to(frame, (*frame.shape[:2], 3)))
    picture = av.VideoFrame.from_ndarray(colours, format="rgba" if has_alpha else "rgb24")
    colorspace = "itu709" if codec.is_video else "itu601"
    container.mux(stream.encode(picture.reformat(format=stream.pix_fmt, dst_colorspace=colorspace)))


def _even(frame: Pixels) -> Pixels:
    """``frame`` with its last row or column repeated where a side is odd: chroma has half the resolution."""
    height, width, _ = frame.shape
    return np.pad(frame, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
