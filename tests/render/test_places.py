from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from sgkit.errors import InputError, UsageError
from sgkit.latents.spaces import Latents, save_latents
from sgkit.render.places import Choice, parse_legend, read_painting, read_places


def test_a_text_file_names_what_stands_at_each_place(tmp_path: Path) -> None:
    save_latents(Latents(space="w", values={"w": torch.zeros(1, 8)}), tmp_path / "a.npz")
    (tmp_path / "places.txt").write_text("# seeds and a face\n12, a.npz@winter # to the right\n\n7@3\t 4294967295\n")
    rows = read_places(tmp_path / "places.txt")
    assert rows == [[Choice(12), Choice(tmp_path / "a.npz", "winter")], [Choice(7, "3"), Choice(4294967295)]]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("0,1\n2,missing.npz\n", "places.txt, line 2: unknown source 'missing.npz': not a seed from 0 to 4294967295"),
        ("0,1\n\n2\n", "places.txt, line 3: 1 places, but the first row has 2"),
        ("0,,1\n", "places.txt, line 1: the entry '' names no source"),
        ("4294967296\n", "line 1: unknown source '4294967296'"),
        ("# nothing\n", "places.txt names no places. Write one line for each row"),
        ("places.txt\n", "places.txt, line 1: Not a latent file"),
    ],
)
def test_a_text_file_says_which_line_is_wrong(text: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "places.txt").write_text(text)
    with pytest.raises(InputError, match=re.escape(message)):
        read_places(tmp_path / "places.txt")


def test_a_painting_is_read_by_its_legend(tmp_path: Path) -> None:
    save_latents(Latents(space="w", values={"w": torch.zeros(1, 8)}), tmp_path / "a.npz")
    legend = parse_legend(f"#fff=winter-day, red=seed:12 ,blue={tmp_path / 'a.npz'}")
    assert list(legend.values()) == [Choice(label="winter-day"), Choice(source=12), Choice(source=tmp_path / "a.npz")]
    pixels = np.array([[(255, 255, 255), (250, 10, 3), (0, 0, 255)], [(0, 0, 230), (255, 0, 0), (240, 250, 255)]])
    Image.fromarray(pixels.astype(np.uint8)).save(tmp_path / "map.png")
    painting = read_painting(tmp_path / "map.png", legend)
    assert (painting.columns, painting.rows, painting.of) == (3, 2, (0, 1, 2, 2, 1, 0))
    assert painting.choices == tuple(legend.values())


def test_a_painting_says_what_is_wrong_with_it(tmp_path: Path) -> None:
    legend = parse_legend("red=0,#00f=1")
    Image.new("RGB", (3, 2), (0, 255, 0)).save(tmp_path / "green.png")
    message = "The pixel at (0, 0) of {} is #00ff00, which the legend does not name. It names #ff0000, #0000ff."
    with pytest.raises(UsageError, match=re.escape(message.format(tmp_path / "green.png"))):
        read_painting(tmp_path / "green.png", legend)
    Image.new("RGB", (300, 300)).save(tmp_path / "large.png")
    with pytest.raises(InputError, match=r"not usable as a map: .* at most 65,536 pixels, such as 256x256"):
        read_painting(tmp_path / "large.png", legend)
    (tmp_path / "text.png").write_text("no image")
    with pytest.raises(InputError, match="not usable as a map"):
        read_painting(tmp_path / "text.png", legend)
    with pytest.raises(InputError, match="There is no map"):
        read_painting(tmp_path / "missing.png", legend)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("red", "Not a legend: 'red'. Write COLOUR=CHOICE"),
        ("rouge=1", "Not a legend: 'rouge=1'"),
        ("red=", "Not a legend: 'red='"),
        ("", "Not a legend: ''"),
        ("red=seed:x", "Not a seed in the legend: 'x'"),
        ("red=seed:4294967296", "Not a seed in the legend: '4294967296'"),
    ],
)
def test_a_legend_that_is_none_is_refused(text: str, message: str) -> None:
    with pytest.raises(UsageError, match=re.escape(message)):
        parse_legend(text)
