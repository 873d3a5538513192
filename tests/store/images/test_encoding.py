from __future__ import annotations

import numpy as np
import pytest

from sgkit.errors import ConfigError, StoreError
from sgkit.store.header import image_sizes
from sgkit.store.images.encoding import check_encoding, decode, encode, pixel_hash, pyramid


def pixels(channels: int, height: int = 8, width: int = 12) -> np.ndarray:
    return np.random.RandomState(1).randint(0, 256, (channels, height, width)).astype(np.uint8)


@pytest.mark.parametrize("encoding", ["png", "webp", "raw"])
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_lossless_encodings_give_back_every_pixel(encoding: str, channels: int) -> None:
    image = pixels(channels)
    found = decode(encode(image, encoding), encoding, channels=channels, size=(8, 12))
    np.testing.assert_array_equal(found, image)


@pytest.mark.parametrize("channels", [1, 3])
def test_jpeg_comes_close(channels: int) -> None:
    smooth = np.full((channels, 8, 12), 100, np.uint8)
    smooth[0] += 20
    found = decode(encode(smooth, "jpeg"), "jpeg", channels=channels, size=(8, 12))
    assert np.abs(found.astype(int) - smooth).max() <= 3


def test_raw_is_a_view() -> None:
    record = encode(pixels(3), "raw")
    found = decode(memoryview(record), "raw", channels=3, size=(8, 12))
    assert not found.flags.owndata
    assert not found.flags.writeable


def test_damaged_records_are_errors() -> None:
    with pytest.raises(StoreError, match="has 5 bytes; 3x8x12"):
        decode(b"12345", "raw", channels=3, size=(8, 12))
    with pytest.raises(StoreError, match="cannot be decoded"):
        decode(encode(pixels(3), "png")[:40], "png", channels=3, size=(8, 12))
    with pytest.raises(StoreError, match=r"an image of 12x8; 8x8 was expected"):
        decode(encode(pixels(3), "png"), "png", channels=3, size=(8, 8))


def test_encodings_are_checked() -> None:
    with pytest.raises(ConfigError, match="no alpha"):
        check_encoding("jpeg", 4)
    with pytest.raises(ConfigError, match="Did you mean 'png'"):
        check_encoding("pngg", 3)


def test_a_pyramid_averages_without_rounding_in_between() -> None:
    image = pixels(3, 16, 24)
    sizes = image_sizes((16, 24), pyramid=True)
    assert sizes == ((16, 24), (8, 12), (4, 6))
    for size, level in zip(sizes, pyramid(image, sizes), strict=True):
        step = 16 // size[0]
        exact = image.reshape(3, size[0], step, size[1], step).mean(axis=(2, 4))
        np.testing.assert_array_equal(level, np.rint(exact))
    assert image_sizes((9, 24), pyramid=True) == ((9, 24),)
    assert image_sizes((16, 16), pyramid=False) == ((16, 16),)


def test_hashes_tell_values_and_shapes_apart() -> None:
    image = pixels(3)
    other = image.copy()
    other[0, 0, 0] ^= 1
    hashes = {pixel_hash(image), pixel_hash(other), pixel_hash(image.reshape(3, 12, 8))}
    assert len(hashes) == 3
    assert pixel_hash(image[:, :, ::-1][:, :, ::-1]) == pixel_hash(image)
