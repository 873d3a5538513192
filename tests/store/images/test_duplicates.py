from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from sgkit.store.images.duplicates import NEAR_BITS, DuplicateFinder, perceptual_hash
from sgkit.store.images.encoding import pixel_hash


def scene(seed: int) -> np.ndarray:
    """A smooth picture [3, 32, 32]."""
    small = np.random.RandomState(seed).randint(0, 256, (5, 5, 3)).astype(np.uint8)
    return np.asarray(Image.fromarray(small).resize((32, 32), Image.Resampling.BICUBIC)).transpose(2, 0, 1)


def distance(one: np.ndarray, other: np.ndarray) -> int:
    return (perceptual_hash(one) ^ perceptual_hash(other)).bit_count()


def test_the_hash_compares_each_place_with_its_left() -> None:
    ramp = np.broadcast_to(np.arange(36, dtype=np.uint8) * 7, (1, 32, 36))
    assert perceptual_hash(ramp) == 2**64 - 1
    assert perceptual_hash(ramp[:, :, ::-1]) == 0


def test_the_hash_outlives_size_brightness_and_noise_but_tells_scenes_apart() -> None:
    picture = scene(0)
    larger = np.asarray(Image.fromarray(picture.transpose(1, 2, 0)).resize((80, 80))).transpose(2, 0, 1)
    darker = (picture * 0.8).astype(np.uint8)
    assert distance(picture, larger) <= NEAR_BITS
    assert distance(picture, darker) <= NEAR_BITS
    assert all(distance(picture, scene(seed)) > NEAR_BITS for seed in range(1, 20))


def test_alpha_does_not_count() -> None:
    picture = scene(0)
    assert perceptual_hash(np.concatenate([picture, picture[:1]])) == perceptual_hash(picture)


@pytest.mark.parametrize("seed", range(20))
def test_any_bits_up_to_the_limit_are_near_and_one_more_is_not(seed: int) -> None:
    random = np.random.RandomState(seed)
    value = int(random.randint(0, 2**62))
    bits = random.permutation(64)[: NEAR_BITS + 1]
    near = value
    finder = DuplicateFinder(near=True)
    finder.add("first", pixel_hash(scene(0)), value)
    for bit in bits[:-1]:
        near ^= 1 << int(bit)
        assert finder.find(pixel_hash(scene(1)), near) == ("near duplicate", "first")
    assert finder.find(pixel_hash(scene(1)), near ^ 1 << int(bits[-1])) is None


def test_exact_finds_the_same_pixels_only() -> None:
    finder = DuplicateFinder(near=False)
    finder.add("first", pixel_hash(scene(0)), None)
    finder.add("second", pixel_hash(scene(1)), None)
    assert finder.find(pixel_hash(scene(1)), None) == ("duplicate", "second")
    assert finder.find(pixel_hash(scene(2)), None) is None
