"""Which style channels belong to a part of the picture, from clusters of features (Collins et al. 2020).

Collins, Bala, Price and Suesstrunk, "Editing in Style: Uncovering the Local Semantics of GANs", section 3: the feature
vectors of one layer are clustered by spherical k-means, which gives memberships U [N, K, H, W] of 0 and 1; the
contribution of a style channel c to a cluster k is M[k, c] = 1/(NHW) sum A[n, c, h, w]^2 U[n, k, h, w], where the
features A of each channel have mean 0 and variance 1; styles are mixed by sigma_G = sigma_S + Q (sigma_R - sigma_S),
with Q diagonal; and the channels of Q are chosen greedily, those that contribute most first.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from sgkit.edits.shapes import Mask
from sgkit.errors import UsageError
from sgkit.model import Branch, LayerSpec, Model, Plan, State, steps, walk
from sgkit.model.labels import LabelChoice, seed_label

CLUSTERED_PIXELS = 32
"""Features are clustered after the last layer of at most this many pixels per side."""
MOST_VECTORS = 1 << 16
"""Of more feature vectors, an even choice is clustered."""
BATCH = 8
"""Pictures that are computed together."""
SHARE_INSIDE = 0.5
"""A cluster belongs to a region if so much of it is inside."""


@dataclass(frozen=True)
class Catalogue:
    """Clusters of a model's features, and what every style channel contributes to each."""

    centres: Tensor
    """Unit vectors [K, C]."""
    layer: int
    """Index of the layer whose features are clustered."""
    shares: Mapping[str, Tensor]
    """Layer name -> M [K, S] of its style channels; the K shares of a channel sum to 1."""


def spherical_kmeans(vectors: Tensor, count: int, *, seed: int = 0, rounds: int = 50) -> Tensor:
    """Unit centres [count, C] of ``vectors`` [N, C] by spherical k-means (Dhillon and Modha 2001).

    A centre is the normalised sum of the vectors whose cosine with it is the largest. The first centres are vectors
    chosen one after the other, each with a probability that grows with its distance (1 - cosine) from those before.

    Raises:
        UsageError: there are fewer vectors than clusters.
    """
    if not 1 <= count <= len(vectors):
        raise UsageError(f"{count} clusters of {len(vectors)} feature vectors were asked for; use 1 to {len(vectors)}.")
    units = F.normalize(vectors.double(), dim=1)
    generator = torch.Generator().manual_seed(seed)
    centres = units[torch.randint(len(units), (1,), generator=generator)]
    while len(centres) < count:
        away = (1 - (units @ centres.t()).amax(dim=1)).clamp(min=1e-12)
        centres = torch.cat([centres, units[torch.multinomial(away, 1, generator=generator)]])
    nearest = (units @ centres.t()).argmax(dim=1)
    for _ in range(rounds):
        sums = torch.zeros_like(centres).index_add_(0, nearest, units)
        empty = sums.norm(dim=1) == 0
        centres = torch.where(empty[:, None], centres, F.normalize(sums, dim=1))
        found = (units @ centres.t()).argmax(dim=1)
        if torch.equal(found, nearest):
            break
        nearest = found
    return centres


def memberships(features: Tensor, centres: Tensor) -> Tensor:
    """U [N, K, H, W]: 1 for the centre whose cosine with a vector of ``features`` [N, C, H, W] is the largest."""
    units = F.normalize(features.double(), dim=1)
    nearest = torch.einsum("nchw,kc->nkhw", units, centres).argmax(dim=1)
    return F.one_hot(nearest, len(centres)).movedim(-1, 1).double()


@dataclass
class Moments:
    """Sums over pixels, from which contributions follow: batches of large pictures need not be kept."""

    weight: Tensor | float = 0.0
    """Pixels of each cluster [K]."""
    first: Tensor | float = 0.0
    """Of features, by cluster [K, C]."""
    second: Tensor | float = 0.0
    """Of their squares."""

    def add(self, features: Tensor, members: Tensor) -> None:
        """Count ``features`` A [N, C, H, W]; ``members`` U [N, K, h, w] are brought to their size by nearest pixels."""
        a = features.double()
        u = F.interpolate(members, size=a.shape[2:], mode="nearest-exact")
        a = a.expand(len(u), -1, -1, -1)  # a constant is the same in all pictures
        self.weight = self.weight + u.sum(dim=(0, 2, 3))
        self.first = self.first + torch.einsum("nchw,nkhw->kc", a, u)
        self.second = self.second + torch.einsum("nchw,nkhw->kc", a.square(), u)

    def shares(self) -> Tensor:
        """M [K, C]: the sum of (a - mean)^2 over a cluster's pixels, as a share of that over all pixels."""
        weight, first, second = (torch.as_tensor(one) for one in (self.weight, self.first, self.second))
        mean = first.sum(dim=0) / weight.sum()
        energy = (second - 2 * mean * first + mean.square() * weight[:, None]).clamp(min=0)
        return energy / energy.sum(dim=0).clamp(min=torch.finfo(torch.float64).tiny)


def chosen_channels(shares: Tensor, *, budget: float) -> Tensor:
    """The diagonal of Q: 1 for channels in order of their share in the region, while the rest of them fits the budget.

    Args:
        shares: each channel's share [S] in the region, 0 to 1.
        budget: how much may change outside: the sum of (1 - share) of the chosen channels, as a fraction of all S.
    """
    order = shares.argsort(descending=True, stable=True)
    outside = (1 - shares[order]).cumsum(dim=0)
    q = torch.zeros_like(shares)
    q[order[outside <= budget * len(shares)]] = 1
    return q


# ------------------------------------------------------------------------------------------ with a model


def catalogue(
    model: Model,
    seeds: Sequence[int],
    *,
    clusters: int = 16,
    psi: float | Sequence[float] = 1.0,
    label: LabelChoice | None = None,
) -> Catalogue:
    """The clusters of the features of ``seeds``, and the contributions of all style channels to them.

    ``label``: the class of conditional models; ``None``: a random one for each seed.

    Raises:
        UsageError: the model has no style channels.
    """
    plan = model.generator.synthesis.plan
    if not any(spec.style_index is not None and spec.kind == "conv" for spec in plan):
        raise UsageError(
            "This model has no style channels, so --mode collins cannot transfer any. Use --mode features or suzuki."
        )
    layer = _clustered_layer(plan)
    parts = [list(seeds[first : first + BATCH]) for first in range(0, len(seeds), BATCH)]
    drawn = [model.styles(_ws(model, part, psi, label)) for part in parts]
    features = [_shown(_after(model, styles, layer)) for styles in drawn]
    vectors = torch.cat([one.movedim(1, -1).flatten(0, -2) for one in features])
    centres = spherical_kmeans(vectors[:: -(-len(vectors) // MOST_VECTORS)], clusters)
    moments: dict[str, Moments] = {}
    for styles, own in zip(drawn, features, strict=True):
        members = memberships(own, centres)
        before = State()
        for spec, (state,) in steps([Branch(model.generator.synthesis, styles)]):
            side = _side(spec, styles)
            if side is not None:
                moments.setdefault(spec.name, Moments()).add(_shown(before if side == "before" else state), members)
            before = state
    found = {name: one.shares() for name, one in moments.items()}
    return Catalogue(
        centres, layer, {name: one.repeat(1, drawn[0][name].shape[1] // one.shape[1]) for name, one in found.items()}
    )


def clusters_inside(found: Catalogue, model: Model, styles: Mapping[str, Tensor], region: Mask) -> tuple[int, ...]:
    """The clusters inside ``region`` in the picture of ``styles``; the one that fits best if none does."""
    state = _after(model, styles, found.layer)
    margin = state.place.margin
    weights = region(state.place).double().expand(state.place.size)
    weights = weights[margin : len(weights) - margin, margin : weights.shape[1] - margin]
    u = memberships(_shown(state), found.centres)[0]
    inside, size = (u * weights).sum(dim=(1, 2)), u.sum(dim=(1, 2))
    picked = torch.nonzero(inside > SHARE_INSIDE * size).flatten().tolist()
    if not picked:
        overlap = inside / (size + weights.sum() - inside).clamp(min=1e-12)
        picked = [int(overlap.argmax())]
    return tuple(picked)


def channel_weights(
    found: Catalogue, styles: Mapping[str, Tensor], clusters: Sequence[int], *, budget: float
) -> dict[str, Tensor]:
    """Layer name -> q [1, S]: which style channels are taken to change the given clusters and little else."""
    weights = {}
    for name, style in styles.items():
        share = found.shares.get(name)
        q = style.new_zeros(style.shape[1])
        if share is not None:
            q = chosen_channels(share[list(clusters)].sum(dim=0), budget=budget).to(style)
        weights[name] = q[None]
    return weights


def _clustered_layer(plan: Plan) -> int:
    """The last convolution of the finest resolution that is not too fine."""
    convs = [spec for spec in plan if spec.kind in ("conv", "input")]
    fitting = [spec for spec in convs if spec.pixels <= CLUSTERED_PIXELS] or convs[:1]
    return fitting[-1].index


def _side(spec: LayerSpec, styles: Mapping[str, Tensor]) -> str | None:
    """Which features a layer's style scales: those before it (modulation), those after it (AdaIN), or none."""
    style = styles.get(spec.name)
    if style is None:
        return None
    if spec.kind != "input" and style.shape[1] == spec.in_channels:
        return "before"
    return "after" if style.shape[1] == 2 * spec.out_channels else None


def _ws(model: Model, seeds: Sequence[int], psi: float | Sequence[float], label: LabelChoice | None) -> Tensor:
    chosen = "random" if label is None and model.config.label_dim else label
    labels = [seed_label(model, chosen, seed) for seed in seeds]
    given = [one for one in labels if one is not None]
    return model.map(model.sample_z(list(seeds)), torch.cat(given) if given else None, truncation_psi=psi)


def _after(model: Model, styles: Mapping[str, Tensor], layer: int) -> State:
    """The state after a layer."""
    return walk([Branch(model.generator.synthesis, styles)], stop=layer + 1)[0]


def _shown(state: State) -> Tensor:
    margin = state.place.margin
    x = state.features
    return x[:, :, margin : x.shape[2] - margin, margin : x.shape[3] - margin] if margin else x
