"""Options of the commands that draw pictures from seeds and latent files, and what they are turned into."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from sgkit.cli import report
from sgkit.cli.groups import Without
from sgkit.cli.options import DEFAULT_PSI, MAX_SEED, LabelOption, Psi, one_or_each, parse_psi, parse_seeds, parse_size
from sgkit.errors import UsageError
from sgkit.runtime.outputs import STILLS
from sgkit.text import name_list

if TYPE_CHECKING:
    import torch

    from sgkit.cli.given import Given
    from sgkit.config.words import Precision
    from sgkit.latents.sources import Origin
    from sgkit.model import Model
    from sgkit.render.drawing import Drawing, DrawSettings


MOST_PSI = 1.5
"""Truncation further out than this mostly gives garbage, which is warned of."""


class Grid(tuple[int, int]):
    """Columns and rows of a grid, written ``COLUMNSxROWS``."""

    __slots__ = ()


class Sources(tuple["int | Path", ...]):
    """Seeds and latent files in the order given."""

    __slots__ = ()


class Translation(tuple[float, float]):
    """How far right and down, written ``X,Y``."""

    __slots__ = ()


def parse_grid(text: str | Grid) -> Grid:
    """Columns and rows from ``4x3``.

    Raises:
        typer.BadParameter: the text is not such a shape.
    """
    if isinstance(text, Grid):
        return text
    try:
        size = parse_size(text)
    except typer.BadParameter:
        raise typer.BadParameter(f"Not a grid: {text!r}. Use COLUMNSxROWS, for example 4x3.") from None
    return Grid((size.width, size.height))


def parse_sources(text: str | Sources) -> Sources:
    """Seeds and latent files from ``0,3,7-12,face.npz``, in that order; a projection's folder stands for its latents.

    Raises:
        InputError: a file is not there, or is not a latent file.
        typer.BadParameter: a word is neither a list of seeds nor the name of a file.
    """
    if isinstance(text, Sources):
        return text
    from sgkit.runtime.path_checks import latent_files

    if Path(text).exists():  # a name may contain commas
        return Sources(latent_files(text))
    found: list[int | Path] = []
    for word in (part.strip() for part in text.split(",")):
        if re.fullmatch(r"[\d\s-]+", word):
            found.extend(parse_seeds(word))
        elif re.search(r"[./\\]", word) or Path(word).exists():
            found.extend(latent_files(word))
        else:
            raise typer.BadParameter(
                f"Not a seed or latent file: {word!r}. Use numbers, ranges and .npz files, for example "
                "0,3,7-12,face.npz."
            )
    return Sources(found)


def parse_translation(text: str | Translation) -> Translation:
    """Right and down from ``0.3,0.1``.

    Raises:
        typer.BadParameter: the text is not two such numbers.
    """
    if isinstance(text, Translation):
        return text
    try:
        right, down = (float(word) for word in text.split(","))
    except ValueError:
        right = down = math.nan
    if not (math.isfinite(right) and math.isfinite(down)):
        raise typer.BadParameter(
            f"Not a translation: {text!r}. Use RIGHT,DOWN in fractions of width and height, for example 0.3,0."
        )
    return Translation((right, down))


def parse_latent(text: str | Path) -> Sources:
    """A latent file, or the latent files in a folder of projections.

    Raises:
        InputError: it is not there, or is not a latent file.
    """
    from sgkit.runtime.path_checks import latent_files

    return Sources(latent_files(text))


def parse_picture(text: str | Path) -> Path:
    """The name of an image file to write.

    Raises:
        typer.BadParameter: its extension is not one of :data:`STILLS`.
    """
    path = Path(text)
    if path.suffix.lower() not in STILLS:
        better = path.with_suffix(".png") if path.name else "image.png"
        raise typer.BadParameter(
            f"{str(path)!r} does not end in one of {', '.join(STILLS)}, by which the format is chosen. Use {better}."
        )
    return path


PictureOption = Annotated[
    Path,
    typer.Option("--out", parser=parse_picture, metavar="FILE", help="The .png, .jpg or .webp file to write."),
]
LatentOption = Annotated[
    list[Sources] | None,
    typer.Option(
        "--latent",
        parser=parse_latent,
        metavar="FILE.npz",
        help="Also render this latent file (or folder of projections), after the seeds. Can be repeated.",
    ),
]
TranslateOption = Annotated[
    Translation | None,
    typer.Option(
        "--translate",
        parser=parse_translation,
        metavar="X,Y",
        help="StyleGAN3: move the image right and down, in fractions of its width and height.",
    ),
]
RotateOption = Annotated[
    float,
    typer.Option("--rotate", metavar="DEGREES", help="StyleGAN3: turn the image counter-clockwise about its centre."),
]
PsiOption = Annotated[
    Psi,
    typer.Option(
        "--psi",
        parser=parse_psi,
        metavar="PSI",
        help="Truncation psi: 1 keeps full variety; 0.5-0.8 gives cleaner but more similar images. One number, or one "
        "per layer of w+.",
    ),
]
PsiStripOption = Annotated[
    Psi | None,
    typer.Option(
        "--psi-strip",
        parser=parse_psi,
        metavar="LIST",
        help="Each image once with each of these psi, side by side, for example 0,0.25,0.5,0.75,1.",
    ),
]
CutoffOption = Annotated[
    int | None,
    typer.Option("--psi-cutoff", min=1, metavar="N", help="Apply --psi only to the first N layers of w+."),
]
NoiseOption = Annotated[
    Literal["const", "random", "none"],
    typer.Option(
        "--noise", help="Noise inputs: const (stored in the model), random (different for each seed), or none."
    ),
]
LatentSpaceOption = Annotated[
    Literal["auto", "z", "w", "w+"],
    typer.Option(
        "--latent-space",
        help="Latent space of files that do not record it; auto chooses by the shape of the array and the model.",
    ),
]
GridOption = Annotated[
    Grid | None,
    typer.Option("--grid", parser=parse_grid, metavar="COLSxROWS", help="Shape of the grid, for example 4x3."),
]
GapOption = Annotated[int, typer.Option("--gap", min=0, metavar="PIXELS", help="Space between the images of a grid.")]
NoiseSeedOption = Annotated[
    int, typer.Option("--seed", metavar="N", min=0, max=MAX_SEED, help="Random seed of --noise random.")
]
BatchOption = Annotated[int, typer.Option("--batch", min=1, metavar="N", help="Images generated at a time.")]


@dataclass(frozen=True, kw_only=True)
class DrawOptions:
    """How latents become images, in every command that draws."""

    psi: PsiOption = DEFAULT_PSI
    psi_strip: PsiStripOption = None
    psi_cutoff: CutoffOption = None
    label: LabelOption = None
    translate: TranslateOption = None
    rotate: RotateOption = 0.0
    noise: NoiseOption = "const"
    latent_space: LatentSpaceOption = "auto"

    def settings(self, precision: Precision) -> DrawSettings:
        """The settings that they stand for; loads torch."""
        from sgkit.render.drawing import DrawSettings

        return DrawSettings(
            label=self.label,
            truncation_psi=one_or_each(self.psi),
            psi_strip=tuple(self.psi_strip or ()),
            truncation_cutoff=self.psi_cutoff,
            noise=self.noise,
            precision=precision,
            latent_space=self.latent_space,
            translate=self.translate or (0.0, 0.0),
            rotate=self.rotate,
        )


PlainDrawOptions = Annotated[DrawOptions, Without({"psi_strip", "translate", "rotate"})]
LatentDrawOptions = Annotated[DrawOptions, Without({"psi_strip", "translate", "rotate", "noise"})]


def open_drawing(
    path: Path,
    sources: Iterable[int | Path],
    given: Given,
    options: DrawOptions,
    *,
    device: str | torch.device,
    precision: Precision,
    any_model: bool = False,
) -> Drawing:
    """The model at ``path`` and the settings that ``options`` stand for, checked against it and what is drawn.

    Raises:
        UsageError: an option would change nothing: the model has no noise inputs or no average w, or all latents are
            of w, w+ or s.
    """
    import sgkit
    from sgkit.latents.sources import read_origins
    from sgkit.render.drawing import Drawing
    from sgkit.render.inputs import Inputs
    from sgkit.runtime.device import resolve_device

    sources = list(sources)
    model = sgkit.load(path, device=resolve_device(device) if isinstance(device, str) else device)
    _check_model_hashes(model, sources)
    is_read = any(isinstance(source, Path) for source in sources)
    given.refuse("latent_space", when=not is_read, because="no latent file is given")
    settings = options.settings(precision)
    origins = list(read_origins(sources, model, space=options.latent_space))
    _refuse_idle(given, settings, model, origins)
    _warn_of_psi(settings)
    inputs = Inputs(model, path=path, any_model=any_model)
    if report.tells_details():
        _tell_details(path, model, origins, model_hash=inputs.model_hash(model))
    return Drawing(inputs=inputs, model=model, settings=settings)


def _refuse_idle(given: Given, settings: DrawSettings, model: Model, origins: Sequence[Origin]) -> None:
    """Refuse options that would change nothing with this model and these latents.

    Raises:
        UsageError: names the option; or ``--psi-cutoff`` is out of range.
    """
    from sgkit.render.placement import takes_placement

    moves = "only the input of a StyleGAN3 can be moved and turned, and this model is not one"
    given.refuse("translate", "rotate", when=not takes_placement(model), because=moves)
    mapped = any(origin.space == "z" for origin in origins)
    unmapped = "it applies to seeds and latents of z, and only latents of w, w+ or s were given"
    given.refuse("psi_cutoff", when=not settings.truncates, because="it limits --psi, and --psi is 1")
    cutoff, num_ws = settings.truncation_cutoff, model.num_ws
    if cutoff is not None and cutoff > num_ws:
        raise UsageError(f"--psi-cutoff {cutoff} is out of range: the model has {num_ws} layers of w+.")
    given.refuse("psi_cutoff", when=cutoff == num_ws, because=f"all {num_ws} layers are truncated anyway")
    given.refuse("psi", when=bool(settings.psi_strip), because="--psi-strip gives the truncation of each image")
    given.refuse("psi", "psi_strip", "psi_cutoff", when=settings.truncates and not mapped, because=unmapped)
    has_average, lacking = model.generator.mapping.tracks_average, "this model has no average w to truncate to"
    given.refuse("psi", "psi_strip", "psi_cutoff", when=settings.truncates and not has_average, because=lacking)
    takes_label = any(origin.space == "z" and not origin.has_label for origin in origins)
    because = "the given latents have their own labels" if mapped else unmapped
    given.refuse("label", when=model.config.label_dim > 0 and not takes_label, because=because)
    has_noise = any(spec.has_noise for spec in model.generator.synthesis.plan)
    given.refuse("noise", when=not has_noise, because="this model has no noise inputs")


def _tell_details(path: Path, model: Model, origins: Sequence[Origin], *, model_hash: str) -> None:
    height, width = model.image_size
    report.detail(f"Model {path}: {model.config.synthesis.layer}, {width}x{height}, {model.info.kimg:g} kimg")
    report.detail(f"Device {model.device}; model hash {model_hash}")
    report.detail(f"Images of: {name_list(origin.name for origin in origins)}")


def _warn_of_psi(settings: DrawSettings) -> None:
    psi = settings.psi_strip or settings.truncation_psi
    far = [value for value in (psi if isinstance(psi, Sequence) else [psi]) if not abs(value) <= MOST_PSI]
    if far:
        report.warning(
            f"Truncation psi {far[0]:g} is outside -{MOST_PSI} to {MOST_PSI}: expect distorted images. 0.5-1 is usual."
        )


def _check_model_hashes(model: Model, sources: Sequence[int | Path]) -> None:
    """Warn of latent files that were written for a different model."""
    files = [source for source in sources if isinstance(source, Path)]
    if not files:
        return
    from sgkit.latents.files import load_latents

    fitting = (None, model.content_hash(), *model.info.tuned_from)
    for file in files:
        if load_latents(file).model_hash not in fitting:
            report.warning(f"{file} was made with a different model. The image may look different.")
