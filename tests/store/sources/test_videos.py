from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pytest

from sgkit.errors import InputError, MissingDependencyError
from sgkit.render.video import write_animation
from sgkit.store import StoreReader
from sgkit.store.sources import open_source
from sgkit.tasks.prepare import PrepareOptions, prepare

LEVELS = (20, 120, 220)


@pytest.fixture
def video(tmp_path: Path) -> Path:
    """Three grey frames."""
    pytest.importorskip("av")
    path = tmp_path / "clip.mp4"
    write_animation((np.full((32, 48, 3), level, np.uint8) for level in LEVELS), path, count=3)
    return path


def test_frames_come_in_order_from_any_one_on(video: Path) -> None:
    source = open_source(str(video), size=(16, 16))
    assert (source.kind, list(source.names)) == ("video", ["frame00000", "frame00001", "frame00002"])
    for start in range(3):
        frames = [item.payload for item in source.stream(start)]
        assert [frame.shape for frame in frames] == [(32, 48, 3)] * (3 - start)  # type: ignore[union-attr]
        assert [round(float(np.mean(frame)) / 10) * 10 for frame in frames] == list(LEVELS[start:])  # type: ignore[arg-type]


def test_a_video_is_prepared(video: Path, tmp_path: Path) -> None:
    prepare([str(video)], tmp_path / "store", options=PrepareOptions(size=(16, 16)))
    assert len(StoreReader(tmp_path / "store")) == 3


def test_what_is_no_video_says_so(video: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    words = tmp_path / "words.mp4"
    for content, message in ((b"words", r"cannot be read as a video: .*Is it complete\?"), (b"", "cannot be read")):
        words.write_bytes(content)
        with pytest.raises(InputError, match=message):
            open_source(str(words), size=(16, 16))
    words.write_bytes(video.read_bytes()[:200])
    with pytest.raises(InputError, match=r"holds no video stream|cannot be read as a video"):
        open_source(str(words), size=(16, 16))
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "av" else find(name))
    with pytest.raises(MissingDependencyError, match=r"stylegan-sgkit\[video\].*or give a folder of its frames"):
        open_source(str(video), size=(16, 16))
