from __future__ import annotations

import math
import re
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from sgkit.errors import UsageError
from sgkit.model import (
    Canvas,
    LayerSpec,
    MapNoise,
    NoiseSource,
    NoNoise,
    SeededNoise,
    Side,
    StoredNoise,
    hashed_normal,
    noise_source,
    synthesis_plan,
    walk,
)


@pytest.fixture
def layer(tiny_config) -> LayerSpec:
    """b8_conv0: twice as large as the first layer."""
    return next(spec for spec in synthesis_plan(tiny_config()) if spec.name == "b8_conv0")


def window(top: int, left: int, height: int, width: int, *, period: int | None = None) -> Canvas:
    """A window of a frame that is larger, or around whose width it goes."""
    y = Side(top, height, -100, 1000)
    return Canvas(y, Side(left, width, 0 if period else -100, period or 1000, period is not None))


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
    values = hashed_normal(layer, (seed,), window(-1, 5, 3, 4))
    for i in range(3):
        for j in range(4):
            assert float(values[0, 0, i, j]) == pytest.approx(
                by_hand("b8_conv0", seed, i - 1, j + 5), rel=1e-5, abs=1e-6
            )


def test_values_never_change(layer: LayerSpec) -> None:
    """Pictures that people have made hang on these numbers."""
    values = hashed_normal(layer, (0, 7), window(0, 0, 2, 2))
    expected = torch.tensor(GOLDEN)
    torch.testing.assert_close(values, expected, rtol=0, atol=1e-6)


GOLDEN = [[[[-1.150274, -0.771425], [-1.661886, 0.069857]]], [[[-1.247232, -0.804415], [-1.438173, -0.392261]]]]


def test_tiles_are_the_whole(layer: LayerSpec) -> None:
    whole = hashed_normal(layer, (3,), window(0, 0, 12, 20))
    for top in (0, 4, 8):
        for left in (0, 10):
            tile = hashed_normal(layer, (3,), window(top, left, 4, 10))
            assert torch.equal(tile, whole[:, :, top : top + 4, left : left + 10])


def test_a_wide_canvas_begins_like_a_square_one(layer: LayerSpec) -> None:
    square, wide = (hashed_normal(layer, (3,), window(0, 0, 8, width)) for width in (8, 40))
    assert torch.equal(square, wide[..., :8])


def test_left_of_and_above_the_canvas_there_is_noise_too(layer: LayerSpec) -> None:
    around = hashed_normal(layer, (3,), window(-4, -4, 8, 8))
    assert torch.equal(around[:, :, 4:, 4:], hashed_normal(layer, (3,), window(0, 0, 4, 4)))
    assert len(around.unique()) == 64


def correlation(one: Tensor, other: Tensor) -> float:
    return float(torch.corrcoef(torch.stack([one.flatten(), other.flatten()]))[0, 1])


def test_values_are_standard_normal(layer: LayerSpec) -> None:
    values = hashed_normal(layer, tuple(range(8)), window(0, 0, 256, 256)).double()
    count = values.numel()
    assert float(values.mean()) == pytest.approx(0, abs=4 / math.sqrt(count))
    assert float(values.var()) == pytest.approx(1, abs=4 * math.sqrt(2 / count))
    assert float((values**3).mean()) == pytest.approx(0, abs=4 * math.sqrt(15 / count))
    assert float((values**4).mean()) == pytest.approx(3, abs=4 * math.sqrt(96 / count))
    quantiles = torch.quantile(values.flatten()[:200_000], torch.tensor([0.1587, 0.5, 0.8413]).double())
    torch.testing.assert_close(quantiles, torch.tensor([-1.0, 0.0, 1.0]).double(), rtol=0, atol=0.015)


def test_neighbours_are_unrelated(layer: LayerSpec) -> None:
    values = hashed_normal(layer, tuple(range(4)), window(0, 0, 256, 256)).double()
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
    maps = [hashed_normal(spec, (seed,), window(0, 0, 128, 128)) for spec in plan[:3] for seed in (0, 1, 2, 2**32)]
    for i, one in enumerate(maps):
        for other in maps[:i]:
            assert abs(correlation(one, other)) < 5 / 128


# -------------------------------------------------------------------------------------------- the sources


def test_no_noise_adds_nothing(layer: LayerSpec) -> None:
    assert NoNoise()(layer, torch.ones(8, 8), window(0, 0, 8, 8), 2) is None


def test_stored_noise_is_the_file_s_map_on_the_canonical_canvas(layer: LayerSpec) -> None:
    stored = torch.randn(8, 8)
    noise = StoredNoise()(layer, stored, window(0, 0, 8, 8), 2)
    assert torch.equal(noise[0, 0], stored)


def test_stored_noise_goes_on_beyond_its_map(layer: LayerSpec) -> None:
    stored = torch.randn(8, 8)
    noise = StoredNoise(seed=5)(layer, stored, window(0, 0, 10, 20), 2)[0, 0]
    hashed = hashed_normal(layer, (5,), window(0, 0, 10, 20))[0, 0]
    assert torch.equal(noise[:8, :8], stored)
    assert torch.equal(noise[8:], hashed[8:])
    assert torch.equal(noise[:, 8:], hashed[:, 8:])
    smaller = StoredNoise()(layer, stored, window(0, 0, 8, 4), 2)[0, 0]
    assert torch.equal(smaller, stored[:, :4])


@pytest.mark.parametrize("source", [StoredNoise(), SeededNoise((3,))])
def test_windows_are_cut_from_the_whole(layer: LayerSpec, source: NoiseSource) -> None:
    stored = torch.randn(8, 8)
    whole = source(layer, stored, window(-8, -8, 24, 40), 1)
    for top, left in ((0, 0), (2, 4), (-3, 7), (-8, 30), (5, -1)):
        part = source(layer, stored, window(top, left, 6, 2), 1)
        assert torch.equal(part, whole[:, :, top + 8 : top + 14, left + 8 : left + 10])


@pytest.mark.parametrize("source", [StoredNoise(), SeededNoise((3,)), MapNoise({"b8_conv0": torch.randn(1, 1, 8, 8)})])
def test_on_a_ring_noise_repeats_with_its_length(layer: LayerSpec, source: NoiseSource) -> None:
    stored = torch.randn(8, 8)
    around = source(layer, stored, window(0, -4, 8, 32, period=12), 1)
    assert torch.equal(around[..., :12], around[..., 12:24])
    assert torch.equal(around[..., 4:16], source(layer, stored, window(0, 0, 8, 12), 1))


def test_stored_noise_comes_in_the_map_s_dtype(layer: LayerSpec) -> None:
    for width in (8, 16):
        assert StoredNoise()(layer, torch.zeros(8, 8).double(), window(0, 0, 8, width), 1).dtype == torch.float64


def test_stored_maps_are_never_changed(layer: LayerSpec) -> None:
    stored = torch.zeros(8, 8)
    StoredNoise()(layer, stored, window(0, 0, 12, 12), 1)
    assert float(stored.abs().sum()) == 0


def test_seeded_noise_is_one_for_all_or_one_for_each(layer: LayerSpec) -> None:
    stored = torch.zeros(8, 8)
    each = SeededNoise((1, 2, 1))(layer, stored, window(0, 0, 8, 8), 3)
    assert each.shape == (3, 1, 8, 8)
    assert torch.equal(each[0], each[2])
    assert not torch.equal(each[0], each[1])
    assert torch.equal(SeededNoise((2,))(layer, stored, window(0, 0, 8, 8), 3), each[1:2])


def test_seeds_must_be_one_or_one_for_each(layer: LayerSpec) -> None:
    with pytest.raises(UsageError, match=r"2 noise seeds were given for 3 images; give one, or one for each\."):
        SeededNoise((1, 2))(layer, torch.zeros(8, 8), window(0, 0, 8, 8), 3)


def test_given_maps_take_the_place_of_the_stored_ones(layer: LayerSpec) -> None:
    maps, stored = torch.randn(2, 1, 8, 8), torch.zeros(8, 8)
    source = MapNoise({"b8_conv0": maps})
    assert source(layer, stored, window(0, 0, 8, 8), 2) is maps
    wide = source(layer, stored, window(-1, -2, 10, 20), 2)
    assert torch.equal(wide[:, :, 1:9, 2:10], maps)
    hashed = StoredNoise()(layer, stored, window(-1, -2, 10, 20), 1)
    assert torch.equal(wide[1:, :, :, 10:], hashed[..., 10:])


def test_given_maps_must_fit(layer: LayerSpec) -> None:
    with pytest.raises(UsageError, match=r"layer b8_conv0 needs one of 8x8 \(WxH\), they have none"):
        MapNoise({"b8_conv1": torch.zeros(1, 1, 8, 8)})(layer, torch.zeros(8, 8), window(0, 0, 8, 8), 1)
    message = "layer b8_conv0 needs one of 8x8 (WxH), theirs is 4x8."
    with pytest.raises(UsageError, match=re.escape(message)):
        MapNoise({"b8_conv0": torch.zeros(1, 1, 8, 4)})(layer, torch.zeros(8, 8), window(0, 0, 8, 16), 1)


def test_sources_by_name() -> None:
    assert noise_source("const") == StoredNoise()
    assert noise_source("random") == SeededNoise((0,))
    assert noise_source("random", [4, 5]) == SeededNoise((4, 5))
    assert noise_source("none") == NoNoise()
    given = SeededNoise((4,))
    assert noise_source(given) is given
    with pytest.raises(UsageError, match=r"Unknown noise 'konst'\. Did you mean 'const'\?"):
        noise_source("konst")


@pytest.mark.parametrize("name", ["stylegan1-f", "stylegan2-f"])
def test_random_noise_is_one_function_of_the_picture_s_seed(tiny_model, branches_of, name: str) -> None:
    """The same in a batch, alone, in a window of a larger canvas, and when a walk is resumed."""
    model = tiny_model(name)
    ws = model.map(model.sample_z([7, 8]))
    both = model.synthesize(ws, noise="random", noise_seed=[3, 4])
    for index, seed in enumerate((3, 4)):
        alone = model.synthesize(ws[index : index + 1], noise="random", noise_seed=seed)
        torch.testing.assert_close(alone, both[index : index + 1], rtol=0, atol=1e-4)
    assert not torch.equal(model.synthesize(ws, noise="random", noise_seed=[3, 5])[1], both[1])
    [branch] = branches_of(model, (8,), noise=SeededNoise((4,)))
    resumed = walk([branch], states=walk([branch], stop=3), start=3)[0].image
    torch.testing.assert_close(resumed, both[1:], rtol=0, atol=1e-4)
    seen: list[tuple[str, Canvas, Tensor]] = []

    def noting(spec: LayerSpec, stored: Tensor, canvas: Canvas, batch: int) -> Tensor | None:
        seen.append((spec.name, canvas, SeededNoise((4,))(spec, stored, canvas, batch)))
        return seen[-1][2]

    walk([replace(branch, noise=noting)], canvas=Canvas.of_size((4, 12)))
    whole, seen = seen, []
    walk([replace(branch, noise=noting)], canvas=Canvas(Side.whole(4), Side(3, 5, 0, 12)))
    for (layer, canvas, wide), (other, part, narrow) in zip(whole, seen, strict=True):
        assert layer == other
        assert torch.equal(canvas.cut(wide, part), narrow)
