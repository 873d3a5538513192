"""The report of a run: samples over time, curves, events, the data, the configuration."""

from __future__ import annotations

import json
import math
import shlex
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from sgkit.config.metrics import METRIC_ROWS, ranking
from sgkit.reports.charts import Chart, Curve, Mark
from sgkit.reports.pages import Figure, Page, Section, Table, TimeLapse, preview, render_page
from sgkit.runs.config import RunConfig
from sgkit.runs.events import EXPECT, INIT, MEANINGS, NEW_DATA, STALLED
from sgkit.runs.expect import speed_words, time_words
from sgkit.runs.folder import RunFolder, kimg_of
from sgkit.runs.logs import read_log
from sgkit.runs.snapshots import measured
from sgkit.runs.timing import WINDOW
from sgkit.runtime.files import atomic_path
from sgkit.runtime.toml import to_toml
from sgkit.store.header import Header, size_text
from sgkit.store.overview import counted, label_facts
from sgkit.text import printable

RELOAD_SECONDS = 60
"""Seconds after which a browser loads the report of a run that goes on again."""
MAX_FRAMES = 24
"""Sample grids inside a report."""

Lines = Sequence[Mapping[str, Any]]
Curves = Mapping[str, list[tuple[float, float]]]

_CHARTS: tuple[tuple[str, tuple[str, ...], str, str], ...] = (
    # title, names in the log, what to look for, axis: "", "log" or "from zero"
    ("Losses", ("loss_g", "loss_d"), "steady", ""),
    ("Signs of the logits", ("sign_real", "sign_fake", "sign_g"), "away from 1 and -1", ""),
    ("Discriminator scores", ("score_real", "score_fake"), "separated, but not steadily diverging", ""),
    ("Diversity of samples", ("diversity", "distinct"), "1: as diverse as training images", "from zero"),
    ("Scores of held-out images", ("held_out_real", "held_out", "held_out_fake"), "held-out near real", ""),
    ("Gradient penalties", ("loss_r1", "loss_r2", "loss_gp", "loss_drift"), "small", "log"),
    ("Path length", ("pl_length", "pl_mean"), "steady", ""),
    ("Path length penalty", ("loss_pl",), "falling", "log"),
    ("Gradient norms", ("grad_g", "grad_d", "grad_pl", "grad_d_reg"), "no spikes", "log"),
    ("Class cross-entropy", ("class_g", "class_d"), "falling", ""),
    ("Augmentation probability", ("augment_p",), "follows overfitting", "from zero"),
    ("Progressive growing", ("lod",), "doublings still to grow", "from zero"),
    ("Learning rates, relative to the configured ones", ("lr_factor",), "lowered by rollbacks", "from zero"),
    ("Seconds per 1000 images", ("sec_per_kimg",), "", "from zero"),
    ("Peak memory in GiB", ("memory_gib",), "", "from zero"),
)
_NO_CURVES = {"kimg", "images", "step", "time", "event", "text"}
_ONLY_IF_CHANGING = {"lr_factor", "lod", "augment_p", "batch"}


def write_report(folder: RunFolder, config: RunConfig, header: Header, *, images: int, status: str) -> None:
    """Write ``report.html`` of a run that has shown ``images`` images.

    Args:
        status: ``running``, ``complete``, or what stopped the run.
    """
    lines = read_log(folder.path)
    steps, events = [line for line in lines if "event" not in line], [line for line in lines if "event" in line]
    curves = _curves(steps)
    troubles = [event for event in events if event["event"] != EXPECT]
    is_ill = any(event["event"] not in (INIT, NEW_DATA, STALLED) for event in troubles)
    charts = _charts(curves, _marks(troubles), config)
    page = Page(
        title=folder.path.resolve().name,
        lead=f"{config.preset}, {kimg_of(images / 1000, config.train.total_kimg)}: {status}.",
        facts=_facts(folder, config, steps, images),
        reload_seconds=RELOAD_SECONDS if status == "running" else None,
        sections=[
            _samples(folder, config, images),
            *([_events(troubles)] if is_ill else []),
            *_guide(config, events),
            *_metrics(folder, config, curves, _marks(troubles)),
            Section(title="Curves", charts=charts, text="" if charts else "None yet."),
            *([] if is_ill else [_events(troubles)]),
            Section(title="The progress line", table=_words(MEANINGS)),
            _data(header, config),
            _configuration(folder, config),
        ],
    )
    with atomic_path(folder.report_file) as temporary:
        temporary.write_text(render_page(page), encoding="utf-8")


def _curves(lines: Lines) -> Curves:
    """Name -> points (kimg, value) by rising kimg; of several values at one kimg, the last in the log."""
    curves: dict[str, dict[float, float]] = {}
    for line in lines:
        for name, value in line.items():
            if name not in _NO_CURVES and isinstance(value, (int, float)) and math.isfinite(value):
                curves.setdefault(name, {})[line["kimg"]] = float(value)
    return {name: sorted(points.items()) for name, points in curves.items()}


def _facts(folder: RunFolder, config: RunConfig, steps: Lines, images: int) -> dict[str, str]:
    rows = [line for line in steps if line.get("sec_per_kimg") is not None]
    facts = {"images shown": f"{images:,}"}
    if rows:
        seconds, pace = _times(rows)
        left = (config.train.total_kimg - images / 1000) * pace
        facts |= {
            "time trained": time_words(seconds),
            "speed": f"{speed_words(pace)} s/kimg",
        }
        facts |= {"time left": f"about {time_words(left)}"} if left > 0 else {}
        if rows[-1].get("memory_gib") is not None:
            facts["memory"] = f"{rows[-1]['memory_gib']:.2f} GiB"
    facts["snapshots"] = str(len(folder.snapshots()))
    best = _best(folder)
    if best:
        facts[f"best {best['metric']}"] = f"{best['value']:.4g} at {best['kimg']:g} kimg"
    return facts | {"written": time.strftime("%Y-%m-%d %H:%M"), "sgkit": config.sgkit}


def _times(rows: Lines) -> tuple[float, float]:
    """Seconds of all steps, and seconds for a thousand images of the last ones: as many as the progress line counts."""
    before = [0.0, *(line["kimg"] for line in rows)]
    kimg = [max(line["kimg"] - last, 0.0) for line, last in zip(rows, before, strict=False)]
    seconds = [line["sec_per_kimg"] * length for line, length in zip(rows, kimg, strict=True)]
    first = next((i for i in reversed(range(len(rows))) if rows[-1]["step"] - rows[i]["step"] >= WINDOW), -1) + 1
    recent = sum(kimg[first:])
    return sum(seconds), sum(seconds[first:]) / recent if recent else rows[-1]["sec_per_kimg"]


def _best(folder: RunFolder) -> dict[str, Any] | None:
    try:
        best: dict[str, Any] = json.loads(folder.best_file.read_text(encoding="utf-8"))
        return best
    except FileNotFoundError:
        return None


def _samples(folder: RunFolder, config: RunConfig, images: int) -> Section:
    """Sample grids over time, beside training images."""
    folder_of_images = folder.reals_file.parent
    files = sorted(file for file in folder_of_images.glob("fakes_*.png") if _kimg(file) * 1000 <= images)
    frames = list(_previews(_spread(files)))
    if not frames:
        return Section(title="Samples", text="None yet.")
    text = "The same seeds at every snapshot, drawn by the averaged generator without truncation"
    text += ", each with the label of the training image in its place." if config.model.label_dim else "."
    if len(frames) < len(files):
        text += f" {len(frames)} of {len(files)} grids are shown; all are in {folder_of_images.name}/."
    return Section(
        title="Samples",
        text=text,
        lapse=TimeLapse(frames=frames, beside=next(_previews([folder.reals_file]), None)),
    )


def _guide(config: RunConfig, events: Lines) -> list[Section]:
    """What was chosen and why, and what to expect."""
    chosen = dict(line.split(": ", 1) for line in config.choices)
    expected = next((event for event in reversed(events) if event["event"] == EXPECT), {})
    known = ("event", "kimg", "images", "time", "text")
    facts = {name: str(value) for name, value in expected.items() if name not in known}
    at = f"As measured at {expected['kimg']:g} kimg on the machine that trains." if facts else ""
    guide = [
        ("Choices", "What the preset auto chose for these images and this machine; any option changes it.", chosen),
        ("What to expect", at, facts),
    ]
    return [Section(title=title, text=text, table=_words(rows)) for title, text, rows in guide if rows]


def _words(rows: Mapping[str, str]) -> Table:
    return Table(columns=("", "meaning"), rows=list(rows.items()), wrapped="meaning")


def _spread(files: Sequence[Path]) -> Sequence[Path]:
    """The last one and every 2nd, 4th, 8th ... of the others: mostly the same ones as the run goes on."""
    stride = 1
    while len(files) / stride > MAX_FRAMES - 1:
        stride *= 2
    chosen = files[::stride]
    return [*chosen, files[-1]] if files and chosen[-1] != files[-1] else chosen


def _previews(files: Sequence[Path]) -> Iterator[Figure]:
    """Those of ``files`` that can be read: a report must not stop a run for a damaged picture."""
    for file in files:
        caption = "Training images, spread over the store" if file.stem == "reals" else f"{_kimg(file):g} kimg"
        with suppress(OSError, SyntaxError):
            yield preview(file, caption)


def _kimg(file: Path) -> float:
    return float(file.stem.removeprefix("fakes_"))


def _metrics(folder: RunFolder, config: RunConfig, curves: Curves, marks: list[Mark]) -> list[Section]:
    names = [name for name in _value_names(config) if name in curves]
    if not names:
        return []
    best = _best(folder)
    if best:
        marks = [*marks, Mark(x=best["kimg"], text=f"best {best['metric']}: {best['value']:.4g}")]
    snapshots = [(snapshot, measured(snapshot)) for snapshot in folder.snapshots() if measured(snapshot)]
    table = Table(
        title="Measured snapshots",
        columns=("kimg", *names),
        rows=[
            (f"{snapshot.kimg:g}", *(f"{values[name]:.4g}" if name in values else "-" for name in names))
            for snapshot, values in snapshots
        ],
        marked=next((i for i, (one, _) in enumerate(snapshots) if best and one.folder.name == best["snapshot"]), None),
    )
    return [
        Section(
            title="Metrics",
            text=f"{_better(names)} The best snapshot is kept, and "
            "commands use it when they are given this run folder.",
            charts=[Chart(title=name, curves=[Curve(name=name, points=curves[name])], marks=marks) for name in names],
            table=table,
        )
    ]


def _value_names(config: RunConfig) -> list[str]:
    """Names of the values of the run's metrics."""
    rows = {row.name: row.value_names for row in METRIC_ROWS}
    return [value for name in config.metrics.names for value in rows.get(name, (name,))]


def _better(names: Sequence[str]) -> str:
    """Which values are good, in a sentence or two."""
    higher = [name for name in names if ranking(name)[1] == "higher"]
    text = "Distance between generated and training images; smaller is better." if len(higher) < len(names) else ""
    return f"{text} Of {', '.join(higher)}, larger is better.".strip() if higher else text


def _charts(curves: Curves, marks: list[Mark], config: RunConfig) -> list[Chart]:
    known = {name for _, names, _, _ in _CHARTS for name in names}
    others = sorted(name for name in curves if name not in known and name not in _value_names(config))
    charts = []
    for title, names, note, axis in [*_CHARTS, *((name, (name,), "", "") for name in others)]:
        shown = [Curve(name=name, points=curves[name]) for name in names if _is_shown(name, curves)]
        if shown:
            log, from_zero = axis == "log", axis == "from zero"
            charts.append(Chart(title=title, curves=shown, note=note, log=log, from_zero=from_zero, marks=marks))
    return charts


def _is_shown(name: str, curves: Curves) -> bool:
    values = {value for _, value in curves.get(name, ())}
    return len(values) > 1 if name in _ONLY_IF_CHANGING else bool(values)


def _marks(events: Lines) -> list[Mark]:
    return [Mark(x=event["kimg"], text=f"{event['kimg']:g} kimg: {event['event']}") for event in events]


def _events(events: Lines) -> Section:
    if not events:
        return Section(title="Health", text="No problems so far.")
    columns = ("kimg", "event", "what happened")
    rows = [(f"{event['kimg']:g}", event["event"], printable(event["text"])) for event in reversed(events)]
    return Section(title="Health", table=Table(columns=columns, rows=rows, wrapped=columns[-1]))


def _data(header: Header, config: RunConfig) -> Section:
    labels = header.labels
    names = ", ".join(labels.names[:8]) + (" ..." if len(labels.names) > 8 else "")
    facts = {
        "store": config.data.store,
        "images": f"{header.num_images:,}",
        "size": f"{size_text(header.image_size)}, {header.image_channels} channels",
        "encoding": header.encoding,
        "resize filter": header.filter,
        "crop": header.crop,
        "labels": label_facts(labels, header.label_counts) + (f": {names}" if labels.dim else ""),
        "adjusted": counted(header.changed),
        "duplicates": f"{header.repeated:,}",
        "other files": counted(header.unused),
        "skipped": ", ".join(f"{count:,} {reason}" for reason, count in header.skipped.items()) or "none",
        "content hash": header.content_hash[:16],
        "made with sgkit": header.sgkit,
    }
    rows = [
        (source.given, source.kind, f"{source.num_images:,}", f"{source.num_skipped:,}") for source in header.sources
    ]
    table = Table(columns=("source", "kind", "images", "skipped"), rows=rows, wrapped="source") if rows else None
    return Section(title="Data", facts=facts, table=table)


def _configuration(folder: RunFolder, config: RunConfig) -> Section:
    run, names, length = str(folder.path), config.data.class_names, config.model.label_dim
    label = [] if length == 0 else ["--class", names[0]] if names else ["--label", ",".join(["0"] * length)]
    return Section(
        title="Configuration",
        commands=(
            shlex.join(["sgkit", "train", config.data.store, "--out", run, "--resume"]),
            shlex.join(["sgkit", "generate", run, *label, "--seeds", "0-31", "--grid", "8x4", "--out", "grid.png"]),
        ),
        details=("config.toml", to_toml(config.to_dict())),
    )
