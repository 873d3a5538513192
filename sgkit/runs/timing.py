"""The clock of a run: its speed, and when pictures are due by time. Nothing here changes what is trained."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable

from sgkit.runs.config import RunConfig
from sgkit.runs.events import EXPECT, SLOW, slow_sentences
from sgkit.runs.expect import expectations
from sgkit.runs.logs import peak_memory
from sgkit.runtime.distributed import DistributedContext
from sgkit.training.health import Event
from sgkit.training.loop import TrainReport

WINDOW = 64
"""Steps that the speed is averaged over: several rounds of lazy regularization."""
SETTLED_STEPS = 16
"""Steps after which a speed is trusted: a round of lazy regularization."""
SETTLED_SECONDS, SLOW_SECONDS = 10.0, 120.0
"""Seconds of steps that it takes, too; steps so slow that they take the second number are trusted sooner."""
MUCH_SLOWER = 2.0
"""Factor on the time of the first steps from which on training is far slower than at the start."""


class Pace:
    """Seconds for a thousand images, over the last steps; and at the start, to compare with."""

    def __init__(self) -> None:
        self._steps: deque[tuple[float, int]] = deque(maxlen=WINDOW)
        self._count = 0
        self.start: float | None = None
        """Of the first steps of this session, once it is known."""
        self._is_slow = False

    def add(self, report: TrainReport) -> None:
        """Count a step. The first one of a session, which warms up, counts only until there are others."""
        if self._count == 1:
            self._steps.clear()
        self._count += 1
        self._steps.append((report.seconds, report.batch))
        if self.start is None and self.is_settled:
            self.start = self.sec_per_kimg

    @property
    def sec_per_kimg(self) -> float | None:
        """The speed; ``None`` before the first step."""
        seconds, images = map(sum, zip(*self._steps, strict=True)) if self._steps else (0.0, 0)
        return seconds / images * 1000 if images else None

    @property
    def is_settled(self) -> bool:
        """Whether enough steps were timed to say what to expect."""
        seconds, count = sum(seconds for seconds, _ in self._steps), len(self._steps)
        return count > 1 and (
            (count >= SETTLED_STEPS and seconds >= SETTLED_SECONDS) or (count >= 4 and seconds >= SLOW_SECONDS)
        )

    def slowdown(self) -> float | None:
        """How many times slower the last steps were than the first ones, when that begins to be far; else ``None``."""
        now = self.sec_per_kimg
        if self.start is None or now is None or len(self._steps) < WINDOW:
            return None
        was_slow, self._is_slow = self._is_slow, now > self.start * MUCH_SLOWER
        return now / self.start if self._is_slow and not was_slow else None


class PictureTimes:
    """When pictures are due by time: after two minutes, then every five, later more rarely."""

    FIRST, EVERY = 120.0, 300.0
    SHARE = 0.05
    """Of all time that drawing may take; and of the time so far that passes between pictures, so that they stay few."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._began = clock()
        self._next = self._began + self.FIRST

    def is_due(self) -> bool:
        """Whether it is time."""
        return self._clock() >= self._next

    def drawn(self, *, seconds: float) -> None:
        """Note that pictures were written just now, which took ``seconds``."""
        now = self._clock()
        self._next = now + max(self.EVERY, seconds / self.SHARE, (now - self._began) * self.SHARE)

    def now(self) -> float:
        """The clock, in seconds."""
        return self._clock()


class RunClock:
    """The speed of a run and its pictures by time; what the speed says goes out as events."""

    def __init__(self, config: RunConfig, context: DistributedContext) -> None:
        self._config, self._device = config, context.device
        self.pace, self.pictures = Pace(), PictureTimes()
        self._is_told = False

    def add(self, report: TrainReport) -> list[Event]:
        """Count a step; what to expect, once the speed is known, and whether training has slowed down."""
        self.pace.add(report)
        events, start = [], self.pace.start
        if start is not None and not self._is_told:
            self._is_told = True
            facts = expectations(
                self._config, sec_per_kimg=start, memory_gib=peak_memory(self._device), done_kimg=report.kimg
            )
            events.append(Event(name=EXPECT, images=report.images, text="What to expect:", facts=facts))
        times, now = self.pace.slowdown(), self.pace.sec_per_kimg
        # A growing network gets slower by itself.
        if times is not None and start is not None and now is not None and self._config.train.growth is None:
            text = slow_sentences(times, now, start)
            events.append(Event(name=SLOW, images=report.images, text=text, facts={"times": round(times, 2)}))
        return events
