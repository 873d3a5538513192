from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import sgkit
from sgkit.errors import UsageError
from sgkit.render.pictures import arrange, grid_shape, opaque, to_picture, to_pixels, write_png


def test_every_pixel_value_survives_the_way_to_the_network_and_back() -> None:
    pixels = torch.arange(256, dtype=torch.uint8).reshape(1, 1, 16, 16)
    images = pixels.float() / 127.5 - 1.0
    assert np.array_equal(to_pixels(images)[0, :, :, 0], pixels[0, 0].numpy())


def test_pixels_are_clipped_and_channels_come_last() -> None:
    images = torch.tensor([-3.0, 0.0, 3.0]).reshape(1, 3, 1, 1).expand(1, 3, 2, 5)
    pixels = to_pixels(images)
    assert pixels.shape == (1, 2, 5, 3)
    assert pixels[0, 0, 0].tolist() == [0, 128, 255]


@pytest.mark.parametrize(("channels", "mode"), [(1, "L"), (3, "RGB"), (4, "RGBA")])
def test_pictures_keep_their_channels(channels: int, mode: str) -> None:
    picture = to_picture(np.full((2, 3, channels), 7, np.uint8))
    assert (picture.mode, picture.size) == (mode, (3, 2))


def test_opaque_lays_alpha_over_white() -> None:
    pixels = np.array([[[10, 20, 30, 255], [10, 20, 30, 0]]], np.uint8)
    assert opaque(pixels).tolist() == [[[10, 20, 30], [255, 255, 255]]]
    grey = np.zeros((2, 2, 1), np.uint8)
    assert opaque(grey) is grey


@pytest.mark.parametrize(("count", "shape"), [(1, (1, 1)), (2, (2, 1)), (5, (3, 2)), (9, (3, 3)), (10, (4, 3))])
def test_grids_are_about_square(count: int, shape: tuple[int, int]) -> None:
    assert grid_shape(count) == shape


def test_a_grid_too_small_is_refused() -> None:
    with pytest.raises(UsageError, match=r"A grid of 2x2 has room for 4 images, but 5 were given\."):
        grid_shape(5, (2, 2))


def test_arrange_fills_rows_and_leaves_gaps_empty() -> None:
    one, two = np.full((2, 3, 1), 1, np.uint8), np.full((2, 3, 1), 2, np.uint8)
    canvas = arrange([one, two, None, one], (3, 2), gap=1, background=9)
    assert canvas.shape == (5, 11, 1)
    assert (canvas[:2, :3] == 1).all()
    assert (canvas[:2, 4:7] == 2).all()
    assert (canvas[:2, 8:] == 9).all()
    assert (canvas[3:, :3] == 1).all()
    assert (canvas[2] == 9).all()


def test_empty_places_between_pictures_with_alpha_are_transparent() -> None:
    canvas = arrange([np.full((1, 1, 4), 200, np.uint8)], (2, 1))
    assert canvas[0].tolist() == [[200, 200, 200, 200], [255, 255, 255, 0]]


def test_png_text_is_read_back(tmp_path) -> None:
    write_png(np.zeros((2, 2, 3), np.uint8), tmp_path / "a.png", text={"seed": "3", "source": "Zürich 東"})
    with Image.open(tmp_path / "a.png") as image:
        assert image.info["seed"] == "3"
        assert image.info["source"] == "Zürich 東"


@pytest.mark.parametrize(
    ("images", "size"),
    [
        (torch.zeros(3, 8, 6), (6, 8)),
        (torch.zeros(1, 1, 8, 6), (6, 8)),
        (torch.zeros(4, 3, 8, 6, requires_grad=True), (13, 17)),
        (np.zeros((8, 6, 4), np.uint8), (6, 8)),
        (torch.zeros(2, 8, 6, 3, dtype=torch.uint8), (13, 8)),
    ],
)
@pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp"])
def test_tensors_and_pixels_are_saved(images: Any, size: tuple[int, int], suffix: str, tmp_path: Path) -> None:
    path = sgkit.save_image(images, tmp_path / f"a{suffix}", gap=1)
    with Image.open(path) as image:
        assert image.size == size


def test_a_saved_tensor_reads_back(tmp_path: Path) -> None:
    images = torch.rand(1, 3, 8, 6) * 2 - 1
    with Image.open(sgkit.save_image(images, tmp_path / "a.png")) as image:
        assert np.array_equal(np.asarray(image), to_pixels(images)[0])


@pytest.mark.parametrize(
    ("images", "name", "message"),
    [
        (torch.full((3, 4, 4), float("nan")), "a.png", "NaN or infinity"),
        (torch.zeros(4, 4), "a.png", r"Not an image: Tensor float32 \[4, 4\]"),
        (np.zeros((3, 8, 8)), "a.png", r"Not an image: ndarray float64 \[3, 8, 8\]"),
        ("a", "a.png", "Not an image: str"),
        (torch.zeros(5, 4, 4), "a.png", "5 channels"),
        (torch.zeros(3, 4, 4), "a.txt", r"Unsupported extension \.txt of a\.txt\. Use \.png"),
    ],
)
def test_what_is_no_image_is_explained(images: Any, name: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=message):
        sgkit.save_image(images, tmp_path / name)
