"""``sgkit generate``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sgkit.cli import report
from sgkit.cli.drawing import (
    DEFAULT_PSI,
    BatchOption,
    CutoffOption,
    GapOption,
    GridOption,
    NoiseOption,
    PsiOption,
    check_model_hashes,
    draw_settings,
)
from sgkit.cli.options import DeviceOption, JsonOption, LabelOption, ModelArgument, PrecisionOption, Seeds, SeedsOption
from sgkit.errors import UsageError

if TYPE_CHECKING:
    from sgkit.tasks.generate import GenerateResult

__all__ = ["generate"]


def generate(
    model: ModelArgument,
    out: Annotated[
        Path, typer.Option("--out", metavar="FOLDER|FILE.png", help="A folder for one file each, or one picture.")
    ],
    seeds: SeedsOption = Seeds(),  # noqa: B008
    latent: Annotated[
        list[Path] | None,
        typer.Option("--latent", metavar="FILE.npz", help="Draw a latent file, behind the seeds; may be repeated."),
    ] = None,
    psi: PsiOption = DEFAULT_PSI,
    psi_cutoff: CutoffOption = None,
    label: LabelOption = None,
    noise: NoiseOption = "const",
    grid: GridOption = None,
    gap: GapOption = 0,
    latents: Annotated[bool, typer.Option("--latents", help="Also write the pictures' latents, as .npz.")] = False,
    space: Annotated[
        str, typer.Option("--space", metavar="z|w|w+|s", help="The space in which --latents writes them.")
    ] = "w+",
    batch: BatchOption = 8,
    precision: PrecisionOption = "fp32",
    device: DeviceOption = "auto",
    json: JsonOption = False,
) -> None:
    """Draw pictures from seeds or latent files: a folder of them, or one grid.

    Every PNG says inside how it was made, and a folder has a manifest.json. Under torchrun, processes share the files.
    """
    import sgkit
    from sgkit.checkpoint.latents import SPACES, Space
    from sgkit.runtime.distributed import distributed
    from sgkit.tasks.generate import generate_files, generate_grid

    single = out.suffix.lower() == ".png"
    written: Space | None = next((known for known in SPACES if known == space), None)
    _check(out, space if written is None else None, grid_without_file=grid is not None and not single)
    sources = [*seeds, *(latent or [])] or [*range(16)]
    with distributed(device) as context, report.progress_bar("Generating") as on_progress:
        if single and context.world_size > 1:
            raise UsageError("A grid is drawn by one process. Run it without torchrun, or give a folder as --out.")
        opened = sgkit.load(model, device=context.device)
        check_model_hashes(opened, sources)
        settings = draw_settings(
            opened, sources, psi=psi, cutoff=psi_cutoff, label=label, noise=noise, precision=precision
        )
        kept = written if latents else None
        if single:
            result = generate_grid(
                opened,
                sources,
                out,
                settings,
                shape=grid,
                gap=gap,
                latents=kept,
                batch=batch,
                on_progress=on_progress,
            )
        else:
            result = generate_files(
                opened, sources, out, settings, latents=kept, batch=batch, context=context, on_progress=on_progress
            )
    report.emit(result, json=json, show=_show)


def _check(out: Path, unknown_space: str | None, *, grid_without_file: bool) -> None:
    if unknown_space is not None:
        raise UsageError(f"Unknown space {unknown_space!r}. Allowed: z, w, w+, s.")
    if grid_without_file:
        raise UsageError(f"--grid makes one picture, but --out {out} is a folder. Give --out a name that ends in .png.")
    if out.suffix.lower() in (".jpg", ".jpeg", ".webp", ".gif", ".bmp", ".tif", ".tiff"):
        raise UsageError(f"Pictures are written as PNG. Give --out {out.with_suffix('.png')}, or a folder.")


def _show(result: GenerateResult) -> None:
    where = result.manifest.parent if result.manifest else result.files[0]
    pictures = f"{result.count} picture{'s' * (result.count != 1)}"
    others = [file.name for file in result.files if file.suffix == ".npz"]
    latents = "" if not others else f", latents in {others[0] if len(others) == 1 else '*.npz'}"
    report.out(f"{pictures} in {where}{latents} ({report.duration(result.seconds)})")
