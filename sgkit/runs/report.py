"""The page that shows a run: samples over time, curves, events, the data, the configuration."""

from __future__ import annotations

import html
import json
import math
import shlex
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sgkit.reports.charts import CHART_SCRIPT, CHART_STYLE, Chart, Curve, Mark, chart_html
from sgkit.reports.pages import Section, html_page
from sgkit.runs.folder import RunConfig, RunFolder
from sgkit.runs.logs import read_log
from sgkit.runs.result import kimg_of
from sgkit.runs.snapshots import measured
from sgkit.runtime.files import atomic_path
from sgkit.runtime.toml import to_toml
from sgkit.store.header import Header, size_text
from sgkit.store.overview import counted, label_facts
from sgkit.text import printable


@dataclass(frozen=True, kw_only=True)
class _Panel:
    """A chart of the report: which values of the log it shows, and what to look for."""

    title: str
    names: tuple[str, ...]
    note: str = ""
    log: bool = False
    from_zero: bool = False


_PANELS = (
    _Panel(title="Losses", names=("loss_g", "loss_d"), note="steady, neither running away"),
    _Panel(title="Signs of D's logits", names=("sign_real", "sign_fake", "sign_g"), note="away from 1 and -1"),
    _Panel(title="Scores of D", names=("score_real", "score_fake"), note="apart, but not ever further"),
    _Panel(title="Diversity of samples", names=("diversity",), note="1: as training images", from_zero=True),
    _Panel(title="Gradient penalties", names=("loss_r1", "loss_r2", "loss_gp", "loss_drift"), note="small", log=True),
    _Panel(title="Path length", names=("pl_length", "pl_mean"), note="steady"),
    _Panel(title="Path length penalty", names=("loss_pl",), note="falling", log=True),
    _Panel(title="Norms of gradients", names=("grad_g", "grad_d", "grad_pl", "grad_d_reg"), note="no bursts", log=True),
    _Panel(title="Cross entropy of classes", names=("class_g", "class_d"), note="falling"),
    _Panel(title="Augmentation", names=("augment_p",), note="follows overfitting", from_zero=True),
    _Panel(title="Growing", names=("lod",), note="doublings left out", from_zero=True),
    _Panel(title="Rates, times those of the recipe", names=("lr_factor",), note="lowered by rollbacks", from_zero=True),
    _Panel(title="Seconds per 1000 images", names=("sec_per_kimg",), from_zero=True),
    _Panel(title="Memory in GiB, at most", names=("memory_gib",), from_zero=True),
)
_NO_CURVES = {"kimg", "images", "step", "time", "event", "text"}
_ONLY_IF_MOVING = {"lr_factor", "lod", "augment_p", "batch"}


def write_report(folder: RunFolder, config: RunConfig, header: Header, *, images: int, status: str) -> None:
    """Write ``report.html`` of a run that has shown so many ``images`` and is ``running``, ``complete`` or stopped.

    Pictures are linked, so the page belongs where it is; everything else is in it.
    """
    lines = read_log(folder.path)
    steps, events = [line for line in lines if "event" not in line], [line for line in lines if "event" in line]
    curves = _curves(steps)
    page = html_page(
        folder.path.resolve().name,
        f"{config.preset}, {kimg_of(images / 1000, config.train.total_kimg)}: {status}.",
        [
            _samples(folder, config, images),
            *_metrics(folder, config, curves, events),
            Section(title="Curves", html=_charts(curves, events, config)),
            _events(events),
            _data(header, config),
            _configuration(folder, config),
        ],
        facts=_facts(folder, config, steps, images),
        style=CHART_STYLE + _STYLE,
        script=CHART_SCRIPT + _SCRIPT,
    )
    with atomic_path(folder.report_file) as aside:
        aside.write_text(page, encoding="utf-8")


def _curves(lines: Sequence[Mapping[str, Any]]) -> dict[str, list[tuple[float, float]]]:
    """Name -> points (kimg, value), as the log has them."""
    curves: dict[str, list[tuple[float, float]]] = {}
    for line in lines:
        for name, value in line.items():
            if name not in _NO_CURVES and isinstance(value, (int, float)) and math.isfinite(value):
                curves.setdefault(name, []).append((line["kimg"], float(value)))
    return curves


def _facts(folder: RunFolder, config: RunConfig, steps: Sequence[Mapping[str, Any]], images: int) -> dict[str, str]:
    rows = [line for line in steps if line.get("sec_per_kimg") is not None]
    facts = {"images shown": f"{images:,}"}
    if rows:
        before, seconds = 0.0, 0.0
        for line in rows:
            seconds += line["sec_per_kimg"] * max(line["kimg"] - before, 0.0)
            before = line["kimg"]
        pace = sorted(line["sec_per_kimg"] for line in rows[-9:])[len(rows[-9:]) // 2]
        left = (config.train.total_kimg - images / 1000) * pace
        facts |= {"time trained": _hours(seconds), "speed": f"{pace:.2f} s/kimg"}
        facts |= {"time left": f"about {_hours(left)}"} if left > 0 else {}
        if rows[-1].get("memory_gib") is not None:
            facts["memory"] = f"{rows[-1]['memory_gib']:.2f} GiB"
    snapshots = folder.snapshots()
    facts["snapshots"] = str(len(snapshots))
    best = _best(folder)
    if best:
        facts[f"best {best['metric']}"] = f"{best['value']:.4g} at {best['kimg']:g} kimg"
    return facts | {"written": time.strftime("%Y-%m-%d %H:%M"), "sgkit": config.sgkit}


def _best(folder: RunFolder) -> dict[str, Any] | None:
    try:
        best: dict[str, Any] = json.loads(folder.best_file.read_text(encoding="utf-8"))
        return best
    except FileNotFoundError:
        return None


def _samples(folder: RunFolder, config: RunConfig, images: int) -> Section:
    """All sample grids behind one slider, beside training images."""
    files = sorted(file for file in folder.reals_file.parent.glob("fakes_*.png") if _kimg(file.stem) * 1000 <= images)
    names = [[f"images/{file.name}", f"{_kimg(file.stem):g}"] for file in files]
    if not names:
        return Section(title="Samples", text="None yet.")
    source, kimg = names[-1]
    body = (
        f'<div class="lapse" data-frames="{_text(json.dumps(names))}"><figure><img src="{source}" alt="Samples">'
        f'<figcaption><button type="button" aria-label="Play">&#9654;</button><input type="range" min="0" '
        f'max="{len(names) - 1}" value="{len(names) - 1}" aria-label="Which snapshot"><span><b>{kimg}</b> kimg</span>'
        '</figcaption></figure><figure><img src="images/reals.png" alt="Training images"><figcaption>Training images, '
        "spread over the store</figcaption></figure></div>"
    )
    text = "The same seeds at every snapshot, drawn by the averaged generator without truncation"
    text += ", each with the label of the training image in its place." if config.model.label_dim else "."
    return Section(title="Samples", text=text, html=body)


def _metrics(
    folder: RunFolder, config: RunConfig, curves: Mapping[str, Any], events: Sequence[Mapping[str, Any]]
) -> list[Section]:
    names = [name for name in config.metrics.names if name in curves]
    if not names:
        return []
    marks, best = _marks(events), _best(folder)
    if best:
        marks = [*marks, Mark(x=best["kimg"], text=f"best {best['metric']}: {best['value']:.4g}")]
    charts = [Chart(title=name, curves=[Curve(name=name, points=curves[name])], marks=marks) for name in names]
    rows = "".join(
        f"<tr{' class=best' if best and snapshot.folder.name == best['snapshot'] else ''}><td>{snapshot.kimg:g}</td>"
        + "".join(f"<td>{measured(snapshot)[name]:.4g}</td>" for name in names if name in measured(snapshot))
        + "</tr>"
        for snapshot in folder.snapshots()
        if measured(snapshot)
    )
    head = "".join(f"<th>{_text(name)}</th>" for name in ("kimg", *names))
    table = f"<details><summary>Snapshots that were measured</summary><table><tr>{head}</tr>{rows}</table></details>"
    return [
        Section(
            title="Metrics",
            text="Distance of generated images from training images; smaller is better. The best snapshot stays, and "
            "commands that are given this run take it.",
            html=f'<div class="charts">{"".join(chart_html(chart) for chart in charts)}</div>{table}',
        )
    ]


def _charts(
    curves: Mapping[str, list[tuple[float, float]]], events: Sequence[Mapping[str, Any]], config: RunConfig
) -> str:
    marks, known = _marks(events), {name for panel in _PANELS for name in panel.names}
    others = [name for name in curves if name not in known and name not in config.metrics.names]
    charts = []
    for panel in [*_PANELS, *(_Panel(title=name, names=(name,)) for name in sorted(others))]:
        shown = [Curve(name=name, points=curves[name]) for name in panel.names if _is_shown(name, curves)]
        chart = Chart(
            title=panel.title,
            curves=shown,
            note=panel.note,
            log=panel.log,
            from_zero=panel.from_zero,
            marks=marks,
        )
        charts.append(chart_html(chart))
    return f'<div class="charts">{"".join(charts)}</div>' if any(charts) else "<p>None yet.</p>"


def _is_shown(name: str, curves: Mapping[str, list[tuple[float, float]]]) -> bool:
    values = {value for _, value in curves.get(name, ())}
    return len(values) > 1 if name in _ONLY_IF_MOVING else bool(values)


def _marks(events: Sequence[Mapping[str, Any]]) -> list[Mark]:
    return [Mark(x=event["kimg"], text=f"{event['kimg']:g} kimg: {event['event']}") for event in events]


def _events(events: Sequence[Mapping[str, Any]]) -> Section:
    if not events:
        return Section(title="Health", text="Nothing happened that is worth telling.")
    rows = "".join(
        f"<tr><td>{event['kimg']:g}</td><td>{_text(event['event'])}</td>"
        f'<td class="wide">{_text(event["text"])}</td></tr>'
        for event in reversed(events)
    )
    table = f"<table><tr><th>kimg</th><th>event</th><th>what happened</th></tr>{rows}</table>"
    return Section(title="Health", html=table)


def _data(header: Header, config: RunConfig) -> Section:
    """The data sheet."""
    labels = header.labels
    facts = {
        "store": config.data.store,
        "images": f"{header.num_images:,}",
        "size": f"{size_text(header.image_size)}, {header.image_channels} channels",
        "encoding": header.encoding,
        "resized by": header.filter,
        "crop": header.crop,
        "labels": label_facts(labels, header.label_counts) + (f": {_some(labels.names)}" if labels.dim else ""),
        "adjusted": counted(header.changed),
        "duplicates": f"{header.repeated:,}",
        "other files": counted(header.unused),
        "left out": ", ".join(f"{count:,} {reason}" for reason, count in header.skipped.items()) or "none",
        "content": header.content_hash[:16],
        "made with sgkit": header.sgkit,
    }
    rows = "".join(
        f'<tr><td class="wide">{_text(source.given)}</td><td>{_text(source.kind)}</td><td>{source.num_images:,}</td>'
        f"<td>{source.num_skipped:,}</td></tr>"
        for source in header.sources
    )
    head = "<tr><th>source</th><th>kind</th><th>images</th><th>left out</th></tr>"
    return Section(title="Data", facts=facts, html=f"<table>{head}{rows}</table>" if rows else "")


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


def _kimg(stem: str) -> float:
    return float(stem.removeprefix("fakes_"))


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:8]) + (" ..." if len(names) > 8 else "")


def _hours(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{seconds / 3600:.1f} h"


def _text(text: str) -> str:
    return html.escape(printable(text), quote=True)


_STYLE = """
.lapse { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(24rem, 100%), 1fr)); gap: 1.2rem; }
.lapse img { width: 100%; image-rendering: auto; }
.lapse figcaption { display: flex; align-items: center; gap: .7rem; width: auto; min-height: 2rem; }
.lapse input { flex: 1; accent-color: var(--mark); min-width: 0; }
.lapse span { min-width: 6rem; text-align: right; font-variant-numeric: tabular-nums; }
.lapse button { border: 1px solid var(--line); border-radius: 50%; background: var(--card); color: var(--mark);
  width: 2rem; height: 2rem; padding: 0; cursor: pointer; font-size: .75rem; line-height: 1; flex: none; }
table { border-collapse: collapse; font-size: .9rem; font-variant-numeric: tabular-nums; display: block;
  overflow-x: auto; }
th, td { text-align: left; padding: .35rem 1.2rem .35rem 0; border-bottom: 1px solid var(--line); vertical-align: top;
  white-space: nowrap; }
th { color: var(--soft); font-weight: normal; font-size: .8rem; }
td.wide { white-space: normal; min-width: 20rem; }
tr.best td { font-weight: 600; color: var(--mark); }
"""

_SCRIPT = """
for (const lapse of document.querySelectorAll(".lapse")) {
  const frames = JSON.parse(lapse.dataset.frames), image = lapse.querySelector("img");
  const slider = lapse.querySelector("input"), kimg = lapse.querySelector("b"), button = lapse.querySelector("button");
  let timer = null;
  const show = () => { [image.src, kimg.textContent] = frames[slider.value]; };
  const stop = () => { clearInterval(timer); timer = null; button.textContent = "\\u25b6"; };
  slider.addEventListener("input", () => { stop(); show(); });
  button.addEventListener("click", () => {
    if (timer) return stop();
    if (slider.valueAsNumber === frames.length - 1) slider.value = 0;
    show();
    button.textContent = "\\u23f8";
    timer = setInterval(() => {
      if (slider.valueAsNumber === frames.length - 1) return stop();
      slider.value = slider.valueAsNumber + 1;
      show();
    }, 250);
  });
}
"""
