"""Commands that train into one file, and continue where they were stopped."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sgkit.cli import report
from sgkit.errors import UsageError


def check_out(out: Path, *, force: bool) -> Path:
    """Where the state of an unfinished training into ``out`` is kept.

    Raises:
        UsageError: the name has another ending.
        InputError: the file exists, and no unfinished training would replace it.
    """
    from sgkit.runtime.files import check_new

    if out.suffix != ".safetensors":
        raise UsageError(f"Unsupported extension {out.suffix or 'of ' + out.name!r}. Use .safetensors for --out.")
    state = out.with_name(f"{out.name}.partial")
    check_new(out, overwrite=force or state.is_file())
    return state


@contextmanager
def state_note(state: Path) -> Iterator[None]:
    """Say, where the training is interrupted, that it can continue."""
    try:
        yield
    except BaseException as error:
        is_signal = not isinstance(error, Exception)  # Ctrl-C or SIGTERM
        if is_signal and state.is_file():
            report.note(f"The state is kept in {state.name}: the same command continues.")
        raise
