from __future__ import annotations

import contextlib
import functools
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import sgkit
from sgkit.checkpoint.foreign import read_foreign
from sgkit.errors import CheckpointError
from sgkit.unpickle import unpickler as machine

FIXTURES = Path(__file__).resolve().parents[1] / "fixtures"
FILES = {
    "ada_filter_edge16": "network-snapshot-000123.pkl",
    "tf_pg_unfused_cond16": "network-final.pkl",
    "tf_sg2_cond16": "network-final.pkl",
    "rosi_sg2_converted32": "stylegan2-example.pt",
    "rosi_sg2_train64": "010000.pt",
    "malicious": "nested_storage.pkl",
}
REACH = 12
"""Bytes behind an opcode that are likely its argument."""


@functools.cache
def source(case: str) -> bytes:
    return (FIXTURES / case / FILES[case]).read_bytes()


@functools.cache
def opcodes(case: str) -> tuple[int, ...]:
    """Where the opcodes of a file stand, those of nested streams too: mutations of weights alone find little."""
    places: list[int] = []
    starts: dict[int, bytes] = {}

    def recorded(operation: machine.Operation) -> machine.Operation:
        def run(m: machine.Machine) -> None:
            address = int(np.frombuffer(m.data, np.uint8).__array_interface__["data"][0])
            starts[address] = bytes(m.data[:64])
            places.append(address + m.position - 1)
            operation(m)

        return run

    patched = {code: recorded(operation) for code, operation in machine.OPERATIONS.items()}
    with pytest.MonkeyPatch.context() as patch, contextlib.suppress(CheckpointError):
        patch.setattr(machine, "OPERATIONS", patched)
        read_foreign(FIXTURES / case / FILES[case])
    first = min(starts)
    shift = source(case).index(starts[first]) - first  # in an archive the first pickle is not at the start
    return tuple(sorted({place + shift for place in places}))


@st.composite
def mutated(draw: st.DrawFn) -> tuple[str, bytes]:
    """A file with some bytes changed, a piece cut out, or a piece repeated elsewhere."""
    case = draw(st.sampled_from(sorted(FILES)))
    data = bytearray(source(case))
    for _ in range(draw(st.integers(1, 4))):
        anywhere = draw(st.integers(0, len(data) - 1))
        opcode = draw(st.sampled_from(opcodes(case))) + draw(st.integers(0, REACH))
        place = min(draw(st.sampled_from([opcode, opcode, opcode, anywhere])), len(data) - 1)
        kind = draw(st.sampled_from(["set", "set", "set", "cut", "repeat", "end"]))
        length = draw(st.integers(1, 40))
        if kind == "set":
            data[place] = draw(st.integers(0, 255))
        elif kind == "cut":
            del data[max(place, 20) : place + length]
        elif kind == "repeat":
            data[anywhere:anywhere] = data[place : place + length]
        else:
            del data[max(place, 20) :]
    return case, bytes(data)


@settings(max_examples=80, deadline=None, suppress_health_check=list(HealthCheck))
@given(mutated())
def test_a_mutated_file_loads_or_is_refused_and_nothing_else_happens(
    tmp_path_factory: pytest.TempPathFactory, mutation: tuple[str, bytes]
) -> None:
    case, data = mutation
    folder = tmp_path_factory.mktemp("fuzz")
    file = folder / FILES[case]
    file.write_bytes(data)
    try:
        sgkit.load(file)
    except CheckpointError as error:
        refused = str(error)
    else:
        refused = str(file)
    assert str(file) in refused
    assert [path.name for path in folder.iterdir()] == [file.name]
    assert file.read_bytes() == data
