"""A drag from a seed, latent file or projected photo to files: the latent, the images, the way there."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from sgkit.config.shapes import PICTURE, parse_shape
from sgkit.errors import UsageError
from sgkit.inversion.drag import Dragged, DragSettings, check_points, drag
from sgkit.latents.sources import Origin, Source
from sgkit.latents.spaces import Latents, save_latents, to_ws
from sgkit.model import MapNoise, Model, StoredNoise
from sgkit.model.labels import one_label, seed_label
from sgkit.render.drawing import Drawing, DrawSettings, drawing
from sgkit.render.files import write_picture
from sgkit.render.inputs import Inputs, latents_hash
from sgkit.render.interpolate import write_frames
from sgkit.render.marks import Mark
from sgkit.render.scene import MODEL, Alone, Curve, LatentRef, Scene, Sheet, Subject
from sgkit.render.shapes import mask_of
from sgkit.render.sheets import still_of
from sgkit.runtime.files import atomic_directory, check_new
from sgkit.runtime.path_checks import LATENT
from sgkit.runtime.progress import OnProgress, Progress, ignore_progress

Point = tuple[float, float]
WAY = "way.npz"
MOST_ON_THE_WAY = 33
"""Latents that are kept of the way, and so keyframes of the animation."""
SHOWN_SIDE = 256
"""Images of small models are enlarged by whole factors to about this height where points are drawn over them."""


@dataclass(frozen=True, kw_only=True)
class DragResult:
    """What was written; also the content of its ``drag.json``."""

    folder: Path
    source: str
    layer: str
    """Whose features were followed."""
    steps: int
    arrived: bool
    """Whether every handle came within the tolerance of its target, as tracked in feature space."""
    handles: tuple[Point, ...]
    """Where they started, in pixels."""
    tracked: tuple[Point, ...]
    """Where they were found at the end."""
    targets: tuple[Point, ...]
    start_distance: float
    """Mean distance of handles to targets before, in pixels."""
    distance: float
    """The same at the end, as tracked."""
    seconds: float


def drag_latents(
    model: Model | Inputs,
    source: Source,
    points: Sequence[tuple[Point, Point]],
    settings: DragSettings | None = None,
    draw: DrawSettings | None = None,
    *,
    mask: str | None = None,
    on_progress: OnProgress = ignore_progress,
) -> tuple[Latents, Dragged]:
    """The latent of ``source`` with every handle dragged to its target, and how it went.

    Args:
        model: any that has w.
        source: a seed, a latent file or latents: of one image.
        points: pairs of a handle and its target, (x, y) in pixels.
        settings: how to search.
        draw: truncation and class of the source.
        mask: a shape, or a mask's image file; only there the image may change.
        on_progress: told of every step.

    Raises:
        UsageError: the points, the mask or the source do not fit the model.
        InputError: a file cannot be read.
    """
    on, settings = drawing(model, draw), settings or DragSettings()
    origin = one_origin(on, source)
    handles, targets = [handle for handle, _ in points], [target for _, target in points]
    check_points(on.model, handles, targets)
    latents = _latents(on, origin)
    ws = to_ws(latents, on.model, psi=on.settings.truncation_psi, cutoff=on.settings.truncation_cutoff)

    def told(step: int, distances: torch.Tensor) -> None:
        shown = {"distance": f"{float(distances.mean()):.2f} px"}
        on_progress(Progress(done=step + 1, total=settings.steps, unit="steps", fields=shown))

    found = drag(
        on.model,
        ws,
        handles,
        targets,
        settings,
        mask=None if mask is None else _mask(on, mask),
        noise=MapNoise(dict(latents.noise)) if latents.noise else StoredNoise(),
        on_step=told,
    )
    return _made(on, found.ws.cpu(), latents, (origin.name,)), found


def drag_files(
    model: Model | Inputs,
    source: Source,
    points: Sequence[tuple[Point, Point]],
    folder: str | Path,
    settings: DragSettings | None = None,
    draw: DrawSettings | None = None,
    *,
    mask: str | None = None,
    frames: int = 60,
    fps: float = 30.0,
    overwrite: bool = False,
    on_progress: OnProgress = ignore_progress,
) -> DragResult:
    """Drag, and write the latent, the image, its points before and after, the way there and an animation of it.

    Args:
        folder: made; an older one of the same kind is replaced with ``overwrite``.
        frames: of the animation; 0: none.
        fps: its frames per second.

    Other arguments and errors: :func:`drag_latents`.
    """
    began, folder = time.perf_counter(), Path(folder)
    check_new(folder, overwrite=overwrite)
    on, settings = drawing(model, draw), settings or DragSettings()
    latents, found = drag_latents(on.inputs, source, points, settings, draw, mask=mask, on_progress=on_progress)
    result = DragResult(
        folder=folder,
        source=latents.names[0],
        layer=found.layer,
        steps=len(found.losses),
        arrived=found.arrived,
        handles=_points(found.handles[0]),
        tracked=_points(found.handles[-1]),
        targets=_points(found.targets),
        start_distance=float(found.distances[0].mean()),
        distance=float(found.distances[-1].mean()),
        seconds=time.perf_counter() - began,
    )
    with atomic_directory(folder, overwrite=overwrite) as temporary:
        _write(temporary, on, latents, found, frames=frames, fps=fps)
        facts = asdict(result) | {"folder": str(folder), "settings": asdict(settings), "mask": mask}
        (temporary / "drag.json").write_text(json.dumps(facts, indent=2) + "\n", encoding="utf-8")
    return result


def one_origin(on: Drawing, source: Source) -> Origin:
    """The one image that ``source`` stands for.

    Raises:
        UsageError: it stands for none or several, or for a latent of s.
    """
    origins = list(on.origins(source))
    if len(origins) != 1:
        raise UsageError(f"A drag changes one image; {len(origins)} were given. Give one seed or one latent.")
    if origins[0].latents is not None and origins[0].latents.place is not None:
        raise UsageError(
            f"{origins[0].name} is moved and turned at the input of its StyleGAN3, which a drag does not keep. Project "
            "the image with: sgkit project --no-place"
        )
    if origins[0].space == "s":
        raise UsageError(
            f"{origins[0].name} is a latent of the space s; dragging moves w. Give a seed or a latent of z, w or w+."
        )
    return origins[0]


def _latents(on: Drawing, origin: Origin) -> Latents:
    if origin.latents is not None:
        found = origin.latents[origin.index]
        if found.space != "z" or found.label is not None:
            return found
        label = seed_label(on.model, one_label(on.model, on.settings.label), 0)
        return Latents(space="z", values=found.values, label=label, noise=found.noise, names=found.names)
    assert origin.seed is not None
    label = seed_label(on.model, one_label(on.model, on.settings.label), origin.seed)
    return Latents(space="z", values={"z": on.model.sample_z([origin.seed])}, label=label, names=(origin.name,))


def _mask(on: Drawing, text: str) -> Any:
    parsed = parse_shape(text)
    return mask_of(on.inputs.mask_picture(parsed) if parsed.kind == PICTURE else text, on.inputs.mask)


def _made(on: Drawing, ws: torch.Tensor, latents: Latents, names: tuple[str, ...]) -> Latents:
    noise = {name: maps[:1] for name, maps in latents.noise.items()}
    model_hash = on.inputs.model_hash(on.model)
    return Latents(space="w+", values={"w": ws}, noise=noise, model_hash=model_hash, names=names)


def _points(points: torch.Tensor) -> tuple[Point, ...]:
    return tuple((float(x), float(y)) for x, y in points.tolist())


def _write(folder: Path, on: Drawing, latents: Latents, found: Dragged, *, frames: int, fps: float) -> None:
    """All files, drawn from the latents beside them."""
    save_latents(latents, folder / LATENT)
    kept = torch.linspace(0, len(found.path) - 1, min(len(found.path), MOST_ON_THE_WAY)).round().long()
    names = tuple(f"step{int(step):04d}" for step in kept)
    way = _made(on, found.path[kept], latents, names)
    save_latents(way, folder / WAY)
    inputs = Inputs(on.model, folder=folder)
    after = _scene(on, {"dragged": _subject(LATENT, latents, 0)}, "dragged")
    before = _scene(on, {"step0000": _subject(WAY, way, 0)}, "step0000")
    image, drawn = still_of(Sheet(scenes=(after,)), inputs)
    write_picture(image, folder / "image.png", drawn)
    scale = max(round(SHOWN_SIDE / on.model.image_size[0]), 1)
    targets = _points(found.targets)
    marks = [
        Mark(place=place, handle=handle, target=target)
        for place, handles in enumerate((found.handles[0], found.handles[-1]))
        for handle, target in zip(_points(handles), targets, strict=True)
    ]
    points = Sheet(scenes=(before, after), columns=2, gap=2 * scale, scale=scale, marks=tuple(marks))
    picture, drawn = still_of(points, inputs, batch=1)
    write_picture(picture, folder / "points.png", drawn)
    if frames:
        keys = {name: _subject(WAY, way, index) for index, name in enumerate(names)}
        moving = Subject(source=Curve(through=names))
        film = Sheet(scenes=(_scene(on, {**keys, "frame": moving}, "frame"),), frames=frames, fps=fps, batch=8)
        write_frames(film, inputs, folder / "way.webp", fps=fps)


def _subject(file: str, latents: Latents, index: int) -> Subject:
    source = LatentRef(latent=file, index=index, hash=latents_hash(latents))
    return Subject(source=source, batch=1)


def _scene(on: Drawing, subjects: dict[str, Subject], of: str) -> Scene:
    return Scene(
        models={MODEL: on.inputs.reference(on.model)},
        subjects=subjects,
        arrangement=Alone(of=of),
        precision=on.settings.precision,
    )
