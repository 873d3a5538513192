from __future__ import annotations

import os

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from sgkit.errors import ConfigError
from sgkit.store.bad_images import BadImageError
from sgkit.store.images.crops import CROPS, Crop, crop_boxes, cut, output_size, parse_crop, shrink_fraction

sides = st.integers(1, 400)
sizes = st.tuples(sides, sides)


@pytest.mark.parametrize(
    "text", ["center", "wide", "none", "random:3", "tiles", "tiles:64", "celeba", "face", "face:2"]
)
def test_crops_are_read(text: str) -> None:
    kind, _, number = text.partition(":")
    assert parse_crop(f" {text.upper()} ") == Crop(kind, int(number or 0))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("centre", "Did you mean 'center'"),
        ("random", "random:4"),
        ("random:0", "random:4"),
        ("none:3", "takes no such number"),
        ("", "Unknown crop"),
    ],
)
def test_a_wrong_crop_is_refused(text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        parse_crop(text)


def test_the_message_names_every_crop() -> None:
    with pytest.raises(ConfigError) as caught:
        parse_crop("zzz")
    assert all(name in str(caught.value) for name in CROPS)


@given(sizes, sizes)
@settings(max_examples=200)
def test_a_center_crop_is_the_largest_of_its_shape_in_the_middle(
    picture: tuple[int, int], size: tuple[int, int]
) -> None:
    ((left, top, right, bottom),) = crop_boxes(parse_crop("center"), picture, size)
    assert 0 <= left < right <= picture[0]
    assert 0 <= top < bottom <= picture[1]
    assert (right - left) / (bottom - top) == pytest.approx(size[1] / size[0])
    assert right - left == pytest.approx(picture[0]) or bottom - top == pytest.approx(picture[1])
    assert abs((left + right) - picture[0]) <= 1.001
    assert abs((top + bottom) - picture[1]) <= 1.001


def test_a_center_crop_of_whole_pixels_stays_on_pixels() -> None:
    assert crop_boxes(parse_crop("center"), (13, 8), (8, 8)) == [(2.0, 0.0, 10.0, 8.0)]


def test_wide_pads_to_a_square() -> None:
    assert output_size(parse_crop("wide"), (3, 4)) == (4, 4)
    assert output_size(parse_crop("center"), (3, 4)) == (3, 4)
    with pytest.raises(ConfigError, match="wider than high"):
        output_size(parse_crop("wide"), (4, 4))


def test_celeba_takes_the_papers_square() -> None:
    assert crop_boxes(parse_crop("celeba"), (178, 218), (128, 128)) == [(25, 57, 153, 185)]
    with pytest.raises(BadImageError, match="178x218"):
        crop_boxes(parse_crop("celeba"), (128, 128), (64, 64))


def test_tiles_lie_side_by_side_in_the_middle() -> None:
    boxes = crop_boxes(parse_crop("tiles"), (21, 10), (4, 8))
    assert boxes == [(2, 1, 10, 5), (10, 1, 18, 5), (2, 5, 10, 9), (10, 5, 18, 9)]
    assert len(crop_boxes(parse_crop("tiles:10"), (40, 20), (4, 4))) == 8
    with pytest.raises(BadImageError, match="holds no tile"):
        crop_boxes(parse_crop("tiles"), (7, 10), (4, 8))


@given(sizes, sizes, st.integers(0, 5))
@settings(max_examples=100)
def test_random_crops_lie_inside_and_depend_on_seed_and_name(
    picture: tuple[int, int], size: tuple[int, int], seed: int
) -> None:
    crop = parse_crop("random:3")
    boxes = crop_boxes(crop, picture, size, key="a", seed=seed)
    assert boxes == crop_boxes(crop, picture, size, key="a", seed=seed)
    for left, top, right, bottom in boxes:
        assert 0 <= left < right <= picture[0] + 1e-9
        assert 0 <= top < bottom <= picture[1] + 1e-9
    if min(picture) > 2 * max(size):
        assert boxes != crop_boxes(crop, picture, size, key="b", seed=seed)
        assert boxes != crop_boxes(crop, picture, size, key="a", seed=seed + 1)


def test_box_filter_means_and_none_stretches() -> None:
    pixels = np.arange(32, dtype=np.uint8).reshape(4, 8) * 8
    (box,) = crop_boxes(parse_crop("none"), (8, 4), (2, 2))
    found = np.asarray(cut(Image.fromarray(pixels), box, (2, 2), filter_name="box"))
    expected = pixels.reshape(2, 2, 2, 4).mean(axis=(1, 3))
    assert np.abs(found - expected).max() <= 0.5


def test_transparent_colours_do_not_bleed() -> None:
    pixels = np.zeros((2, 2, 4), np.uint8)
    pixels[0, 0] = (200, 100, 50, 255)  # the rest is transparent black
    found = np.asarray(cut(Image.fromarray(pixels), (0, 0, 2, 2), (1, 1), filter_name="box"))
    assert found[0, 0, :3].tolist() == pytest.approx([200, 100, 50], abs=2)
    assert found[0, 0, 3] == 64


def test_scaled_decoding_leaves_a_margin() -> None:
    assert shrink_fraction([(0, 0, 800, 800)], (100, 100), margin=2.0) == 0.25
    assert shrink_fraction([(0, 0, 100, 100)], (100, 100), margin=2.0) == 1.0


def test_random_boxes_follow_a_name_that_is_not_utf8() -> None:
    assert crop_boxes(parse_crop("random:2"), (40, 30), (8, 8), key=os.fsdecode(b"caf\xe9.png"))
