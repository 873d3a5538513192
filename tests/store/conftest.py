from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sgkit.tasks.prepare import PrepareOptions, prepare


@pytest.fixture(scope="session")
def picture_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Thirteen pictures in two folders."""
    folder = tmp_path_factory.mktemp("pictures")
    random = np.random.RandomState(0)
    for index in range(13):
        path = folder / ("odd" if index % 2 else "even") / f"{index:02d}.png"
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(random.randint(0, 256, (8, 8, 3)).astype(np.uint8)).save(path)
    return folder


@pytest.fixture(scope="session")
def store_path(picture_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store of them, with classes and a pyramid."""
    path = tmp_path_factory.mktemp("stores") / "png"
    prepare(picture_folder, path, options=PrepareOptions(size=(8, 8), labels="folders", pyramid=True))
    return path


@pytest.fixture(scope="session")
def raw_store_path(picture_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same, raw and in one size."""
    path = tmp_path_factory.mktemp("stores") / "raw"
    prepare(picture_folder, path, options=PrepareOptions(size=(8, 8), encoding="raw", labels="folders"))
    return path
