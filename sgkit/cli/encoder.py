"""``sgkit encoder``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from sgkit.cli import report
from sgkit.cli.groups import flatten_options
from sgkit.cli.options import ModelArgument, RunOptions, SeedOption, parse_duration, parse_kimg, parse_store
from sgkit.cli.resuming import check_out, state_note
from sgkit.errors import UsageError
from sgkit.text import shell_word

if TYPE_CHECKING:
    from sgkit.inversion.encoder_task import EncoderResult

app = typer.Typer(add_completion=False)


@app.callback()
def _group() -> None:
    """Train an encoder, which finds the latents of images at once; projections can start from it."""


@app.command()
@flatten_options
def train(
    model: ModelArgument,
    out: Annotated[
        Path, typer.Option("--out", metavar="FILE", help="File for the encoder; it must be named .safetensors.")
    ],
    space: Annotated[
        Literal["w", "w+"],
        typer.Option("--space", help="w (one w for all layers), or w+ (one per layer, as offsets from the first)."),
    ] = "w",
    data: Annotated[
        Path | None,
        typer.Option(
            "--data",
            metavar="STORE",
            parser=parse_store,
            help="Store of real images for half of each batch; the other half is generated.",
            show_default="generated images only",
        ),
    ] = None,
    kimg: Annotated[
        float, typer.Option("--kimg", metavar="N", parser=parse_kimg, help="Training length, in thousands of images.")
    ] = 100.0,
    batch: Annotated[int, typer.Option("--batch", min=1, max=65536, metavar="N", help="Images of a step.")] = 16,
    max_time: Annotated[
        float | None,
        typer.Option(
            "--max-time",
            metavar="TIME",
            parser=parse_duration,
            help="Stop after this time (for example 30m) and write the encoder; the same command continues.",
            show_default="no limit",
        ),
    ] = None,
    seed: SeedOption = 0,
    *,
    run: RunOptions,
) -> None:
    """Train an encoder for a model, on images that the model makes, whose latents are known.

    Interrupted or killed, the same command continues. Under torchrun, processes share the images of every step. Then
    start projections from it: sgkit project MODEL IMAGE --encoder FILE
    """
    from sgkit.config.encoder import EncoderSettings

    state = check_out(out, force=run.force)
    settings = EncoderSettings(space=space, kimg=kimg, batch=batch, seed=seed)
    import sgkit
    from sgkit.inversion.encoder_task import train_encoder
    from sgkit.model.precision import drawing_precision
    from sgkit.runtime.distributed import distributed

    with (
        distributed(run.device) as processes,
        state_note(state),
        report.progress_bar("Training the encoder") as on_progress,
    ):
        opened = sgkit.load(model, device=processes.device)
        if space == "w+" and opened.num_ws == 1:
            raise UsageError("--space w+ has no effect here: this model has one w for all layers. Remove --space.")
        measured = drawing_precision(
            run.precision, opened.config, opened.device
        )  # each process may measure differently
        result = train_encoder(
            opened,
            out,
            settings,
            data=data,
            max_seconds=max_time,
            precision=processes.gather_objects(measured)[0],
            overwrite=run.force,
            context=processes,
            on_progress=on_progress,
        )
    report.emit(result, json=run.json, show=lambda found: _show(found, model))


def _show(result: EncoderResult, model: Path) -> None:
    report.facts(
        {
            "images": f"{result.images:,}",
            "error of w": f"{result.w_error:.3f} on unseen images of the model (the mean w: 1)",
            "their images": f"PSNR {result.psnr:.1f} dB",
        }
    )
    size, took = f"{result.bytes / 2**20:.1f} MiB", report.duration(result.seconds)
    report.out(f"{result.path}: {size}, space {result.space} ({took})")
    if not result.finished:
        report.note("The time was up before all images were seen: the same command continues.")
    words = f"{shell_word(model)} IMAGE --encoder {shell_word(result.path)}"
    report.note(f"Use it: sgkit project {words} --out FOLDER")
