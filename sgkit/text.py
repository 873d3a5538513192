"""Make text from files, names and other programs safe to show.

Names of files, classes, tensors and archive members, metadata, and error texts of libraries may contain escape
sequences that move the cursor or change the terminal's title, direction overrides that make ``gpj.exe`` read
``exe.jpg``, and invisible characters. Everything that is shown goes through :func:`printable`.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable

MOST_CHARACTERS = 4000
"""Longest text shown in full; about the longest path that Linux allows."""

MAX_NAMED = 12

_NAMED = {"\n": r"\n", "\r": r"\r", "\t": r"\t"}
_ALLOWED = "\u3000"
"""Not printable by Python's rule, but an ordinary space in Chinese and Japanese names."""
_INVISIBLE = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2800\u3164\ufe00-\ufe0f\uffa0\U000e0100-\U000e01ef]"
)
"""Printable by Python's rule, but without width or ink."""


def printable(text: object, *, limit: int = MOST_CHARACTERS, lines: bool = False) -> str:
    r"""``str(text)`` on one line, with every character visible, cut in the middle to about ``limit`` characters.

    Control characters, direction overrides, characters of no width and unpaired surrogates are shown as escapes
    (``\x1b``, ``\u202e``). A byte that is not valid UTF-8 in a file's name is shown as that byte (``\xff``). Letters of
    all scripts stay as they are. Applied twice, it changes nothing more.

    Args:
        text: what to show.
        limit: longer text loses its middle, and says how long it was.
        lines: keep line breaks, for texts of several lines that sgkit wrote.
    """
    shown = str(text)
    if len(shown) > limit:
        kept = max(limit - 40, 2)
        shown = f"{shown[: kept * 2 // 3]}...({len(shown):,} characters)...{shown[-(kept // 3) :]}"
    if shown.isprintable() and not _INVISIBLE.search(shown):
        return shown
    return "".join(_visible(character, lines) for character in shown)


def _visible(character: str, lines: bool) -> str:
    code = ord(character)
    if character == "\n" and lines:
        return character
    if (character.isprintable() and not _INVISIBLE.match(character)) or character == _ALLOWED:
        return character
    if character in _NAMED:
        return _NAMED[character]
    if 0xDC80 <= code <= 0xDCFF:  # how Python holds a byte of a file's name that is not valid UTF-8
        return f"\\x{code - 0xDC00:02x}"
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def shell_word(word: object) -> str:
    r"""``word`` as it is typed in a shell, printable: quoted where it must be, as ``$'\x1b'`` with odd characters."""
    text = str(word)
    if printable(text, limit=len(text)) == text:
        return shlex.quote(text)
    escaped = "".join(
        f"\\u{ord(one):04x}" if 0x80 <= ord(one) <= 0xFF and not one.isprintable() else _visible(one, lines=False)
        for one in text.replace("\\", "\\\\").replace("'", "\\'")
    )
    return f"$'{escaped}'"


def name_list(names: Iterable[str]) -> str:
    """Names separated by commas; beyond a dozen the rest are counted."""
    found = list(names)
    rest = f" and {len(found) - MAX_NAMED} more" if len(found) > MAX_NAMED else ""
    return ", ".join(found[:MAX_NAMED]) + rest
