"""Every error that sgkit raises on purpose, each with the exit code of the command line.

A message says what was given, what is allowed, and what to do next. Catch :class:`SgkitError` to catch them all.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable

__all__ = [
    "CheckpointError",
    "ConfigError",
    "EditError",
    "InputError",
    "MissingDependencyError",
    "NonFiniteError",
    "SgkitError",
    "StoreError",
    "TrainingError",
    "UsageError",
    "WeightsError",
    "did_you_mean",
]


class SgkitError(Exception):
    """Base of all errors that a user can act on; the command line prints its text without a traceback."""

    exit_code = 1


class UsageError(SgkitError):
    """The command or function was called in a way that cannot work (exit code 2)."""

    exit_code = 2


class ConfigError(UsageError):
    """A configuration value, key or preset is not allowed."""


class InputError(SgkitError):
    """A file or folder that the user named cannot be used."""


class StoreError(SgkitError):
    """An image store is missing, unfinished, damaged or of another kind than asked for."""


class CheckpointError(SgkitError):
    """A model file is damaged, hostile, unsupported, or does not fit the network."""


class EditError(UsageError):
    """A feature edit does not fit the layers it was given to, or fired nowhere."""


class TrainingError(SgkitError):
    """A training run cannot start or cannot go on."""


class NonFiniteError(TrainingError):
    """A loss or gradient of a training step is infinite or no number; the network it belongs to was not moved."""


class MissingDependencyError(SgkitError):
    """An optional package or program is needed for what was asked."""


class WeightsError(SgkitError):
    """The weights of a third-party network cannot be had, or are not what they should be."""


def did_you_mean(given: str, allowed: Iterable[str]) -> str:
    """A sentence naming the nearest allowed word, or listing all of them when none is near."""
    names = sorted(allowed)
    near = difflib.get_close_matches(given, names, n=1, cutoff=0.6)
    if near:
        return f"Did you mean {near[0]!r}?"
    return "Allowed: " + ", ".join(names) + "."
