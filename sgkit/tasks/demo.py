"""The demo: every command on sample images, one after another, and a page that shows what they made.

Each step is a command line, which is run as it is printed; so the commands on the page make what it shows.
"""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from sgkit.errors import InputError, MissingDependencyError, WeightsError
from sgkit.metrics.effnet import effnet_weights_path
from sgkit.reports.pages import Figure, Page, Section, figure, render_page
from sgkit.runs.folder import RunFolder
from sgkit.runtime.files import atomic_path
from sgkit.runtime.toml import read_toml
from sgkit.store.header import HEADER_NAME
from sgkit.tasks.doctor import examine
from sgkit.text import shell_word

Run = Callable[[list[str]], Any]
"""Runs ``sgkit`` with these arguments and returns what it reports with ``--json``."""

SNAPSHOT_KIMG = 2
HEIGHT = 96
"""Images of small models are enlarged to about this height."""


@dataclass(frozen=True, kw_only=True)
class DemoScale:
    """How much the demo does; the defaults take about five minutes on two cores."""

    num_images: int = 1500
    workers: int | None = None
    """Processes that prepare them; ``None``: as many as there are cores."""
    size: int = 32
    preset: str = "stylegan2-mini"
    kimg: float = 24.0
    minutes: float = 2.5
    """Maximum training time."""
    leg_seconds: float = 25.0
    """Training stops to look at the clock about this often, and resumes."""
    frames: int = 96
    project_steps: int = 100
    panorama_width: int = 1536
    metric_images: int = 256


@dataclass(frozen=True, kw_only=True)
class Picture:
    """Image files that a step makes, by a pattern below the demo's folder."""

    files: str
    caption: str
    """May hold ``{kimg}`` of a sample grid."""
    enlarge: float = 1.0
    """Times the usual enlargement."""
    width: int | None = None
    """Width on the page instead."""


@dataclass(frozen=True, kw_only=True)
class Step:
    """A command, and what the page says about it."""

    name: str
    command: str
    """Arguments of ``sgkit``, with fields that :func:`arguments` fills in."""
    title: str = ""
    """Heading of the step's section; a step without one belongs to the section before it."""
    text: str = ""
    pictures: Sequence[Picture] = ()
    facts: Mapping[str, str] = field(default_factory=dict)
    """Name -> a format of the results, which go by the names of their steps."""


def steps() -> list[Step]:
    """The steps that can be done with what is installed."""
    rows = read_toml(Path(__file__).with_suffix(".toml"))["step"]
    found = [Step(**{**row, "pictures": [Picture(**one) for one in row.get("pictures", [])]}) for row in rows]
    measured = can_measure()
    return [step for step in found if measured or not step.name.startswith("measure")]


@dataclass(frozen=True, kw_only=True)
class Record:
    """A step that is done."""

    command: str
    seconds: float
    result: Any


def arguments(step: Step, out: Path, scale: DemoScale) -> list[str]:
    """The arguments of ``sgkit`` for ``step``, once the steps before it are done."""
    values = {
        "scale": scale,
        "workers": "" if scale.workers is None else f"--workers={scale.workers}",
        "latents": ",".join(str(path) for path in sorted(out.glob("projected/*/latent.npz"))),
        "untrained": min((str(path) for path in out.glob("run/snapshots/*/model.safetensors")), default=""),
        **{name: str(out / name) for name in ("store", "run", "pictures", "projected")},
    }
    words = [word.format(**values) for word in step.command.split()]
    return [word for word in words if word]


def can_measure() -> bool:
    """Whether the extra ``offline`` is installed and undamaged."""
    try:
        effnet_weights_path()
    except (MissingDependencyError, WeightsError):
        return False
    return True


# ----------------------------------------------------------------------------------------------- running


@dataclass(frozen=True, kw_only=True)
class DemoResult:
    """What the demo made."""

    page: Path
    seconds: float
    """How long all steps took, those of earlier calls included."""
    steps: tuple[str, ...]


def run_demo(out: Path, scale: DemoScale, *, run: Run, tell: Callable[[str], None]) -> DemoResult:
    """Run the steps that are not done yet in ``out``, and write its page; where that is, and how long all steps took.

    Args:
        tell: is told what begins.

    Raises:
        InputError: ``out`` is not empty and not a demo.
    """
    planned, records = steps(), _read(out)
    for step in planned:
        if step.name in records:
            tell(f"{step.name}: done before, kept.")
            continue
        argv = arguments(step, out, scale)
        tell(f"{step.name}: {command_line(argv)}")
        if step.name == "train":
            records[step.name] = train_in_legs(argv, out / "run", scale, run)
        else:
            _clear(out, step.name, argv)
            began = time.perf_counter()
            result = run(argv)
            seconds = time.perf_counter() - began
            records[step.name] = Record(command=command_line(argv), seconds=seconds, result=result)
        _write(out, records)
    page = out / "index.html"
    with atomic_path(page) as temporary:
        temporary.write_text(render_page(demo_page(out, planned, records, scale)), encoding="utf-8")
    return DemoResult(page=page, seconds=sum(record.seconds for record in records.values()), steps=tuple(records))


def command_line(argv: Sequence[str]) -> str:
    """``argv`` as it is typed in a shell."""
    return " ".join(shell_word(word) for word in ("sgkit", *argv))


def train_in_legs(argv: list[str], folder: Path, scale: DemoScale, run: Run) -> Record:
    """Train, stopping to look at the clock and resuming, until the images or the time are used up."""
    began = time.perf_counter()
    kimg, goal = 0.0, min(0.32, scale.kimg)
    while True:
        started, before = time.perf_counter(), kimg
        resuming = ["--resume"] if (folder / "config.toml").is_file() else []
        result = run([*argv, *resuming, "--kimg", f"{goal:g}"])
        kimg = result["kimg"]
        now = time.perf_counter()
        pace = (now - started) / max(kimg - before, 1e-3)
        left = min(scale.minutes * 60 - (now - began), scale.leg_seconds)
        if kimg >= scale.kimg or left < min(5.0, scale.leg_seconds):
            break
        goal = round(min(kimg + max(left / pace, 0.032), scale.kimg), 3)
    command = command_line([*argv, "--kimg", f"{kimg:g}"])
    return Record(command=command, seconds=time.perf_counter() - began, result=result)


def _read(out: Path) -> dict[str, Record]:
    file = out / "demo.json"
    if not file.is_file():
        if out.is_file() or (out.is_dir() and any(out.iterdir())):
            raise InputError(f"{out} is not empty and is not a demo. Name a new folder with --out.")
        _write(out, {})
        return {}
    try:
        values = json.loads(file.read_text(encoding="utf-8"))
        return {name: Record(**record) for name, record in values.items()}
    except (ValueError, TypeError, AttributeError):
        raise InputError(f"{file} is damaged. Remove {out} and start again.") from None


def _write(out: Path, records: Mapping[str, Record]) -> None:
    with atomic_path(out / "demo.json") as temporary:
        plain = {name: asdict(record) for name, record in records.items()}
        temporary.write_text(json.dumps(plain, indent=1), encoding="utf-8")


def _clear(out: Path, step: str, argv: Sequence[str]) -> None:
    """Remove what was made but not recorded: a complete store, or an image; commands refuse to overwrite them."""
    store = out / "store"
    if step == "prepare" and (store / HEADER_NAME).is_file():
        shutil.rmtree(store)
    made = Path(argv[argv.index("--out") + 1]) if "--out" in argv else store
    if made.parent == out / "pictures":
        made.unlink(missing_ok=True)


# --------------------------------------------------------------------------------------------- the page


def demo_page(out: Path, planned: Sequence[Step], records: Mapping[str, Record], scale: DemoScale) -> Page:
    """The page of a demo whose steps are all done."""
    machine = examine()
    device = next(one for one in machine.devices if one.name.startswith(machine.auto_device))
    total, kimg = sum(record.seconds for record in records.values()), records["train"].result["kimg"]
    lead = (
        "Every step on sample images, from painting them to measuring the result. The model trained here "
        "is small and saw few images: expect sky, horizon and colours. The packaged model was trained for longer."
    )
    longer = ["--resume", "--kimg", f"{max(scale.kimg, 200):g}"]
    is_short = kimg < 0.9 * scale.kimg
    if is_short:
        lead += (
            f" On this machine training reached its time limit after {kimg:g} of {scale.kimg:g} kimg, so images are "
            "blurrier than they could be. To continue it:"
        )
    return Page(
        title=f"A StyleGAN2 in {max(round(total / 60), 1)} minutes",
        lead=lead,
        commands=[command_line(["train", str(out / "store"), "--out", str(out / "run"), *longer])] if is_short else [],
        sections=_sections(out, planned, records, scale),
        facts={
            "time of all steps": f"{int(total) // 60} min {int(total) % 60} s",
            "trained on": f"{kimg * 1000:,.0f} images",
            "machine": f"{device.model}, {machine.threads} thread{'s' * (machine.threads != 1)}",
            "precision of training": RunFolder(out / "run").read_config().train.precision,
            "software": f"sgkit {machine.versions['sgkit']}, torch {machine.versions['torch']}",
        },
        numbered=True,
    )


def _sections(out: Path, planned: Sequence[Step], records: Mapping[str, Record], scale: DemoScale) -> list[Section]:
    groups: list[list[Step]] = []
    for step in planned:
        groups = [*groups, [step]] if step.title else [*groups[:-1], [*groups[-1], step]]
    results = {name: record.result for name, record in records.items()}
    sections = [
        Section(
            title=group[0].title,
            text=" ".join(group[0].text.split()),
            commands=[records[step.name].command for step in group],
            facts={name: text.format(**results) for step in group for name, text in step.facts.items()},
            figures=[one for step in group for picture in step.pictures for one in _figures(out, picture, scale)],
            seconds=sum(records[step.name].seconds for step in group),
            details=_configuration(out) if group[0].name == "train" else None,
        )
        for group in groups
    ]
    if "measure" not in records:
        text = "Skipped: the metrics need the extra 'offline', which installs a feature network."
        sections.append(Section(title="Measure", text=text, commands=["pip install 'stylegan-sgkit[offline]'"]))
    return sections


def _configuration(out: Path) -> tuple[str, str]:
    return "The complete configuration of the run", RunFolder(out / "run").config_file.read_text(encoding="utf-8")


def _figures(out: Path, picture: Picture, scale: DemoScale) -> list[Figure]:
    files = sorted(out.glob(picture.files))
    if "{kimg" in picture.caption:
        files = _grids(files)
    enlarge = max(round(max(round(HEIGHT / scale.size), 1) * picture.enlarge), 1)
    return [
        figure(file, picture.caption.format(kimg=_kimg(file)), enlarge=enlarge, width=picture.width) for file in files
    ]


def _grids(files: Sequence[Path]) -> list[Path]:
    """The first grid, the last, and the middle one of those that training without stops writes, too."""
    regular = [file for file in files[1:-1] if round(_kimg(file) * 1000) % (1000 * SNAPSHOT_KIMG) == 0]
    middle = regular[(len(regular) - 1) // 2 :][:1]
    return [*files[:1], *middle, *files[1:][-1:]]


def _kimg(file: Path) -> float:
    name = file.stem.removeprefix("fakes_")
    return float(name) if name != file.stem else 0.0
