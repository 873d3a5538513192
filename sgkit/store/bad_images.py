"""Images that cannot be used, and the reasons that are counted."""

from __future__ import annotations

NEEDS_HEIF = "needs pillow-heif"
REASONS = {
    "empty": "the file has no bytes",
    "not an image": "the bytes are not of a known image format",
    "unsupported": "an image, but of a kind that cannot be read here",
    NEEDS_HEIF: "a HEIC image; install pillow-heif with: pip install 'stylegan-sgkit[heic]'",
    "truncated": "the file ends early or its data are damaged",
    "decompression bomb": "more pixels than --max-pixels",
    "animated": "more than one frame, and --animated refuse was given",
    "too small": "the short side is under --min-size, no tile fits, or --no-enlarge was given",
    "too large": "the file has more bytes than are read",
    "too long": "the sides differ by more than --max-aspect",
    "out of range": "a value is larger than --bits allows",
    "duplicate": "the same picture came before",
    "near duplicate": "nearly the same picture came before",
    "no label": "the label file does not name it",
    "no face": "no face was found, or the landmark file does not name it",
    "unreadable": "the operating system could not read the file",
}
"""Reason -> what it means."""


class BadImageError(Exception):
    """An image that cannot be used: ``reason`` is a key of :data:`REASONS`, ``detail`` says more."""

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(reason, detail)
        self.reason = reason
        self.detail = detail
