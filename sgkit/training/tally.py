"""Averages of training reports between two log lines."""

from __future__ import annotations

from collections.abc import Mapping

from sgkit.training.loop import TrainReport


class Tally:
    """Averages of reports since it was last emptied."""

    def __init__(self, *, sums: Mapping[str, float] | None = None, counts: Mapping[str, int] | None = None) -> None:
        self.sums: dict[str, float] = dict(sums or {})
        self.counts: dict[str, int] = dict(counts or {})
        self._images, self._seconds = 0, 0.0

    def add(self, report: TrainReport) -> None:
        """Count a report; a value counts in the steps that have it."""
        for name, value in report.values.items():
            self.sums[name] = self.sums.get(name, 0.0) + value
            self.counts[name] = self.counts.get(name, 0) + 1
        self._images += report.batch
        self._seconds += report.seconds

    @property
    def sec_per_kimg(self) -> float:
        """Seconds for a thousand images."""
        return self._seconds / max(self._images, 1) * 1000.0

    def means(self) -> dict[str, float]:
        """Mean of each value."""
        return {name: self.sums[name] / self.counts[name] for name in sorted(self.sums)}
