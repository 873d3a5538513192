"""Frames of a video, read in order by PyAV."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from sgkit.errors import InputError, MissingDependencyError
from sgkit.runtime.outputs import INSTALL_VIDEO
from sgkit.store.sources.base import Item, Reader, Source

VIDEO_SUFFIXES = (".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi")
MOST_PIXELS = 1 << 27
"""Of a frame."""


def is_video(given: str) -> bool:
    """Whether a file of this name is a video."""
    return Path(given).suffix.lower() in VIDEO_SUFFIXES


class VideoReader(Reader):
    """Frames come with their pixels, so there is nothing to read."""

    def read(self, item: Item) -> bytes:
        """Nothing can be read by its place."""
        raise OSError("frames of a video are read in order")


class VideoSource(Source):
    """All frames of a video, in order: ``frame00000``, ``frame00001`` ... Read once to count them, then as a stream."""

    kind = "video"
    streamed = True

    def __init__(self, given: str) -> None:
        if importlib.util.find_spec("av") is None:
            raise MissingDependencyError(
                f"Reading the video {given} needs the package av, which is not installed. {INSTALL_VIDEO}; or give a "
                "folder of its frames."
            )
        super().__init__(given, VideoReader(given))
        count = sum(1 for _ in _frames(given))
        self.names = [f"frame{index:05d}" for index in range(count)]
        self.locators = range(count)

    def stream(self, start: int) -> Iterator[Item]:
        """The frames from ``start`` on, with their pixels, upright."""
        for index, frame in enumerate(_frames(self.given)):
            if index >= start:
                yield Item(self.names[index], index, None, _upright(frame))


def _frames(given: str) -> Iterator[Any]:
    import av

    try:
        with av.open(f"file:{Path(given).absolute()}") as container:  # a name may look like another protocol
            if not container.streams.video:
                raise InputError(f"{given} holds no video stream. Give a video file, or a folder of images.")
            stream = container.streams.video[0]
            if stream.codec_context.width * stream.codec_context.height > MOST_PIXELS:
                raise InputError(f"Frames of {given} have more than {MOST_PIXELS:,} pixels. Make them smaller first.")
            yield from container.decode(stream)
    except av.error.FFmpegError as error:
        raise InputError(f"{given} cannot be read as a video: {error.strerror or error}. Is it complete?") from error


def _upright(frame: Any) -> np.ndarray:
    """uint8 [height, width, 3], turned as phones record that they were held."""
    turns = round(getattr(frame, "rotation", 0) / 90) % 4
    return np.ascontiguousarray(np.rot90(frame.to_ndarray(format="rgb24"), k=turns))
