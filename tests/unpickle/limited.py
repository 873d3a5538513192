"""Runs Python in a process whose memory and time are limited: for files that would take the machine."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

SECONDS = 20
LIMIT = """
import resource, sys
resource.setrlimit(resource.RLIMIT_AS, (int(sys.argv[1]), int(sys.argv[1])))
from sgkit.errors import SgkitError
try:
    exec(sys.argv[2], {"path": sys.argv[3]})
except SgkitError as error:
    print(f"{type(error).__name__}: {error}")
print("end")
"""


def run_limited(code: str, path: Path, *, memory: int = 1 << 30) -> str:
    """What ``code`` prints, with the message of the error of sgkit's that it ends in; any other end is a failure.

    Args:
        code: uses ``path``.
        path: the file.
        memory: bytes of address space.
    """
    command = [sys.executable, "-c", LIMIT, str(memory), code, str(path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.endswith("end\n"), done.stdout
    return done.stdout
