"""Images that cannot be used, and the reasons that are counted."""

from __future__ import annotations

NEEDS_HEIF = "needs pillow-heif"
REASONS = {
    *("empty", "not an image", "unsupported", NEEDS_HEIF, "truncated", "decompression bomb", "animated", "unreadable"),
    *("too small", "too large", "too long", "out of range", "duplicate", "near duplicate", "no label", "no face"),
}
"""docs/data.md explains them."""


class BadImageError(Exception):
    """An image that cannot be used: ``reason`` is one of :data:`REASONS`, ``detail`` says more."""

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(reason, detail)
        self.reason = reason
        self.detail = detail

    def __str__(self) -> str:
        return f"{self.reason} ({self.detail})" if self.detail else self.reason
