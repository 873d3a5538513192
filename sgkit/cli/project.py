"""``sgkit project``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from sgkit.cli import report
from sgkit.cli.options import DeviceOption, JsonOption, LabelOption, ModelArgument, PrecisionOption, SeedOption

if TYPE_CHECKING:
    from sgkit.tasks.project import ProjectResult

__all__ = ["project"]


def project(
    model: ModelArgument,
    images: Annotated[
        list[Path], typer.Argument(metavar="IMAGE...", help="Image files; folders, archives or stores of images.")
    ],
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="Gets a folder for each picture.")],
    space: Annotated[
        Literal["w", "w+"],
        typer.Option("--space", help="w: one w for all layers, good to edit; w+: one for each layer, comes closer."),
    ] = "w",
    loss: Annotated[
        Literal["features", "pixels", "both"],
        typer.Option("--loss", help="What likeness is: features of the model's own discriminator, pixels, or both."),
    ] = "both",
    pixel_weight: Annotated[
        float, typer.Option("--pixel-weight", min=0.0, metavar="X", help="Weight of the pixels in --loss both.")
    ] = 10.0,
    steps: Annotated[int, typer.Option("--steps", min=1, metavar="N", help="Steps of the search.")] = 1000,
    lr: Annotated[float, typer.Option("--lr", min=0.0, metavar="X", help="Highest learning rate.")] = 0.1,
    noise: Annotated[bool, typer.Option("--noise/--no-noise", help="Also search the noise maps of the layers.")] = True,
    noise_weight: Annotated[
        float, typer.Option("--noise-weight", min=0.0, metavar="X", help="Weight that keeps noise maps noise.")
    ] = 1e5,
    label: LabelOption = None,
    batch: Annotated[int, typer.Option("--batch", min=1, metavar="N", help="Pictures searched at a time.")] = 4,
    seed: SeedOption = 0,
    precision: PrecisionOption = "fp32",
    device: DeviceOption = "auto",
    json: JsonOption = False,
) -> None:
    """Find the latents and noise maps of given pictures, to generate, mix and edit them like the model's own.

    Writes a folder for each picture; run again, finished ones are skipped. A latent.npz is taken wherever a command
    takes latents.
    """
    import sgkit
    from sgkit.runtime.device import resolve_device
    from sgkit.runtime.precision import resolve_precision
    from sgkit.tasks.project import ProjectSettings, project_files

    settings = ProjectSettings(
        space=space,
        loss=loss,
        pixel_weight=pixel_weight,
        steps=steps,
        lr=lr,
        optimize_noise=noise,
        noise_weight=noise_weight,
        seed=seed,
    )
    opened = sgkit.load(model, device=resolve_device(device))
    with report.progress_bar("Projecting") as on_progress:
        result = project_files(
            opened,
            images,
            out,
            settings,
            label=label,
            batch=batch,
            precision=resolve_precision(precision, opened.device),
            on_progress=on_progress,
        )
    for line in _adaptations(result):
        report.note(line)
    report.emit(result, json=json, show=_show)


def _adaptations(result: ProjectResult) -> list[str]:
    """How pictures were fitted to the model: a line for each way, not for each picture."""
    ways: dict[str, list[str]] = {}
    for image in result.images:
        if image.adapted:
            ways.setdefault(image.adapted, []).append(image.source)
    return [
        f"{sources[0]}{f' and {len(sources) - 1:,} more' if len(sources) > 1 else ''}: {way}."
        for way, sources in ways.items()
    ]


def _show(result: ProjectResult) -> None:
    rows = [
        (image.name, image.start_distance, image.distance, round(image.psnr, 2), image.best_step)
        for image in result.images
    ]
    report.table(("picture", "mean w", "distance", "PSNR dB", "best step"), rows)
    skipped = f", {result.num_skipped} finished before" if result.num_skipped else ""
    count = f"{len(rows)} picture{'s' * (len(rows) != 1)}"
    report.out(f"{count} in {result.folder}{skipped} ({report.duration(result.seconds)})")
