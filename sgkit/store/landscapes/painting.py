"""What the landscape painter paints with: a canvas, noise, and the light of an hour."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

Colour = np.ndarray
"""float32 RGB [3], 0 to 1."""


def colour(text: str) -> Colour:
    """The colour ``rrggbb``."""
    return np.array([int(text[i : i + 2], 16) / 255 for i in (0, 2, 4)], np.float32)


def mix(a: np.ndarray, b: np.ndarray, amount: float | np.ndarray) -> np.ndarray:
    """``a`` where ``amount`` is 0, ``b`` where it is 1."""
    return np.asarray(
        a + (b - a) * np.float32(amount) if isinstance(amount, float) else a + (b - a) * amount, np.float32
    )


def smoothstep(low: float, high: float, x: np.ndarray) -> np.ndarray:
    """0 below ``low``, 1 above ``high``, smooth between."""
    t = np.clip((x - np.float32(low)) / np.float32(high - low), 0, 1)
    return np.asarray(t * t * (3 - 2 * t), np.float32)


class Canvas:
    """Float pixels with the coordinates of their centres, in units of the height."""

    def __init__(self, height: int, width: int) -> None:
        self.height, self.width = height, width
        self.pixels = np.zeros((height, width, 3), np.float32)
        self.y = ((np.arange(height, dtype=np.float32) + 0.5) / height)[:, None]
        self.x = ((np.arange(width, dtype=np.float32) + 0.5 - width / 2) / height)[None, :]
        self.aspect = width / height

    def cover(self, paint: np.ndarray, alpha: np.ndarray, rows: slice = slice(None)) -> None:
        """Lay ``paint`` (a colour, or [rows, width, 3]) over ``rows``, as thick as ``alpha`` [rows, width] says."""
        below = self.pixels[rows]
        below += (paint - below) * alpha[..., None]

    def rows(self, top: float, bottom: float) -> slice:
        """The rows between two heights."""
        return slice(max(int(top * self.height), 0), min(int(np.ceil(bottom * self.height)) + 1, self.height))

    def averaged(self, factor: int) -> np.ndarray:
        """uint8 pixels, each the mean of ``factor`` x ``factor``."""
        height, width = self.height // factor, self.width // factor
        mean = self.pixels.reshape(height, factor, width, factor, 3).mean(axis=(1, 3), dtype=np.float32)
        return np.asarray(np.rint(np.clip(mean, 0, 1) * 255), np.uint8)


def fractal(
    x: np.ndarray, y: np.ndarray, random: np.random.RandomState, *, octaves: int = 4, gain: float = 0.5
) -> np.ndarray:
    """Smooth noise around 0.5 at the given places: octaves of values on a lattice of size 1, 1/2, 1/4 ...

    It is computed for every second pixel both ways: the canvas is averaged afterwards.
    """
    height, width = np.broadcast_shapes(x.shape, y.shape)
    x, y = (v[:: 2 if v.shape[0] > 1 else 1, :: 2 if v.shape[1] > 1 else 1] for v in (x, y))
    total: np.ndarray = np.zeros(np.broadcast_shapes(x.shape, y.shape), np.float32)
    lattices = random.random_sample((octaves, 64, 64)).astype(np.float32)
    for octave, lattice in enumerate(lattices):
        total += np.float32(gain**octave) * _lattice_noise(
            lattice, x * np.float32(2**octave), y * np.float32(2**octave)
        )
    total /= np.float32(sum(gain**octave for octave in range(octaves)))
    return np.asarray(total.repeat(2, axis=0)[:height].repeat(2, axis=1)[:, :width])


def _lattice_noise(lattice: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    left, top = np.floor(x), np.floor(y)
    u, v = x - left, y - top
    u, v = u * u * (3 - 2 * u), v * v * (3 - 2 * v)
    i, j = left.astype(np.int32) & 63, top.astype(np.int32) & 63
    flat = lattice.ravel()
    here, right = i + (j << 6), ((i + 1) & 63) + (j << 6)
    down = (((j + 1) & 63) - j) << 6
    above = flat.take(here)
    above += (flat.take(right) - above) * u
    below = flat.take(here + down)
    below += (flat.take(right + down) - below) * u
    return np.asarray(above + (below - above) * v, np.float32)


def ridge_line(
    x: np.ndarray, random: np.random.RandomState, *, scale: float, octaves: int, sharpness: float
) -> np.ndarray:
    """Heights about 0 to 1 of a ridge seen from the side; ``sharpness`` 0 gives rolling hills, 1 peaks."""
    total: np.ndarray = np.zeros_like(x)
    weight, weights = 1.0, 0.0
    for octave in range(octaves):
        values = random.random_sample(64).astype(np.float32)
        place = x * np.float32(scale * 2.03**octave) + np.float32(17.3)
        left = np.floor(place)
        t = place - left
        t = t * t * (3 - 2 * t)
        i = left.astype(np.int32) % 64
        smooth = values[i] * (1 - t) + values[(i + 1) % 64] * t
        ridged = 1 - np.abs(2 * smooth - 1)
        total += np.float32(weight) * (smooth * np.float32(1 - sharpness) + ridged * np.float32(sharpness))
        weights += weight
        weight *= 0.47
    return np.asarray(total / np.float32(weights))


@dataclass(frozen=True)
class Light:
    """The light of an hour."""

    zenith: Colour
    horizon: Colour
    sun: Colour
    """Colour of sunlight, or of moonlight at night."""
    ambient: Colour
    """Colour that everything is multiplied with."""
    sun_place: tuple[float, float]
    """x as a share of the width from the middle, y from the top; below the horizon at night."""
    night: float
    """0 by day, 1 in the dark."""
    warmth: float
    """1 when the sun is low."""

    def on(self, paint: Colour | np.ndarray) -> np.ndarray:
        """A surface of this colour under the light."""
        return np.asarray(paint * self.ambient, np.float32)


_SKY = (  # elevation of the sun, zenith, horizon, sun, ambient
    (-0.45, "0b1230", "27365f", "d5e0f8", "49557c"),
    (-0.18, "18234f", "4a4677", "dcd0ee", "62618a"),
    (-0.04, "34478a", "e59673", "ffb985", "a48ba6"),
    (0.06, "4a6fb4", "ffc894", "ffd398", "dcb8a2"),
    (0.25, "4d8ad2", "f2e2c4", "fff0cf", "f4e3cb"),
    (0.60, "3f86d8", "cfe6f5", "fffbe8", "fffaf0"),
    (1.01, "3a7fd6", "c6e2f6", "ffffff", "ffffff"),
)
_SUMMIT = {"spring": 0.8, "summer": 1.0, "autumn": 0.7, "winter": 0.5}


def light_at(hour: float, season: str, clouds: float) -> Light:
    """The light at a time of day (0 to 24): the sun rises at 6 on the left and sets at 18 on the right."""
    elevation = float(np.sin(np.pi * (hour - 6) / 12))
    elevation *= _SUMMIT[season] if elevation > 0 else 1.0
    marks = [row[0] for row in _SKY]
    zenith, horizon, sun, ambient = (
        np.array([np.interp(elevation, marks, [colour(str(row[k]))[c] for row in _SKY]) for c in range(3)], np.float32)
        for k in (1, 2, 3, 4)
    )
    grey = np.float32(0.45 * clouds * min(max(elevation * 3, 0.25), 1))
    zenith = mix(zenith, zenith.mean() * np.array([0.98, 1.0, 1.04], np.float32), grey)
    night = float(np.clip(-elevation / 0.3, 0, 1))
    across = (hour - 12) / 8 if 4 <= hour <= 20 else (((hour - 20) % 24) / 4 - 1) * 0.8
    height = 0.52 - 0.5 * elevation if elevation > -0.12 else 0.12 + 0.1 * abs(across)
    warmth = float(np.exp(-((elevation - 0.03) ** 2) / 0.02))
    return Light(zenith, horizon, sun, ambient, (0.42 * across, height), night, warmth)
