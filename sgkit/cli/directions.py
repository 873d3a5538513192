"""``sgkit directions``: find, list and apply directions in latent space."""

from __future__ import annotations

from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from sgkit.cli import report
from sgkit.cli.drawing import LatentDrawOptions, Sources, open_drawing, parse_latent, parse_sources
from sgkit.cli.editing import AnyModelOption, LayersOption, MoveOptions
from sgkit.cli.given import Given
from sgkit.cli.groups import flatten_options
from sgkit.cli.options import (
    FixedRunOptions,
    JsonOption,
    LabelOption,
    ModelArgument,
    SeedOption,
    one_or_each,
    parse_existing,
)
from sgkit.cli.shapes import parse_shape
from sgkit.errors import UsageError
from sgkit.text import shell_word

if TYPE_CHECKING:
    from sgkit.render.edit import ApplyResult
    from sgkit.tasks.directions import DirectionList

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    help="Find directions in latent space that change one property of the images; list and apply them.",
)


def parse_directions(text: str | Path) -> Path:
    """A direction file."""
    from sgkit.runtime.path_checks import check_directions

    return check_directions(text)


def parse_out(text: str | Path) -> Path:
    """The name of a direction file to write.

    Raises:
        typer.BadParameter: it does not end in .safetensors.
    """
    path = Path(text)
    if path.suffix != ".safetensors":
        better = path.with_suffix(".safetensors") if path.name else "directions.safetensors"
        raise typer.BadParameter(f"Directions are written as .safetensors, and {str(path)!r} is not. Use {better}.")
    return path


_NEEDS = {
    # option -> the methods that it is for
    "count": ("sefa", "pca", "channels"),
    "features": ("pca",),
    "normalize": ("sefa",),
    "labels": ("boundary", "channels"),
    "attribute": ("boundary", "channels"),
    "latent": ("boundary", "channels"),
    "mask": ("channels",),
    "images": ("channels",),
    "plus": ("difference",),
    "minus": ("difference",),
    "plus_class": ("difference",),
    "minus_class": ("difference",),
    "name": ("boundary", "difference"),
}


@app.command()
@flatten_options
def find(
    context: typer.Context,
    model: ModelArgument,
    out: Annotated[
        Path, typer.Option("--out", parser=parse_out, metavar="FILE.safetensors", help="The direction file to write.")
    ],
    method: Annotated[
        Literal["sefa", "pca", "boundary", "difference", "channels"],
        typer.Option(
            "--method",
            help="sefa: eigenvectors of the layers' weights. pca: principal components of w or features (GANSpace). "
            "boundary: a linear classifier of labels. difference: mean of some latents minus mean of others. channels: "
            "single channels of s, by attribute or by place (StyleSpace).",
        ),
    ] = "sefa",
    count: Annotated[
        int, typer.Option("--count", min=1, max=1000, metavar="N", help="Number of directions (sefa, pca, channels).")
    ] = 10,
    layers: LayersOption = None,
    features: Annotated[
        str | None,
        typer.Option(
            "--features", metavar="LAYER", help="pca: analyse features of this layer (16px or a name), not w."
        ),
    ] = None,
    normalize: Annotated[
        bool,
        typer.Option(
            "--normalize/--no-normalize",
            help="sefa: scale each channel's weights to length 1 first, as the authors' code does.",
        ),
    ] = True,
    labels: Annotated[
        Path | None,
        typer.Option(
            "--labels",
            parser=parse_existing,
            metavar="STORE|FILE",
            help="boundary, channels: a store with labels, which teaches a classifier of generated images; or a table "
            "of labels for --latent.",
        ),
    ] = None,
    attribute: Annotated[
        str | None, typer.Option("--attribute", metavar="NAME", help="Which label: a class or a column of --labels.")
    ] = None,
    latent: Annotated[
        list[Sources] | None,
        typer.Option(
            "--latent",
            parser=parse_latent,
            metavar="FILE.npz",
            help="Latents that a table of --labels names; a file, or a folder of projections. Can be repeated.",
        ),
    ] = None,
    mask: Annotated[
        str | None,
        typer.Option(
            "--mask", parser=parse_shape, metavar="SHAPE", help="channels: those first that change only this place."
        ),
    ] = None,
    images: Annotated[
        int, typer.Option("--images", min=1, metavar="N", help="channels --mask: images that each channel is tried on.")
    ] = 4,
    plus: Annotated[
        Sources | None,
        typer.Option(
            "--plus", parser=parse_sources, metavar="LIST", help="difference: seeds and latent files to go to."
        ),
    ] = None,
    minus: Annotated[
        Sources | None,
        typer.Option(
            "--minus", parser=parse_sources, metavar="LIST", help="difference: seeds and latent files to come from."
        ),
    ] = None,
    plus_class: Annotated[
        str | None, typer.Option("--plus-class", metavar="LABEL", help="difference: the class to go to.")
    ] = None,
    minus_class: Annotated[
        str | None, typer.Option("--minus-class", metavar="LABEL", help="difference: the class to come from.")
    ] = None,
    name: Annotated[
        str | None, typer.Option("--name", metavar="NAME", help="Name of the direction (boundary, difference).")
    ] = None,
    samples: Annotated[int, typer.Option("--samples", min=10, metavar="N", help="Number of latents to sample.")] = 2000,
    seed: SeedOption = 0,
    label: LabelOption = None,
    *,
    run: FixedRunOptions,
) -> None:
    """Find directions of a model and write them to a file.

    Strength 1 of a direction moves by one standard deviation of the latents along it; of a difference, by all of it.
    """
    from sgkit.runtime.files import check_new

    given = Given(context)
    for option, methods in _NEEDS.items():
        given.refuse(option, when=method not in methods, because=f"it is for --method {' or '.join(methods)}")
    _check_needs(method, labels, mask, (plus, minus), (plus_class, minus_class))
    given.refuse("images", when=mask is None, because="it is for --mask")
    check_new(out, overwrite=run.force)
    import sgkit
    from sgkit.render.inputs import Inputs
    from sgkit.runtime.device import resolve_device
    from sgkit.tasks.directions import FindSettings, find_file

    settings = FindSettings(
        method=method,
        count=count,
        layers=layers,
        features=features,
        normalize=normalize,
        samples=samples,
        seed=seed,
        label=label,
        attribute=attribute,
        mask=mask,
        images=images,
        name=name,
    )
    with report.progress_bar("Finding directions") as on_progress:
        opened = sgkit.load(model, device=resolve_device(run.device))
        result = find_file(
            Inputs(opened, path=model),
            out,
            settings,
            overwrite=run.force,
            labels=labels,
            latents=list(chain.from_iterable(latent or ())),
            plus=plus_class if plus_class is not None else plus or (),
            minus=minus_class if minus_class is not None else minus or (),
            on_progress=on_progress,
        )
    report.emit(result, json=run.json, show=_show)


def _check_needs(
    method: str,
    labels: Path | None,
    mask: str | None,
    sides: tuple[Sources | None, Sources | None],
    classes: tuple[str | None, str | None],
) -> None:
    """Refuse a method that lacks what it works on, before torch is loaded."""
    if method == "boundary" and labels is None:
        raise UsageError(
            "--method boundary needs labels: a store with labels (--labels STORE), or a table of labels and the "
            "latents that it names (--labels FILE.csv --latent FOLDER)."
        )
    if method == "channels" and (labels is None) == (mask is None):
        raise UsageError(
            "--method channels ranks channels by where they act (--mask box:0.3,0.5,0.7,0.8) or by an attribute "
            "(--labels STORE): give one of the two."
        )
    if method == "difference":
        pairs = [all(one is not None for one in pair) for pair in (sides, classes)]
        some = [any(one is not None for one in pair) for pair in (sides, classes)]
        if sum(pairs) != 1 or sum(some) != 1:
            raise UsageError(
                "--method difference needs two sides: --plus LIST --minus LIST (seeds and latent files), or "
                "--plus-class NAME --minus-class NAME."
            )


@app.command(name="list")
def list_(
    file: Annotated[
        Path, typer.Argument(metavar="FILE", parser=parse_directions, help="A file that 'sgkit directions find' made.")
    ],
    json: JsonOption = False,
) -> None:
    """Show the directions in a file: names, steps, what they explain, and what positive strength does."""
    from sgkit.latents.directions import load_directions
    from sgkit.tasks.directions import described

    report.emit(described(load_directions(file), file), json=json, show=_show)


@app.command()
@flatten_options
def apply(
    context: typer.Context,
    model: ModelArgument,
    out: Annotated[Path, typer.Option("--out", metavar="FILE.npz", help="The latent file to write.")],
    *,
    editing: MoveOptions,
    draw: LatentDrawOptions,
    any_model: AnyModelOption = False,
    run: FixedRunOptions,
) -> None:
    """Move latents along directions and write them to a latent file, for every command that takes latents."""
    from sgkit.runtime.files import check_new

    given = Given(context)
    moves, sources = editing.moves(given), editing.sources()
    if out.suffix != ".npz":
        raise UsageError(f"Latents are written as .npz, and {str(out)!r} is not. Use {out.with_suffix('.npz')}.")
    check_new(out, overwrite=run.force)
    from sgkit.latents.spaces import save_latents
    from sgkit.render.edit import ApplyResult, EditSettings, moved_latents

    with report.progress_bar("Moving latents"):
        on = open_drawing(model, sources, given, draw, device=run.device, precision="fp32", any_model=any_model)
        by = EditSettings(layers=editing.layers, s_psi=one_or_each(editing.s_psi), steps=1)
        found = moved_latents(on.inputs, sources, moves, on.settings, by=by)
        save_latents(found, out)
    result = ApplyResult(path=out, space=found.space, names=found.names, model_hash=str(found.model_hash))
    report.emit(result, json=run.json, show=_show_applied)


def _show_applied(result: ApplyResult) -> None:
    count = len(result.names)
    report.out(f"{count} latent{'s' * (count != 1)} of the space {result.space} in {result.path}")


def _show(result: DirectionList) -> None:
    rows = [(row.name, row.step, "-" if row.measure is None else row.measure, row.sign) for row in result.rows]
    where = "" if result.layers is None else f", layers {', '.join(map(str, result.layers))} of w+"
    report.table(("name", "step", "measure", "positive strength"), rows)
    if result.measure:
        report.out(f"measure: {result.measure}")
    for key in ("attribute", "examples", "boundary_score", "boundary_chance", "classifier_score", "classifier_chance"):
        if key in result.settings:
            report.out(f"{key.replace('_', ' ')}: {result.settings[key]}")
    count = len(result.rows)
    report.out(
        f"{count} direction{'s' * (count != 1)} of {result.space} by {result.method}{where} in {result.path}"
        + (f" ({report.duration(result.seconds)})" if result.seconds else "")
    )
    report.out(
        f"Use it: sgkit edit MODEL --seeds 0-3 --move {shell_word(result.path)}:{result.rows[0].name}=2 --out a.png"
    )
