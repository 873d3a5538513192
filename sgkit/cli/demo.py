"""``sgkit demo``: runs the other commands one after another and shows on a page what they made."""

from __future__ import annotations

import io
import json as jsons
import shlex
import time
from collections.abc import Callable, Sequence
from contextlib import redirect_stdout
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from sgkit.cli import report
from sgkit.cli.app import load_command
from sgkit.cli.options import JsonOption
from sgkit.errors import InputError, MissingDependencyError, WeightsError


@dataclass(frozen=True, kw_only=True)
class DemoScale:
    """How much the demo does of everything; the defaults fit into five minutes on two cores."""

    num_images: int = 1500
    workers: int | None = None
    """Processes that prepare them; ``None``: as many as there are cores."""
    size: int = 32
    preset: str = "stylegan2-mini"
    kimg: float = 24.0
    minutes: float = 2.5
    """Longest time to train."""
    leg_seconds: float = 25.0
    """Training looks at the clock about this often, and saves."""
    walk_frames: int = 96
    project_steps: int = 250
    panorama_pixels: int = 320
    metric_images: int = 256


@dataclass(frozen=True, kw_only=True)
class Record:
    """A step that is done."""

    command: str
    """What to type to do it again."""
    seconds: float
    result: Any
    """What the command reports with ``--json``."""


def demo(
    out: Annotated[Path, typer.Option("--out", metavar="FOLDER", help="Output folder; open index.html in it.")] = Path(
        "demo"
    ),
    minutes: Annotated[
        float, typer.Option("--minutes", min=0.05, metavar="N", help="Maximum training time, in minutes.")
    ] = DemoScale.minutes,
    kimg: Annotated[
        float, typer.Option("--kimg", min=0.032, metavar="N", help="Maximum training length, in thousands of images.")
    ] = DemoScale.kimg,
    json: JsonOption = False,
) -> None:
    """Run every step on sample images (about five minutes) and show the results on one page.

    Paints landscapes, prepares and trains on them, generates, mixes, interpolates, projects, makes a panorama and
    measures. If it is stopped, the same command continues.
    """
    facts = run_demo(out, DemoScale(minutes=minutes, kimg=kimg))
    report.emit(facts, json=json, show=_show)


def _show(facts: dict[str, Any]) -> None:
    report.out(f"Done in {report.duration(facts['seconds'])}. Open {facts['page']} in a browser.")


def run_demo(out: Path, scale: DemoScale) -> dict[str, Any]:
    """Do what is not done yet in ``out``, write its page, and tell where that is and how long all steps took.

    Raises:
        InputError: ``out`` holds something else than a demo.
    """
    from sgkit.cli.demo_sections import write_page

    folder = DemoFolder(out)
    records = folder.read()
    for name, planned in steps(out, scale).items():
        if name in records:
            report.note(f"{name}: done before, kept.")
            continue
        argv = _completed(planned, out)
        command = shlex.join(["sgkit", *argv])
        report.note(f"{name}: {command}")
        if name == "train":
            records[name] = _train(argv, out / "run", scale)
        else:
            folder.clear_way_for(name, argv)
            began = time.perf_counter()
            result = run_step(argv)
            records[name] = Record(command=command, seconds=time.perf_counter() - began, result=result)
        folder.write(records)
    page = write_page(out, records, scale)
    return {"page": page, "seconds": sum(record.seconds for record in records.values()), "steps": [*records]}


def steps(out: Path, scale: DemoScale) -> dict[str, list[str]]:
    """Name -> the arguments of ``sgkit``, in order; what only earlier steps can tell is written ``{...}``."""
    run, pictures = str(out / "run"), out / "pictures"
    unseen = "sample:landscapes?count=3&seed=1000"

    def draw(command: str, target: str, *rest: str) -> list[str]:
        return [command, run, *rest, "--out", str(pictures / target)]

    table = {
        "prepare": [
            *("prepare", f"sample:landscapes?count={scale.num_images}"),
            *("--size", str(scale.size), "--out", str(out / "store")),
            *(() if scale.workers is None else ("--workers", str(scale.workers))),
        ],
        "train": [
            *("train", str(out / "store"), "--preset", scale.preset),
            *("--set", "train.log_kimg=0.25", "--out", run),
        ],
        "generate": draw("generate", "generated.png", "--seeds", "0-47", "--grid", "12x4", "--psi", "0.8"),
        "mix": draw("mix", "mix.png", "--rows", "0-3", "--cols", "10-17", "--layers", "coarse", "--psi", "0.8"),
        "interpolate": draw(
            *("interpolate", "walk.webp", "--seeds", "0-15", "--grid", "4x1", "--gap", "2", "--psi", "0.8"),
            *("--smooth", "cubic", "--loop", "--frames", str(scale.walk_frames), "--fps", "24"),
        ),
        "project": [
            *("project", run, unseen, "--steps", str(scale.project_steps), "--loss", "both"),
            *("--out", str(out / "projected")),
        ],
        "mix projections": draw(
            "mix", "mix_projected.png", "--rows", "{latents}", "--cols", "20-27", "--layers", "middle"
        ),
        "panorama": draw(
            "panorama", "panorama.png", "--seeds", "0-9", "--width", str(scale.panorama_pixels), "--psi", "0.8"
        ),
    }
    if has_offline_metrics():
        measured = ["--data", str(out / "store"), "--num-images", str(scale.metric_images)]
        table["measure untrained"] = ["metrics", "{untrained}", *measured]
        table["measure"] = ["metrics", run, *measured]
    return table


def has_offline_metrics() -> bool:
    """Whether the extra ``offline`` is installed, and whole."""
    from sgkit.metrics.effnet import effnet_weights_path

    try:
        effnet_weights_path()
    except (MissingDependencyError, WeightsError):
        return False
    return True


def run_step(argv: list[str]) -> Any:
    """What a command reports with ``--json``.

    Raises:
        SgkitError: what the command raises.
        KeyboardInterrupt: it was stopped.
    """
    output = io.StringIO()
    with redirect_stdout(output):
        code = load_command(argv[0]).main([*argv[1:], "--json"], prog_name=f"sgkit {argv[0]}", standalone_mode=False)
    if isinstance(code, int) and code != 0:
        raise KeyboardInterrupt
    return jsons.loads(output.getvalue())


def _completed(argv: list[str], out: Path) -> list[str]:
    """``argv`` with the paths that earlier steps have made."""
    found: dict[str, Callable[[], str]] = {
        "{latents}": lambda: ",".join(str(path) for path in sorted((out / "projected").glob("*/latent.npz"))),
        "{untrained}": lambda: str(min((out / "run" / "snapshots").glob("*")) / "model.safetensors"),
    }
    return [found[word]() if word in found else word for word in argv]


def _train(argv: list[str], run: Path, scale: DemoScale) -> Record:
    """Train in legs, each going on where the last one saved, until the images or the time are used up."""
    began = time.perf_counter()
    kimg, goal = 0.0, min(0.32, scale.kimg)
    while True:
        started, before = time.perf_counter(), kimg
        resuming = ["--resume"] if (run / "config.toml").is_file() else []
        result = run_step([*argv, *resuming, "--kimg", f"{goal:g}"])
        kimg = result["kimg"]
        now = time.perf_counter()
        pace = (now - started) / max(kimg - before, 1e-3)
        left = min(scale.minutes * 60 - (now - began), scale.leg_seconds)
        if kimg >= scale.kimg or left < min(5.0, scale.leg_seconds):
            break
        goal = round(min(kimg + max(left / pace, 0.032), scale.kimg), 3)
    command = shlex.join(["sgkit", *argv, "--kimg", f"{kimg:g}"])
    return Record(command=command, seconds=time.perf_counter() - began, result=result)


class DemoFolder:
    """The folder of a demo, and the record of what is done in it."""

    def __init__(self, path: Path) -> None:
        self.path, self.file = path, path / "demo.json"

    def read(self) -> dict[str, Record]:
        """The steps that are done.

        Raises:
            InputError: the folder holds something else.
        """
        if not self.file.is_file():
            if self.path.is_file() or (self.path.is_dir() and any(self.path.iterdir())):
                raise InputError(f"{self.path} is not empty and holds no demo. Name a new folder with --out.")
            self.write({})
            return {}
        try:
            values = jsons.loads(self.file.read_text(encoding="utf-8"))
            return {name: Record(**record) for name, record in values.items()}
        except (ValueError, TypeError, AttributeError):
            raise InputError(f"{self.file} is damaged. Remove {self.path} and start again.") from None

    def write(self, records: dict[str, Record]) -> None:
        """Keep ``records``."""
        from sgkit.runtime.files import atomic_path

        with atomic_path(self.file) as aside:
            plain = {name: asdict(record) for name, record in records.items()}
            aside.write_text(jsons.dumps(plain, indent=1), encoding="utf-8")

    def clear_way_for(self, step: str, argv: Sequence[str]) -> None:
        """Remove what was made but not recorded: a complete store, or a picture; commands refuse to overwrite them."""
        import shutil

        from sgkit.store.header import HEADER_NAME

        store = self.path / "store"
        if step == "prepare" and (store / HEADER_NAME).is_file():
            shutil.rmtree(store)
        made = Path(argv[argv.index("--out") + 1]) if "--out" in argv else store
        if made.parent == self.path / "pictures":
            made.unlink(missing_ok=True)
