"""``python -m sgkit``: the command line, also for ``torchrun -m sgkit``."""

from __future__ import annotations

import sys

from sgkit.cli.app import main

if __name__ == "__main__":
    sys.exit(main())
