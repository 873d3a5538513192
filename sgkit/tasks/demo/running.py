"""Runs the steps of the demo and writes its page."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

import sgkit
from sgkit.errors import InputError
from sgkit.reports.pages import render_page
from sgkit.runtime.device import resolve_device
from sgkit.runtime.files import atomic_path
from sgkit.store.header import HEADER_NAME
from sgkit.tasks.demo.page import demo_page
from sgkit.tasks.demo.steps import Demo, DemoScale, Record, Speed, arguments, command_line, planned, steps

Run = Callable[[list[str]], Any]
"""Runs ``sgkit`` with these arguments and returns what it reports with ``--json``."""

MINUTES = 2.0
"""How long the demo takes on an otherwise idle machine."""
PROBE = 8
"""Images of the measurement of speed."""


@dataclass(frozen=True, kw_only=True)
class DemoResult:
    """What the demo made."""

    page: Path
    seconds: float
    """How long all steps took, those of earlier calls included."""
    steps: tuple[str, ...]


def measure_speed() -> Speed:
    """Generate a few images."""
    device = resolve_device("auto")
    model = sgkit.load("landscapes", device=device)
    seconds = processor = 0.0
    for _ in range(2):  # the first time includes what happens only once
        began, used = time.perf_counter(), time.process_time()
        model.generate(range(PROBE), psi=0.7, label="summer-day").numpy()
        seconds, processor = time.perf_counter() - began, time.process_time() - used
    threads = torch.get_num_threads()
    if device.type != "cpu":
        processor, threads = seconds, 1
    return Speed(seconds=seconds / PROBE, processor_seconds=processor / PROBE, threads=threads)


def run_demo(
    out: Path, *, minutes: float = MINUTES, scale: DemoScale | None = None, run: Run, tell: Callable[[str], None]
) -> DemoResult:
    """Run the steps that are not done yet in ``out``, and write its page; where that is, and how long all steps took.

    Args:
        minutes: about how long it may take on an idle machine.
        scale: how much to do; ``None``: what fits into ``minutes`` on this machine.
        tell: is told what begins.

    Raises:
        InputError: ``out`` is not empty and not a demo.
    """
    demo = _read(out)
    if demo is None:
        tell("Measuring how fast this machine is.")
        speed = measure_speed()
        demo = Demo(speed=speed, scale=scale or planned(speed, minutes))
        tell(
            f"{1 / speed.seconds:.0f} images per second, so this demo trains on {demo.scale.kimg * 1000:,.0f} images, "
            f"projects in {demo.scale.project_steps} steps and measures with {demo.scale.metric_images} images."
        )
        _write(out, demo)
    planned_steps = steps()
    for number, step in enumerate(planned_steps, start=1):
        if step.name in demo.records:
            tell(f"{step.name}: done before, kept.")
            continue
        argv = arguments(step, out, demo.scale)
        tell(f"[{number}/{len(planned_steps)}] {command_line(argv)}")
        _clear(out, step.name, argv)
        began = time.perf_counter()
        is_resumed = step.name == "train" and (out / "run" / "config.toml").is_file()
        result = run([*argv, *(["--resume"] if is_resumed else [])])
        seconds = time.perf_counter() - began
        demo.records[step.name] = Record(command=command_line(argv), seconds=seconds, result=result)
        _write(out, demo)
    page = out / "index.html"
    with atomic_path(page) as temporary:
        temporary.write_text(render_page(demo_page(out, planned_steps, demo)), encoding="utf-8")
    total = sum(record.seconds for record in demo.records.values())
    return DemoResult(page=page, seconds=total, steps=tuple(demo.records))


def _read(out: Path) -> Demo | None:
    file = out / "demo.json"
    if not file.is_file():
        if out.is_file() or (out.is_dir() and any(out.iterdir())):
            raise InputError(f"{out} is not empty and is not a demo. Name a new folder with --out.")
        return None
    try:
        values = json.loads(file.read_text(encoding="utf-8"))
        records = {name: Record(**record) for name, record in values["records"].items()}
        return Demo(speed=Speed(**values["speed"]), scale=DemoScale(**values["scale"]), records=records)
    except (ValueError, TypeError, AttributeError, KeyError):
        raise InputError(f"{file} is damaged, or of a different version. Remove {out} and start again.") from None


def _write(out: Path, demo: Demo) -> None:
    out.mkdir(parents=True, exist_ok=True)
    with atomic_path(out / "demo.json") as temporary:
        temporary.write_text(json.dumps(asdict(demo), indent=1), encoding="utf-8")


def _clear(out: Path, step: str, argv: Sequence[str]) -> None:
    """Remove what was made but not recorded: a complete store, or an image; commands refuse to overwrite them."""
    store = out / "store"
    if step == "prepare" and (store / HEADER_NAME).is_file():
        shutil.rmtree(store)
    made = Path(argv[argv.index("--out") + 1]) if "--out" in argv else store
    if made.parent == out / "pictures":
        made.unlink(missing_ok=True)
