"""What work costs as it grows: one chart each, of time and of memory, for docs/benchmarks.md.

    python -m tests.benchmarks curves

One thread and fp32, unless a line says otherwise. Times are processor time where one thread works, otherwise by the
clock. It takes about 6 minutes on a quiet machine with two cores.
"""

from __future__ import annotations

import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import jinja2

from sgkit.reports.charts import Chart, Curve, draw
from tests.benchmarks import results

IMAGES = results.ROOT / "docs" / "images"
Points = list[tuple[float, float]]


@dataclass(frozen=True)
class Panel:
    """Curves over one pair of axes: name -> points."""

    title: str
    unit: str
    """Of x."""
    curves: dict[str, Points]
    log: bool = False


@dataclass(frozen=True)
class Cost:
    """One picture of the page."""

    name: str
    title: str
    panels: tuple[Panel, ...]
    """Time and memory; side by side."""


def _series(
    values: tuple[int, ...], runs: dict[str, Callable[[int], Callable[[], object]]], *, per: Callable[[int], float]
) -> tuple[dict[str, Points], dict[str, Points]]:
    """Milliseconds for each unit, and MiB of a call, at each of ``values``; the runs in turn."""
    from tests.benchmarks.timing import compare

    seconds: dict[str, Points] = {name: [] for name in runs}
    memory: dict[str, Points] = {name: [] for name in runs}
    for value in values:
        measured = compare({name: make(value) for name, make in runs.items()}, rounds=2, per=per(value))
        for name, one in measured["alternatives"].items():
            seconds[name].append((value, min(one["times"]) * 1000))
            memory[name].append((value, float(one["memory"] or 0)))
    return seconds, memory


def resolutions() -> Cost:
    """One image of config F, by its side."""
    import torch

    from tests.benchmarks.contestants import config_f

    def make(precision: Any, size: int) -> Callable[[], object]:
        generator = config_f(size, 16384).generator.eval().requires_grad_(False)
        return partial(_draw, generator, generator.mapping(torch.randn(1, generator.config.z_dim)), precision)

    runs = {precision: partial(make, precision) for precision in ("fp32", "bf16")}
    seconds, memory = _series((64, 128, 256, 512, 1024), runs, per=lambda _: 1)
    time_panel = Panel("ms for an image", "side", seconds, log=True)
    return Cost("resolution", "Resolution", (time_panel, Panel("MiB of a call", "side", memory)))


def batches() -> Cost:
    """Images of 128 px, by how many are drawn together."""
    import torch

    from tests.benchmarks.contestants import config_f

    generator = config_f(128, 16384).generator.eval().requires_grad_(False)

    def make(batch: int) -> Callable[[], object]:
        return partial(_draw, generator, generator.mapping(torch.randn(batch, generator.config.z_dim)), "fp32")

    seconds, memory = _series((1, 2, 4, 8, 16, 32), {"128 px": make}, per=lambda batch: batch)
    return Cost("batch", "Batch", (Panel("ms for an image", "batch", seconds), Panel("MiB of a call", "batch", memory)))


def lengths() -> Cost:
    """Panoramas of 128 px, by their length in images."""
    from tests.benchmarks import bench_panorama as bench

    model = bench.model_of(128, bench.CHANNEL_BASE)
    model.generator.requires_grad_(False)

    def tiled(anchors: int) -> Callable[[], object]:
        return partial(bench.plane, model, anchors, 1, tile=bench.TILE)

    def whole(anchors: int) -> Callable[[], object]:
        return partial(bench.plane, model, anchors, 1, tile=anchors * 128)

    def rate(points: Points) -> Points:
        return [(x, 1000 / y) for x, y in points]

    runs = {"tiles of 512": tiled, "in one piece": whole}
    seconds, memory = _series((2, 4, 8, 16, 32), runs, per=lambda anchors: anchors * 128**2 / 1e6)
    rates = {name: rate(points) for name, points in seconds.items()}
    panels = (Panel("megapixels per second", "images", rates), Panel("MiB of a call", "images", memory))
    return Cost("panorama-length", "Length of a panorama", panels)


def _draw(generator: Any, ws: Any, precision: Any) -> object:
    import torch

    from sgkit.runtime.precision import autocast

    with torch.inference_mode(), autocast(precision, torch.device("cpu")):
        return generator.synthesis(ws)


def workers() -> Cost:
    """Preparing 1,500 PNG files, by worker processes."""
    from tests.benchmarks import bench_prepare as bench

    rates: Points = []
    memory: Points = []
    with tempfile.TemporaryDirectory() as name:
        folder, count = Path(name), 1500
        bench.small_pngs(count, folder / "source.zip", None)
        (folder / "ours.py").write_text(bench.OURS)
        for number in (1, 2, 3, 4):
            words = [str(folder / "ours.py"), str(folder / "source.zip"), str(folder / f"out{number}"), "128"]
            found = bench.Measured([sys.executable, *words, str(number), "png"])
            rates.append((number, count / found.seconds))
            memory.append((number, found.peak))
    panels = (
        Panel("images per second", "workers", {"256 to 128 px": rates}),
        Panel("MiB of all processes", "workers", {"256 to 128 px": memory}),
    )
    return Cost("prepare-workers", "Worker processes of prepare", panels)


def processes() -> Cost:
    """Training at 32 px, by processes of one thread under torchrun: the time of a long run less that of a short one."""
    from tests.benchmarks import bench_prepare as bench

    speeds: Points = []
    memory: Points = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        store = folder / "store"
        words = ["prepare", "sample:landscapes?count=64", "--out", str(store), "--size", "32"]
        bench.Measured([sys.executable, "-m", "sgkit", *words])
        for number in (1, 2, 4):
            spent = []
            for images in (256, 1024):
                run = ["--out", str(folder / f"run{number}-{images}"), "--preset", "stylegan2-mini", "--batch", "32"]
                run += ["--kimg", str(images / 1000)]
                command = [
                    sys.executable,
                    "-m",
                    "torch.distributed.run",
                    "--nproc-per-node",
                    str(number),
                    "-m",
                    "sgkit",
                ]
                found = bench.Measured([*command, "train", str(store), *run])
                spent.append(found.seconds)
            speeds.append((number, 768 / (spent[1] - spent[0])))
            memory.append((number, found.peak))
    panels = (
        Panel("images per second", "processes", {"32 px": speeds}),
        Panel("MiB of all processes", "processes", {"32 px": memory}),
    )
    return Cost("training-processes", "Processes of a training", panels)


COSTS = (resolutions, batches, lengths, workers, processes)


def svg(cost: Cost) -> str:
    """The picture: the panels side by side."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent), autoescape=True, trim_blocks=True, lstrip_blocks=True
    )
    panels = []
    for panel in cost.panels:
        curves = [Curve(name=name, points=points) for name, points in panel.curves.items()]
        panels.append(draw(Chart(title=panel.title, curves=curves, x_unit=panel.unit, log=panel.log, from_zero=True)))
    return environment.get_template("curve.svg.j2").render(title=cost.title, panels=panels)


def measured() -> Iterator[tuple[Cost, float]]:
    """Every cost and the seconds that it took; one that fails is named and left out."""
    for cost in COSTS:
        began = time.perf_counter()
        try:
            yield cost(), time.perf_counter() - began
        except (Exception, SystemExit) as error:
            print(f"{cost.__name__} failed: {error}", flush=True)


def main(*, busy: bool) -> None:
    """Measure all, write the pictures, and put them into the results."""
    import torch

    from sgkit.runtime.allocator import keep_freed_memory

    warnings.filterwarnings("ignore")
    torch.set_num_threads(1)
    keep_freed_memory()
    if results.load() is None:
        sys.exit("There are no results yet to put curves into. Measure them first: python -m tests.benchmarks --quick")
    charts = []
    for cost, seconds in measured():
        file = f"cost-{cost.name}.svg"
        (IMAGES / file).write_text(svg(cost), encoding="utf-8")
        panels = [{"title": panel.title, "unit": panel.unit, "curves": panel.curves} for panel in cost.panels]
        charts.append({"name": cost.name, "title": cost.title, "file": file, "panels": panels})
        found = results.load() or {}
        found["curves"] = {"busy": busy, "charts": charts}
        results.save(found)
        print(f"{cost.title} after {seconds:.0f} s: {panels}", flush=True)
