"""From scenes to what a walk takes: styles of subjects, noise, branches."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import groupby

import numpy as np
import torch
from torch import Tensor

from sgkit.config.shapes import LAYER_GROUPS as EVERY_GROUP
from sgkit.errors import UsageError, did_you_mean
from sgkit.latents.places import fourier_input, placed_styles
from sgkit.latents.spaces import Latents, join, joined_places, to_styles, to_ws
from sgkit.model import Canvas, LayerSpec, MapNoise, Model, NoiseSource, SeededNoise, StoredNoise, noise_source
from sgkit.model.labels import label_vector, seed_label
from sgkit.render.curves import points
from sgkit.render.inputs import Inputs
from sgkit.render.moving import Moves
from sgkit.render.placement import placed
from sgkit.render.scene import Curve, LatentRef, Layers, Line, Scene, Seed, Subject

LAYER_GROUPS = {name: EVERY_GROUP[name] for name in ("coarse", "middle", "fine")}
"""Those that are exchanged in mixing."""
MOST_STYLES = 512
"""Subjects whose styles are kept."""

Styles = dict[str, Tensor]
Key = tuple[object, ...]
Keyframes = tuple[np.ndarray, np.ndarray | float, Tensor | None, Tensor | None]
"""Latents [K, z_dim] or [K, num_ws, w_dim], the centre of spherical paths, the label that goes with z, places."""


@dataclass(frozen=True)
class Styled:
    """The styles of one subject, [1, C] each, and how many latents were mapped together."""

    styles: Styles
    batch: int


class Compiler:
    """Subjects as styles. Those that many scenes share are computed once."""

    def __init__(self, inputs: Inputs) -> None:
        self.inputs = inputs
        self._kept: dict[Key, Styled] = {}
        self._curves: dict[Key, Keyframes] = {}

    def styled(self, wanted: Sequence[tuple[Scene, str]]) -> list[Styled]:
        """The subjects ``wanted``, of scenes that are drawn together.

        Raises:
            UsageError: label, truncation, layers or latents do not fit the model.
            SceneError: a model or a latent file is not there.
        """
        keys = [_key(scene, name) for scene, name in wanted]
        missing = {key: one for key, one in zip(keys, wanted, strict=True) if key not in self._kept}
        for (batch, _), group in groupby(missing.items(), key=lambda item: self._batch(*item[1])):
            members = list(group)
            size = batch or len(members)
            for first in range(0, len(members), size):
                part = members[first : first + size]
                for (key, _), found in zip(part, self._map([one for _, one in part], size), strict=True):
                    self._kept[key] = found
        return [self._mixed(*one, self._recent(key)) for key, one in zip(keys, wanted, strict=True)]

    def _recent(self, key: Key) -> Styled:
        found = self._kept.pop(key)
        self._kept[key] = found
        if len(self._kept) > MOST_STYLES:
            self._kept.pop(next(iter(self._kept)))
        return found

    def _batch(self, scene: Scene, name: str) -> tuple[int | None, Key]:
        """What subjects that are mapped together have in common."""
        subject = scene.subjects[name]
        return subject.batch, (self.space(scene, name), subject.model, subject.psi, subject.cutoff, subject.place)

    def _map(self, members: Sequence[tuple[Scene, str]], size: int) -> list[Styled]:
        """Styles of subjects that are mapped as a batch of ``size``; what is missing in it is filled with copies."""
        scene, name = members[0]
        subject = scene.subjects[name]
        model = self.inputs.model(scene, subject.model)
        latents = [self._latents(member, name, model) for member, name in members]
        moves = [Moves(self.inputs, model, member, name) for member, name in members]
        latents = [by.in_z(one) for by, one in zip(moves, latents, strict=True)]
        batch = join([*latents, *[latents[-1]] * (size - len(latents))])
        if batch.space == "s":
            styles = to_styles(batch, model)
        else:
            ws = to_ws(batch, model, psi=subject.psi, cutoff=subject.cutoff)
            if any(by.has_w for by in moves):
                ws = torch.cat([*(by.in_w(ws[i : i + 1]) for i, by in enumerate(moves)), ws[len(moves) :]])
            styles = model.styles(ws)
        if batch.place is not None:
            styles = _placed_rows(styles, latents, model)
        if subject.place is not None:
            styles = placed(styles, subject.place, model)
        return [
            Styled(by.in_s({key: value[i : i + 1] for key, value in styles.items()}), size)
            for i, by in enumerate(moves)
        ]

    def _latents(self, scene: Scene, name: str, model: Model) -> Latents:
        source = scene.subjects[name].source
        return self._on_curve(scene, name, source, model) if isinstance(source, Curve) else self.latents(scene, name)

    def space(self, scene: Scene, name: str) -> str:
        """The latent space that a subject is given in; ``curve``: a curve's own."""
        source = scene.subjects[name].source
        if isinstance(source, LatentRef):
            return self.inputs.latents(source, self.inputs.model(scene, scene.subjects[name].model)).space
        return "curve" if isinstance(source, Curve) else "z"

    def label(self, scene: Scene, name: str) -> Tensor | None:
        """The label [1, label_dim] that goes with a subject's z into the mapping."""
        subject = scene.subjects[name]
        if isinstance(subject.source, Seed):
            return seed_label(self.inputs.model(scene, subject.model), subject.label, subject.source.seed)
        latents = self.latents(scene, name)
        return latents.label if latents.space == "z" else None

    def latents(self, scene: Scene, name: str) -> Latents:
        """The latent of a subject that is not a curve: z and label for a seed, a file's own otherwise."""
        subject = scene.subjects[name]
        model = self.inputs.model(scene, subject.model)
        if isinstance(subject.source, Seed):
            z = model.sample_z([subject.source.seed])
            return Latents(space="z", values={"z": z}, label=self.label(scene, name), names=(name,))
        assert isinstance(subject.source, LatentRef)
        found = self.inputs.latents(subject.source, model)
        if found.space == "z" and found.label is None:
            return replace(found, label=label_vector(model, subject.label))
        return found

    def moved(self, scene: Scene, name: str) -> Latents:
        """The latent of a subject after its moves, of the last space that they change: its own, w+ or s."""
        subject = scene.subjects[name]
        model = self.inputs.model(scene, subject.model)
        by = Moves(self.inputs, model, scene, name)
        latents = by.in_z(self._latents(scene, name, model))
        if by.has_s:
            (found,) = self.styled([(scene, name)])
            return Latents(space="s", values=found.styles, noise=latents.noise, names=(name,))
        if not by.has_w:
            return latents
        ws = by.in_w(to_ws(latents, model, psi=subject.psi, cutoff=subject.cutoff))
        return Latents(space="w+", values={"w": ws}, noise=latents.noise, names=(name,), place=latents.place)

    # ------------------------------------------------------------------------------------------- curves

    def _on_curve(self, scene: Scene, name: str, curve: Curve, model: Model) -> Latents:
        key = (curve.changed(at=0.0), *(_key(scene, one) for one in curve.through))
        if key not in self._curves:
            self._curves[key] = self._keyframes(scene, curve, model)
        keys, centre, label, places = self._curves[key]
        at = points(curve, keys - centre, np.array([curve.at])) + centre
        values = torch.from_numpy(at).to(model.device, torch.float32)
        place = None
        if places is not None:
            straight = curve.changed(path="linear")
            place = torch.from_numpy(points(straight, places.double().numpy(), np.array([curve.at]))).float()
        space, tensor = ("z", "z") if curve.space == "z" else ("w+", "w")
        return Latents(space=space, values={tensor: values}, label=label, names=(name,), place=place)  # type: ignore[arg-type]

    def _keyframes(self, scene: Scene, curve: Curve, model: Model) -> Keyframes:
        """The keyframes of a curve."""
        moves = [Moves(self.inputs, model, scene, one) for one in curve.through]
        latents = [by.in_z(self.latents(scene, one)) for by, one in zip(moves, curve.through, strict=True)]
        for by in moves:
            by.refuse_for_keyframes(curve.space)
        for name, one in zip(curve.through, latents, strict=True):
            if one.space not in (("z",) if curve.space == "z" else ("z", "w", "w+")):
                raise UsageError(
                    f"{name} is a latent of the space {one.space}, so it cannot be interpolated in {curve.space}. "
                    + ("Use --space w." if one.space != "s" else "Give latents of the space z, w or w+.")
                )
        if curve.space == "z":
            joined = join(latents)
            label = joined.label
            if label is not None and not torch.equal(label, label[:1].expand_as(label)):
                raise UsageError(
                    "The keyframes have different labels, which cannot be interpolated in z. Use --space w."
                )
            return joined.only.double().cpu().numpy(), 0.0, None if label is None else label[:1], joined.place
        subjects = [scene.subjects[one] for one in curve.through]
        ws = [to_ws(one, model, psi=by.psi, cutoff=by.cutoff) for one, by in zip(latents, subjects, strict=True)]
        ws = [by.in_w(one) for one, by in zip(ws, moves, strict=True)]
        average = model.generator.mapping.w_avg.double().cpu().numpy()
        return torch.cat(ws).double().cpu().numpy(), average, None, joined_places(latents)

    # ------------------------------------------------------------------------------------------- mixing

    def _mixed(self, scene: Scene, name: str, base: Styled) -> Styled:
        subject = scene.subjects[name]
        if not subject.mix:
            return base
        model = self.inputs.model(scene, subject.model)
        index = {spec.name: spec.style_index for spec in model.generator.synthesis.plan}
        styles = dict(base.styles)
        others = self.styled([(scene, one.subject) for one in subject.mix])
        for one, other in zip(subject.mix, others, strict=True):
            is_only = one.channels is not None and model.num_ws == 1  # channels differ by layer, even of one w
            layers = (0,) if is_only else layer_numbers(one.layers, model.num_ws)
            taken = {name: style for name, style in other.styles.items() if index[name] in layers}
            if one.channels is not None:
                taken = _by_channel(styles, taken, self.inputs.latents(one.channels, model))
            styles |= taken
        return Styled(styles, base.batch)


def _placed_rows(styles: Styles, latents: Sequence[Latents], model: Model) -> Styles:
    """``styles`` with the rows of latents that have a place moved and turned; the others stay as they are, bit for bit.

    Rows that fill a batch follow those of ``latents``.
    """
    found = fourier_input(model)
    assert found is not None, "latents that have a place were checked to fit the model"
    own = styles[found[0]]
    rows = [own[index : index + 1] for index in range(len(own))]
    for index, one in enumerate(latents):
        if one.place is not None:
            rows[index] = placed_styles({found[0]: rows[index]}, one.place, model)[found[0]]
    return {**styles, found[0]: torch.cat(rows)}


def _by_channel(own: Styles, others: Styles, weights: Latents) -> Styles:
    """Styles ``own + q (others - own)`` with one weight q for each channel (Collins et al. 2020, equation 5).

    Raises:
        UsageError: the weights are not of the space s, or belong to a model of another shape.
    """
    found = {}
    for name, other in others.items():
        q = weights.values.get(name)
        if weights.space != "s" or q is None or q.shape != other.shape:
            given = "none" if q is None else f"{q.shape[-1]}"
            raise UsageError(
                f"The weights of style channels do not fit this model: layer {name} has {other.shape[1]} channels, the "
                f"file has {given}. Make them again with this model: sgkit transfer MODEL --mode collins"
            )
        found[name] = own[name] + q.to(other) * (other - own[name])
    return found


def _key(scene: Scene, name: str) -> Key:
    """What the unmixed styles of a subject depend on."""
    subject = scene.subjects[name]
    subject = subject.changed(mix=()) if subject.mix else subject
    through = subject.source.through if isinstance(subject.source, Curve) else ()
    return (subject, scene.models.get(subject.model), *(_key(scene, one) for one in through))


def layer_numbers(layers: Layers, num_ws: int) -> tuple[int, ...]:
    """Layers of w+, rising, for ``coarse``, ``middle`` or ``fine``, or for numbers.

    Raises:
        UsageError: the model has no such layers, or they are all that it has.
    """
    if num_ws == 1:
        raise UsageError(
            "This model has one w for the whole image, so there are no styles to mix. To go from one image to another, "
            "use 'sgkit interpolate'."
        )
    groups = [name for name in LAYER_GROUPS if 0 < len(range(num_ws)[slice(*LAYER_GROUPS[name])]) < num_ws]
    allowed = f"Allowed: {', '.join([*groups, f'numbers from 0 to {num_ws - 1}'])}."
    if isinstance(layers, str):
        if layers not in LAYER_GROUPS:
            raise UsageError(f"Unknown layers {layers!r}. {did_you_mean(layers, LAYER_GROUPS)}")
        found = tuple(range(num_ws)[slice(*LAYER_GROUPS[layers])])
        if not found:
            start = LAYER_GROUPS[layers][0]
            raise UsageError(
                f"--layers {layers} starts at layer {start}; the model has {num_ws} layers of w+. {allowed}"
            )
        if len(found) == num_ws:
            raise UsageError(
                f"--layers {layers} means all {num_ws} layers of this model: each mixture would be a copy of its "
                f"column. {allowed}"
            )
    else:
        found = tuple(sorted(set(layers)))
        wrong = [layer for layer in found if not 0 <= layer < num_ws]
        if wrong or not found:
            given = f"Layer {wrong[0]} of --layers is out of range" if wrong else "No layers were given"
            raise UsageError(f"{given}; the model has {num_ws} layers of w+. {allowed}")
    return found


def noise_of(scenes: Sequence[Scene], compiler: Compiler) -> NoiseSource:
    """The noise of pictures drawn together, each by its own scene."""
    kinds = {scene.noise.kind for scene in scenes}
    if kinds == {"random"}:
        seeds = [scene.noise.seed for scene in scenes]
        return SeededNoise(seeds[:1] if len(set(seeds)) == 1 else seeds)
    if kinds == {"none"}:
        return noise_source("none")
    maps = [_own_maps(scene, compiler) for scene in scenes]
    if not any(maps):
        return noise_source("const")
    return EachNoise(tuple(MapNoise(own) if own else StoredNoise() for own in maps))


def _own_maps(scene: Scene, compiler: Compiler) -> dict[str, Tensor]:
    """Noise maps that come with the latent of a picture's first subject, as a projection finds them."""
    name = scene.main()[0]
    subject = scene.subjects[name]
    if not isinstance(subject.source, LatentRef):
        return {}
    return dict(compiler.latents(scene, name).noise)


@dataclass(frozen=True)
class EachNoise:
    """A noise source for each sample of a batch."""

    sources: tuple[NoiseSource, ...]

    def __call__(self, spec: LayerSpec, stored: Tensor, canvas: Canvas, batch: int) -> Tensor | None:
        """Noise [batch, 1, height, width]."""
        maps = [source(spec, stored, canvas, 1) for source in self.sources]
        return torch.cat([noise.to(stored) for noise in maps if noise is not None])


def refuse_moves(name: str, subject: Subject) -> None:
    """Refuse a moved subject among those whose z are averaged.

    Raises:
        UsageError: it is moved.
    """
    if subject.moves or subject.s_psi != 1.0:
        raise UsageError(f"{name} is moved, and smoothing averages z before any move. Leave out one of the two.")


def smoothed(latents: Sequence[Latents], line: Line, *, is_ring: bool) -> list[Latents]:
    """Latents of z with neighbours averaged by a Gaussian, and brought back to unit variance.

    Raises:
        UsageError: they are of another space.
    """
    if any(one.space != "z" for one in latents):
        raise UsageError("--smooth averages neighbouring z, so it needs seeds or latents of z.")
    joined = join(latents)
    z = _gaussian(len(latents), line.smoothing, is_ring).to(joined.only) @ joined.only
    z = z * z.square().mean(dim=1, keepdim=True).rsqrt()
    every = replace(joined, values={"z": z})
    return [every[index] for index in range(len(every))]


def _gaussian(count: int, sigma: float, is_ring: bool) -> Tensor:
    """Weights [count, count] of every place for every place; each row sums to 1."""
    places = torch.arange(count, dtype=torch.float64)
    distance = (places[:, None] - places[None, :]).abs()
    if is_ring:
        distance = torch.minimum(distance, count - distance)
    weights = (-0.5 * (distance / sigma).square()).exp()
    return weights / weights.sum(dim=1, keepdim=True)


def stacked(styled: Iterable[Styled]) -> Styles:
    """Styles [N, C] of N subjects."""
    found = [one.styles for one in styled]
    return {name: torch.cat([one[name] for one in found]) for name in found[0]}
