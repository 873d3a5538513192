"""Results of metrics as tables: text, Markdown, LaTeX, and an HTML page with curves over kimg.

Values of a metric that were computed in different ways are never beside each other unmarked: each value that lacks
images for its protocol, or has other numbers of images than the first one of its column, has a mark and a note.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from sgkit.measure.task import MeasureResult
from sgkit.metrics.values import MetricValue
from sgkit.reports.charts import Chart, Curve
from sgkit.reports.pages import Page, Section, Table, render_page

MARKS = "*†‡§¶#"
ARROWS = {"lower": "↓", "higher": "↑"}


@dataclass(frozen=True)
class Grid:
    """One row for each set of images, one column for each value."""

    columns: tuple[str, ...]
    rows: list[tuple[str, ...]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    """What the marks mean, each beginning with its mark."""


def grid_of(results: Sequence[MeasureResult]) -> Grid:
    """The values of ``results`` under their names; the first column says what was measured."""
    names = list(dict.fromkeys(value.name for result in results for value in result.metrics))
    firsts = {value.name: value for result in reversed(results) for value in result.metrics}
    grid = Grid(("images", *(f"{name} {ARROWS[firsts[name].better]}" for name in names)))
    marks: dict[str, str] = {}
    for result in results:
        values = {value.name: value for value in result.metrics}
        cells = (_cell(values.get(name), firsts[name], marks) for name in names)
        grid.rows.append((_name_of(result), *cells))
    grid.notes.extend(f"{mark} {note}" for note, mark in marks.items())
    return grid


def number_text(value: MetricValue) -> str:
    """The value, with its uncertainty if it has one, to as many digits as make sense."""
    text = f"{value.value:.4g}"
    if value.std is None:
        return text
    return f"{text} ± {value.std:.2g}"


def _cell(value: MetricValue | None, first: MetricValue, marks: dict[str, str]) -> str:
    if value is None:
        return "-"
    notes = list(value.notes)
    numbers, usual = (value.num_images, value.num_data), (first.num_images, first.num_data)
    if value.protocol != first.protocol:
        notes.append(f"protocol {dict(value.protocol)}")
    if numbers != usual:
        notes.append(f"{_count(numbers[0])} images against {_count(numbers[1])}")
    if not notes:
        return number_text(value)
    return f"{number_text(value)} {mark_of(notes, marks)}"


def mark_of(notes: Sequence[str], marks: dict[str, str]) -> str:
    """The mark that stands for ``notes``, from ``marks`` (notes -> mark), which a new one is added to."""
    return marks.setdefault("; ".join(notes), MARKS[len(marks) % len(MARKS)] * (1 + len(marks) // len(MARKS)))


def _count(number: int | None) -> str:
    return "unknown" if number is None else f"{number:,}"


def _name_of(result: MeasureResult) -> str:
    info = result.images
    of_class = "" if result.class_name is None else f", {result.class_name}"
    psi = "" if info.truncation_psi in (None, 1.0) else f", psi {info.truncation_psi:g}"
    if not of_class and info.labels is not None and (result.data is None or info.labels != result.data.path):
        of_class = f", class {info.labels}"
    path = f"{info.path}{of_class}"
    return f"{path}{psi}" if info.kimg is None else f"{path}, {info.kimg:g} kimg{psi}"


def markdown(results: Sequence[MeasureResult]) -> str:
    """A table in Markdown, with its notes below."""
    grid = grid_of(results)
    lines = [grid.columns, ("---", *("---:" for _ in grid.columns[1:])), *grid.rows]
    table = "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)
    notes = "\n".join(f"{note}  " for note in [*grid.notes, _against(results)] if note)
    return f"{table}\n\n{notes}\n"


_LATEX = {
    "\\": r"\textbackslash{}",
    **{letter: f"\\{letter}" for letter in "&%$#_{}"},
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "±": r"$\pm$",
    "↓": r"$\downarrow$",
    "↑": r"$\uparrow$",
    "†": r"\textdagger{}",
    "‡": r"\textdaggerdbl{}",
    "§": r"\textsection{}",
    "¶": r"\textparagraph{}",
}


def latex(results: Sequence[MeasureResult]) -> str:
    """A ``tabular`` in LaTeX, with its notes as comments and below."""
    grid = grid_of(results)
    lines = [" & ".join(_latex(cell) for cell in row) + r" \\" for row in grid.rows]
    head = " & ".join(_latex(column) for column in grid.columns) + r" \\"
    notes = [rf"{_latex(note)}\\" for note in [*grid.notes, _against(results)] if note]
    columns = "l" + "r" * (len(grid.columns) - 1)
    body = [rf"\begin{{tabular}}{{{columns}}}", r"\hline", head, r"\hline", *lines, r"\hline", r"\end{tabular}\\"]
    return "\n".join([*body, *notes]) + "\n"


def _latex(text: str) -> str:
    return "".join(_LATEX.get(letter, letter) for letter in text)


def _against(results: Sequence[MeasureResult]) -> str:
    data = results[0].data
    version = f"sgkit {results[0].versions.get('sgkit', '')}"
    return f"{version}." if data is None else f"Against {data.path} ({data.num_images or 'unknown'} images); {version}."


def page(results: Sequence[MeasureResult]) -> str:
    """An HTML page: the table, a curve over kimg where several snapshots were measured, and how it was computed."""
    grid = grid_of(results)
    charts, curves = _charts(results), _curves(results)
    first = results[0]
    facts = {name: _protocol(value) for name, value in {v.name: v for v in first.metrics}.items()}
    hashes = {_name_of(result): result.images.content_hash or "-" for result in results}
    if first.data is not None:
        hashes[first.data.path] = first.data.content_hash or "-"
    sections = [
        Section(title="Values", text=" ".join(grid.notes), table=Table(columns=grid.columns, rows=grid.rows)),
        *([Section(title="During training", charts=charts)] if charts else []),
        *([Section(title="Curves", charts=curves)] if curves else []),
        Section(title="Protocols", facts=facts),
        Section(title="Feature networks", facts=first.extractors),
        Section(title="Content hashes", facts=hashes),
        Section(title="Versions", facts={**first.versions, "device": first.device, "measured at": first.measured_at}),
    ]
    warnings = list(dict.fromkeys(text for result in results for text in result.warnings))
    if warnings:
        sections.insert(1, Section(title="Warnings", text=" ".join(warnings)))
    return render_page(Page(title="Metrics", lead=_against(results), sections=sections))


def _charts(results: Sequence[MeasureResult]) -> list[Chart]:
    """A chart for each value that at least two snapshots have."""
    points: dict[str, dict[float, float]] = {}
    for result in results:
        if result.images.kimg is not None:
            for value in result.metrics:
                points.setdefault(value.name, {})[result.images.kimg] = value.value
    return [
        Chart(title=name, curves=[Curve(name=name, points=sorted(found.items()))])
        for name, found in points.items()
        if len(found) > 1
    ]


_CURVES = (("recall", "precision", "recall"), ("counts", "values", "images"))
"""Details of a value that are a curve: names of x and y, and what x counts."""


def _curves(results: Sequence[MeasureResult]) -> list[Chart]:
    """The curves that values come with: precision over recall, and distances over numbers of images."""
    charts: dict[tuple[str, str], list[Curve]] = {}
    for result in results:
        for value in result.metrics:
            for x, y, unit in _CURVES:
                if x in value.details and y in value.details:
                    points = sorted(zip(value.details[x], value.details[y], strict=True))
                    charts.setdefault((value.metric, unit), []).append(Curve(name=_name_of(result), points=points))
    return [Chart(title=name, curves=curves, x_unit=unit) for (name, unit), curves in charts.items()]


def _protocol(value: MetricValue) -> str:
    shown = {name: one for name, one in value.protocol.items() if one not in (None, "")}
    return ", ".join(f"{name.replace('_', ' ')} {one}" for name, one in shown.items())
