from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

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


def rewrite(file: Path, **changes: Any) -> None:
    """Change what the header says of one tensor."""
    data = file.read_bytes()
    end = 8 + int.from_bytes(data[:8], "little")
    header = json.loads(data[8:end])
    header[NAME] |= changes
    text = json.dumps(header).encode()
    file.write_bytes(len(text).to_bytes(8, "little") + text + data[end:])


def npy(header: str) -> bytes:
    text = (header + "\n").encode()
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text + b"\0" * 4


@pytest.mark.parametrize(
    "header",
    [
        "{'descr': '<f4', 'fortran_order': False, 'shape': (1000000000,), }",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (True,), }",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (-1,), }",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (1.0,), }",
        "{'descr': '<U0', 'fortran_order': False, 'shape': (4,), }",
        "{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (1,), }",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (1,)",
        "(" * 200,
        "__import__('os').system('true')",
        "",
    ],
)
def test_an_npz_whose_arrays_are_not_what_they_claim_is_refused(tmp_path: Path, header: str) -> None:
    with zipfile.ZipFile(tmp_path / "model.npz", "w") as archive:
        archive.writestr("G_ema.mapping.w_avg.npy", npy(header))
    with pytest.raises(CheckpointError, match=r"Cannot read state dict .*(damaged|claims shape|not the shape|of type)"):
        sgkit.load(tmp_path / "model.npz")


LIES = {
    "a billion elements": (
        {"shape": [10**9]},
        r"'G_ema\.mapping\.w_avg' claims shape \[1000000000\] of F32 in bytes",
    ),
    "sides whose product overflows": ({"shape": [2**40, 2**40]}, "is not the shape of an array"),
    "a negative side": ({"shape": [-1]}, "is not the shape of an array"),
    "a side that is no number": ({"shape": ["x"]}, "is not the shape of an array"),
    "no shape": ({"shape": None}, "is damaged"),
    "bytes behind the end": ({"data_offsets": [2**40, 2**40 + 4]}, "the file is damaged"),
    "bytes before the start": ({"data_offsets": [-64, 0]}, "the file is damaged|overlaps|leaves a hole"),
    "bytes that are no numbers": ({"data_offsets": [0.5, True]}, "is damaged"),
    "another size": ({"data_offsets": [0, 4]}, "the file is damaged"),
    "an unknown type": ({"dtype": "OBJECT"}, "is of type 'OBJECT'"),
    "a type that is no text": ({"dtype": ["F32"]}, "is of type"),
}


@pytest.mark.parametrize("lie", LIES)
def test_a_header_that_lies_about_a_tensor_is_refused(file: Path, lie: str) -> None:
    changes, message = LIES[lie]
    rewrite(file, **changes)
    with pytest.raises(CheckpointError, match=message):
        sgkit.load(file)


def test_a_file_cut_short_is_refused(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-1])
    with pytest.raises(CheckpointError, match=r"Cannot read .*is damaged or cut short"):
        sgkit.load(file)


def test_overlapping_tensors_are_refused(file: Path) -> None:
    data = file.read_bytes()
    header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
    rewrite(file, data_offsets=header["G.mapping.w_avg"]["data_offsets"])
    with pytest.raises(CheckpointError, match="overlaps the tensor before it"):
        sgkit.load(file)
