"""``sgkit`` and ``python -m sgkit``: the command line, also for ``torchrun -m sgkit``."""

from __future__ import annotations

import os
import sys


def main() -> int:
    """Run the process's own command line and return its exit code; words also what fails before anything is loaded."""
    try:
        from sgkit.cli.app import main as run
    except (MemoryError, ImportError) as error:
        if not isinstance(error, MemoryError) and not isinstance(error.__cause__ or error.__context__, MemoryError):
            raise
        os.write(2, b"Error: Out of memory while sgkit was starting. Close other programs, or raise 'ulimit -v'.\n")
        return 1
    except KeyboardInterrupt:
        return 130
    return run()


if __name__ == "__main__":
    sys.exit(main())
