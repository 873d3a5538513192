"""One or several: functions that take several paths or sources also take one, which is never iterated by letters."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Any


def several(value: Any) -> Iterable[Any]:
    """``value`` if it is a collection of things, and otherwise a list of this one thing: a text, a path, a number."""
    single = isinstance(value, (str, bytes, os.PathLike)) or not isinstance(value, Iterable)
    return [value] if single else value
