"""Collins et al. 2020 and Suzuki et al. 2018 against plain transcriptions of their formulas, in float64 loops."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch

from sgkit.edits import box
from sgkit.latents.clusters import (
    Moments,
    catalogue,
    channel_weights,
    chosen_channels,
    clusters_inside,
    memberships,
    spherical_kmeans,
)
from sgkit.model import Branch, Canvas, Model, State, walk
from sgkit.render.drawing import drawing
from sgkit.render.transfer import Reference, TransferSettings, transfer

Tiny = Callable[..., Model]
FAMILIES = ("stylegan1-f", "stylegan2-f", "stylegan2-e-gresnet-dorig", "stylegan3-t")
REGION = "box:0.25,0.25,0.75,1"


def features(seed: int, *shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def naive_members(a: np.ndarray, centres: np.ndarray) -> np.ndarray:
    """U: for each pixel, the centre with the largest cosine."""
    n, _, height, width = a.shape
    u = np.zeros((n, len(centres), height, width))
    for i in range(n):
        for y in range(height):
            for x in range(width):
                vector = a[i, :, y, x] / np.sqrt(sum(value**2 for value in a[i, :, y, x]))
                cosines = [sum(v * c for v, c in zip(vector, centre, strict=True)) for centre in centres]
                u[i, int(np.argmax(cosines)), y, x] = 1
    return u


def naive_shares(a: np.ndarray, u: np.ndarray) -> np.ndarray:
    """M[k, c] = 1/(NHW) sum over n, h, w of A^2 U, where each channel of A has mean 0 and variance 1."""
    n, channels, height, width = a.shape
    m = np.zeros((u.shape[1], channels))
    for c in range(channels):
        values = a[:, c]
        normal = (values - values.mean()) / np.sqrt(((values - values.mean()) ** 2).mean())
        for k in range(u.shape[1]):
            for i in range(n):
                for y in range(height):
                    for x in range(width):
                        member = u[i, k, y * u.shape[2] // height, x * u.shape[3] // width]
                        m[k, c] += normal[i, y, x] ** 2 * member / (n * height * width)
    return m


def naive_channels(shares: np.ndarray, budget: float) -> np.ndarray:
    """Greedily, the largest share first, as long as the sum of what is outside stays within the budget."""
    q, spent = np.zeros(len(shares)), 0.0
    for channel in sorted(range(len(shares)), key=lambda c: (-shares[c], c)):
        spent += 1 - shares[channel]
        if spent > budget * len(shares):
            break
        q[channel] = 1
    return q


def test_memberships_and_contributions_are_those_of_the_formulas() -> None:
    a = features(0, 2, 5, 4, 6)
    centres = spherical_kmeans(a.movedim(1, -1).flatten(0, -2), 3)
    members = memberships(a, centres)
    assert np.array_equal(members.numpy(), naive_members(a.double().numpy(), centres.numpy()))
    for finer in (a, features(1, 2, 7, 8, 12), features(2, 2, 3, 2, 3)):
        expected = naive_shares(finer.double().numpy(), members.numpy())
        moments = Moments()
        moments.add(finer, members)
        if finer.shape[2] >= members.shape[2]:  # coarser features: nearest pixels are those of the centres
            assert np.abs(moments.shares().numpy() - expected).max() < 1e-5
        assert torch.allclose(moments.shares().sum(dim=0), torch.ones(finer.shape[1]).double())


def test_centres_are_the_normalised_sums_of_their_vectors() -> None:
    vectors = features(3, 200, 4)
    centres = spherical_kmeans(vectors, 5)
    units = (vectors.double() / vectors.double().norm(dim=1, keepdim=True)).numpy()
    nearest = (units @ centres.numpy().T).argmax(axis=1)
    for k in range(5):
        total = sum(units[i] for i in range(200) if nearest[i] == k)
        assert np.abs(centres[k].numpy() - total / np.sqrt((total**2).sum())).max() < 1e-9


@pytest.mark.parametrize("budget", [0.0, 0.1, 0.35, 1.0])
def test_channels_are_chosen_greedily(budget: float) -> None:
    shares = torch.rand(40, generator=torch.Generator().manual_seed(1)).double()
    assert np.array_equal(chosen_channels(shares, budget=budget).numpy(), naive_channels(shares.numpy(), budget))


@pytest.mark.parametrize("family", FAMILIES)
def test_collins_is_sigma_s_plus_q_times_the_difference(tiny_model: Tiny, family: str) -> None:
    model = tiny_model(family)
    settings = TransferSettings(mode="collins", clusters=3, samples=4, budget=0.4)
    (image,) = transfer(drawing(model, None), 0, [Reference(1, REGION)], settings)
    own, other = (model.styles(model.map(model.sample_z([seed]))) for seed in (0, 1))
    found = catalogue(model, range(4), clusters=3)
    inside = clusters_inside(found, model, own, box(0.25, 0.25, 0.75, 1, softness=0.1))
    mixed = {}
    for name, style in own.items():
        q = np.zeros(style.shape[1])
        if name in found.shares:
            q = naive_channels(sum(found.shares[name][k].numpy() for k in inside), 0.4)  # type: ignore[arg-type]
        sigma_s, sigma_r = style[0].double().numpy(), other[name][0].double().numpy()
        mixed[name] = torch.tensor([[s + w * (r - s) for s, w, r in zip(sigma_s, q, sigma_r, strict=True)]]).float()
    assert any(weights.any() for weights in channel_weights(found, own, inside, budget=0.4).values())
    (state,) = walk([Branch(model.generator.synthesis, mixed)])
    assert (image.image - state.image[0]).abs().max() < 1e-5


@pytest.mark.parametrize("family", FAMILIES)
def test_suzuki_replaces_features_under_a_hard_mask(tiny_model: Tiny, family: str) -> None:
    """Both networks run by themselves; after each chosen layer the source's pixels inside are the reference's."""
    model = tiny_model(family)
    (image,) = transfer(drawing(model, None), 0, [Reference(1, REGION)], TransferSettings(mode="suzuki", layers="0-3"))
    network = model.generator.synthesis
    branches = [Branch(network, model.styles(model.map(model.sample_z([seed])))) for seed in (0, 1)]
    canvas = Canvas.canonical(network.plan)
    source, reference = State(canvas=canvas), State(canvas=canvas)
    for spec in network.plan:
        source, reference = (
            network.step(spec, branch.styles, state, branch.noise)
            for branch, state in zip(branches, (source, reference), strict=True)
        )
        if spec.style_index is not None and spec.style_index <= 3:
            x, rgb, shortcut = (
                collaged(*pair, source.place)
                for pair in (
                    (source.x, reference.x),
                    (source.rgb, reference.rgb),
                    (source.shortcut, reference.shortcut),
                )
            )
            source = State(x=x, rgb=rgb, shortcut=shortcut, canvas=source.canvas)
    assert (image.image - source.image[0]).abs().max() < 1e-5


def collaged(own: torch.Tensor | None, other: torch.Tensor | None, canvas: Canvas) -> torch.Tensor | None:
    """``own`` with the pixels of ``other`` whose centres are inside the region."""
    if own is None or other is None:
        return own
    place = canvas.of(own)
    result = own.clone()
    for y in range(own.shape[2]):
        for x in range(own.shape[3]):
            down, across = float(place.positions("y")[y]), float(place.positions("x")[x])
            if down >= 0.25 and 0.25 <= across < 0.75:
                result[:, :, y, x] = other[:, :, y, x]
    return result
