"""A curve as a picture, drawn with Pillow alone."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from sgkit.render.pictures import Pixels
from sgkit.text import printable

_PAPER, _INK, _GRID, _LINE, _MARK = (255, 255, 255), (60, 60, 60), (225, 225, 225), (38, 99, 175), (200, 60, 40)
_LEFT, _TOP, _RIGHT, _BOTTOM = 64, 34, 20, 40


def draw_curve(values: Sequence[float], *, title: str, mark: int | None = None) -> Pixels:
    """uint8 [360, 640, 3]: positive ``values`` by step, on a logarithmic scale; ``mark``: a step to point out."""
    height, width = 360, 640
    picture = Image.new("RGB", (width, height), _PAPER)
    pen, font = ImageDraw.Draw(picture), ImageFont.load_default()
    logs = [math.log10(max(value, 1e-12)) for value in values]
    low, high = min(logs), max(logs)
    if high - low < 1e-3:
        low, high = low - 0.05, high + 0.05
    inner_width, inner_height = width - _LEFT - _RIGHT, height - _TOP - _BOTTOM

    def place(index: float, log: float) -> tuple[float, float]:
        x = _LEFT + inner_width * index / max(len(values) - 1, 1)
        return x, _TOP + inner_height * (high - log) / (high - low)

    for tick in _ticks(low, high):
        x, y = place(0, math.log10(tick))
        pen.line([(x, y), (width - _RIGHT, y)], fill=_GRID)
        pen.text((x - 6, y), f"{tick:.3g}", fill=_INK, font=font, anchor="rm")
    for index in sorted({round(part * (len(values) - 1) / 4) for part in range(5)}):
        x, _ = place(index, low)
        pen.line([(x, _TOP), (x, height - _BOTTOM)], fill=_GRID)
        pen.text((x, height - _BOTTOM + 6), str(index), fill=_INK, font=font, anchor="mt")
    pen.text((width - _RIGHT, height - 6), "step", fill=_INK, font=font, anchor="rb")
    pen.text((_LEFT, _TOP - 10), printable(title, limit=80), fill=_INK, font=font, anchor="lb")
    points = [place(index, log) for index, log in enumerate(logs)]
    pen.line(points if len(points) > 1 else points * 2, fill=_LINE, width=2)
    if mark is not None:
        x, y = points[mark]
        pen.ellipse([x - 4, y - 4, x + 4, y + 4], outline=_MARK, width=2)
        text, is_right = f"{values[mark]:.4g} at {mark}", x > width / 2
        pen.text((x - 8 if is_right else x + 8, y - 6), text, fill=_MARK, font=font, anchor="rb" if is_right else "lb")
    return np.asarray(picture)


def _ticks(low: float, high: float) -> list[float]:
    """Round values between 10^low and 10^high: 1, 2 and 5 times powers of ten, or finer where these are too few."""
    powers = range(math.floor(low) - 1, math.ceil(high) + 1)
    for steps in (
        (1,),
        (1, 2, 5),
        tuple(range(1, 10)),
        tuple(x / 10 for x in range(10, 100)),
        tuple(x / 100 for x in range(100, 1000)),
    ):
        ticks = [step * 10.0**power for power in powers for step in steps]
        inside = [tick for tick in ticks if low <= math.log10(tick) <= high]
        if len(inside) >= 3:
            return inside[:: math.ceil(len(inside) / 8)]
    return [10**low, 10**high]
