from __future__ import annotations

import math
import re

import pytest
import torch
from torch import Tensor

from sgkit.errors import UsageError
from sgkit.model import (
    LayerSpec,
    MapNoise,
    NoNoise,
    RandomNoise,
    SeededNoise,
    StoredNoise,
    hashed_normal,
    noise_source,
    synthesis_plan,
)


@pytest.fixture
def layer(tiny_config) -> LayerSpec:
    """b8_conv0: twice as large as the first layer."""
    return next(spec for spec in synthesis_plan(tiny_config()) if spec.name == "b8_conv0")


def by_hand(name: str, seed: int, row: int, column: int) -> float:
    """The definition, in Python's own integers: splitmix64's finaliser, three times, then Box-Muller."""
    mask = 2**64 - 1

    def mix(x: int) -> int:
        x = (x + 0x9E3779B97F4A7C15) & mask
        x = ((x ^ (x >> 30)) * 0xBF58476D1CE4E5B9) & mask
        x = ((x ^ (x >> 27)) * 0x94D049BB133111EB) & mask
        return x ^ (x >> 31)

    checksum = 0xFFFFFFFF  # CRC-32
    for byte in name.encode():
        checksum ^= byte
        for _ in range(8):
            checksum = (checksum >> 1) ^ (0xEDB88320 if checksum & 1 else 0)
    key = (seed * 0x9E3779B97F4A7C15 + (checksum ^ 0xFFFFFFFF)) & mask
    position = mix(mix(mix(key) ^ (row & mask)) ^ (column & mask))
    first, second = (mix(position ^ salt) & 0xFFFFFFFF for salt in (1, 2))
    return math.sqrt(-2 * math.log((first + 1) / 2**32)) * math.cos(2 * math.pi * second / 2**32)


# ------------------------------------------------------------------------------------------ the function


@pytest.mark.parametrize("seed", [0, 1, 12345, 2**63, -4])
def test_values_follow_the_definition(layer: LayerSpec, seed: int) -> None:
    values = hashed_normal(layer, (seed,), size=(3, 4), origin=(-1, 5))
    for i in range(3):
        for j in range(4):
            assert float(values[0, 0, i, j]) == pytest.approx(
                by_hand("b8_conv0", seed, i - 1, j + 5), rel=1e-5, abs=1e-6
            )


def test_values_never_change(layer: LayerSpec) -> None:
    """Pictures that people have made hang on these numbers."""
    values = hashed_normal(layer, (0, 7), size=(2, 2))
    expected = torch.tensor(GOLDEN)
    torch.testing.assert_close(values, expected, rtol=0, atol=1e-6)


GOLDEN = [[[[-1.150274, -0.771425], [-1.661886, 0.069857]]], [[[-1.247232, -0.804415], [-1.438173, -0.392261]]]]


def test_tiles_are_the_whole(layer: LayerSpec) -> None:
    whole = hashed_normal(layer, (3,), size=(12, 20))
    for top in (0, 4, 8):
        for left in (0, 10):
            tile = hashed_normal(layer, (3,), size=(4, 10), origin=(top, left))
            assert torch.equal(tile, whole[:, :, top : top + 4, left : left + 10])


def test_a_wide_canvas_begins_like_a_square_one(layer: LayerSpec) -> None:
    square, wide = (hashed_normal(layer, (3,), size=(8, width)) for width in (8, 40))
    assert torch.equal(square, wide[..., :8])


def test_left_of_and_above_the_canvas_there_is_noise_too(layer: LayerSpec) -> None:
    around = hashed_normal(layer, (3,), size=(8, 8), origin=(-4, -4))
    assert torch.equal(around[:, :, 4:, 4:], hashed_normal(layer, (3,), size=(4, 4)))
    assert len(around.unique()) == 64


def correlation(one: Tensor, other: Tensor) -> float:
    return float(torch.corrcoef(torch.stack([one.flatten(), other.flatten()]))[0, 1])


def test_values_are_standard_normal(layer: LayerSpec) -> None:
    values = hashed_normal(layer, tuple(range(8)), size=(256, 256)).double()
    count = values.numel()
    assert float(values.mean()) == pytest.approx(0, abs=4 / math.sqrt(count))
    assert float(values.var()) == pytest.approx(1, abs=4 * math.sqrt(2 / count))
    assert float((values**3).mean()) == pytest.approx(0, abs=4 * math.sqrt(15 / count))
    assert float((values**4).mean()) == pytest.approx(3, abs=4 * math.sqrt(96 / count))
    quantiles = torch.quantile(values.flatten()[:200_000], torch.tensor([0.1587, 0.5, 0.8413]).double())
    torch.testing.assert_close(quantiles, torch.tensor([-1.0, 0.0, 1.0]).double(), rtol=0, atol=0.015)


def test_neighbours_are_unrelated(layer: LayerSpec) -> None:
    values = hashed_normal(layer, tuple(range(4)), size=(256, 256)).double()
    bound = 5 / math.sqrt(values.numel())
    for power in (1, 2):
        moment = values**power
        for lag in (1, 2, 3, 4, 8, 128):
            assert abs(correlation(moment[..., lag:], moment[..., :-lag])) < bound
            assert abs(correlation(moment[:, :, lag:], moment[:, :, :-lag])) < bound
        for flip in (1, 2, 3, 255):  # positions that differ in few bits
            assert abs(correlation(moment, moment[..., torch.arange(256) ^ flip])) < bound
        assert abs(correlation(moment, moment.transpose(2, 3))) < bound


def test_seeds_and_layers_are_unrelated(tiny_config) -> None:
    plan = [spec for spec in synthesis_plan(tiny_config()) if spec.has_noise]
    maps = [hashed_normal(spec, (seed,), size=(128, 128)) for spec in plan[:3] for seed in (0, 1, 2, 2**32)]
    for i, one in enumerate(maps):
        for other in maps[:i]:
            assert abs(correlation(one, other)) < 5 / 128


# -------------------------------------------------------------------------------------------- the sources


def test_no_noise_adds_nothing(layer: LayerSpec) -> None:
    assert NoNoise()(layer, torch.ones(8, 8), batch=2, size=(8, 8)) is None


def test_stored_noise_is_the_file_s_map_on_the_canonical_canvas(layer: LayerSpec) -> None:
    stored = torch.randn(8, 8)
    noise = StoredNoise()(layer, stored, batch=2, size=(8, 8))
    assert torch.equal(noise[0, 0], stored)


def test_stored_noise_goes_on_beyond_its_map(layer: LayerSpec) -> None:
    stored = torch.randn(8, 8)
    noise = StoredNoise(seed=5)(layer, stored, batch=2, size=(10, 20))[0, 0]
    hashed = hashed_normal(layer, (5,), size=(10, 20))[0, 0]
    assert torch.equal(noise[:8, :8], stored)
    assert torch.equal(noise[8:], hashed[8:])
    assert torch.equal(noise[:, 8:], hashed[:, 8:])
    smaller = StoredNoise()(layer, stored, batch=2, size=(8, 4))[0, 0]
    assert torch.equal(smaller, stored[:, :4])


@pytest.mark.parametrize("source", [StoredNoise, SeededNoise])
def test_tiles_of_a_canvas_are_cut_from_the_whole(layer: LayerSpec, source) -> None:
    stored = torch.randn(8, 8)
    whole = source()(layer, stored, batch=1, size=(16, 24))
    for top, left in ((0, 0), (1, 2), (2, 4), (3, 1)):  # in pixels of the first layer: twice as far here
        tile = source(origin=(top, left))(layer, stored, batch=1, size=(6, 8))
        assert torch.equal(tile, whole[:, :, 2 * top : 2 * top + 6, 2 * left : 2 * left + 8])
    above = source(origin=(-1, -2))(layer, stored, batch=1, size=(16, 24))
    assert torch.equal(above[:, :, 2:, 4:], whole[:, :, :-2, :-4])


def test_stored_noise_comes_in_the_map_s_dtype(layer: LayerSpec) -> None:
    for size in ((8, 8), (8, 16)):
        assert StoredNoise()(layer, torch.zeros(8, 8).double(), batch=1, size=size).dtype == torch.float64


def test_stored_maps_are_never_changed(layer: LayerSpec) -> None:
    stored = torch.zeros(8, 8)
    StoredNoise()(layer, stored, batch=1, size=(12, 12))
    assert float(stored.abs().sum()) == 0


def test_seeded_noise_is_one_for_all_or_one_for_each(layer: LayerSpec) -> None:
    stored = torch.zeros(8, 8)
    each = SeededNoise((1, 2, 1))(layer, stored, batch=3, size=(8, 8))
    assert each.shape == (3, 1, 8, 8)
    assert torch.equal(each[0], each[2])
    assert not torch.equal(each[0], each[1])
    assert torch.equal(SeededNoise((2,))(layer, stored, batch=3, size=(8, 8)), each[1:2])


def test_seeds_must_be_one_or_one_for_each(layer: LayerSpec) -> None:
    with pytest.raises(UsageError, match=r"2 noise seeds were given for 3 images; give one, or one for each\."):
        SeededNoise((1, 2))(layer, torch.zeros(8, 8), batch=3, size=(8, 8))


def test_random_noise_is_fresh_and_its_own_for_every_sample(layer: LayerSpec) -> None:
    source, stored = RandomNoise(), torch.zeros(8, 8)
    first, second = (source(layer, stored, batch=2, size=(8, 16)) for _ in range(2))
    assert first.shape == (2, 1, 8, 16)
    assert not torch.equal(first, second)
    assert not torch.equal(first[0], first[1])


def test_random_noise_follows_its_generator(layer: LayerSpec) -> None:
    drawn = [
        RandomNoise(torch.Generator().manual_seed(3))(layer, torch.zeros(8, 8), batch=1, size=(8, 8)) for _ in range(2)
    ]
    assert torch.equal(*drawn)


def test_given_maps(layer: LayerSpec) -> None:
    maps = {"b8_conv0": torch.randn(1, 1, 8, 8)}
    assert MapNoise(maps)(layer, torch.zeros(8, 8), batch=2, size=(8, 8)) is maps["b8_conv0"]


def test_given_maps_must_fit(layer: LayerSpec) -> None:
    with pytest.raises(UsageError, match=r"layer b8_conv0 needs one of 8x8 \(WxH\), they have none"):
        MapNoise({"b8_conv1": torch.zeros(1, 1, 8, 8)})(layer, torch.zeros(8, 8), batch=1, size=(8, 8))
    message = "layer b8_conv0 needs one of 16x8 (WxH), theirs is 4x8."
    with pytest.raises(UsageError, match=re.escape(message)):
        MapNoise({"b8_conv0": torch.zeros(1, 1, 8, 4)})(layer, torch.zeros(8, 8), batch=1, size=(8, 16))


def test_sources_by_name() -> None:
    assert noise_source("const") == StoredNoise()
    assert noise_source("random") == RandomNoise()
    assert noise_source("none") == NoNoise()
    given = SeededNoise((4,))
    assert noise_source(given) is given
    with pytest.raises(UsageError, match=r"Unknown noise 'konst'\. Did you mean 'const'\?"):
        noise_source("konst")
