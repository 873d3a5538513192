"""Turns the roles of our docstrings (``:func:`name```) into links of the documentation."""

from __future__ import annotations

import re
from typing import Any

import griffe

ROLE = re.compile(r":(?:class|func|meth|data|mod|attr):`~?([\w.]+)`")


class Roles(griffe.Extension):
    """Rewrites docstrings as they are read."""

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        """Rewrite the docstring of ``obj``."""
        if obj.docstring:
            obj.docstring.value = ROLE.sub(_link, obj.docstring.value)


def _link(match: re.Match[str]) -> str:
    name = match[1]
    return f"[`{name}`][{name}]" if name.startswith("sgkit.") else f"`{name}`"
