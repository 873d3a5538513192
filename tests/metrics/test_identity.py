"""dlib's face network in torch: descriptors equal to dlib's, and faces cut out where dlib cuts them out."""

from __future__ import annotations

import importlib
import importlib.util
import struct
from pathlib import Path

import numpy as np
import pytest
import torch

from sgkit.errors import CheckpointError, MissingDependencyError, WeightsError
from sgkit.metrics import identity
from sgkit.metrics.identity import FaceNetwork, cut_faces, face_weights_path, load_face_network
from tests.metrics.random_networks import pictures

needs_faces = pytest.mark.skipif(
    any(importlib.util.find_spec(name) is None for name in ("dlib", identity.PACKAGE)), reason="needs the extra 'faces'"
)
GOLDEN = [[-0.0746847, 0.1269028, 0.0700868, -0.0018924], [-0.0616141, 0.1289955, 0.0586891, 0.0082877]]
"""The first numbers of dlib's descriptors of :func:`pictures` of 150 pixels (dlib 20.0.1)."""


def faces() -> torch.Tensor:
    return ((pictures(2, 150) + 1) * 127.5).round()


@pytest.mark.skipif(importlib.util.find_spec(identity.PACKAGE) is None, reason="needs the extra 'faces'")
def test_descriptors_have_the_recorded_values() -> None:
    found = load_face_network()(faces())
    assert found.shape == (2, 128)
    torch.testing.assert_close(found[:, :4], torch.tensor(GOLDEN), rtol=1e-4, atol=1e-5)


@needs_faces
def test_descriptors_equal_dlib_s() -> None:
    dlib = importlib.import_module("dlib")
    theirs = dlib.face_recognition_model_v1(str(face_weights_path()))
    pixels = faces().byte().permute(0, 2, 3, 1).numpy()
    expected = [list(theirs.compute_face_descriptor(np.ascontiguousarray(face))) for face in pixels]
    torch.testing.assert_close(load_face_network()(faces()), torch.tensor(expected), rtol=1e-4, atol=1e-5)


def test_a_place_is_cut_out_and_turned() -> None:
    rows, columns = torch.meshgrid(torch.arange(300.0), torch.arange(300.0), indexing="ij")
    image = torch.stack([columns, rows, rows * 0])[None] / 127.5 - 1
    inner = torch.tensor([[[0.5, 0.0, 0.0], [0.0, 0.5, 0.0]]])  # the middle half: 150 pixels from 75 on
    found = cut_faces(image, inner)
    assert found.shape == (1, 3, 150, 150)
    torch.testing.assert_close(found[0, 0, 3], torch.arange(75.0, 225.0), rtol=0, atol=0.01)
    quarter = torch.tensor([[[0.0, -0.5, 0.0], [0.5, 0.0, 0.0]]])
    torch.testing.assert_close(cut_faces(image, quarter)[0, 1, 3], torch.arange(75.0, 225.0), rtol=0, atol=0.01)
    whole = torch.tensor([[[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]])
    torch.testing.assert_close(cut_faces(image, whole)[0, 0, 3], torch.arange(150) * 2 + 0.5, rtol=0, atol=0.01)


# ------------------------------------------------------------------------------------------- bad files


def write(path: Path, *layers: bytes) -> Path:
    path.write_bytes(b"\x01\x01" + b"".join(layers))
    return path


def number(value: int) -> bytes:
    return b"\x04" + struct.pack("<I", value)


def layer(kind: str, count: int, *, version: int = 2, real: int | None = None) -> bytes:
    sizes = b"".join(map(number, (version, count, 1, 1, 1)))
    return identity._MARKS[kind] + sizes + bytes(4 * (count if real is None else real))


@pytest.mark.parametrize(
    ("layers", "said"),
    [
        ((), "no further layer of the kind con"),
        ((layer("con", 4736),), "no further layer of the kind affine"),
        ((layer("con", 4736), layer("affine", 65)), "a layer has another size"),
        ((layer("con", 100), layer("affine", 64)), "a layer has another size"),
        ((layer("con", 4736, real=10),), "damaged or cut short"),
        ((layer("con", 4736, version=3),), "damaged or cut short"),
        ((layer("con", 0),), "damaged or cut short"),
        ((identity._MARKS["con"],), "damaged or cut short"),
    ],
)
def test_other_files_are_refused(tmp_path: Path, layers: tuple[bytes, ...], said: str) -> None:
    with pytest.raises(CheckpointError, match=said):
        FaceNetwork().load(write(tmp_path / "net.dat", *layers))


def test_the_package_must_be_there_and_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(identity, "PACKAGE", "a_package_that_is_not_there")
    with pytest.raises(MissingDependencyError, match=r"pip install 'stylegan-sgkit\[faces\]'"):
        face_weights_path()
    (tmp_path / "a_package" / "models").mkdir(parents=True)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(identity, "PACKAGE", "a_package")
    with pytest.raises(WeightsError, match=r"is missing. Install it again: pip install --force-reinstall"):
        face_weights_path()
    (tmp_path / "a_package" / identity.WEIGHTS_FILE).write_bytes(b"cut short")
    with pytest.raises(WeightsError, match=r"is not the expected file"):
        face_weights_path()
