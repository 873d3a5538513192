"""The moves of a subject, applied to its latent on the way from z to s."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property

from torch import Tensor

from sgkit.edits import parse_layers
from sgkit.errors import UsageError, did_you_mean
from sgkit.latents.directions import Directions, moved, moved_styles, moved_ws, truncated_styles
from sgkit.latents.spaces import Latents
from sgkit.model import Model
from sgkit.render.inputs import Inputs
from sgkit.render.moves import Along, Channel
from sgkit.render.scene import Scene


class Moves:
    """What is added to the latent of one subject, by space.

    Raises:
        UsageError: a direction, layer or channel does not fit the model.
        SceneError: a direction file is not there.
    """

    def __init__(self, inputs: Inputs, model: Model, scene: Scene, name: str) -> None:
        self.model, self.name, self.subject = model, name, scene.subjects[name]
        self._inputs = inputs
        self._along: list[tuple[Along, Directions, int]] = []
        self._channels: list[Channel] = []
        for move in self.subject.moves:
            if isinstance(move, Along):
                self._along.append((move, *inputs.direction(move, model)))
            else:
                self._channels.append(move)

    @property
    def has_w(self) -> bool:
        """Whether anything moves w."""
        return any(directions.space in ("w", "w+") for _, directions, _ in self._along)

    @property
    def has_s(self) -> bool:
        """Whether anything moves s, or truncates in it."""
        psi = self.subject.s_psi
        truncates = any(one != 1 for one in (psi if isinstance(psi, tuple) else (psi,)))
        return bool(self._channels) or truncates or any(directions.space == "s" for _, directions, _ in self._along)

    def in_z(self, latents: Latents) -> Latents:
        """``latents`` of the subject with what moves z; those of other spaces as they are.

        Raises:
            UsageError: the latents are of a space that a move cannot reach.
        """
        for move, directions, index in self._along:
            late = {"z": ("w", "w+", "s"), "w": ("s",), "w+": ("s",)}.get(directions.space, ())
            if latents.space in late:
                usable = {"z": "seeds and latents of z", "w": "latents of z, w and w+"}[directions.space[:1]]
                raise UsageError(
                    f"The direction {move.name!r} is of the space {directions.space} and moves {usable}; "
                    f"{self.name} is of the space {latents.space}. Use directions of a later space, or a latent of an "
                    "earlier one."
                )
            if move.layers is not None and directions.space in ("z", "s"):
                raise UsageError(
                    f"--layers has no effect on {move.name!r}: directions of {directions.space} have no layers of w+. "
                    "Remove --layers, or find directions of w."
                )
            if directions.space == "z":
                latents = moved(latents, directions.added(index, move.now))
        return latents

    def in_w(self, ws: Tensor) -> Tensor:
        """``ws`` [1, num_ws, w_dim] with what moves w."""
        for move, directions, index in self._along:
            if directions.space not in ("w", "w+"):
                continue
            layers = directions.layers
            if move.layers is not None:
                plan = self.model.generator.synthesis.plan
                layers = parse_layers(move.layers, plan).styles(plan)
            ws = moved_ws(ws, directions.added(index, move.now)["w"], layers)
        return ws

    def in_s(self, styles: dict[str, Tensor]) -> dict[str, Tensor]:
        """``styles`` [1, C] by layer with what moves s, truncated."""
        if not self.has_s:
            return styles
        for move, directions, index in self._along:
            if directions.space == "s":
                styles = moved_styles(styles, directions.added(index, move.now))
        for channel in self._channels:
            styles = self._with_channel(styles, channel)
        return truncated_styles(styles, self._average, self._psi(styles))

    def refuse_for_keyframes(self, space: str) -> None:
        """Refuse moves of a subject that a curve goes through, where the curve's space comes before theirs.

        Raises:
            UsageError: there are some.
        """
        if self.has_s or (space == "z" and self.has_w):
            raise UsageError(
                f"{self.name} is moved in a space after {space}, in which it is interpolated. Move the frame itself "
                "instead, or interpolate in w."
            )

    def _with_channel(self, styles: dict[str, Tensor], move: Channel) -> dict[str, Tensor]:
        if move.layer not in styles:
            raise UsageError(f"The model has no styled layer {move.layer!r}. {did_you_mean(move.layer, styles)}")
        style = styles[move.layer]
        if move.channel >= style.shape[1]:
            raise UsageError(
                f"Layer {move.layer} has no channel {move.channel}: its style has {style.shape[1]} numbers, so 0 to "
                f"{style.shape[1] - 1} are allowed."
            )
        style = style.clone()
        style[:, move.channel] += move.now
        return {**styles, move.layer: style}

    @cached_property
    def _average(self) -> Mapping[str, Tensor]:
        mapping = self.model.generator.mapping
        return self.model.styles(mapping.w_avg.expand(1, self.model.num_ws, -1))

    def _psi(self, styles: Mapping[str, Tensor]) -> dict[str, float]:
        psi = self.subject.s_psi
        if not isinstance(psi, tuple):
            return dict.fromkeys(styles, psi)
        if len(psi) != self.model.num_ws:
            raise UsageError(
                f"{len(psi)} values of truncation in s were given; give one, or one for each of {self.model.num_ws} w."
            )
        numbers = {spec.name: spec.style_index for spec in self.model.generator.synthesis.plan}
        return {name: psi[numbers[name] or 0] for name in styles}
