"""Moving pictures, written frame by frame: GIF, WebP, MP4 (by ffmpeg) or a folder of PNG files.

Pillow keeps all frames of an animation in memory until it saves them. Here each frame is encoded as a still picture and
put into the container at once, so that an animation may be of any length.
"""

from __future__ import annotations

import io
import re
import shutil
import struct
import subprocess
import tempfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import IO

from PIL import Image

from sgkit.errors import InputError, MissingDependencyError, UsageError
from sgkit.render.pictures import Pixels, opaque, to_picture, write_png

FRAMES = re.compile(r"frame\d{5,}\.png")
"""Names of the files in a folder of frames."""

WEBP_QUALITY = 90
MP4_CRF = "16"
"""x264's constant rate factor: lower is better and larger; 16 looks like the source."""


def is_frame_folder(path: Path) -> bool:
    """Whether :func:`write_animation` makes a folder of frames at ``path``, by its suffix."""
    return path.suffix.lower() not in _WRITERS


def check_animation(path: Path, *, fps: float) -> None:
    """Refuse what :func:`write_animation` cannot write, before the frames are made.

    Raises:
        UsageError: the suffix is of no known kind, or the rate is out of range.
        MissingDependencyError: MP4 without ffmpeg.
    """
    if path.suffix and path.suffix.lower() not in _WRITERS and not path.is_dir():
        allowed = ", ".join(_WRITERS)
        raise UsageError(
            f"Unsupported extension {path.suffix} of --out {path.name}. Use {allowed}, or a name without extension for "
            "a folder of PNG files."
        )
    if not 0 < fps <= 100:
        raise UsageError(f"{fps:g} frames per second is out of range. Use --fps above 0 and up to 100.")
    if path.suffix.lower() == ".mp4" and shutil.which("ffmpeg") is None:
        raise MissingDependencyError(
            "MP4 needs the program ffmpeg, which is not on the PATH. Install it (https://ffmpeg.org), "
            "or write .webp, .gif or a folder of frames, which do not need it."
        )


def write_animation(frames: Iterable[Pixels], path: Path, *, fps: float = 30.0, repeat: bool = True) -> int:
    """How many frames were written to ``path``: by its suffix ``.gif``, ``.webp`` or ``.mp4``, else a folder of PNGs.

    Args:
        frames: [H, W, C] each, of one size; taken one at a time. GIF and MP4 lay alpha over white.
        fps: frames per second; GIF counts in hundredths of a second, WebP in thousandths.
        repeat: play forever rather than once (GIF and WebP).

    Raises:
        UsageError, MissingDependencyError: as :func:`check_animation`.
        InputError: there are no frames, or ffmpeg failed; its message is passed on.
    """
    check_animation(path, fps=fps)
    written = 0

    def counted() -> Iterator[Pixels]:
        nonlocal written
        for frame in frames:
            written += 1
            yield frame

    writer = _write_folder if path.is_dir() else _WRITERS.get(path.suffix.lower(), _write_folder)
    writer(counted(), path, fps, repeat)
    if not written:
        raise InputError(f"No frames were given for {path}.")
    return written


def _write_folder(frames: Iterator[Pixels], path: Path, fps: float, repeat: bool) -> None:  # noqa: ARG001
    path.mkdir(parents=True, exist_ok=True)
    for index, frame in enumerate(frames):
        write_png(frame, path / f"frame{index:05d}.png")


# ------------------------------------------------------------------------------------------------- GIF


def _write_gif(frames: Iterator[Pixels], path: Path, fps: float, repeat: bool) -> None:
    """GIF89a: each frame is an image block with a colour table of its own."""
    with path.open("wb") as file:
        clock = _Clock(100 / fps)
        for index, frame in enumerate(frames):
            screen, palette, image = _gif_parts(to_picture(opaque(frame)))
            if index == 0:
                file.write(b"GIF89a" + screen[:4] + b"\x00\x00\x00")
                if repeat:
                    file.write(b"!\xff\x0bNETSCAPE2.0\x03\x01\x00\x00\x00")
            bits = (len(palette) // 3).bit_length() - 2
            file.write(b"!\xf9\x04\x04" + struct.pack("<H", clock.tick()) + b"\x00\x00")
            file.write(image[:9] + bytes([0x80 | bits]) + palette + image[10:])
        file.write(b";")


def _gif_parts(picture: Image.Image) -> tuple[bytes, bytes, bytes]:
    """Screen descriptor, colour table and image block of ``picture`` as a GIF."""
    buffer = io.BytesIO()
    picture.quantize(256).save(buffer, "GIF", interlace=False)
    data = buffer.getvalue()
    screen, flags = data[6:13], data[10]
    position = 13 + 3 * (2 << (flags & 7))
    palette = data[13:position]
    while data[position : position + 1] == b"!":  # extension: introducer, label, sub-blocks, terminator
        position += 2
        while data[position]:
            position += data[position] + 1
        position += 1
    return screen, palette, data[position:-1]


# ------------------------------------------------------------------------------------------------ WebP


def _write_webp(frames: Iterator[Pixels], path: Path, fps: float, repeat: bool) -> None:
    """The extended WebP container: VP8X, ANIM, then each frame's own bitstream in an ANMF chunk."""
    with path.open("wb") as file:
        file.write(b"RIFF\x00\x00\x00\x00WEBP")
        clock = _Clock(1000 / fps)
        for index, frame in enumerate(frames):
            height, width, channels = frame.shape
            if index == 0:
                flags = 0x02 | (0x10 if channels == 4 else 0)  # animated, alpha
                file.write(_chunk(b"VP8X", struct.pack("<I", flags) + _24(width - 1) + _24(height - 1)))
                file.write(_chunk(b"ANIM", struct.pack("<IH", 0, 0 if repeat else 1)))
            position = _24(0) + _24(0) + _24(width - 1) + _24(height - 1)
            no_blending_keep = b"\x02"  # the frame covers the canvas, alpha and all
            body = position + _24(clock.tick()) + no_blending_keep + _webp_bitstream(to_picture(frame))
            file.write(_chunk(b"ANMF", body))
        length = file.tell()
        file.seek(4)
        file.write(struct.pack("<I", length - 8))


def _webp_bitstream(picture: Image.Image) -> bytes:
    """The chunks of ``picture`` as a still WebP that hold its pixels."""
    buffer = io.BytesIO()
    picture.save(buffer, "WEBP", quality=WEBP_QUALITY)
    data, position, kept = buffer.getvalue(), 12, b""
    while position < len(data):
        name, size = data[position : position + 4], struct.unpack("<I", data[position + 4 : position + 8])[0]
        end = position + 8 + size + size % 2
        if name in (b"VP8 ", b"VP8L", b"ALPH"):
            kept += data[position:end]
        position = end
    return kept


def _chunk(name: bytes, body: bytes) -> bytes:
    return name + struct.pack("<I", len(body)) + body + b"\x00" * (len(body) % 2)


def _24(value: int) -> bytes:
    return struct.pack("<I", value)[:3]


class _Clock:
    """Whole ticks for each frame whose sum stays true to the rate."""

    def __init__(self, ticks_per_frame: float) -> None:
        self._step, self._shown, self._frames = ticks_per_frame, 0, 0

    def tick(self) -> int:
        self._frames += 1
        ticks = max(round(self._frames * self._step) - self._shown, 1)
        self._shown += ticks
        return ticks


# ------------------------------------------------------------------------------------------------- MP4


def _write_mp4(frames: Iterator[Pixels], path: Path, fps: float, repeat: bool) -> None:  # noqa: ARG001
    """H.264 by ffmpeg, which reads raw frames from its standard input; odd sides are padded to even ones."""
    first = next(frames, None)
    if first is None:
        return
    height, width, _ = first.shape
    command = [
        *("ffmpeg", "-y", "-loglevel", "error"),
        *("-f", "rawvideo", "-pix_fmt", "rgb24", "-s", f"{width}x{height}", "-r", f"{fps:g}", "-i", "-"),
        *("-vf", "pad=ceil(iw/2)*2:ceil(ih/2)*2", "-c:v", "libx264", "-crf", MP4_CRF, "-pix_fmt", "yuv420p"),
        *("-movflags", "+faststart", str(path.absolute())),  # a name may begin with a dash
    ]
    with tempfile.TemporaryFile() as log, subprocess.Popen(command, stdin=subprocess.PIPE, stderr=log) as process:
        assert process.stdin is not None
        _feed(process.stdin, first, frames)
        code = process.wait()
        log.seek(0)
        message = log.read().decode(errors="replace").strip()
    if code != 0:
        raise InputError(f"ffmpeg could not write {path} (exit code {code}): {message or 'it gave no reason'}")


def _feed(pipe: IO[bytes], first: Pixels, rest: Iterator[Pixels]) -> None:
    try:
        with pipe:
            pipe.write(to_picture(opaque(first)).convert("RGB").tobytes())
            for frame in rest:
                pipe.write(to_picture(opaque(frame)).convert("RGB").tobytes())
    except BrokenPipeError:  # ffmpeg has ended; its exit code and message say why
        return


_WRITERS: dict[str, Callable[[Iterator[Pixels], Path, float, bool], None]] = {
    ".gif": _write_gif,
    ".webp": _write_webp,
    ".mp4": _write_mp4,
}
