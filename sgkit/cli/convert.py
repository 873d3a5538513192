"""``sgkit convert``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from sgkit.cli import report
from sgkit.cli.options import ForceOption, ImageSizeOption, JsonOption, LabelOption, parse_model

if TYPE_CHECKING:
    from sgkit.tasks.convert import ConvertResult


def convert(
    source: Annotated[
        Path,
        typer.Argument(
            metavar="IN", parser=parse_model, help="A model file, a run folder, or a checkpoint of another tool."
        ),
    ],
    out: Annotated[Path, typer.Argument(metavar="OUT", help="File to write: .safetensors, .pt, .npz, .onnx or .pt2.")],
    form: Annotated[
        str | None,
        typer.Option(
            "--form",
            metavar="FORM",
            help="native (.safetensors), rosinality (.pt), nvidia: a state dict with NVIDIA's tensor names (.npz, "
            ".safetensors), or the generator as a program: onnx (.onnx), pt2 (.pt2, for torch.export).",
            show_default="chosen by the extension of OUT",
        ),
    ] = None,
    size: ImageSizeOption = None,
    label: LabelOption = None,
    half: Annotated[
        bool, typer.Option("--half", help="Round every number to 16 bits: half the size. For .safetensors of sgkit.")
    ] = False,
    space: Annotated[
        Literal["z", "w+"] | None,
        typer.Option(
            "--space",
            help="Input of a program (.onnx, .pt2): z, with a label and truncation psi, or w+.",
            show_default="z",
        ),
    ] = None,
    force: ForceOption = False,
    json: JsonOption = False,
) -> None:
    """Convert a model to a different file format. Tensors stay bit-identical; any change is reported.

    Reads checkpoints of stylegan2-ada-pytorch, stylegan3, TensorFlow's StyleGAN2, StyleGAN and ProGAN, and rosinality's
    StyleGAN2 and StyleGAN. Nothing in a file is executed. Programs (.onnx, .pt2) are for other engines: sgkit writes
    them and does not read them.
    """
    from sgkit.runtime.files import check_new

    check_new(out, overwrite=force)
    with report.progress_bar("Converting") as on_progress:
        from sgkit.tasks.convert import convert as task

        result = task(
            source,
            out,
            form=form,
            image_size=size,
            label=label,
            half=half,
            space=space,
            overwrite=force,
            on_progress=on_progress,
        )
    report.emit(result, json=json, show=_show)


def _show(result: ConvertResult) -> None:
    report.out(f"{result.path} ({result.form}, {result.bytes / 2**20:.1f} MiB): {', '.join(result.networks)}")
    from sgkit.tasks.convert import MADE_UP

    for name, text in result.notes.items():
        if name in MADE_UP:
            continue  # a warning when the source was read
        if name == "sizes":
            report.note(f"Load it with {text}.")
        elif name in ("inputs", "check"):
            report.note(f"{name}: {text}.")
        else:
            report.warning(f"{name}: {text}.")
