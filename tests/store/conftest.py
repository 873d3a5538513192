from __future__ import annotations

from pathlib import Path

import pytest

from sgkit.tasks.prepare import PrepareOptions, prepare
from tests.store.containers import noise


@pytest.fixture(scope="session")
def picture_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Thirteen pictures in two folders."""
    return noise(tmp_path_factory.mktemp("pictures"), 13)


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
