"""``sgkit`` and ``python -m sgkit``: the command line, also for ``torchrun -m sgkit``."""

from __future__ import annotations

import gc
import os
import sys
import threading

START = 3.0
"""Seconds that loading torch and a command may take."""


def collect_later(seconds: float = START) -> threading.Timer:
    """Leave Python's search for garbage off for ``seconds``: imports make many objects and hardly any garbage.

    It takes a seventh of the start of a command. What was made until then is not searched later either, nor at the end
    of the process, where searching the objects of torch takes a third of a second.
    """

    def collect() -> None:
        gc.freeze()
        gc.enable()

    gc.disable()
    if hasattr(os, "register_at_fork"):  # a process that is forked meanwhile has no timer
        os.register_at_fork(after_in_child=gc.enable)
    timer = threading.Timer(seconds, collect)
    timer.daemon = True
    timer.start()
    return timer


def main() -> int:
    """Run the process's own command line and return its exit code; words also what fails before anything is loaded."""
    collect_later()
    try:
        from sgkit.cli.app import main as run
    except (MemoryError, ImportError) as error:
        if not isinstance(error, MemoryError) and not isinstance(error.__cause__ or error.__context__, MemoryError):
            raise
        os.write(2, b"Error: Out of memory while sgkit was starting. Close other programs, or raise 'ulimit -v'.\n")
        return 1
    except KeyboardInterrupt:
        return 130
    try:
        return run()
    finally:
        gc.freeze()


if __name__ == "__main__":
    sys.exit(main())
