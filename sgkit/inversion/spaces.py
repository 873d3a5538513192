"""The spaces that are searched: what the optimiser moves, where it starts, and which styles that gives.

``z``, ``w``, ``w+`` and ``s`` are those of latent files. ``p`` is w before the mapping network's last leaky ReLU,
whitened by its principal components, so that it is close to normal (P_N in "Improved StyleGAN Embedding: Where are the
Good Latents?", Zhu et al. 2020); ``p+`` has one for each layer. Both are saved as w and w+.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from sgkit.config.project import SpaceName
from sgkit.errors import UsageError
from sgkit.inversion.distributions import LatentDistribution, degaussianized, gaussianized
from sgkit.latents.places import fourier_input, placed_styles
from sgkit.latents.spaces import Latents, Space
from sgkit.model import Model

PLACE = "place"
"""The part of a point that moves and turns the image of a StyleGAN3."""
PLACE_UNITS = (0.1, 0.1, 5.0)
"""What 1 stands for there: fractions of the image's width and height, and degrees. A step of the search changes the
parts of a point by about the learning rate, which is 0.1 at most."""
Point = dict[str, Tensor]
"""Places in a space, by the names of its parts: [N, ...] each."""


@dataclass(frozen=True, kw_only=True)
class SearchSpace:
    """A space of latents, seen from the optimiser."""

    saved_as: Space
    """The space of latent files that its points are saved in."""
    start: Point
    """Where a search begins: one point, the middle of the distribution."""
    deviations: Mapping[str, float]
    """Root of the mean squared distance from the middle, of each part."""
    sampled: Callable[[Tensor], Point]
    """z [N, z_dim] -> points."""
    at: Callable[[Tensor], Point] | None
    """w+ [N, num_ws, w_dim] -> points; ``None``: the space does not contain it."""
    ws: Callable[[Point], Tensor] | None
    """Points -> w+ [N, num_ws, w_dim]; ``None``: the space comes after w."""
    styles: Callable[[Point], Mapping[str, Tensor]]
    """Points -> layer name -> style [N, C]."""
    values: Callable[[Point], Mapping[str, Tensor]]
    """Points -> the values of :class:`sgkit.latents.spaces.Latents` in ``saved_as``."""

    def read(self, latents: Latents) -> Point:
        """The points of latents that were saved from this space."""
        device = next(iter(self.start.values())).device
        values = {name: value.to(device) for name, value in latents.values.items()}
        if self.saved_as in ("z", "s"):
            point = {name: values[name] for name in self.start if name != PLACE}
        else:
            assert self.at is not None
            w = values["w"][:, None] if values["w"].ndim == 2 else values["w"]
            point = self.at(w)
        if PLACE in self.start:
            place = latents.place if latents.place is not None else torch.zeros(len(latents), 3)
            point[PLACE] = place.to(device) / place.new_tensor(PLACE_UNITS).to(device)
        return point

    def change(self, point: Point, anchor: Point) -> Tensor:
        """Squared distance [N] of points from ``anchor``, in squared deviations of the distribution; mean of the parts.

        A part that has no distribution, such as a place, counts in its own units.
        """
        parts = []
        for name, value in point.items():
            squares = ((value - anchor[name]) / (self.deviations[name] or 1.0)).square()
            parts.append(squares.flatten(1).sum(dim=1) / (value.shape[1] if value.ndim == 3 else 1))
        return torch.stack(parts).mean(dim=0)


def search_space(name: SpaceName, distribution: LatentDistribution) -> SearchSpace:
    """The space ``name`` of a model.

    Raises:
        UsageError: the model has no such space.
    """
    if name == "z":
        return _z(distribution)
    if name == "s":
        return _s(distribution)
    rows = distribution.model.num_ws if name.endswith("+") else 1
    return _w(distribution, rows) if name in ("w", "w+") else _p(distribution, rows)


def with_place(space: SearchSpace, model: Model) -> SearchSpace:
    """``space``, in which points also have a place on the canvas: StyleGAN3's features are moved and turned there.

    Other models and s, where the style of the input does that already, stay as they are; so do networks whose input is
    stretched.
    """
    if fourier_input(model) is None or space.saved_as == "s":
        return space
    origin = torch.zeros((1, 3), device=model.device)
    turned = torch.tensor([[0.0, 0.0, 30.0]])
    try:
        placed_styles(model.styles(model.generator.mapping.w_avg.expand(1, model.num_ws, -1)), turned, model)
    except UsageError:
        return space

    def without(point: Point) -> Point:
        return {name: value for name, value in point.items() if name != PLACE}

    def placed(point: Point) -> Point:
        count = len(next(iter(point.values())))
        return {**point, PLACE: origin.expand(count, -1).clone()}

    at, ws = space.at, space.ws
    return replace(
        space,
        start=placed(space.start),
        deviations={**space.deviations, PLACE: 0.0},
        sampled=lambda z: placed(space.sampled(z)),
        at=None if at is None else lambda w: placed(at(w)),
        ws=None if ws is None else lambda point: ws(without(point)),
        styles=lambda point: placed_styles(space.styles(without(point)), in_units(point[PLACE]), model),
        values=lambda point: space.values(without(point)),
    )


def in_units(place: Tensor) -> Tensor:
    """The place [N, 3] of :class:`sgkit.latents.spaces.Latents` for that part of points."""
    return place * place.new_tensor(PLACE_UNITS)


def whitening(distribution: LatentDistribution) -> Callable[[Tensor], Tensor]:
    """w [..., w_dim] -> p_n [..., w_dim], whose covariance over the distribution is the identity.

    Raises:
        UsageError: the mapping network does not end with a leaky ReLU.
    """
    middle, axes, deviations = _whitening(distribution)
    return lambda w: (gaussianized(w) - middle) @ axes / deviations


def _whitening(distribution: LatentDistribution) -> tuple[Tensor, Tensor, Tensor]:
    """Middle [d], axes [d, d] and deviations along them [d] of p."""
    p = distribution.p
    axes, variances = p.axes
    deviations = variances.clamp(min=1e-8 * variances.max().item()).sqrt()
    return p.mean, axes.float(), deviations.float()


def _z(distribution: LatentDistribution) -> SearchSpace:
    """z, through the mapping network. Its middle, 0, is not a latent where z is normalised, so the start is random."""
    model, label = distribution.model, distribution.label
    if not model.config.z_dim:
        raise UsageError("This model has no z. Search in w or w+.")

    def ws(point: Point) -> Tensor:
        return model.map(point["z"], None if label is None else label.expand(len(point["z"]), -1))

    first = torch.randn((1, model.config.z_dim), generator=torch.Generator().manual_seed(0))
    return SearchSpace(
        saved_as="z",
        start={"z": first.to(model.device)},
        deviations={"z": model.config.z_dim**0.5},
        sampled=lambda z: {"z": z.to(model.device)},
        at=None,
        ws=ws,
        styles=lambda point: model.styles(ws(point)),
        values=dict,
    )


def _w(distribution: LatentDistribution, rows: int) -> SearchSpace:
    """w for all layers, or one for each (w+)."""
    model = distribution.model

    def at(w: Tensor) -> Point:
        return {"w": w if rows > 1 else w.mean(dim=1, keepdim=True)}

    def ws(point: Point) -> Tensor:
        return point["w"].expand(-1, model.num_ws, -1)

    return SearchSpace(
        saved_as="w+" if rows > 1 else "w",
        start={"w": distribution.w.mean.expand(1, rows, -1)},
        deviations={"w": distribution.w.deviation},
        sampled=lambda z: at(_repeated(distribution, z)),
        at=at,
        ws=ws,
        styles=lambda point: model.styles(ws(point)),
        values=lambda point: {"w": point["w"] if rows > 1 else point["w"][:, 0]},
    )


def _p(distribution: LatentDistribution, rows: int) -> SearchSpace:
    """w (or w+) by whitened principal components of its Gaussianized form."""
    inner, whitened = _w(distribution, rows), whitening(distribution)
    middle, axes, deviations = _whitening(distribution)
    width = len(middle)

    def w(point: Point) -> Point:
        return {"w": degaussianized(middle + (point["p"] * deviations) @ axes.t())}

    def at(w: Tensor) -> Point:
        return {"p": whitened(w if rows > 1 else w.mean(dim=1, keepdim=True))}

    assert inner.ws is not None
    to_ws = inner.ws
    return SearchSpace(
        saved_as=inner.saved_as,
        start={"p": torch.zeros((1, rows, width), device=distribution.model.device)},
        deviations={"p": width**0.5},
        sampled=lambda z: at(_repeated(distribution, z)),
        at=at,
        ws=lambda point: to_ws(w(point)),
        styles=lambda point: inner.styles(w(point)),
        values=lambda point: inner.values(w(point)),
    )


def _s(distribution: LatentDistribution) -> SearchSpace:
    """Styles: the outputs of the affine layers ("StyleGAN of All Trades" calls the space sigma)."""
    model, gaussians = distribution.model, distribution.styles
    middle = model.styles(distribution.w.mean.expand(1, model.num_ws, -1))

    def styles(point: Point) -> dict[str, Tensor]:
        count = len(next(iter(point.values())))
        return {name: point[name] if name in point else one.expand(count, -1) for name, one in middle.items()}

    def at(w: Tensor) -> Point:
        found = model.styles(w)
        return {name: found[name] for name in gaussians}

    return SearchSpace(
        saved_as="s",
        start={name: one.mean[None] for name, one in gaussians.items()},
        deviations={name: one.deviation for name, one in gaussians.items()},
        sampled=lambda z: at(_repeated(distribution, z)),
        at=at,
        ws=None,
        styles=styles,
        values=styles,
    )


def _repeated(distribution: LatentDistribution, z: Tensor) -> Tensor:
    return distribution.map(z)[:, None].expand(-1, distribution.model.num_ws, -1)
