"""A picture as data: who is in it, where, what happens to the canvas, and how it is drawn.

A :class:`Scene` is one picture of a network; a :class:`Sheet` is what one file shows: a scene, a grid of scenes, or the
frames of an animation. Both are plain, typed, versioned and JSON, and every image that sgkit writes carries its own.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import (
    Discriminator,
    Field,
    Tag,
    model_validator,
)

from sgkit.errors import did_you_mean
from sgkit.model import Axis
from sgkit.render.geometry import EditRecord, sources_of
from sgkit.render.grid import Endless, Grid
from sgkit.render.marks import Mark
from sgkit.render.moves import Move
from sgkit.render.pan import Pan
from sgkit.render.placement import Placement
from sgkit.render.records import Record, Text
from sgkit.render.shapes import Shape
from sgkit.runtime.precision import ResolvedPrecision

VERSION: Literal[1] = 1
Side = Annotated[int, Field(ge=1, le=1 << 24)]
Batch = Annotated[int, Field(ge=1, le=4096)]
MODEL = "model"
"""Key of the model in a scene that has one only."""
LARGEST_SCENE = 1 << 20
"""Bytes of JSON that are written into an image or read from one."""

NoiseKind = Literal["const", "random", "none"]
"""``const``: the maps stored in the model, or a latent's own; ``random``: by seed and position; ``none``: no noise."""


Layers = Text | tuple[int, ...]
"""Layers of w+: a name (``coarse``, ``middle``, ``fine``), or numbers."""


class ModelRef(Record):
    """A model, by content; the path is where it was last seen."""

    hash: Text | None = None
    path: Text | None = None


class Seed(Record):
    """z drawn from a seed, as NVIDIA's tools draw it."""

    seed: Annotated[int, Field(ge=0, lt=2**32)]


class LatentRef(Record):
    """One latent of a file, by content; the path is where it was last seen (none: latents made in Python)."""

    latent: Text | None
    index: Annotated[int, Field(ge=0)] = 0
    hash: Text | None = None
    space: Literal["auto", "z", "w", "w+"] = "auto"
    """What the latents are, for files that do not record it."""


class Curve(Record):
    """A curve through the latents of subjects, which are passed at the times 0, 1, 2 ..."""

    through: Annotated[tuple[Text, ...], Field(min_length=2)]
    at: float = 0.0
    """Time."""
    space: Literal["z", "w"] = "w"
    """``w`` also takes w+ latents, and moves layer by layer."""
    path: Literal["linear", "spherical"] = "linear"
    """``spherical`` keeps the distance from the centre: 0 in z, the average w in w (Shoemake 1985)."""
    smooth: Literal["none", "cubic"] = "none"
    """``cubic``: a spline with steady speed at the keyframes instead of corners."""
    loop: bool = False
    """Return to the first latent."""


def _kind_of_source(value: Any) -> str | None:
    keys = value if isinstance(value, Mapping) else type(value).model_fields if isinstance(value, Record) else ()
    return next((key for key in ("seed", "latent", "through", "endless") if key in keys), None)


Source = Annotated[
    Annotated[Seed, Tag("seed")]
    | Annotated[LatentRef, Tag("latent")]
    | Annotated[Curve, Tag("through")]
    | Annotated[Endless, Tag("endless")],
    Discriminator(
        _kind_of_source,
        custom_error_type="source",
        custom_error_message="an object with one of the keys 'seed', 'latent', 'through' or 'endless'",
    ),
]


class Mix(Record):
    """Styles of some layers from another subject (StyleGAN, section 3.1)."""

    subject: Text = Field(validation_alias="with", serialization_alias="with")
    layers: Layers = "coarse"
    channels: LatentRef | None = None
    """How much of each style channel is taken, 0 to 1, as latents of the space s; ``None``: all of every channel."""


class Subject(Record):
    """Who is in a picture: an expression that ends in styles."""

    source: Source = Field(validation_alias="from", serialization_alias="from")
    model: Text = MODEL
    psi: float | tuple[float, ...] = 1.0
    """Truncation; one number, or one for each w of w+. Applies to z; w, w+ and s are taken as they are."""
    cutoff: Annotated[int | None, Field(ge=1)] = None
    """Truncate only this many w, from the first on."""
    label: int | Text | tuple[float, ...] | None = None
    """Class number or name, or label vector; latents of z may bring their own. ``random``: by the seed."""
    place: Placement | None = None
    """Moved and turned on the canvas: StyleGAN3 only."""
    mix: tuple[Mix, ...] = ()
    moves: Annotated[tuple[Move, ...], Field(max_length=256)] = ()
    """Edits of the latent along directions, in z before the mapping, in w and w+ after truncation, then in s."""
    s_psi: float | tuple[float, ...] = 1.0
    """Truncation in s, after the moves: one number, or one for each w of w+. Applies to latents of every space."""
    batch: Batch | None = None
    """How many latents were mapped together: the last digits of w depend on it. ``None``: all drawn together."""


class Alone(Record):
    """One subject fills the picture."""

    kind: Literal["alone"] = "alone"
    of: Text


class Line(Record):
    """Subjects side by side, each blending into the next ("StyleGAN of All Trades", section 3.2)."""

    kind: Literal["line"]
    of: Annotated[tuple[Text, ...], Field(min_length=1)]
    axis: Axis = "x"
    """``x``: from left to right; ``y``: from top to bottom."""
    overlap: Annotated[float, Field(ge=0, le=1)] = 0.5
    """Width of the blend between neighbours, as a fraction of each one's part."""
    smoothing: Annotated[float, Field(ge=0)] = 0.0
    """Neighbouring z are averaged with a Gaussian of this many places; 0 turns it off."""


class Masked(Record):
    """A subject where a shape is."""

    subject: Text
    shape: Shape
    """Text such as ``box:left,top,right,bottom[,softness]``, in fractions of the picture; or an image file."""
    layers: Text | None = None
    """At which layers; ``None``: those of the arrangement."""
    weight: Annotated[float, Field(ge=0, le=1)] = 1.0
    """How much of the subject the shape shows."""


class Masks(Record):
    """One subject, and others over it by shapes: feature interpolation at every picked layer."""

    kind: Literal["masks"]
    of: Text
    """The subject under all shapes."""
    over: Annotated[tuple[Masked, ...], Field(min_length=1, max_length=64)]
    """A subject may have several shapes; later ones cover earlier ones."""
    layers: Text = "all"
    """``all``, ``coarse``, ``middle``, ``fine``, ``4-7``, ``to 32px``, ``from 64px``, ``at 16px``, names of layers."""
    mode: Literal["blend", "collage"] = "blend"
    """``blend``: all subjects continue with the mix ("StyleGAN of All Trades", section 3.2); ``collage``: only the one
    under all shapes does, and the others continue as they are (Suzuki et al. 2018, section 3.2)."""

    @property
    def subjects(self) -> tuple[str, ...]:
        """Each subject once: the one under all shapes, then the others."""
        return tuple(dict.fromkeys([self.of, *(one.subject for one in self.over)]))


Arrangement = Annotated[
    Annotated[Alone, Tag("alone")]
    | Annotated[Line, Tag("line")]
    | Annotated[Grid, Tag("grid")]
    | Annotated[Masks, Tag("masks")],
    Discriminator(
        lambda value: value.get("kind", "alone") if isinstance(value, Mapping) else getattr(value, "kind", None),
        custom_error_type="arrangement",
        custom_error_message="an arrangement of the kind 'alone', 'line', 'grid' or 'masks'",
    ),
]


class Noise(Record):
    """The noise inputs of a picture."""

    kind: NoiseKind = "const"
    seed: Annotated[int, Field(ge=0, lt=1 << 63)] = 0
    """Of ``random``: noise is a function of (seed, layer, position)."""


class Scene(Record):
    """One picture."""

    scene: Literal[1] = VERSION
    """Version of this schema."""
    models: dict[Text, ModelRef] = Field(default_factory=dict)
    """Models by the keys under which subjects name them."""
    subjects: Annotated[dict[Text, Subject], Field(min_length=1)]
    arrangement: Arrangement
    size: tuple[Side, Side] | None = None
    """Height and width in pixels; ``None``: the model's own, times the number of subjects in a line."""
    periodic: tuple[Axis, ...] = ()
    """Axes along which the ends of the picture join."""
    edits: tuple[EditRecord, ...] = ()
    """Changes of the canvas, in order."""
    noise: Noise = Noise()
    precision: ResolvedPrecision | Literal["auto"] = "fp32"
    batch: Batch | None = None
    """How many pictures were drawn together: the last digits of a network's output depend on it. ``None``: any."""

    @model_validator(mode="after")
    def _names_exist(self) -> Scene:
        named = [(key, name) for key, subject in self.subjects.items() for name in _named(subject)]
        named += [("arrangement", name) for name in self.main()]
        for where, name in named:
            if name not in self.subjects:
                hint = did_you_mean(name, self.subjects)
                raise ValueError(f"{where} names the subject {name!r}, which is not in the scene. {hint}")
        for key, subject in self.subjects.items():
            through = subject.source.through if isinstance(subject.source, Curve) else ()
            if any(isinstance(self.subjects[name].source, Curve) for name in through):
                raise ValueError(f"the curve of {key!r} goes through a curve; it must go through seeds or latents.")
            if any(self.subjects[one.subject].mix for one in subject.mix):
                raise ValueError(f"{key!r} takes styles from a subject that is mixed itself; it must be a plain one.")
        is_grid = isinstance(self.arrangement, (Line, Grid))
        if is_grid and len({self.subjects[name].model for name in self.main()}) > 1:
            raise ValueError(f"a {self.arrangement.kind} needs one model for all of its subjects.")
        placed = set(self.main()) if isinstance(self.arrangement, Grid) else set()
        for where, name in named:
            if isinstance(self.subjects[name].source, Endless) and (where != "arrangement" or name not in placed):
                raise ValueError(f"{name!r} has a seed for every place, so it can only stand in a grid.")
        if is_grid and sources_of(self.edits):
            raise ValueError(f"edits of a {self.arrangement.kind} cannot take parts from subjects: leave out 'from'.")
        return self

    def to_dict(self) -> dict[str, Any]:
        """Plain values; what has its default is left out, but for the version."""
        return {"scene": self.scene, **super().to_dict()}

    def main(self) -> tuple[str, ...]:
        """The subjects that are drawn: those of the arrangement, in order, then those that edits take parts from."""
        if isinstance(self.arrangement, Masks):
            shown = self.arrangement.subjects
        else:
            of = self.arrangement.of
            shown = (of,) if isinstance(of, str) else of
        others = [name for name in sources_of(self.edits) if name not in shown]
        return (*shown, *dict.fromkeys(others)) if others else shown

    def at(self, time: float) -> Scene:
        """This scene with every curve and every move of several strengths at ``time``."""
        subjects = {key: _subject_at(subject, time) for key, subject in self.subjects.items()}
        return self.changed(subjects=subjects)


def _subject_at(subject: Subject, time: float) -> Subject:
    if isinstance(subject.source, Curve):
        subject = subject.changed(source=subject.source.changed(at=time))
    if any(move.moves for move in subject.moves):
        moves = tuple(move.changed(at=time) if move.moves else move for move in subject.moves)
        subject = subject.changed(moves=moves)
    return subject


def _duration(subject: Subject) -> tuple[float, bool] | None:
    """The time of a subject's last keyframe, and whether it returns to the first; ``None``: it stands still."""
    if isinstance(subject.source, Curve):
        keys, loop = len(subject.source.through), subject.source.loop
        return (keys, True) if loop else (keys - 1, False)
    strengths = [len(move.strength) for move in subject.moves if isinstance(move.strength, tuple)]
    return (max(strengths) - 1, False) if strengths else None


def _named(subject: Subject) -> list[str]:
    through = subject.source.through if isinstance(subject.source, Curve) else ()
    return [*through, *(one.subject for one in subject.mix)]


class Photo(Record):
    """An image file as it is, beside scenes."""

    photo: Text
    """Its path, relative to the file that shows it."""
    hash: Text | None = None
    """SHA-256 of the file."""


Place = Annotated[
    Annotated[Scene, Tag("scene")] | Annotated[Photo, Tag("photo")] | Annotated[None, Tag("none")],
    Discriminator(
        lambda value: "none" if value is None else "photo" if isinstance(value, Photo) or "photo" in value else "scene"
    ),
]


class Sheet(Record):
    """What one file shows: scenes in a grid, still or moving."""

    sheet: Literal[1] = VERSION
    scenes: Annotated[tuple[Place, ...], Field(min_length=1)]
    """Row by row; ``None``: an empty place."""
    columns: Annotated[int, Field(ge=1, le=10_000)] = 1
    rows: Annotated[int, Field(ge=1, le=10_000)] = 1
    gap: Annotated[int, Field(ge=0, le=4096)] = 0
    """Pixels between neighbours."""
    scale: Annotated[int, Field(ge=1, le=64)] = 1
    """Every pixel of a place is shown as a square of this side."""
    frames: Annotated[int, Field(ge=0, le=10**9)] = 0
    """Of an animation, at even times along the scenes' curves; 0: a still picture."""
    fps: Annotated[float | None, Field(gt=0, le=100)] = None
    batch: Batch | None = None
    """Animations: how many pictures were drawn at a time."""
    pan: Pan | None = None
    """Of an animation: the view that moves over the one scene, a panorama."""
    marks: Annotated[tuple[Mark, ...], Field(max_length=4096)] = ()
    """Points drawn over the places of a still picture."""

    @model_validator(mode="after")
    def _frames_move(self) -> Sheet:
        moves = self.pan is not None or bool(self._durations)
        if self.frames == 1 or (self.frames and not moves):
            raise ValueError("frames must be 0, or 2 or more of scenes with a curve or a move of several strengths.")
        if self.pan is not None and not (self.frames and len(self.scenes) == len(self.filled) == 1):
            raise ValueError("a pan needs 2 or more frames, and one scene.")
        return self

    @property
    def _durations(self) -> list[tuple[float, bool]]:
        found = [_duration(subject) for scene in self.filled for subject in scene.subjects.values()]
        return [one for one in found if one is not None]

    @property
    def filled(self) -> tuple[Scene, ...]:
        """The scenes, without photos and empty places."""
        return tuple(scene for scene in self.scenes if isinstance(scene, Scene))

    def time(self, frame: int) -> float:
        """When a frame of an animation is: keyframe k is passed at time k."""
        last, is_loop = self._durations[0]
        return frame * (last / self.frames if is_loop else last / (self.frames - 1))

    def to_json(self) -> str:
        """JSON: of the scene itself where there is one and nothing else; models that all share are written once."""
        if self == Sheet(scenes=self.scenes[:1]) and self.filled:
            return _compact(self.filled[0].to_dict())
        scenes = [None if scene is None else scene.to_dict() for scene in self.scenes]
        values = self.to_dict() | {"scenes": scenes}
        drawn = [scene for scene in scenes if scene and "scene" in scene]
        models = drawn[0].get("models") if drawn else None
        if models and all(scene.get("models") == models for scene in drawn):
            values["models"] = models
            for scene in drawn:
                del scene["models"]
        return _compact({"sheet": self.sheet, **values})


def _compact(values: Any) -> str:
    return json.dumps(values, separators=(",", ":"))
