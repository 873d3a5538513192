"""``sgkit tune``."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sgkit.cli import report
from sgkit.cli.groups import flatten_options
from sgkit.cli.options import ModelArgument, RunOptions, SeedOption
from sgkit.cli.resuming import check_out, state_note
from sgkit.text import shell_word

if TYPE_CHECKING:
    from sgkit.inversion.tune_task import TuneResult


def parse_projection(text: str | Path) -> Path:
    """A folder of projections, or the latent file of one."""
    from sgkit.runtime.path_checks import check_latents

    check_latents(text)
    return Path(text)


@flatten_options
def tune(
    context: typer.Context,
    model: ModelArgument,
    projections: Annotated[
        list[Path],
        typer.Argument(
            metavar="PROJECTION...",
            parser=parse_projection,
            help="Folders that 'sgkit project' made, of one image or several.",
        ),
    ],
    out: Annotated[
        Path, typer.Option("--out", metavar="FILE", help="File for the tuned weights; it must be named .safetensors.")
    ],
    steps: Annotated[int, typer.Option("--steps", min=1, metavar="N", help="Number of optimisation steps.")] = 350,
    lr: Annotated[float, typer.Option("--lr", min=0.0, metavar="X", help="Learning rate.")] = 3e-4,
    loss: Annotated[
        str, typer.Option("--loss", metavar="NAME", help="Similarity measure, as --loss of sgkit project.")
    ] = "both",
    locality: Annotated[
        float,
        typer.Option(
            "--locality",
            min=0.0,
            metavar="X",
            help="Weight of keeping the model's other images as they are (0 turns it off).",
        ),
    ] = 0.1,
    rank: Annotated[
        int | None,
        typer.Option(
            "--rank",
            min=1,
            max=4096,
            metavar="N",
            help="Store the change of each weight matrix with this rank: a smaller file, less exact.",
            show_default="exactly",
        ),
    ] = None,
    batch: Annotated[int, typer.Option("--batch", min=1, metavar="N", help="Images of a step.")] = 4,
    seed: SeedOption = 0,
    *,
    run: RunOptions,
) -> None:
    """Tune a model to projected images, so it shows them exactly and their latents stay editable (pivotal tuning).

    Writes what changed in the weights. Use it with the model, joined by a +, wherever a command takes a model; latents
    and directions of the model fit the tuned one. Interrupted or killed, the same command continues.
    """
    from sgkit.config.tune import TuneSettings
    from sgkit.errors import UsageError

    if lr == 0:
        raise UsageError("--lr is 0, so nothing would change. Use a learning rate above 0, for example 3e-4.")
    state = check_out(out, force=run.force)
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise UsageError(
            "sgkit tune runs in one process: a step has --batch images (default 4) at most, too few to share. Run it "
            "without torchrun; several single images are tuned faster by one command each."
        )
    settings = TuneSettings(steps=steps, lr=lr, loss=loss, locality=locality, rank=rank, batch=batch, seed=seed)
    import sgkit
    from sgkit.inversion.tune_task import tune_files
    from sgkit.model.precision import drawing_precision
    from sgkit.runtime.device import resolve_device

    opened = sgkit.load(model, device=resolve_device(run.device))
    with state_note(state), report.progress_bar("Tuning") as on_progress:
        result = tune_files(
            opened,
            projections,
            out,
            settings,
            precision=drawing_precision(run.precision, opened.config, opened.device),
            overwrite=run.force,
            on_progress=on_progress,
        )
    report.emit(result, json=run.json, show=lambda found: _show(found, model, projections[0]))


def _show(result: TuneResult, model: Path, first: Path) -> None:
    columns = ("image", "PSNR dB before", "after", "distance before", "after")
    rows = [
        (one.name, round(one.psnr_before, 2), round(one.psnr, 2), one.distance_before, one.distance)
        for one in result.images
    ]
    report.table(columns, rows)
    kept = "exact" if result.rank is None else f"rank {result.rank}, relative error {result.rank_error:.3g}"
    report.out(f"Other images of the model: PSNR {result.drift_psnr:.1f} dB to those before.")
    report.out(f"{result.path}: {result.bytes / 2**20:.2f} MiB, {kept} ({report.duration(result.seconds)})")
    tuned, latent = shell_word(f"{model}+{result.path}"), shell_word(first)
    report.note(f"Use it: sgkit generate {tuned} --latent {latent} --out FOLDER")
