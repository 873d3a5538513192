"""State dicts as files. What NumPy archives and .safetensors headers may claim is tested with their readers."""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import sgkit
from sgkit.checkpoint.export import export
from sgkit.errors import CheckpointError

SOURCE = Path(__file__).resolve().parents[1] / "fixtures" / "ada_filter_edge16" / "network-snapshot-000123.pkl"
NAME = "G_ema.mapping.w_avg"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    export(sgkit.load(SOURCE), tmp_path / "model.safetensors", form="nvidia")
    return tmp_path / "model.safetensors"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"shape": [10**9]}, r"'G_ema\.mapping\.w_avg' claims shape \[1000000000\] of F32 in bytes"),
        ({"data_offsets": [2**40, 2**40 + 4]}, "the file is damaged"),
        ({"data_offsets": "G.mapping.w_avg"}, "overlaps the tensor before it"),
        ({"dtype": "OBJECT"}, "is of type 'OBJECT'"),
    ],
)
def test_a_header_that_lies_about_a_tensor_is_refused(changes: dict[str, Any], message: str, file: Path) -> None:
    data = file.read_bytes()
    end = 8 + int.from_bytes(data[:8], "little")
    header = json.loads(data[8:end])
    for key, value in changes.items():
        header[NAME][key] = header[value][key] if str(value) in header else value
    text = json.dumps(header).encode()
    file.write_bytes(len(text).to_bytes(8, "little") + text + data[end:])
    with pytest.raises(CheckpointError, match=message):
        sgkit.load(file)


def test_a_file_cut_short_is_refused(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-1])
    with pytest.raises(CheckpointError, match=r"Cannot read .*is damaged or cut short"):
        sgkit.load(file)


@pytest.mark.parametrize("shape", ["(1000000000,)", "(-1,)"])
def test_an_npz_whose_arrays_are_not_what_they_claim_is_refused(shape: str, tmp_path: Path) -> None:
    array = io.BytesIO()
    np.save(array, np.zeros(1, np.float32))
    with zipfile.ZipFile(tmp_path / "model.npz", "w") as archive:
        padded = b"(1,), }" + b" " * (len(shape) - 4)
        archive.writestr(f"{NAME}.npy", array.getvalue().replace(padded, f"{shape}, }}".encode()))
    with pytest.raises(CheckpointError, match=r"Cannot read state dict .*(claims shape|is not that of an array)"):
        sgkit.load(tmp_path / "model.npz")
