"""Model files from one form into another."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from sgkit.checkpoint import load, model_file
from sgkit.checkpoint.export import PROGRAMS, check_target, export
from sgkit.checkpoint.programs import InputSpace
from sgkit.model.labels import LabelChoice
from sgkit.runtime.progress import OnProgress, Progress, ignore_progress

MADE_UP = ("generator", "w_avg", "noise_maps")
"""Entries of a provenance that say what a foreign file lacked."""


@dataclass(frozen=True, kw_only=True)
class ConvertResult:
    """Result of :func:`convert`."""

    source: Path
    path: Path
    form: str
    """``native``, ``nvidia``, ``rosinality``, ``onnx`` or ``pt2``."""
    networks: tuple[str, ...]
    """The networks that were carried over."""
    bytes: int
    notes: dict[str, str]
    """What the source lacked and what is used for it; what was changed or left out to fit the form: topic -> sentence.
    The former are also warned of when the source is loaded."""


def convert(
    source: str | Path,
    out: str | Path,
    *,
    form: str | None = None,
    image_size: int | None = None,
    label: LabelChoice | None = None,
    half: bool = False,
    space: InputSpace | None = None,
    overwrite: bool = False,
    on_progress: OnProgress = ignore_progress,
) -> ConvertResult:
    """The model at ``source`` written to ``out``; see :func:`sgkit.load` and :func:`sgkit.checkpoint.export`.

    Args:
        source: a model file, a run directory, or a checkpoint of another project.
        out: the file to make; its ending chooses the form when none is named.
        form: ``native``, ``nvidia``, ``rosinality``, ``onnx`` or ``pt2``.
        image_size: for foreign files that do not say it.
        label: the class of a conditional model to keep, for a form without labels.
        half: round every number to 16 bits; for ``native``.
        space: the inputs of ``onnx`` and ``pt2``: ``z`` (default) or ``w+``.
        overwrite: replace ``out`` if it exists.
        on_progress: called at every stage.

    Raises:
        CheckpointError: the source is damaged, hostile or unsupported.
        InputError: the source is missing, or ``out`` exists.
        UsageError: the form is unknown, or cannot hold the model.
        MissingDependencyError: ONNX needs the package onnxscript.
    """
    out = Path(out)
    form = check_target(out, form, space=space, overwrite=overwrite)
    file = model_file(source)
    on_progress(Progress(done=0, total=2, unit="steps", stage="reading"))
    model = load(file, image_size=image_size)
    on_progress(Progress(done=1, total=2, unit="steps", stage="writing"))
    exported = export(model, out, form=form, label=label, half=half, space=space, overwrite=overwrite)
    on_progress(Progress(done=2, total=2, unit="steps", stage="writing"))
    lacked = {key: str(model.info.provenance[key]) for key in MADE_UP if key in model.info.provenance}
    return ConvertResult(
        source=file,
        path=out,
        form=form,
        networks=("generator",) if form in PROGRAMS else tuple(model.networks()),
        bytes=out.stat().st_size,
        notes=lacked | exported.notes,
    )
