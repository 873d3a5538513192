"""What reading one file may cost. Everything that a reader makes of a file is counted here, in bytes and in steps.

The bytes are bounded by the size of the file, so a small file cannot take the memory of the machine however it is
built; the steps bound the time.
"""

from __future__ import annotations

import gc
import struct
import sys
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from sgkit.errors import CheckpointError, SgkitError
from sgkit.faults import is_out_of_memory
from sgkit.unpickle.stand_ins import Refused, shown

MAX_STEPS = 300_000
"""Pickled items, and entries of containers looked at, in one file; StyleGAN3 pickles use about 50,000."""
FREE_BYTES = 1 << 26
BYTES_PER_BYTE = 4
"""A pickle of Python 2 holds an array as text: the text, its bytes and the array are each as large as the file."""
OBJECT_BYTES = 400
"""An object that a builder makes, with what belongs to it: an array's header, an instance's table."""

BAD_DATA = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    BufferError,
    EOFError,
    LookupError,
    RuntimeError,  # with RecursionError and NotImplementedError
    SyntaxError,
    TypeError,
    ValueError,  # with UnicodeError
    struct.error,
    zlib.error,
)
"""What code that parses bytes raises when the bytes are not what they should be: caught at the boundary of a reader."""


@contextmanager
def bad_data(what: str) -> Iterator[None]:
    """The boundary of a reader: everything that damaged bytes make the block raise becomes one error.

    Args:
        what: the subject of the message, such as ``"its header"``.

    Raises:
        CheckpointError: the data is not what it should be.
    """
    try:
        yield
    except SgkitError:
        raise
    except BAD_DATA as error:
        if is_out_of_memory(error):
            raise
        raise CheckpointError(f"{what} is damaged ({type(error).__name__}: {shown(str(error))}).") from error


@contextmanager
def failing_as(message: str, *, kind: type[SgkitError] = CheckpointError, advice: str = "") -> Iterator[None]:
    """Begin what a reader says with ``message``, such as ``"Cannot read encoder 'a.safetensors'"``; end it with advice.

    Raises:
        SgkitError: of the ``kind``, where the block raises a CheckpointError or an OSError.
    """
    try:
        yield
    except (CheckpointError, OSError) as error:
        raise kind(f"{message}: {error}{advice}") from None


@dataclass
class Budget:
    """What one file may cost, all of its nested streams together, and what it tried to reach.

    Args:
        file_bytes: size of the file.
        steps: how many steps are allowed.
    """

    file_bytes: int = 0
    steps: int = MAX_STEPS
    refused: dict[str, None] = field(default_factory=dict)
    """What the file tried to reach, in order and without repetition."""

    def __post_init__(self) -> None:
        self.max_steps = self.steps
        self.bytes_left = FREE_BYTES + BYTES_PER_BYTE * self.file_bytes

    def refuse(self, what: str) -> Refused:
        """Remember one thing that the file must not have; the object that replaces it."""
        if len(self.refused) < 16:
            self.refused[what] = None
        return Refused()

    @contextmanager
    def guarding(self) -> Iterator[None]:
        """Read a file in this block: the error names what the file tried to reach, even if something else is wrong too.

        Garbage collection waits until the end: nothing can be freed before, and it would look at every object often.

        Raises:
            CheckpointError: the file tried to reach something, or the block raises.
        """
        collecting = gc.isenabled()
        gc.disable()
        try:
            yield
        except CheckpointError as error:
            if not self.refused:
                raise
            raise self.refusal() from error
        finally:
            if collecting:
                gc.enable()
        if self.refused:
            raise self.refusal()

    def refusal(self) -> CheckpointError:
        """The error that says everything that the file tried to reach."""
        return CheckpointError(
            f"refused, and nothing of it was run. It tries to reach {', '.join(self.refused)}, which no known file of "
            "this kind needs. Do not open this file with other tools; get it again from a source you trust."
        )

    def make(self, num_bytes: int) -> None:
        """Count bytes that are made of the file, or could be made of what is made."""
        self.afford(num_bytes)
        self.bytes_left -= num_bytes

    def afford(self, num_bytes: int) -> None:
        """Refuse bytes before they are made, where they are counted afterwards."""
        if num_bytes > self.bytes_left:
            raise CheckpointError(
                f"it expands to more than {FREE_BYTES + BYTES_PER_BYTE * self.file_bytes:,} bytes, "
                f"far more than its {self.file_bytes:,} bytes can justify."
            )

    def step(self, count: int = 1) -> None:
        """Count steps of work."""
        self.steps -= count
        if self.steps < 0:
            raise CheckpointError(f"it holds more than {self.max_steps:,} items; no checkpoint needs that many.")

    def count(self, value: Any, *, made_by_call: bool = False) -> None:
        """Count an object that was just made."""
        self.make(sys.getsizeof(value) + (OBJECT_BYTES if made_by_call else 0))
