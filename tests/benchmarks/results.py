"""The results of the standard benchmark: a JSON file beside this one, what follows from it, and its page."""

from __future__ import annotations

import json
import statistics
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2

ROOT = Path(__file__).resolve().parents[2]
FILE = Path(__file__).with_name("results.json")
PAGE = ROOT / "docs" / "benchmarks.md"
WORSE = 0.1
"""Loss of a share (or ratio) that is told."""
Results = dict[str, Any]


@dataclass(frozen=True)
class Figure:
    """What is said of one alternative of a row."""

    name: str
    seconds: float
    """Median, of one unit."""
    ratio: float | None
    """How many times as fast as the row's base: the median of pairs of the same round."""
    share: float | None
    """Of the ceiling of its precision."""
    memory: float | None

    def text(self) -> str:
        """A cell of a table."""
        parts = [duration(self.seconds)]
        if self.ratio is not None:
            parts.append(f"{self.ratio:.2f}x")
        if self.share is not None:
            parts.append(f"{self.share:.0%}")
        return ", ".join(parts)


def figures(row: dict[str, Any], ceilings: dict[str, Any]) -> dict[str, Figure]:
    """The alternatives of a row, in order."""
    found, base = {}, row["alternatives"].get(row["base"])
    for name, one in row["alternatives"].items():
        seconds = statistics.median(one["times"])
        pairs = zip(base["times"], one["times"], strict=False) if base and name != row["base"] else ()
        ratios = [a / b for a, b in pairs]
        ceiling = ceilings.get(name.split()[-1], {}).get("best") if row["flops"] else None
        found[name] = Figure(
            name=name,
            seconds=seconds,
            ratio=statistics.median(ratios) if ratios else None,
            share=row["flops"] / seconds / 1e9 / ceiling if ceiling else None,
            memory=one["memory"],
        )
    return found


def duration(seconds: float) -> str:
    """``0.34`` as ``340 ms``."""
    if seconds >= 10:
        return f"{seconds:.1f} s"
    if seconds >= 1:
        return f"{seconds:.2f} s"
    return f"{seconds * 1000:.0f} ms" if seconds >= 0.1 else f"{seconds * 1000:.1f} ms"


# ------------------------------------------------------------------------------------------------ what is wanted


@dataclass(frozen=True)
class Goal:
    """A figure that was wanted, and whether it is reached."""

    row: str
    text: str
    wanted: float
    found: float
    unit: str = ""

    @property
    def is_reached(self) -> bool:
        return self.found >= self.wanted if self.unit != " s" else self.found <= self.wanted

    def shown(self, value: float) -> str:
        return f"{value:.0%}" if self.unit == "%" else f"{value:.2f}{self.unit}"


_SHARES = {"sgkit fp32": 0.90, "sgkit bf16": 0.85}
_RATIOS = {
    "training": {"sgkit fp32": 1.45, "sgkit bf16": 2.2},
    "projection": {"sgkit fp32": 1.6, "sgkit bf16": 2.5},
    "panorama of 20": {"sgkit fp32": 2.0, "sgkit bf16": 2.0},
    "prepare PNG": {"sgkit, 2 workers": 1.3},
    "prepare JPEG": {"sgkit, 1 worker": 1 / 1.2},
}
_SECONDS = {"1024 px model": {"sgkit": 2.5}}


def goals(results: Results) -> Iterator[Goal]:
    """The goals whose rows were measured."""
    for row in results["rows"]:
        name, found = row["name"], figures(row, results["ceilings"])
        if name.startswith("synthesis"):
            for who, share in _SHARES.items():
                if who in found and found[who].share is not None:
                    yield Goal(name, f"{who}: share of the ceiling", share, found[who].share or 0.0, "%")
                other = f"openvino {who.split()[-1]}"
                if who in found and other in found:
                    yield Goal(name, f"{who} against {other}", 1.0, found[other].seconds / found[who].seconds, "x")
        for start, wanted in _RATIOS.items():
            for who, ratio in wanted.items():
                if name.startswith(start) and who in found and found[who].ratio is not None:
                    yield Goal(name, f"{who} against {row['base']}", ratio, found[who].ratio or 0.0, "x")
        for start, limits in _SECONDS.items():
            for who, seconds in limits.items():
                if name.startswith(start) and who in found:
                    yield Goal(name, who, seconds, found[who].seconds, " s")


def worse(before: Results | None, now: Results) -> Iterator[str]:
    """What lost over a tenth of its share of the ceiling since ``before``; of its ratio, where a row has no share."""
    if before is None:
        return
    old = {row["name"]: figures(row, before["ceilings"]) for row in before["rows"]}
    for row in now["rows"]:
        for name, figure in figures(row, now["ceilings"]).items():
            then = old.get(row["name"], {}).get(name)
            if then is None or not name.startswith("sgkit"):
                continue
            kind, was, is_now = "share of the ceiling", then.share, figure.share
            if was is None or is_now is None:
                kind, was, is_now = "ratio", then.ratio, figure.ratio
            if was and is_now is not None and is_now < was * (1 - WORSE):
                yield f"{row['name']}, {name}: {kind} {was:.2f} -> {is_now:.2f}"


# ------------------------------------------------------------------------------------------------ files


def load() -> Results | None:
    """The results on disk."""
    return json.loads(FILE.read_text(encoding="utf-8")) if FILE.is_file() else None


def committed() -> Results | None:
    """The results of the last commit."""
    name = FILE.relative_to(ROOT).as_posix()
    shown = subprocess.run(["git", "show", f"HEAD:{name}"], cwd=ROOT, capture_output=True, text=True)
    return json.loads(shown.stdout) if shown.returncode == 0 else None


def save(results: Results) -> None:
    """Write the JSON and the page that follows from it."""
    FILE.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    PAGE.write_text(page(results), encoding="utf-8")


def page(results: Results) -> str:
    """``docs/benchmarks.md``, whole."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,
    )
    environment.globals |= {"table": partial_table(results), "memory": partial_table(results, memory=True)}
    names = {row["group"] for row in results["rows"]}
    found = list(goals(results))
    return environment.get_template("page.md.j2").render(
        results=results,
        groups=names,
        short=[goal for goal in found if not goal.is_reached],
        reached=[goal for goal in found if goal.is_reached],
    )


def partial_table(results: Results, *, memory: bool = False) -> Any:
    """A function for the template: groups -> a table of their rows, a column for each alternative."""

    def table(*groups: str) -> str:
        rows = [row for row in results["rows"] if row["group"] in groups]
        if not rows:
            return "*Not measured in this run.*"
        columns = list(dict.fromkeys(name for row in rows for name in row["alternatives"]))
        lines = list(_lines(rows, columns, results["ceilings"], memory=memory))
        failed = [f"{row['name']}, {name}: {text}" for row in rows for name, text in row["failed"].items()]
        notes = "" if memory or not failed else f"\n\nNot measured: {'; '.join(failed)}."
        return markdown(["", *columns], lines) + notes

    return table


def _lines(
    rows: Sequence[dict[str, Any]], columns: Sequence[str], ceilings: dict[str, Any], *, memory: bool
) -> Iterator[list[str]]:
    for row in rows:
        found = figures(row, ceilings)
        cells = []
        for name in columns:
            figure = found.get(name)
            if figure is None:
                cells.append("failed" if name in row["failed"] else "")
            elif memory:
                cells.append("" if figure.memory is None else f"{figure.memory:.0f}")
            else:
                cells.append(figure.text())
        yield [row["name"], *cells]


def markdown(head: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    """A table."""
    rows = [head, ["---"] * len(head), *lines]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)
