"""When a key of a configuration has an effect. A key that has none in a situation is refused there, instead of being
accepted and ignored.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from sgkit.errors import UsageError

C = TypeVar("C")


@dataclass(frozen=True)
class Need(Generic[C]):
    """What some keys need to have an effect."""

    keys: tuple[str, ...]
    """Dotted keys; one that ends in a dot stands for all keys of that table."""
    holds: Callable[[C], bool]
    """Whether they have an effect in a configuration."""
    what: str
    """What they need, as a part of a sentence: ``train.augment.kind ada (--augment ada)``."""

    def covers(self, key: str) -> bool:
        """Whether ``key`` is one of them."""
        return any(key == known or (known.endswith(".") and key.startswith(known)) for known in self.keys)


def refuse_idle(
    config: C, given: Iterable[str], needs: Sequence[Need[C]], *, options: Mapping[str, str] | None = None
) -> None:
    """Nothing where every key that was ``given`` has an effect in ``config``.

    Args:
        config: the whole configuration, with the given keys in it.
        given: dotted keys.
        needs: what keys need; keys that none of them covers always have an effect.
        options: dotted key -> the command-line option that sets it too, for the message.

    Raises:
        UsageError: one has no effect; says what it needs.
    """
    for key in given:
        for need in needs:
            if need.covers(key) and not need.holds(config):
                option = (options or {}).get(key)
                name = f"{option} ({key})" if option else key
                raise UsageError(f"{name} has no effect here: it needs {need.what}. Remove it, or change that.")
