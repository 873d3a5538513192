from __future__ import annotations

from pathlib import Path

import pytest
import torch
from PIL import Image

from sgkit.config import ModelConfig
from sgkit.model import build
from sgkit.training.grid import grid, grid_shape, sample_images, to_pixels, write_png


def test_images_stand_row_by_row() -> None:
    images = torch.arange(6, dtype=torch.uint8).reshape(6, 1, 1, 1).expand(6, 3, 2, 4)
    picture = grid(images, columns=3)
    assert picture.shape == (3, 4, 12)
    assert picture[0, ::2, ::4].tolist() == [[0, 1, 2], [3, 4, 5]]


def test_pixels_are_the_inverse_of_the_scaling_to_plus_minus_one() -> None:
    values = torch.arange(256, dtype=torch.uint8)
    images = values.float() / 127.5 - 1
    assert torch.equal(to_pixels(images), values)
    assert to_pixels(torch.tensor([-3.0, 3.0])).tolist() == [0, 255]


@pytest.mark.parametrize(("size", "shape"), [((32, 32), (12, 16)), ((256, 256), (3, 4)), ((2048, 1024), (2, 3))])
def test_grids_fill_a_screen(size: tuple[int, int], shape: tuple[int, int]) -> None:
    assert grid_shape(size) == shape


def test_samples_do_not_hang_on_the_batch_and_leave_random_state_alone(model_config: ModelConfig) -> None:
    model = build(model_config)
    before = torch.get_rng_state()
    whole = sample_images(model, labels=None, count=6, batch=6)
    assert torch.equal(torch.get_rng_state(), before)
    parts = sample_images(model, labels=None, count=6, batch=4)
    assert whole.shape == (6, 3, 8, 16)
    assert (whole.int() - parts.int()).abs().max() <= 1


@pytest.mark.parametrize(("channels", "mode"), [(1, "L"), (3, "RGB"), (4, "RGBA")])
def test_png_of_any_channels(tmp_path: Path, channels: int, mode: str) -> None:
    pixels = torch.randint(0, 256, (channels, 4, 6), dtype=torch.uint8)
    write_png(pixels, tmp_path / "sub" / "a.png")
    with Image.open(tmp_path / "sub" / "a.png") as image:
        assert (image.mode, image.size) == (mode, (6, 4))
        if mode == "RGB":
            assert image.getpixel((5, 0)) == tuple(pixels[:, 0, 5].tolist())
