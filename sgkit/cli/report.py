"""What commands tell: results on standard output, everything else on standard error; in words, tables, bars or JSON."""

from __future__ import annotations

import dataclasses
import math
import sys
import time
import traceback as tracebacks
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Literal, TypeVar

from rich.table import Table
from rich.text import Text

from sgkit.cli import terminal
from sgkit.cli.terminal import RANK, tell, write
from sgkit.errors import CheckpointWarning, UsageError
from sgkit.runtime.progress import OnProgress, Progress, ignore_progress
from sgkit.text import printable

INTERRUPTED = 130
"""Exit code after Ctrl-C, as shells count it."""

MOST_IN_CELL = 300
"""Longest text in a cell of a table."""

T = TypeVar("T")


# ----------------------------------------------------------------------------------------------- results


def speak() -> None:
    """Let this process write results although it is not torchrun's first: it is the one that has them."""
    terminal.STDOUT.quiet = False


def out(text: str) -> None:
    """Write a line of results."""
    write(printable(text))


def block(text: str) -> None:
    """Write results of several lines, such as a file's content."""
    write(printable(text, limit=len(text), lines=True))


def emit(result: T, *, json: bool, show: Callable[[T], None]) -> None:
    """Write ``result`` as JSON, or by ``show`` when ``json`` is off."""
    if not json:
        show(result)
    else:
        terminal.write_json(jsonable(result))


def facts(pairs: Mapping[str, object], *, title: str | None = None) -> None:
    """Write names and values in two columns."""
    if title:
        write(Text(printable(title), style="bold"))
    names = [printable(name) for name in pairs]
    width = max(map(len, names), default=0)
    for name, value in zip(names, pairs.values(), strict=True):
        write(Text.assemble("  ", (name.ljust(width), "dim"), "  ", printable(value)))


def table(columns: Sequence[str], rows: Sequence[Sequence[object]], *, title: str | None = None) -> None:
    """Write rows under headings; columns of numbers stand to the right."""
    grid = Table(title_justify="left", box=None, pad_edge=False, padding=(0, 2, 0, 0))
    grid.title = None if title is None else Text(printable(title), style="bold")
    for index, column in enumerate(columns):
        numeric = bool(rows) and all(isinstance(row[index], (int, float)) for row in rows)
        is_name = index == 0 and all(len(_cell(row[0])) <= 32 for row in rows)  # to be copied, so not to be broken
        grid.add_column(
            Text(printable(column)),
            justify="right" if numeric else "left",
            overflow="fold",
            no_wrap=is_name,
            header_style="dim",
        )
    for row in rows:
        grid.add_row(*(Text(_cell(value)) for value in row))
    write(grid, soft_wrap=False)


def jsonable(value: Any) -> Any:
    """``value`` as JSON can hold it: dataclasses as objects, paths as text, numbers that are not finite as null."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: jsonable(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(key): jsonable(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [jsonable(item) for item in (sorted(value) if isinstance(value, (set, frozenset)) else value)]
    if hasattr(value, "tolist"):  # numpy and torch
        return jsonable(value.tolist())
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value if value is None or isinstance(value, (bool, int, float, str)) else str(value)


# ---------------------------------------------------------------------------------------------- messages


Loudness = Literal["quiet", "normal", "verbose"]
_LOUDNESS: list[Loudness] = ["normal"]
"""How much is told besides results, warnings and errors; one item, set by ``-q`` and ``-v``."""


def set_loudness(level: Loudness) -> None:
    """Tell less or more from now on.

    Raises:
        UsageError: both were asked for.
    """
    if {level, _LOUDNESS[0]} == {"quiet", "verbose"}:
        raise UsageError("--quiet and --verbose contradict each other. Give one of them.")
    _LOUDNESS[0] = level


def note(text: str) -> None:
    """Tell something by the way, such as where a file was written; not with ``-q``."""
    if RANK == "0" and _LOUDNESS[0] != "quiet":
        tell(printable(text))


def tells_details() -> bool:
    """Whether :func:`detail` tells anything."""
    return RANK == "0" and _LOUDNESS[0] == "verbose"


def detail(text: str) -> None:
    """Tell what is loaded, chosen or used; only with ``-v``."""
    if tells_details():
        tell(Text(printable(text), style="dim"))


def tell_use(began: float) -> None:
    """Tell, with ``-v``, what the command used since ``began`` on the monotonic clock: time, memory, versions."""
    if _LOUDNESS[0] != "verbose":
        return
    from sgkit import __version__
    from sgkit.runtime.use import peak_memory

    torch = sys.modules.get("torch")
    versions = f"sgkit {__version__}" + (f", PyTorch {torch.__version__}" if torch else "")
    peak = peak_memory()
    memory = f", {peak / 2**20:,.0f} MiB of memory at most" if peak else ""
    detail(f"{duration(time.monotonic() - began)} in all{memory}; {versions}, Python {sys.version.split()[0]}")


def note_lines(title: str, facts: Mapping[str, str]) -> None:
    """Tell a few facts under a title."""
    if RANK == "0" and _LOUDNESS[0] != "quiet":
        tell(printable(title))
        for name, value in facts.items():
            tell(f"  {printable(name)}: {printable(value)}")


def warning(text: str) -> None:
    """Tell something that may be wrong."""
    if RANK == "0":
        tell(Text.assemble(("Warning:", "bold yellow"), " ", printable(text)))


@contextmanager
def warnings_told() -> Iterator[None]:
    """Within the block, what the library warns of a model file is told as every other warning, once each."""
    with warnings.catch_warnings():
        warnings.simplefilter("default", CheckpointWarning)
        usual = warnings.showwarning

        def show(message: Warning | str, category: type[Warning], *rest: Any, **more: Any) -> None:
            if issubclass(category, CheckpointWarning):
                warning(str(message))
            else:
                usual(message, category, *rest, **more)

        warnings.showwarning = show
        yield


def error(text: str, *, hint: str | None = None) -> None:
    """Tell why the command failed, and what to try. Never wrapped, so that it can be searched and copied."""
    who = "" if RANK == "0" else f" (process {RANK})"
    tell(Text.assemble((f"Error{who}:", "bold red"), " ", printable(text)))
    if hint:
        tell(Text(printable(hint), style="dim"))


def traceback() -> None:
    """Show where the error that is being handled came from."""
    text = tracebacks.format_exc().rstrip()
    tell(printable(text, limit=len(text), lines=True))


# ---------------------------------------------------------------------------------------------- progress


@contextmanager
def progress_bar(title: str, *, every: float = 5.0) -> Iterator[OnProgress]:
    """A callback for long tasks that draws a bar with rate, time elapsed and time left.

    Without a terminal it writes a plain line at most ``every`` seconds instead, and one at the end.
    """
    if RANK != "0" or _LOUDNESS[0] == "quiet":
        yield ignore_progress
    elif terminal.STDERR.is_terminal:
        with _bar(title) as on_progress:
            yield on_progress
    else:
        with _lines(title, every) as on_progress:
            yield on_progress


@contextmanager
def live_table(title: str, *, every: float = 5.0) -> Iterator[OnProgress]:
    """As :func:`progress_bar`, with the facts of :class:`Progress` in a table of their own under the bar."""
    if RANK == "0" and _LOUDNESS[0] != "quiet" and terminal.STDERR.is_terminal:
        with _table(title) as on_progress:
            yield on_progress
    else:
        with progress_bar(title, every=every) as on_progress:
            yield on_progress


def duration(seconds: float) -> str:
    """``0:07``, ``12:40``, ``3:05:59`` or ``2 days 03:05``."""
    minutes, second = divmod(round(seconds), 60)
    hours, minute = divmod(minutes, 60)
    days, hour = divmod(hours, 24)
    if days:
        return f"{days} day{'s' * (days > 1)} {hour:02d}:{minute:02d}"
    return f"{hours}:{minute:02d}:{second:02d}" if hours else f"{minute}:{second:02d}"


@dataclasses.dataclass
class _Stage:
    """What is known of a stage, on a clock that stands still during another stage."""

    began: float
    first_at: float
    """When its first point came, at ``first``."""
    first: float
    heard: float
    """When its last point came, at ``done``."""
    done: float

    def pause(self, seconds: float) -> None:
        """Leave ``seconds`` out."""
        self.began, self.first_at = self.began + seconds, self.first_at + seconds


_SHORTEST = 0.05
"""Seconds that a rate is measured over: images of one batch are told of all at once."""


class _Meter:
    """Turns points of progress into words. A stage begins when the one before it was last heard of.

    The rate counts from a stage's first point on, so that what a resumed run did before does not count. A stage that is
    interrupted by another, as training is by a measurement, continues as if there had been none.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._name: str | None = None
        self._heard = clock()
        self._stages: dict[str | None, _Stage] = {}

    def words(self, progress: Progress, *, fields: bool = True) -> str:
        now = self._clock()
        stage = self._stages.get(progress.stage)
        if stage is None or progress.done < stage.done:
            stage = _Stage(began=self._heard, first_at=now, first=progress.done, heard=now, done=progress.done)
            self._stages[progress.stage] = stage
        elif progress.stage != self._name:
            stage.pause(self._heard - stage.heard)
        self._name, self._heard = progress.stage, now
        stage.heard, stage.done = now, progress.done
        done, seconds = progress.done - stage.first, now - stage.first_at
        parts = [_count(progress)]
        pace = progress.seconds_per_unit
        if pace is not None:
            parts.append(f"{pace:,.0f} s/{progress.unit}" if pace >= 100 else f"{pace:.3g} s/{progress.unit}")
        elif done > 0 and seconds >= _SHORTEST:
            parts.append(_rate(done / seconds, progress.unit))
            pace = seconds / done
        parts.append(f"{duration(now - stage.began)} elapsed")
        if pace is not None and progress.total is not None and progress.total > progress.done:
            parts.append(f"{duration(pace * (progress.total - progress.done))} left")
        parts += [f"{name} {value}" for name, value in progress.fields.items() if fields]
        return printable(", ".join(parts))


def _bars() -> Any:
    from rich.progress import BarColumn, TextColumn
    from rich.progress import Progress as RichProgress

    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(24),
        TextColumn("{task.fields[words]}", markup=False),
    )
    return RichProgress(*columns, console=terminal.STDERR)


@contextmanager
def _bar(title: str) -> Iterator[OnProgress]:
    meter = _Meter()
    with _bars() as bars:
        task = bars.add_task(title, total=None, words="")

        def on_progress(progress: Progress) -> None:
            name = printable(f"{title}: {progress.stage}" if progress.stage else title)
            bars.update(
                task, description=name, total=progress.total, completed=progress.done, words=meter.words(progress)
            )

        yield on_progress


@contextmanager
def _table(title: str) -> Iterator[OnProgress]:
    from rich.console import Group
    from rich.live import Live

    meter, bars = _Meter(), _bars()
    task = bars.add_task(title, total=None, words="")
    shown: dict[str, str] = {}

    def view() -> Group:
        grid = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
        for name in shown:
            grid.add_column(Text(printable(name)), justify="right")
        if shown:
            grid.add_row(*(Text(printable(value)) for value in shown.values()))
        return Group(bars.get_renderable(), grid)

    def on_progress(progress: Progress) -> None:
        name = printable(f"{title}: {progress.stage}" if progress.stage else title)
        words = meter.words(progress, fields=False)
        bars.update(task, description=name, total=progress.total, completed=progress.done, words=words)
        shown.update(progress.fields)

    with Live(get_renderable=view, console=terminal.STDERR, refresh_per_second=4):
        yield on_progress


@contextmanager
def _lines(title: str, every: float) -> Iterator[OnProgress]:
    meter = _Meter()
    shown_at, last_words, shown_words = -math.inf, "", ""

    def show() -> None:
        nonlocal shown_at, shown_words
        tell(printable(last_words))
        shown_at, shown_words = time.monotonic(), last_words

    def on_progress(progress: Progress) -> None:
        nonlocal last_words
        last_words = f"{title}: {progress.stage + ': ' if progress.stage else ''}{meter.words(progress)}"
        if time.monotonic() - shown_at >= every:
            show()

    yield on_progress
    if last_words != shown_words:
        show()


def _count(progress: Progress) -> str:
    digits = 3 if progress.total is not None and progress.total < 10 else 1  # a run of 0.1 kimg moves in thousandths
    total = f"/{_number(progress.total, digits)}" if progress.total is not None else ""
    return f"{_number(progress.done, digits)}{total} {progress.unit}"


def _rate(per_second: float, unit: str) -> str:
    if per_second >= 1:
        return f"{per_second:.3g} {unit}/s" if per_second < 1000 else f"{per_second:,.0f} {unit}/s"
    return f"{1 / per_second:.3g} s/{unit.removesuffix('s')}"


def _number(value: float, digits: int) -> str:
    return f"{value:,.0f}" if value == int(value) else f"{value:,.{digits}f}"


def _cell(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    return "-" if value is None else printable(value, limit=MOST_IN_CELL)
