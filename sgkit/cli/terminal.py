"""The two streams, and the only module that writes to them.

What it is given has been through :func:`sgkit.text.printable`; nothing in it is read as Rich's markup or as the code of
an emoji. JSON goes past Rich, so that the names in it are the names of the files.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from json import dumps
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from sgkit.errors import ResourceError
from sgkit.faults import explain
from sgkit.text import printable

OUTPUT_CLOSED = 141
"""Exit code when the reader of standard output went away, as in ``sgkit info FILE | head -1``; as shells count it."""
RANK = os.environ.get("RANK", "0")
"""Set by torchrun: only the first process speaks, but any may fail."""


class OutputClosedError(Exception):
    """Nobody reads standard output any more."""


class _Console(Console):
    def on_broken_pipe(self) -> None:
        raise OutputClosedError


_PLAIN: dict[str, Any] = {"markup": False, "emoji": False, "highlight": False, "soft_wrap": True}
STDOUT = _Console(**_PLAIN, quiet=RANK != "0")
STDERR = _Console(**_PLAIN, stderr=True)


def start() -> None:
    """Let both streams take every character: what their encoding lacks is written as an escape."""
    for stream in (sys.stdout, sys.stderr):
        with suppress(AttributeError, ValueError):  # replaced by a test or a notebook, or closed
            stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]


def finish() -> None:
    """Write what is still in the buffer of standard output.

    Raises:
        OutputClosedError: nobody reads it.
        ResourceError: it cannot be written.
    """
    if sys.stdout is not None:
        with _output():
            sys.stdout.flush()


@contextmanager
def _output() -> Iterator[None]:
    """Faults of standard output, told from those of the files that a command writes."""
    try:
        yield
    except (BrokenPipeError, OutputClosedError):
        _give_up_output()
        raise OutputClosedError from None
    except OSError as error:
        _give_up_output()
        fault = explain(error)
        raise ResourceError(f"Cannot write to standard output: {fault.text if fault else error}.") from None


def _give_up_output() -> None:
    """Send the rest to nowhere, or Python would fail once more when it ends."""
    with suppress(OSError, ValueError, AttributeError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def write(content: str | Text | Table, **options: Any) -> None:
    """Write results; all text in them must be printable."""
    with _output():
        STDOUT.print(content, **options)


def write_json(value: Any) -> None:
    """Write a result of plain types as JSON, as the only text on standard output."""
    if not STDOUT.quiet and sys.stdout is not None:
        with _output():
            sys.stdout.write(_json_text(value) + "\n")


def _json_text(value: Any) -> str:
    r"""JSON whose strings hold the exact characters; those that a terminal would obey are written as ``\uXXXX``.

    A byte of a file's name that is not valid UTF-8 is written as Python holds it, ``\udc80`` to ``\udcff``:
    ``os.fsencode(json.loads(text))`` is the name's bytes.
    """
    encoding = (getattr(sys.stdout, "encoding", None) or "").lower().replace("-", "")
    text = dumps(value, indent=2, ensure_ascii=encoding != "utf8", allow_nan=False)
    return re.sub(r"[^\x20-\x7e\n]", _json_escape, text)


def _json_escape(match: re.Match[str]) -> str:
    character = match[0]
    if printable(character) == character:
        return character
    units = character.encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[at : at + 2].hex()}" for at in range(0, len(units), 2))


def tell(content: str | Text) -> None:
    """Write a message; all text in it must be printable."""
    with suppress(OutputClosedError, OSError):  # nobody reads messages: the work continues
        STDERR.print(content)
