"""What this process has used of the machine."""

from __future__ import annotations

import sys


def peak_memory() -> int | None:
    """The most bytes of memory that this process held at a time; ``None``: the system does not say."""
    try:
        import resource
    except ImportError:  # Windows
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
