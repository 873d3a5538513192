"""``sgkit convert``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sgkit.cli import report
from sgkit.cli.options import JsonOption

if TYPE_CHECKING:
    from sgkit.tasks.convert import ConvertResult

__all__ = ["convert"]


def convert(
    source: Annotated[
        Path, typer.Argument(metavar="IN", help="A model file, a run directory, or another project's checkpoint.")
    ],
    out: Annotated[Path, typer.Argument(metavar="OUT", help="File to make: .safetensors, .pt or .npz.")],
    form: Annotated[
        str | None,
        typer.Option(
            "--form",
            metavar="FORM",
            help="native (.safetensors), rosinality (.pt), or nvidia: a state dict with NVIDIA's tensor names (.npz, "
            ".safetensors). By default as the ending of OUT says.",
        ),
    ] = None,
    size: Annotated[
        int | None,
        typer.Option("--size", metavar="N", help="Side of images, where files do not say it (rosinality's StyleGAN1)."),
    ] = None,
    json: JsonOption = False,
) -> None:
    """Write a model in another form; every tensor stays the same bit for bit.

    Reads checkpoints of stylegan2-ada-pytorch, stylegan3, TensorFlow's StyleGAN2, StyleGAN and ProGAN, and rosinality's
    StyleGAN2 and StyleGAN. Nothing in a file is executed.
    """
    with report.progress_bar("Converting") as on_progress:
        from sgkit.tasks.convert import convert as task

        result = task(source, out, form=form, image_size=size, on_progress=on_progress)
    report.emit(result, json=json, show=_show)


def _show(result: ConvertResult) -> None:
    report.out(f"{result.path} ({result.form}, {result.bytes / 2**20:.1f} MiB): {', '.join(result.networks)}")
    for name, text in result.notes.items():
        report.warning(f"{name}: {text}.")
