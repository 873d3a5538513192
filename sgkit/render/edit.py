"""Edits along directions: strips from the image before to the image after, and sliders as animations."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from sgkit.config.base import Config, Count
from sgkit.config.shapes import PICTURE, parse_shape
from sgkit.errors import UsageError
from sgkit.latents.directions import Directions, load_directions
from sgkit.latents.move_text import parse_channel, parse_move
from sgkit.latents.sources import Origin, Source
from sgkit.latents.spaces import Latents, join
from sgkit.model import Model
from sgkit.render.compile import Compiler
from sgkit.render.drawing import Drawing, DrawSettings, drawing, unlike
from sgkit.render.files import write_picture
from sgkit.render.inputs import Inputs
from sgkit.render.interpolate import write_frames
from sgkit.render.moves import Along, Channel
from sgkit.render.pictures import arrange
from sgkit.render.render import Rendered, render
from sgkit.render.scene import Masked, Masks, Scene, Sheet, Subject
from sgkit.runtime.files import check_new
from sgkit.runtime.outputs import check_animation, is_frame_folder
from sgkit.runtime.progress import OnProgress, Progress, ignore_progress

AnyMove = str | Along | Channel | tuple[Directions | str | Path, Any, float]
"""``FILE[:NAME]=STRENGTH`` or ``LAYER:CHANNEL=VALUE``; a record of a scene; or directions (or their file), which, and
how far."""


class EditSettings(Config):
    """How far and where latents are moved."""

    layers: str | None = None
    """Layers of w+ that directions of w move; ``None``: the directions' own."""
    s_psi: float | tuple[float, ...] = 1.0
    """Truncation in s, after the moves."""
    mask: str | None = None
    """A shape: only there the image is the edited one. ``None``: everywhere."""
    mask_layers: str = "all"
    """Layers at which the mask acts."""
    steps: Count = 4
    """Images after the one before."""
    both: bool = False
    """Also go the other way: from minus the strength to the strength."""

    def shares(self) -> list[float]:
        """The shares of the full strength that are shown, rising."""
        if self.steps < 1:
            raise UsageError(f"steps is {self.steps}; it must be 1 or more.")
        first, count = (-1.0, 2 * ((self.steps + 1) // 2)) if self.both else (0.0, self.steps)
        return [float(share) for share in np.linspace(first, 1.0, count + 1)]


@dataclass(frozen=True, kw_only=True)
class Edited:
    """A row of images for each source: the edit at each share of its strength."""

    rows: tuple[tuple[Rendered, ...], ...]
    names: tuple[str, ...]
    shares: tuple[float, ...]
    """1 is the full strength, 0 the image before."""

    def sheet(self, *, gap: int = 0) -> Sheet:
        """What the strips show, as data."""
        scenes = tuple(one.scene for row in self.rows for one in row)
        return Sheet(scenes=scenes, columns=len(self.shares), rows=len(self.rows), gap=gap)


@dataclass(frozen=True, kw_only=True)
class EditResult:
    """What was written."""

    path: Path
    sources: tuple[str, ...]
    """What the rows (or the places of an animation) are made from."""
    moves: tuple[str, ...]
    shares: tuple[float, ...]
    """Of the full strength, by column; empty: an animation."""
    frames: int
    """0: a still image."""
    seconds: float


@dataclass(frozen=True, kw_only=True)
class ApplyResult:
    """Latents written."""

    path: Path
    space: str
    """The last space that anything moved."""
    names: tuple[str, ...]
    model_hash: str


def edit(
    model: Model | Inputs,
    sources: Source | Iterable[Source],
    moves: Sequence[AnyMove],
    settings: DrawSettings | None = None,
    *,
    by: EditSettings | None = None,
    batch: int = 8,
    on_progress: OnProgress = ignore_progress,
) -> Edited:
    """The images of ``sources``, each moved along all of ``moves`` at once in even steps.

    Raises:
        UsageError: a move, a mask or the layers do not fit the model; or a source is missing, or nothing is to be done.
        InputError: a file cannot be read.
    """
    on, by = drawing(model, settings), by or EditSettings()
    records = move_records(on.inputs, moves, layers=by.layers)
    origins = _origins(on, sources, records, by)
    names = unlike(origin.name for origin in origins)
    shares = by.shares()
    scenes = [
        scene_of(on, origin, name, [_at(one, share) for one in records], by, share=share)
        for origin, name in zip(origins, names, strict=True)
        for share in shares
    ]
    made: list[Rendered] = []
    for one in render(scenes, on.inputs, batch=batch):
        made.append(one)
        on_progress(Progress(done=len(made), total=len(scenes)))
    rows = tuple(tuple(made[first : first + len(shares)]) for first in range(0, len(made), len(shares)))
    return Edited(rows=rows, names=tuple(names), shares=tuple(shares))


def edit_file(
    model: Model | Inputs,
    sources: Source | Iterable[Source],
    moves: Sequence[AnyMove],
    path: str | Path,
    settings: DrawSettings | None = None,
    *,
    by: EditSettings | None = None,
    frames: int = 60,
    fps: float = 30.0,
    gap: int = 0,
    batch: int = 8,
    overwrite: bool = False,
    on_progress: OnProgress = ignore_progress,
) -> EditResult:
    """Write strips (``.png``), or a slider that goes there and back (a film, or a folder of frames).

    Raises:
        UsageError, InputError: as :func:`edit`; or ``path`` exists.
    """
    began, path, by = time.perf_counter(), Path(path), by or EditSettings()
    on = drawing(model, settings)
    check_new(path, overwrite=overwrite)
    if path.suffix.lower() == ".png":
        done = edit(on.inputs, sources, moves, settings, by=by, batch=batch, on_progress=on_progress)
        pixels = [one.pixels for row in done.rows for one in row]
        write_picture(arrange(pixels, (len(done.shares), len(done.rows)), gap=gap), path, done.sheet(gap=gap))
        names, shares, count = done.names, done.shares, 0
    else:
        check_animation(path, fps=fps)
        film = None if is_frame_folder(path) else fps
        sheet = slider(on, sources, moves, by, frames=frames, fps=film, gap=gap, batch=batch)
        write_frames(sheet, on.inputs, path, fps=fps, overwrite=overwrite, on_progress=on_progress)
        names, shares, count = tuple(scene.main()[0] for scene in sheet.filled), (), frames
    shown = tuple(_shown(one) for one in move_records(on.inputs, moves, layers=by.layers))
    seconds = time.perf_counter() - began
    return EditResult(path=path, sources=names, moves=shown, shares=shares, frames=count, seconds=seconds)


def slider(
    on: Drawing,
    sources: Source | Iterable[Source],
    moves: Sequence[AnyMove],
    by: EditSettings,
    *,
    frames: int,
    fps: float | None,
    gap: int = 0,
    batch: int = 8,
) -> Sheet:
    """An animation as data: every source moves to the full strength and back."""
    records = move_records(on.inputs, moves, layers=by.layers)
    if not records:
        raise UsageError("An animation needs a move: give --move FILE=STRENGTH or --channel LAYER:CHANNEL=VALUE.")
    origins = _origins(on, sources, records, by)
    start = -1.0 if by.both else 0.0
    paths = [one.changed(strength=(start * one.now, one.now, start * one.now)) for one in records]
    names = unlike(origin.name for origin in origins)
    scenes = tuple(
        scene_of(on, origin, name, paths, by, share=1.0) for origin, name in zip(origins, names, strict=True)
    )
    Compiler(on.inputs).styled([(scene, name) for scene in scenes for name in scene.main()])  # refuses misfits at once
    return Sheet(scenes=scenes, columns=len(scenes), gap=gap, frames=frames, fps=fps, batch=batch)


def scene_of(
    on: Drawing, origin: Origin, name: str, moves: Sequence[Along | Channel], by: EditSettings, *, share: float
) -> Scene:
    """The scene of one image: the plain subject alone, the moved one, or the moved one within a mask."""
    plain = on.subject(origin, batch=1)
    psi = _psi_at(by.s_psi, share)
    moved = plain.changed(moves=tuple(moves), s_psi=psi) if share != 0 else plain
    scene = on.scene({name: moved}, name, seed=origin.seed)
    if by.mask is None or share == 0:
        return scene
    parsed, edited = parse_shape(by.mask), f"{name}-edited"
    shape = on.inputs.mask_picture(parsed) if parsed.kind == PICTURE else by.mask
    subjects: dict[str, Subject] = {name: plain, edited: moved}
    over = (Masked(subject=edited, shape=shape),)
    return scene.changed(subjects=subjects, arrangement=Masks(kind="masks", of=name, over=over, layers=by.mask_layers))


def moved_latents(
    model: Model | Inputs,
    sources: Source | Iterable[Source],
    moves: Sequence[AnyMove],
    settings: DrawSettings | None = None,
    *,
    by: EditSettings | None = None,
) -> Latents:
    """The latents of ``sources`` moved along ``moves``, of the last space that anything moves: z, w+ or s.

    Raises:
        UsageError, InputError: as :func:`edit`.
    """
    on, by = drawing(model, settings), by or EditSettings(steps=1)
    records = move_records(on.inputs, moves, layers=by.layers)
    origins = _origins(on, sources, records, by)
    names = unlike(origin.name for origin in origins)
    found = []
    for origin, name in zip(origins, names, strict=True):
        scene = scene_of(on, origin, name, records, by, share=1.0)
        found.append(Compiler(on.inputs).moved(scene, name))
    joined = join(found)
    return replace(joined, model_hash=on.inputs.model_hash(on.model), names=tuple(names))


def move_records(inputs: Inputs, moves: Sequence[AnyMove], *, layers: str | None = None) -> list[Along | Channel]:
    """The records of a scene that ``moves`` stand for; ``layers``: of w+, for directions of w.

    Raises:
        UsageError: a text is not a move, or a file has no such direction.
        InputError: a file cannot be read.
    """
    found: list[Along | Channel] = []
    read: dict[Path, Directions] = {}

    def directions_of(file: Path) -> Directions:
        if file not in read:
            read[file] = load_directions(file)
        return read[file]

    for move in moves:
        if isinstance(move, (Along, Channel)):
            found.append(move)
        elif isinstance(move, tuple):
            what, name, strength = move
            file = Path(what) if isinstance(what, (str, Path)) else None
            held = directions_of(file) if file is not None else what
            assert isinstance(held, Directions)
            key = None if name is None else str(name)
            found.append(inputs.along(held, key, file=file, strength=float(strength)))
        elif _is_channel(move):
            channel = parse_channel(move)
            found.append(Channel(layer=channel.layer, channel=channel.channel, strength=channel.strength))
        else:
            parsed = parse_move(move)
            held = directions_of(parsed.file)
            found.append(inputs.along(held, parsed.name, file=parsed.file, strength=parsed.strength))
    if layers is not None:
        found = [one.changed(layers=layers) if isinstance(one, Along) else one for one in found]
    return found


def _is_channel(text: str) -> bool:
    """Whether a text names a channel and no file."""
    what = text.rpartition("=")[0]
    layer, _, number = what.rpartition(":")
    return number.isdigit() and "." not in layer and not Path(what).exists() and not Path(layer).exists()


def _origins(
    on: Drawing, sources: Source | Iterable[Source], moves: Sequence[Along | Channel], by: EditSettings
) -> list[Origin]:
    origins = list(on.origins(sources))
    if not origins:
        raise UsageError("An edit needs at least one image: give seeds or latents, for example --seeds 0-3.")
    if not moves and by.s_psi == 1.0:
        raise UsageError(
            "Nothing to do: give --move FILE=STRENGTH (see sgkit directions find), --channel LAYER:CHANNEL=VALUE, or "
            "--s-psi."
        )
    return origins


def _at(move: Along | Channel, share: float) -> Along | Channel:
    return move.changed(strength=move.now * share)


def _psi_at(psi: float | tuple[float, ...], share: float) -> float | tuple[float, ...]:
    if isinstance(psi, tuple):
        return tuple(1 + (one - 1) * share for one in psi)
    return 1 + (psi - 1) * share


def _shown(move: Along | Channel) -> str:
    if isinstance(move, Channel):
        return f"{move.layer}:{move.channel} by {move.now:g}"
    return f"{move.name} of {move.direction or 'directions made in Python'} by {move.now:g}"
