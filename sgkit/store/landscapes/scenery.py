"""What landscapes are made of: sky, mountains and meadows, water, trees."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw

from sgkit.store.landscapes.painting import Canvas, Colour, Light, colour, fractal, mix, ridge_line, smoothstep

WHITE = np.ones(3, np.float32)
SNOW = colour("eef3fb")

_GROUND = {  # far hills, meadow, meadow's second colour
    "spring": ("5f9a4c", "8fc25a", "c9d86a"),
    "summer": ("3f7d3a", "6aa544", "a3b94e"),
    "autumn": ("9a7a36", "b9963f", "d0a94f"),
    "winter": ("b9c6d6", "e6edf6", "cfdbea"),
}
_FOLIAGE = {
    "spring": ("7fb948", "9fce5c", "f0b9cc", "6aa844", "f6d3de"),
    "summer": ("2f6b2c", "3d7d33", "4c8c3a", "2a5f30"),
    "autumn": ("d9772a", "c4502a", "e3a83a", "a8432b", "d8902f"),
    "winter": ("6e625b", "7a6c62", "857a72"),
}
_CONIFER = {"spring": "2f5d3c", "summer": "274f33", "autumn": "2c4f35", "winter": "3c5a4e"}
_SNOW_LINE = {"spring": 0.5, "summer": 0.75, "autumn": 0.6, "winter": 0.0}


@dataclass(frozen=True)
class Scene:
    """What is painted, and where."""

    canvas: Canvas
    light: Light
    season: str
    horizon: float
    """Height of the horizon, from the top."""
    random: np.random.RandomState


def paint_sky(scene: Scene, *, clouds: float) -> None:
    """Gradient, glow, stars, sun or moon, clouds."""
    canvas, light, horizon = scene.canvas, scene.light, scene.horizon
    rows = canvas.rows(0, horizon + 0.1)
    y = canvas.y[rows]
    fall = (np.clip(y / horizon, 0, 1) ** np.float32(1.4))[..., None]
    sun_x, sun_y = light.sun_place[0] * canvas.aspect, light.sun_place[1]
    distance = np.hypot(canvas.x - np.float32(sun_x), y - np.float32(sun_y))
    sky = light.zenith + (light.horizon - light.zenith) * fall
    canvas.pixels[rows] = sky
    glow = (
        np.exp(-distance * np.float32(3.2)) * np.float32(0.30 + 0.45 * light.warmth) * np.float32(1 - 0.6 * light.night)
    )
    canvas.cover(light.sun, glow, rows)
    if light.night > 0.2:
        _paint_stars(scene)
    radius = 0.035 if light.night < 0.4 else 0.03
    disc = 1 - smoothstep(radius - 0.004, radius + 0.006, distance)
    canvas.cover(mix(light.sun, WHITE, 0.6), disc, rows)
    _paint_clouds(scene, clouds)


def _paint_stars(scene: Scene) -> None:
    canvas = scene.canvas
    for across, down, bright in scene.random.random_sample((140, 3)):
        row, column = int(down * scene.horizon * canvas.height), int(across * canvas.width)
        strength = np.float32(scene.light.night * (0.25 + 0.75 * bright**3))
        spot = canvas.pixels[row : row + 2, column : column + 2]
        spot += (WHITE - spot) * strength


def _paint_clouds(scene: Scene, clouds: float) -> None:
    canvas, light, horizon, random = scene.canvas, scene.light, scene.horizon, scene.random
    rows = canvas.rows(0, horizon)
    y = canvas.y[rows]
    depth = 1 / (np.float32(horizon + 0.08) - y)  # clouds are on a ceiling: smaller and flatter towards the horizon
    shape = fractal(canvas.x * depth * np.float32(0.55), depth * np.float32(1.3) + y * 2, random, octaves=4, gain=0.55)
    cover = smoothstep(0.66 - 0.36 * clouds, 0.86 - 0.36 * clouds, shape)
    lit = mix(light.horizon, WHITE, 0.75 * (1 - light.night)) * mix(WHITE, light.ambient, 0.6)
    shade = mix(light.zenith, light.horizon, 0.55) * np.float32(0.92)
    body = smoothstep(0.55, 0.95, shape)[..., None]
    edge = smoothstep(0.0, 0.12, np.float32(horizon) - y)
    canvas.cover(lit + (shade - lit) * body, cover * edge * np.float32(0.9), rows)


def paint_land(scene: Scene, *, mountains: float, mist: float) -> None:
    """Ranges of mountains, hills, and the meadow in front."""
    canvas, season, horizon, random = scene.canvas, scene.season, scene.horizon, scene.random
    far, meadow, second = (colour(text) for text in _GROUND[season])
    rock = mix(colour("6d7489"), colour("7a6a5c"), float(random.random_sample()) * 0.6)
    for step in range(3):
        near = step / 2
        height = (0.10 + 0.30 * mountains) * (1 - 0.42 * near)
        line = ridge_line(canvas.x[0], random, scale=1.7 + 0.8 * step, octaves=6, sharpness=0.85)
        top = horizon - np.float32(height) * np.clip(line * 1.5 - 0.35, 0.02, None)
        haze = float(np.clip(0.62 - 0.42 * near + 0.3 * mist * (1 - near), 0, 0.9))
        _paint_range(scene, top, mix(rock, far, 0.75 * near), haze, mountains)
    for step in range(2):
        line = ridge_line(canvas.x[0], random, scale=0.9 + 0.7 * step, octaves=3, sharpness=0.15)
        top = horizon + 0.02 * step - np.float32(0.075 - 0.03 * step) * line
        haze = float(np.clip(0.28 - 0.16 * step + 0.35 * mist * (1 - 0.5 * step), 0, 0.9))
        _paint_hill(scene, top, mix(far, meadow, 0.35 + 0.4 * step), haze)
    _paint_meadow(scene, meadow, second)


def _paint_range(scene: Scene, top: np.ndarray, paint: Colour, haze: float, mountains: float) -> None:
    canvas, light, horizon = scene.canvas, scene.light, scene.horizon
    snow_line = _SNOW_LINE[scene.season]
    rows = canvas.rows(float(top.min()), horizon + 0.1)
    y, x = canvas.y[rows], canvas.x
    depth = y - top[None, :]
    side = np.float32(1.0 if light.sun_place[0] > 0 else -1.0)
    relief = fractal(x * 6 + depth * 7 * side, y * 5, scene.random, octaves=3)  # gullies lean away from the sun
    shade = np.clip(0.86 + 1.5 * (relief - 0.5) + 0.35 * side * _broad_slope(top, canvas), 0.55, 1.12)
    height = (np.float32(horizon) - y) / 0.4 + (relief - 0.5) * 0.35
    snow = smoothstep(snow_line - 0.06, snow_line + 0.06, height - 0.12 * (1 - mountains))
    surface = mix(paint, SNOW, snow[..., None]) * shade[..., None]
    lit = light.on(surface) + (light.horizon - light.on(surface)) * np.float32(haze)
    canvas.cover(lit, smoothstep(-0.004, 0.004, depth), rows)


def _broad_slope(top: np.ndarray, canvas: Canvas) -> np.ndarray:
    """Slope of a ridge line over a fifth of the picture's height, within -1 and 1."""
    reach = max(canvas.height // 10, 1)
    padded = np.pad(top, reach, mode="edge")
    return np.asarray(np.tanh(2 * (padded[2 * reach :] - padded[: -2 * reach]) / np.float32(0.2)), np.float32)[None, :]


def _paint_hill(scene: Scene, top: np.ndarray, paint: Colour, haze: float) -> None:
    canvas, light = scene.canvas, scene.light
    rows = canvas.rows(float(top.min()), 1)
    y, x = canvas.y[rows], canvas.x
    depth = y - top[None, :]
    patches = fractal(x * 9, y * 26, scene.random, octaves=3)
    surface = light.on(paint) * (0.78 + 0.44 * patches)[..., None]
    lit = surface + (light.horizon - surface) * np.float32(haze)
    canvas.cover(lit, smoothstep(-0.004, 0.004, depth), rows)


def _paint_meadow(scene: Scene, meadow: Colour, second: Colour) -> None:
    canvas, light, random = scene.canvas, scene.light, scene.random
    start = scene.horizon + 0.025
    rows = canvas.rows(start, 1)
    y, x = canvas.y[rows], canvas.x
    near = np.clip((y - np.float32(start)) / np.float32(1 - start), 0.001, 1)
    stretch = 1 / (near + np.float32(0.12))  # patches shrink with distance
    patches = fractal(x * stretch * 1.4 + 9, stretch * 5, random, octaves=4)
    surface = mix(meadow, second, smoothstep(0.35, 0.7, patches)[..., None])
    surface = light.on(surface) * (0.72 + 0.26 * near + 0.28 * (patches - 0.5))[..., None]
    surface = surface + (light.horizon - surface) * (0.22 * (1 - near) ** 3)[..., None]
    line = np.float32(start) + np.float32(0.02) * (
        ridge_line(canvas.x[0], random, scale=1.5, octaves=3, sharpness=0) - 0.5
    )
    canvas.cover(surface, smoothstep(-0.004, 0.004, y - line[None, :]), rows)
    if scene.season in ("spring", "summer"):
        _paint_flowers(scene, start)


def _paint_flowers(scene: Scene, start: float) -> None:
    canvas, random = scene.canvas, scene.random
    kinds = [colour(text) for text in ("f4e04d", "ffffff", "e0527a", "9a6bd0", "f08a3c")]
    paint = kinds[random.randint(len(kinds))]
    count = int(random.random_sample() ** 2 * 220 * canvas.aspect)
    for across, down in random.random_sample((count, 2)):
        near = 0.25 + 0.75 * np.sqrt(down)
        side = max(int(near * 0.011 * canvas.height), 1)
        row, column = int((start + (1 - start) * near) * canvas.height) - side, int(across * canvas.width)
        spot = canvas.pixels[row : row + side, column : column + side]
        spot += (scene.light.on(paint) - spot) * np.float32(0.75)


def paint_water(scene: Scene, *, shore: float, near_shore: float) -> None:
    """A lake between two shores, with the picture above it mirrored in ripples; partly frozen in winter."""
    canvas, light, season, random = scene.canvas, scene.light, scene.season, scene.random
    x = canvas.x[0]
    far_line = np.float32(shore) + np.float32(0.012) * (ridge_line(x, random, scale=2.0, octaves=3, sharpness=0) - 0.5)
    near_line = np.float32(near_shore) - np.float32(0.10) * (
        ridge_line(x, random, scale=0.8, octaves=3, sharpness=0.2) - 0.5
    )
    rows = canvas.rows(shore - 0.02, min(near_shore + 0.06, 1))
    y = canvas.y[rows]
    below = np.clip(y - np.float32(shore), 0, None)
    waves = fractal(canvas.x * 5 / (below + 0.06), 1.6 / (below + np.float32(0.035)), random, octaves=2) - 0.5
    source = np.float32(shore) - below * np.float32(0.95) + waves * np.float32(0.05) * np.clip(below * 8, 0.1, 1)
    row = np.clip(source * canvas.height, 0, canvas.height - 1).astype(np.int32)
    column = np.clip(
        np.arange(canvas.width)[None, :] + (waves * 0.03 * canvas.height).astype(np.int32), 0, canvas.width - 1
    )
    mirrored = canvas.pixels[row, column]
    depth_tint = mix(light.zenith, light.on(colour("2c6173")), 0.55)
    surface = mirrored + (depth_tint - mirrored) * (np.float32(0.18) + np.clip(below * 0.9, 0, 0.42))[..., None]
    glint_x = light.sun_place[0] * canvas.aspect
    path = np.exp(-(((canvas.x - np.float32(glint_x)) / (0.05 + 0.25 * below)) ** 2)) * smoothstep(0.02, 0.22, waves)
    surface = (
        surface + (mix(light.sun, WHITE, 0.3) - surface) * (path * np.float32(0.55 + 0.3 * light.warmth))[..., None]
    )
    if season == "winter":
        ice = smoothstep(0.02, 0.12, waves + np.float32(random.random_sample() * 0.3 - 0.2))
        surface = surface + (light.on(SNOW) - surface) * (ice * 0.6)[..., None]
    inside = smoothstep(-0.003, 0.003, y - far_line[None, :]) * smoothstep(-0.003, 0.003, near_line[None, :] - y)
    bank = smoothstep(-0.02, 0.0, y - near_line[None, :]) * (1 - smoothstep(0.0, 0.03, y - near_line[None, :]))
    canvas.cover(light.on(colour("d9cba3") if season != "winter" else SNOW), bank * np.float32(0.55), rows)
    canvas.cover(surface, inside, rows)


def paint_trees(scene: Scene, *, count: int, nearest: float, farthest: float) -> None:
    """Trees on the ground between two heights of the picture, the far ones first."""
    canvas, season, random = scene.canvas, scene.season, scene.random
    if count <= 0 or nearest <= farthest:
        return
    image = Image.fromarray(np.rint(np.clip(canvas.pixels, 0, 1) * 255).astype(np.uint8))
    draw = ImageDraw.Draw(image)
    feet = np.sort(farthest + (nearest - farthest) * random.random_sample(count) ** 1.3)
    groves = random.random_sample(3) * 1.1 - 0.55
    conifers = random.random_sample()
    for foot in feet:
        grove = groves[random.randint(3)]
        across = (
            (grove + 0.16 * random.standard_normal()) * canvas.aspect
            if random.random_sample() < 0.7
            else (random.random_sample() - 0.5) * canvas.aspect
        )
        size = float(0.05 + 0.42 * max(foot - 0.47, 0)) * (0.75 + 0.5 * random.random_sample())
        haze = float(np.clip(0.25 - 0.55 * (foot - 0.5), 0, 0.25))
        pen = _Pen(draw, scene, haze, (float(across), float(foot)), size)
        (_draw_conifer if random.random_sample() < conifers else _draw_broadleaf)(pen, season, random)
    canvas.pixels[...] = np.asarray(image, np.float32) / 255


class _Pen:
    """Draws in units of a tree's height, from its foot."""

    def __init__(
        self, draw: ImageDraw.ImageDraw, scene: Scene, haze: float, foot: tuple[float, float], size: float
    ) -> None:
        canvas, light = scene.canvas, scene.light
        self._draw = draw
        self._scale_by: list[float] = (light.ambient * (255 * (1 - haze))).tolist()
        self._add: list[float] = (light.horizon * (255 * haze)).tolist()
        self._scale = size * canvas.height
        self._origin = ((foot[0] + canvas.aspect / 2) * canvas.height, foot[1] * canvas.height)
        self.side = 1.0 if light.sun_place[0] > 0 else -1.0
        """Where the light comes from: right or left."""

    def _place(self, x: float, y: float) -> tuple[float, float]:
        return self._origin[0] + x * self._scale, self._origin[1] - y * self._scale

    def _ink(self, paint: Colour) -> tuple[int, ...]:
        lit = zip(paint.tolist(), self._scale_by, self._add, strict=True)  # plain numbers: this is called very often
        return tuple(min(int(p * scale + add), 255) for p, scale, add in lit)

    def polygon(self, points: list[tuple[float, float]], paint: Colour) -> None:
        """A filled shape."""
        self._draw.polygon([self._place(x, y) for x, y in points], fill=self._ink(paint))

    def blob(self, x: float, y: float, radius: float, paint: Colour) -> None:
        """A filled disc."""
        left, top = self._place(x - radius, y + radius)
        right, bottom = self._place(x + radius, y - radius)
        self._draw.ellipse((left, top, right, bottom), fill=self._ink(paint))

    def stroke(self, start: tuple[float, float], end: tuple[float, float], width: float, paint: Colour) -> None:
        """A straight line."""
        pixels = max(round(width * self._scale), 1)
        self._draw.line([self._place(*start), self._place(*end)], fill=self._ink(paint), width=pixels)


def _draw_conifer(pen: _Pen, season: str, random: np.random.RandomState) -> None:
    green = colour(_CONIFER[season]) * np.float32(0.85 + 0.3 * random.random_sample())
    dark, lit = green * np.float32(0.8), green * np.float32(1.15)
    shaded, snowy = mix(green, SNOW, 0.62), mix(green, SNOW, 0.9)
    pen.stroke((0, 0), (0, 0.3), 0.06, colour("4a3a2e"))
    tiers = 4
    for tier in range(tiers):
        base, width = 0.12 + 0.2 * tier, 0.27 * (1 - tier / (tiers + 0.6))
        tip = min(base + 0.36, 1.0)
        pen.polygon([(-width, base), (0, tip), (width, base)], dark)
        pen.polygon([(0, base), (0, tip), (pen.side * width, base)], lit)
        if season == "winter":
            rim = base + 0.07
            pen.polygon([(-width * 0.78, rim), (0, tip), (width * 0.78, rim), (0, rim + 0.05)], shaded)
            pen.polygon([(0, rim + 0.03), (0, tip), (pen.side * width * 0.78, rim)], snowy)


def _draw_broadleaf(pen: _Pen, season: str, random: np.random.RandomState) -> None:
    trunk = colour("5a4636") if random.random_sample() < 0.8 else colour("d8d2c6")
    pen.stroke((0, 0), (0, 0.5), 0.055, trunk)
    if season == "winter":
        for lean in np.linspace(-0.3, 0.3, 7):
            lift = 0.72 + 0.25 * random.random_sample() - abs(lean) * 0.4
            pen.stroke((0, 0.25 + 0.2 * random.random_sample()), (lean, lift), 0.02, mix(trunk, SNOW, 0.15))
        return
    choices = _FOLIAGE[season]
    leaf = colour(choices[random.randint(len(choices))]) * np.float32(0.9 + 0.2 * random.random_sample())
    angles, reaches = random.random_sample((2, 9))
    angles *= 2 * np.pi
    across, up = 0.24 * np.cos(angles) * reaches, 0.64 + 0.25 * np.sin(angles) * reaches
    spots = list(zip(across.tolist(), up.tolist(), strict=True))
    dark, bright = leaf * np.float32(0.72), np.minimum(leaf * np.float32(1.22), 1)
    for x, y in spots:
        pen.blob(x, y, 0.15, dark)
    for x, y in spots:
        pen.blob(x * 0.9 + 0.03 * pen.side, y + 0.035, 0.115, leaf)
    for x, y in spots[:5]:
        pen.blob(x * 0.8 + 0.07 * pen.side, y + 0.075, 0.06, bright)
