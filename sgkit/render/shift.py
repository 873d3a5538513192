"""New images from one: parts of its features copied, moved, swapped and mirrored.

"StyleGAN of All Trades" (Chong, Lee and Forsyth 2021), section 4.2: what SinGAN trains a network for.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator, Sequence
from typing import Literal

from sgkit.config.base import Config
from sgkit.config.placed import Move, parse_move
from sgkit.config.shapes import INVERSE
from sgkit.errors import UsageError
from sgkit.latents.sources import Source
from sgkit.model import Model
from sgkit.render.blend import shape_record
from sgkit.render.drawing import Drawing, DrawSettings, drawing
from sgkit.render.geometry import Paste, Patch
from sgkit.render.inputs import Inputs
from sgkit.render.render import Rendered, render
from sgkit.render.scene import Scene

SOFTENED = {"box": 4, "ellipse": 4}
"""Shapes that may lack their softness, and how many numbers they have then."""


class ShiftSettings(Config):
    """What is moved within an image."""

    copies: tuple[str, ...] = ()
    """Parts that are also painted elsewhere: ``box:0.1,0.2,0.4,0.6 by 0.5,0`` or ``... to 0.6,0.2``."""
    moves: tuple[str, ...] = ()
    """Parts that are painted elsewhere, and filled from their surroundings where they were."""
    swaps: tuple[str, ...] = ()
    """Parts that are exchanged with what is at another place."""
    mirrors: tuple[str, ...] = ()
    """Parts that are mirrored: ``box:0,0,1,1 x``, ``y`` or ``both``."""
    variants: int = 0
    """Make this many random variants of each image."""
    seed: int = 0
    """Of the variants."""
    along: Literal["x", "y", "both"] = "x"
    """Where variants move parts: sideways, which keeps ground and sky apart, up and down, or both."""
    softness: float = 0.1
    """Width of the soft edges of boxes and ellipses that do not say it, as a fraction of the picture."""
    at: str = "16px"
    """The resolution whose features are moved: finer ones copy exactly, coarser ones blend more."""
    image: bool = True
    """Also move the image so far (architecture skip); the paper's patch swap moves only the features."""


def shift(
    model: Model | Inputs,
    sources: Source | Iterable[Source],
    settings: DrawSettings | None = None,
    shifting: ShiftSettings | None = None,
    *,
    parts_of: Source | Iterable[Source] = (),
    batch: int = 8,
) -> Iterator[Rendered]:
    """Images with parts moved, one for each seed and each latent of a file, or as many variants of each.

    Raises:
        UsageError: as :func:`shift_scenes`.
        InputError: a latent file cannot be read.
    """
    on = drawing(model, settings)
    scenes = shift_scenes(on, sources, shifting or ShiftSettings(), parts_of=parts_of)
    return render(scenes.values(), on.inputs, batch=batch)


def shift_scenes(
    on: Drawing,
    sources: Source | Iterable[Source],
    shifting: ShiftSettings,
    *,
    parts_of: Source | Iterable[Source] = (),
) -> dict[str, Scene]:
    """The images as data, by name.

    Args:
        on: model and settings.
        sources: the images.
        shifting: what is moved.
        parts_of: take the parts from this one image instead: the paper's patch swap.

    Raises:
        UsageError: nothing would be moved, or a part is not a shape, or leaves the picture.
        SceneError: a mask's image file is not there, or is not a mask.
    """
    if not 0 <= shifting.softness <= 1:
        raise UsageError(f"--softness is {shifting.softness:g}; it must be between 0 (hard edges) and 1.")
    moves = moves_of(shifting)
    if not moves and not shifting.variants:
        raise UsageError(
            "Nothing would be moved. Give --copy, --move, --swap or --mirror, for example --copy 'box:0.1,0.2,0.4,0.6 "
            "by 0.5,0', or --random 8."
        )
    others = list(on.origins(parts_of))
    if len(others) > 1:
        raise UsageError(f"Parts are taken from one image; {len(others)} were given.")
    found: dict[str, Scene] = {}
    for number, (name, scene) in enumerate(on.alone(sources).items()):
        for variant in range(shifting.variants or 1):
            every = (
                moves
                if not shifting.variants
                else [*moves, *random_moves(f"{shifting.seed}/{number}/{variant}", shifting.along)]
            )
            subjects, source = dict(scene.subjects), None
            if others:
                source = others[0].name if others[0].name not in subjects else f"{others[0].name}-parts"
                subjects[source] = on.subject(others[0])
            patches = [patch for one in every for patch in _patches(on, one, shifting.softness, source)]
            edit = Paste(kind="paste", at=shifting.at, patches=tuple(patches), image=shifting.image)
            key = name if not shifting.variants else f"{name}-v{variant:03d}"
            found[key] = scene.changed(subjects=subjects, edits=(edit,))
    return found


def moves_of(shifting: ShiftSettings) -> list[Move]:
    """What is moved, in the order: copies, moves, swaps, mirrors."""
    return [
        *(parse_move("copy", text) for text in shifting.copies),
        *(parse_move("move", text) for text in shifting.moves),
        *(parse_move("swap", text) for text in shifting.swaps),
        *(parse_move("mirror", text) for text in shifting.mirrors),
    ]


def random_moves(seed: str, along: Literal["x", "y", "both"] = "x") -> list[Move]:
    """Two to four parts, a quarter to 0.6 of each side, copied, swapped or mirrored within the picture."""
    chance = random.Random(seed)
    found = []
    for _ in range(chance.randint(2, 4)):
        width, height = chance.uniform(0.25, 0.6), chance.uniform(0.25, 0.6)
        left, top = chance.uniform(0, 1 - width), chance.uniform(0, 1 - height)
        to_left, to_top = chance.uniform(0, 1 - width), chance.uniform(0, 1 - height)
        shape = f"box:{left:.3f},{top:.3f},{left + width:.3f},{top + height:.3f}"
        action = chance.choice(("copy", "copy", "swap", "mirror"))
        mirror = chance.choice(("none", "x")) if action != "mirror" else "x"
        right = 0.0 if action == "mirror" or along == "y" else round(to_left - left, 3)
        down = 0.0 if action == "mirror" or along == "x" else round(to_top - top, 3)
        found.append(Move(action=action, shape=shape, right=right, down=down, mirror=mirror))  # type: ignore[arg-type]
    return found


def _patches(on: Drawing, move: Move, softness: float, source: str | None) -> Sequence[Patch]:
    shape = shape_record(on, _softened(move, softness))
    patch = Patch(shape=shape, right=move.right, down=move.down, mirror=move.mirror, source=source)
    if move.action == "swap":
        return [patch.changed(back=True), patch]
    if move.action == "move" and source is None:
        return [Patch(shape=shape, fill=True), patch]
    return [patch]


def _softened(move: Move, softness: float) -> str:
    """The shape with soft edges, but for edges of boxes on the picture's own edge, before and after the move."""
    inverse = f"{INVERSE}:" if move.shape.startswith(f"{INVERSE}:") else ""
    kind, _, text = move.shape.removeprefix(inverse).partition(":")
    numbers = text.split(",")
    if not softness or len(numbers) != SOFTENED.get(kind):
        return move.shape
    if kind == "box":
        stays = (move.right == 0, move.down == 0) * 2
        edges = [float(number) for number in numbers]
        out = (-softness, -softness, softness, softness)
        on_edge = (edges[0] <= 0, edges[1] <= 0, edges[2] >= 1, edges[3] >= 1)
        numbers = [
            f"{edge + away:g}" if still and outer else number
            for number, edge, away, still, outer in zip(numbers, edges, out, stays, on_edge, strict=True)
        ]
    return f"{inverse}{kind}:{','.join(numbers)},{softness:g}"
