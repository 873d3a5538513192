"""What the demo does: its steps, and how much of each suits a machine."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sgkit.errors import MissingDependencyError, WeightsError
from sgkit.metrics.effnet import effnet_weights_path
from sgkit.runtime.toml import read_toml
from sgkit.text import shell_word


@dataclass(frozen=True, kw_only=True)
class Speed:
    """How fast this machine generates images of the packaged model."""

    seconds: float
    """Per image."""
    processor_seconds: float
    """Per image, of all threads together."""
    threads: int

    @property
    def plannable(self) -> float:
        """Seconds per image to plan with: as if the machine were idle, but at least half of what it gives now.

        So a machine that is busy with other programs does the same work in at most twice the time.
        """
        return max(min(self.processor_seconds / self.threads, self.seconds), self.seconds / 2)


@dataclass(frozen=True, kw_only=True)
class DemoScale:
    """How much the steps do."""

    frames: int = 72
    project_steps: int = 120
    kimg: float = 0.14
    metric_images: int = 96
    num_images: int = 192
    """New pictures to train on."""
    panorama_width: int = 3072
    workers: int | None = None
    """Processes that prepare them; ``None``: as many as there are cores."""


@dataclass(frozen=True, kw_only=True)
class _Sized:
    """Work that depends on the speed of the machine."""

    share: float
    """Of the demo's time."""
    cost: float
    """Of one unit, in generated images; measured on a CPU."""
    least: float
    most: float
    step: float
    """It is a multiple of this."""

    def units(self, seconds: float, seconds_per_image: float) -> float:
        wanted = self.share * seconds / (self.cost * seconds_per_image)
        return min(max(round(wanted / self.step) * self.step, self.least), self.most)


_SIZED = (
    _Sized(share=0.05, cost=4, least=36, most=144, step=12),  # frames
    _Sized(share=0.10, cost=5, least=40, most=500, step=20),  # steps of projection
    _Sized(share=0.33, cost=14_000, least=0.08, most=5, step=0.02),  # kimg
    _Sized(share=0.075, cost=4.5, least=64, most=192, step=32),  # images of metrics
)


def planned(speed: Speed, minutes: float) -> DemoScale:
    """The work for a machine of this speed."""
    frames, project_steps, kimg, metric_images = (one.units(minutes * 60, speed.plannable) for one in _SIZED)
    return DemoScale(
        frames=int(frames), project_steps=int(project_steps), kimg=round(kimg, 3), metric_images=int(metric_images)
    )


@dataclass(frozen=True, kw_only=True)
class Picture:
    """An image file that a step makes, below the demo's folder; its name may be a pattern."""

    file: str
    caption: str
    width: int
    """Pixels on the page."""


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


@dataclass(frozen=True, kw_only=True)
class Record:
    """A step that is done."""

    command: str
    seconds: float
    result: Any


def steps() -> list[Step]:
    """The steps that can be done with what is installed."""
    rows = read_toml(Path(__file__).with_suffix(".toml"))["step"]
    found = [Step(**{**row, "pictures": [Picture(**one) for one in row.get("pictures", [])]}) for row in rows]
    measured = can_measure()
    return [step for step in found if measured or not step.name.startswith("measure")]


def arguments(step: Step, out: Path, scale: DemoScale) -> list[str]:
    """The arguments of ``sgkit`` for ``step``, once the steps before it are done."""
    values = {
        "scale": scale,
        "workers": "" if scale.workers is None else f"--workers={scale.workers}",
        "latents": ",".join(str(path) for path in sorted(out.glob("projected/*/latent.npz"))),
        **{name: str(out / name) for name in ("store", "run", "pictures", "projected")},
    }
    words = [word.format(**values) for word in step.command.split()]
    return [word for word in words if word]


def command_line(argv: Sequence[str]) -> str:
    """``argv`` as it is typed in a shell."""
    return " ".join(shell_word(word) for word in ("sgkit", *argv))


def can_measure() -> bool:
    """Whether the extra ``offline`` is installed and undamaged."""
    try:
        effnet_weights_path()
    except (MissingDependencyError, WeightsError):
        return False
    return True


@dataclass(kw_only=True)
class Demo:
    """What is kept of a demo between calls."""

    speed: Speed
    scale: DemoScale
    records: dict[str, Record] = field(default_factory=dict)
