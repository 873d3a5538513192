"""``sgkit panorama``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sgkit.cli import report
from sgkit.cli.drawing import (
    DEFAULT_PSI,
    CutoffOption,
    NoiseOption,
    PsiOption,
    check_model_hashes,
    draw_settings,
)
from sgkit.cli.options import (
    DeviceOption,
    JsonOption,
    LabelOption,
    ModelArgument,
    PrecisionOption,
    SeedOption,
    Seeds,
    SeedsOption,
)
from sgkit.errors import UsageError

if TYPE_CHECKING:
    from sgkit.tasks.panorama import PanoramaResult

__all__ = ["panorama"]


def panorama(
    model: ModelArgument,
    out: Annotated[Path, typer.Option("--out", metavar="FILE.png", help="The picture to write.")],
    seeds: SeedsOption = Seeds(),  # noqa: B008
    latent: Annotated[
        list[Path] | None,
        typer.Option("--latent", metavar="FILE.npz", help="Weave a latent file, behind the seeds; may be repeated."),
    ] = None,
    width: Annotated[
        int | None,
        typer.Option("--width", min=1, metavar="PIXELS", help="Any width; by default one picture's for each style."),
    ] = None,
    height: Annotated[
        int | None, typer.Option("--height", min=1, metavar="PIXELS", help="The same, of a --vertical panorama.")
    ] = None,
    vertical: Annotated[bool, typer.Option("--vertical", help="Weave from top to bottom.")] = False,
    wrap: Annotated[bool, typer.Option("--wrap", help="Let the ends meet: 360 degrees.")] = False,
    overlap: Annotated[
        float,
        typer.Option(
            "--overlap", min=0.0, max=1.0, metavar="PART", help="How much of its part a style shares around a join."
        ),
    ] = 0.5,
    smooth: Annotated[
        float,
        typer.Option("--smooth", min=0.0, metavar="PLACES", help="Average z with its neighbours': 0.7 calms a strip."),
    ] = 0.0,
    psi: PsiOption = DEFAULT_PSI,
    psi_cutoff: CutoffOption = None,
    label: LabelOption = None,
    noise: NoiseOption = "const",
    seed: SeedOption = 0,
    precision: PrecisionOption = "fp32",
    device: DeviceOption = "auto",
    json: JsonOption = False,
) -> None:
    """Weave many styles into one picture of any length, in a single walk: no cuts, no seams.

    Styles stand side by side in the order given. --seed draws the noise of --noise random.
    """
    if (width if vertical else height) is not None:
        given, needed = ("--width", "--height") if vertical else ("--height", "--width")
        raise UsageError(f"{given} is fixed by the model in a panorama of this direction; give {needed}.")
    import sgkit
    from sgkit.runtime.device import resolve_device
    from sgkit.tasks.panorama import WeaveSettings, panorama_file

    sources = [*seeds, *(latent or [])] or [*range(5)]
    opened = sgkit.load(model, device=resolve_device(device))
    check_model_hashes(opened, sources)
    settings = draw_settings(opened, sources, psi=psi, cutoff=psi_cutoff, label=label, noise=noise, precision=precision)
    weaving = WeaveSettings(
        pixels=height if vertical else width,
        overlap=overlap,
        is_ring=wrap,
        axis="y" if vertical else "x",
        smoothing=smooth,
        noise_seed=seed,
    )
    report.emit(panorama_file(opened, sources, out, settings, weaving), json=json, show=_show)


def _show(result: PanoramaResult) -> None:
    woven = f"{result.width}x{result.height}, {len(result.styles)} style{'s' * (len(result.styles) != 1)}"
    report.out(f"{woven} in {result.file} ({report.duration(result.seconds)})")
    if result.seam_ratio is not None:
        report.facts({"step at the joins": f"{result.seam_ratio:.2f} times that elsewhere"})
