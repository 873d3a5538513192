"""The numbers of a training step, which stay on the device until somebody reads them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import torch
from torch import Tensor


class Check(NamedTuple):
    """What must be finite for an update to count."""

    names: tuple[str, ...]
    """Of the losses."""
    values: Tensor
    """The means of these losses, and the norm of their gradient."""

    def problem(self) -> str | None:
        """What is not finite, in words; ``None``: everything is. Waits for the device."""
        *losses, norm = self.values.tolist()
        return _problem(self.names, losses, norm)


@dataclass(kw_only=True)
class Readings:
    """Values to report of one step, or of a part of it."""

    sums: dict[str, tuple[Tensor, float]] = field(default_factory=dict)
    """Name -> a value on the device, and what it is divided by."""
    checks: list[Check] = field(default_factory=list)
    """Updates that nobody has checked yet."""
    known: dict[str, float] = field(default_factory=dict)
    """Values that were never on the device."""

    def add(self, name: str, value: Tensor, count: float = 1.0) -> None:
        """Report ``value / count`` as ``name``."""
        self.sums[name] = (value.detach(), count)

    def join(self, other: Readings) -> None:
        """Add what another part of the step reports."""
        self.sums |= other.sums
        self.checks += other.checks

    def packed(self) -> Tensor:
        """Everything that is on the device, as one new vector."""
        parts = [value for value, _ in self.sums.values()] + [check.values for check in self.checks]
        return torch.cat([part.detach().reshape(-1).float() for part in parts]) if parts else torch.zeros(0)

    def unpacked(self, vector: Tensor) -> Readings:
        """The same readings with the values of ``vector``, as :meth:`packed` gives it."""
        lengths = [1] * len(self.sums) + [len(check.values) for check in self.checks]
        parts = list(torch.split(vector, lengths))
        return Readings(
            sums={name: (part[0], count) for (name, (_, count)), part in zip(self.sums.items(), parts, strict=False)},
            checks=[Check(check.names, part) for check, part in zip(self.checks, parts[len(self.sums) :], strict=True)],
            known=dict(self.known),
        )

    def read(self) -> tuple[dict[str, float], list[str]]:
        """The values, and what is not finite, in words. Waits for the device, once."""
        numbers = self.packed().tolist()
        values = {name: number / count for (name, (_, count)), number in zip(self.sums.items(), numbers, strict=False)}
        place, problems = len(self.sums), list[str]()
        for names, of_check in self.checks:
            *losses, norm = numbers[place : place + len(of_check)]
            place += len(of_check)
            problems += [text for text in [_problem(names, losses, norm)] if text is not None]
        return values | self.known, problems


def _problem(names: Sequence[str], losses: Sequence[float], norm: float) -> str | None:
    for name, loss in zip(names, losses, strict=True):
        if not math.isfinite(loss):
            return f"{name} is not finite ({loss:g})"
    if not math.isfinite(norm):
        return f"the gradient of {' + '.join(names)} is not finite (norm {norm:g}, loss {sum(losses):g})"
    return None
