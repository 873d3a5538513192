"""``sgkit project``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sgkit.cli import report
from sgkit.cli.given import Given, typed
from sgkit.cli.groups import flatten_options
from sgkit.cli.options import DeviceOption, JsonOption, ModelArgument, PrecisionOption, SeedOption, parse_image
from sgkit.cli.prepare import parse_landmarks
from sgkit.cli.shapes import parse_shape
from sgkit.config.project import CropName, PriorName, SpaceName, VideoName
from sgkit.errors import InputError, UsageError

if TYPE_CHECKING:
    import torch

    import sgkit
    from sgkit.inversion import ProjectResult, ProjectSettings

MOST_ROWS = 40
"""Rows of the table: of more images, the best and the worst halves."""


def parse_encoder(text: str | Path) -> Path:
    """A path where an encoder may be."""
    from sgkit.runtime.path_checks import check_encoder

    return check_encoder(text)


@dataclass(frozen=True, kw_only=True)
class SearchOptions:
    """What is searched, what it is compared by, and how."""

    space: Annotated[
        SpaceName,
        typer.Option(
            "--space",
            help="w (one w for all layers; easy to edit), w+ (one per layer; more accurate), s (styles), z, p or p+ "
            "(w and w+ by whitened components).",
        ),
    ] = "w"
    prior: Annotated[
        PriorName,
        typer.Option(
            "--prior",
            help="Keep latents likely: gaussian (each style), gaussian-layers, gaussian-joint, p (Gaussianized w), "
            "mean (distance to the mean w), or delta (differences between the layers of w+).",
        ),
    ] = "none"
    prior_weight: Annotated[
        float | None,
        typer.Option("--prior-weight", min=0.0, metavar="X", help="Weight of the prior.", show_default="by prior"),
    ] = None
    loss: Annotated[
        str,
        typer.Option(
            "--loss",
            metavar="NAME",
            help="Similarity measure: features (of the discriminator), pixels, both, l1, ssim, ms-ssim; by other "
            "networks: lpips, lpips-alex, lpips-squeeze, vgg (of StyleGAN2-ADA), effnet, identity (of faces); or a "
            "weighted sum: features=1,l1=0.5.",
        ),
    ] = "both"
    mask: Annotated[
        str | None,
        typer.Option(
            "--mask",
            parser=parse_shape,
            metavar="SHAPE",
            help="Where the image is known; the rest is filled in: an image file (white), or a shape, for example "
            "box:0,0,1,0.5.",
            show_default=False,
        ),
    ] = None
    downscale: Annotated[
        int, typer.Option("--downscale", min=1, metavar="N", help="Compare at 1/N of the size (super-resolution).")
    ] = 1
    grayscale: Annotated[bool, typer.Option("--grayscale", help="Compare brightness only (colourisation).")] = False
    encoder: Annotated[
        Path | None,
        typer.Option(
            "--encoder",
            metavar="FILE",
            parser=parse_encoder,
            help="Start from the latents that this encoder finds; with --steps 0 they are the result.",
            show_default=False,
        ),
    ] = None
    starts: Annotated[
        int,
        typer.Option(
            "--starts", min=0, metavar="N", help="Start from the best of N random latents.", show_default="the mean"
        ),
    ] = 0
    coarse: Annotated[
        float,
        typer.Option(
            "--coarse", min=0.0, max=1.0, metavar="X", help="Fraction of the steps that compare smaller images first."
        ),
    ] = 0.0
    patience: Annotated[
        int,
        typer.Option(
            "--patience", min=0, metavar="N", help="Finish an image after N steps without improvement (0: never)."
        ),
    ] = 0
    pixel_weight: Annotated[
        float, typer.Option("--pixel-weight", min=0.0, metavar="X", help="Weight of the pixels in --loss both.")
    ] = 10.0
    steps: Annotated[int, typer.Option("--steps", min=0, metavar="N", help="Number of optimisation steps.")] = 1000
    lr: Annotated[float, typer.Option("--lr", min=0.0, metavar="X", help="Maximum learning rate.")] = 0.1
    noise: Annotated[
        bool | None,
        typer.Option(
            "--noise/--no-noise",
            help="Also optimise the noise maps of the layers.",
            show_default="--noise, if the model has noise inputs",
        ),
    ] = None
    zero_noise: Annotated[
        bool,
        typer.Option(
            "--zero-noise",
            help="Set the noise maps to 0 instead, for images without noise; the latent files keep them.",
        ),
    ] = False
    noise_weight: Annotated[
        float,
        typer.Option(
            "--noise-weight", min=0.0, metavar="X", help="Strength of the noise regulariser (StyleGAN2, appendix D)."
        ),
    ] = 1e5
    recompute: Annotated[
        bool,
        typer.Option(
            "--recompute",
            help="Compute activations again instead of keeping them: less memory, more time, same result.",
        ),
    ] = False
    place: Annotated[
        bool | None,
        typer.Option(
            "--place/--no-place",
            help="Also optimise translation and rotation at the input (StyleGAN3).",
            show_default="--place, if the model is a StyleGAN3",
        ),
    ] = None
    label: Annotated[
        str | None,
        typer.Option(
            "--class",
            "--label",
            metavar="LABEL",
            help="For conditional models: class number (3), class name, label vector (0.2,0.8), or search: for each "
            "image the class that suits it best.",
            show_default=False,
        ),
    ] = None
    smooth: Annotated[
        float | None,
        typer.Option(
            "--smooth",
            min=0.0,
            metavar="WEIGHT",
            help="Images are frames of a video: start each from the one before, and keep its latent close, by this "
            "weight (for example 0.1).",
            show_default=False,
        ),
    ] = None
    frame_steps: Annotated[
        int,
        typer.Option(
            "--frame-steps",
            min=0,
            metavar="N",
            help="Steps of each frame after the first (with --smooth).",
            show_default="a quarter of --steps",
        ),
    ] = 0

    def check(self, given: Given) -> None:
        """Refuse options that would change nothing, and a call that searches nothing.

        Raises:
            UsageError: names the option; or no step is made, and nothing else finds a latent.
        """
        because = f"it weighs the pixels in --loss both, not in {self.loss}"
        given.refuse("pixel_weight", when=self.loss != "both", because=because)
        given.refuse("prior_weight", when=self.prior == "none", because="there is no --prior to weigh")
        given.refuse("noise_weight", when=self.noise is False, because="--no-noise leaves the noise maps as they are")
        because = "--zero-noise sets the noise maps to 0"
        given.refuse("noise", "noise_weight", when=self.zero_noise, because=because)
        if self.steps == 0 and not self.starts and self.encoder is None:
            raise UsageError(
                "--steps 0 leaves every latent at the mean. Give the latents of an encoder (--encoder FILE) or the "
                "best of random ones (--starts N), or one step or more."
            )
        of_steps = ("lr", "patience", "coarse", "noise", "noise_weight", "video", "recompute")
        given.refuse(*of_steps, when=self.steps == 0, because="--steps 0 optimises nothing")
        because = "images are frames of a video with --smooth only"
        given.refuse("frame_steps", when=self.smooth is None, because=because)
        because = "frames are searched one after the other with --smooth"
        given.refuse("batch", when=self.smooth is not None, because=because)

    def settings(self, seed: int) -> ProjectSettings:
        """The settings that they stand for."""
        from sgkit.inversion import ProjectSettings

        names = vars(self).keys() & ProjectSettings.__dataclass_fields__.keys()
        values: dict[str, Any] = {name: getattr(self, name) for name in names}
        values |= {"optimize_noise": self.noise is not False and not self.zero_noise}
        return ProjectSettings(**values, optimize_place=self.place is not False, seed=seed)


@flatten_options
def project(
    context: typer.Context,
    model: ModelArgument,
    images: Annotated[
        list[str],
        typer.Argument(
            metavar="IMAGE...", parser=parse_image, help="Image files; folders, archives or stores of images; videos."
        ),
    ],
    out: Annotated[
        Path, typer.Option("--out", metavar="FOLDER", help="Folder for the results; each image gets a subfolder.")
    ],
    *,
    search: SearchOptions,
    crop: Annotated[
        CropName,
        typer.Option(
            "--crop", help="How images of another shape are cut: center, none (stretched), celeba, or face (aligned)."
        ),
    ] = "center",
    landmarks: Annotated[
        str,
        typer.Option(
            "--landmarks",
            metavar="FILE|dlib",
            parser=parse_landmarks,
            help="Where --crop face finds eyes and mouths: dlib, or a CSV or JSON file.",
        ),
    ] = "dlib",
    video: Annotated[
        VideoName | None,
        typer.Option("--video", help="Also write an animation of each search.", show_default=False),
    ] = None,
    batch: Annotated[int, typer.Option("--batch", min=1, metavar="N", help="Images optimised at a time.")] = 4,
    seed: SeedOption = 0,
    precision: PrecisionOption = "auto",
    device: DeviceOption = "auto",
    json: JsonOption = False,
) -> None:
    """Find the latents and noise maps of given images, so you can mix and edit them like generated ones.

    Writes a folder for each image, and continues an existing --out: finished images are skipped. Its latent.npz is
    accepted wherever a command takes latents. Several images also get report.html. Images that cannot be read are
    named at the end (exit code 1). Under torchrun, processes share the images.
    """
    given = Given(context)
    search.check(given)
    given.refuse("landmarks", when=crop != "face", because=f"--crop {crop} does not look for faces")
    _check_out(out)
    from sgkit.inversion import Fitting, load_encoder, project_files
    from sgkit.model.precision import drawing_precision
    from sgkit.render.inputs import Inputs
    from sgkit.runtime.distributed import distributed

    settings = search.settings(seed)
    with distributed(device) as processes, report.progress_bar("Projecting") as on_progress:
        opened = _opened(model, processes.device, given, settings)
        measured = drawing_precision(precision, opened.config, opened.device)  # each process may measure differently
        result = project_files(
            Inputs(opened, path=model),
            images,
            out,
            settings,
            label=search.label,
            mask=search.mask,
            encoder=None if search.encoder is None else load_encoder(search.encoder, opened),
            fitting=Fitting(crop=crop, landmarks=landmarks),
            video=video,
            batch=batch,
            precision=processes.gather_objects(measured)[0],
            context=processes,
            command=typed(context),
            on_progress=on_progress,
        )
    for line in _adaptations(result):
        report.note(line)
    report.emit(result, json=json, show=_show)
    if processes.is_main:  # torchrun ends the others when one fails
        result.raise_unusable()


def _check_out(out: Path) -> None:
    if out.exists() and not out.is_dir():
        raise InputError(f"{out} is a file. Give --out the name of a folder.")


def _opened(path: Path, device: torch.device, given: Given, settings: ProjectSettings) -> sgkit.Model:
    """The model, if the options that were given have an effect on it."""
    import sgkit
    from sgkit.render.placement import takes_placement

    opened = sgkit.load(path, device=device)
    has_noise = any(spec.has_noise for spec in opened.generator.synthesis.plan)
    given.refuse("noise", "zero_noise", "noise_weight", when=not has_noise, because="this model has no noise inputs")
    places = takes_placement(opened) and settings.space != "s"
    moved = "only a StyleGAN3 can be moved and turned at its input; in the space s, the input's style does that already"
    given.refuse("place", when=not places, because=moved)
    one_w = "this model has one w for all layers, so w+ is the same as w"
    given.refuse("space", when=settings.space == "w+" and opened.num_ws == 1, because=one_w)
    return opened


def _adaptations(result: ProjectResult) -> list[str]:
    """How images were fitted to the model: a line for each way, not for each image."""
    ways: dict[str, list[str]] = {}
    for image in result.images:
        if image.adapted:
            ways.setdefault(image.adapted, []).append(image.source)
    return [
        f"{sources[0]}{f' and {len(sources) - 1:,} more' if len(sources) > 1 else ''}: {way}."
        for way, sources in ways.items()
    ]


def _show(result: ProjectResult) -> None:
    images = result.by_quality
    rows = [
        (image.name, round(image.psnr, 2), image.ssim, image.distance, image.start_distance, image.best_step)
        for image in images
    ]
    columns = ("image", "PSNR dB", "SSIM", "distance", "at the start", "best step")
    if len(rows) > MOST_ROWS:
        half = MOST_ROWS // 2
        report.table(columns, rows[:half], title=f"The {half} best of {len(rows):,}")
        report.table(columns, rows[-half:], title=f"The {half} worst")
    elif rows:
        report.table(columns, rows)
    else:
        return  # the error that follows says why
    if len(images) > 1:
        best, worst = images[0], images[-1]
        mean = sum(image.psnr for image in images) / len(images)
        report.out(
            f"Best: {best.name} ({best.psnr:.1f} dB), worst: {worst.name} ({worst.psnr:.1f} dB), mean {mean:.1f} dB."
        )
    skipped = f", {result.num_skipped:,} finished before" if result.num_skipped else ""
    count = f"{len(rows):,} image{'s' * (len(rows) != 1)}"
    page = f", report in {result.report.name}" if result.report else ""
    report.out(f"{count} in {result.folder}{skipped}{page} ({report.duration(result.seconds)})")
