"""Every error that sgkit raises on purpose, each with the exit code of the command line.

A message says what was given, what is allowed, and what to do next. Catch :class:`SgkitError` to catch them all.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable

from sgkit.text import printable


class SgkitError(Exception):
    """Base of all errors that a user can act on; the command line prints its text without a traceback.

    Its text is one line and safe to print, whatever names of files it mentions; see :func:`sgkit.text.printable`.
    """

    exit_code = 1

    def __init__(self, *args: object) -> None:
        super().__init__(*(printable(value) if isinstance(value, str) else value for value in args))


class UsageError(SgkitError):
    """The command or function was called in a way that cannot work (exit code 2)."""

    exit_code = 2


class ConfigError(UsageError):
    """A configuration value, key or preset is not allowed."""


class InputError(SgkitError):
    """A file or folder that the user named cannot be used."""


class StoreError(SgkitError):
    """An image store is missing, unfinished, damaged or of the wrong kind."""


class CheckpointError(SgkitError):
    """A model file is damaged, hostile, unsupported, or does not fit the network."""


class CheckpointWarning(UserWarning):
    """A part of a foreign model file was ignored or replaced, without effect on images."""


class EditError(UsageError):
    """A feature edit does not fit the layers it was applied to, or matched no layer."""


class SceneError(SgkitError):
    """A scene cannot be read or drawn: a newer version, an unknown key, a model or latents that are not there."""


class TrainingError(SgkitError):
    """A training run cannot start or continue."""


class NonFiniteError(TrainingError):
    """A loss or gradient of a training step is infinite or NaN; the network was not updated."""


class NonFiniteImageError(SgkitError):
    """A generated image contains NaN or infinity, because of the model's weights, the latents or the number format."""


class MissingDependencyError(SgkitError):
    """An optional package or program is required and missing."""


class ResourceError(SgkitError, OSError):
    """The disk is full, or the operating system refused a request; ``errno`` is its error number, if known."""

    def __init__(self, text: str, *, number: int | None = None) -> None:
        super().__init__(text)
        self.errno, self.strerror = number, str(self.args[0])

    def __str__(self) -> str:
        return str(self.args[0])


class WeightsError(SgkitError):
    """The weights of a third-party network are unavailable or damaged."""


MOST_LISTED = 12
"""Up to this many allowed words are always listed."""


def did_you_mean(given: object, allowed: Iterable[object]) -> str:
    """One or two sentences: the allowed words close to ``given``, and all of them when they are few or none is close.

    Of long lists only the close words are named; words that are equally close are all named.
    """
    names = [str(name) for name in (sorted(allowed, key=str) if isinstance(allowed, (set, frozenset)) else allowed)]
    near = _nearest(str(given), names)
    listed = f"Allowed: {', '.join(names)}." if names else "None is allowed."
    guess = f"Did you mean {' or '.join(repr(name) for name in near)}?"
    if not near:
        return listed
    return f"{guess} {listed}" if 1 < len(names) <= MOST_LISTED else guess


def _nearest(given: str, names: list[str]) -> list[str]:
    """Up to 3 of ``names`` that are close to ``given``, all equally close; upper and lower case are the same here."""
    close = {name: _closeness(given.lower(), name.lower()) for name in names}
    best = max(close.values(), default=0.0)
    return [name for name in names if close[name] >= max(0.65, best - 1e-9)][:3]


def _closeness(given: str, name: str) -> float:
    """0 to 1: a word of which only the beginning was given is close, too."""
    begins = len(given) >= 3 and name.startswith(given)
    return max(difflib.SequenceMatcher(None, given, name).ratio(), 0.9 if begins else 0.0)
