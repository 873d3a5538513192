"""Curves through latents: where an interpolation is at a time."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from sgkit.render.scene import Curve

Floats = npt.NDArray[np.float64]


def points(curve: Curve, keys: Floats, times: Floats) -> Floats:
    """[len(times), ...]: where the curve through ``keys`` [K, ..., dim] is; its centre is 0."""
    knots = np.concatenate([keys, keys[:1]]) if curve.loop else keys
    if curve.path == "linear":
        return _along(curve, knots, times)
    lengths = np.linalg.norm(knots, axis=-1, keepdims=True)
    directions = knots / np.maximum(lengths, 1e-12)
    directions = _along(curve, directions, times) if curve.smooth == "cubic" else _slerp(directions, times)
    directions /= np.maximum(np.linalg.norm(directions, axis=-1, keepdims=True), 1e-12)
    return directions * _lerp(lengths, times)


def _along(curve: Curve, knots: Floats, times: Floats) -> Floats:
    if curve.smooth == "none":
        return _lerp(knots, times)
    from scipy.interpolate import CubicSpline

    spline = CubicSpline(np.arange(len(knots)), knots, bc_type="periodic" if curve.loop else "natural")
    return np.asarray(spline(times), dtype=np.float64)


def _neighbours(knots: Floats, times: Floats) -> tuple[Floats, Floats, Floats]:
    """The knots before and after each time, and how far the time is between them, ready to be broadcast."""
    before = np.clip(times.astype(int), 0, len(knots) - 2)
    share = (times - before).reshape(-1, *[1] * (knots.ndim - 1))
    return knots[before], knots[before + 1], share


def _lerp(knots: Floats, times: Floats) -> Floats:
    one, two, share = _neighbours(knots, times)
    return one + (two - one) * share


def _slerp(directions: Floats, times: Floats) -> Floats:
    """Along great circles, at even speed; opposite directions have no one great circle and are joined straight."""
    one, two, share = _neighbours(directions, times)
    angle = np.arccos(np.clip((one * two).sum(axis=-1, keepdims=True), -1.0, 1.0))
    sine = np.sin(angle)
    curved = sine > 1e-6
    safe = np.where(curved, sine, 1.0)
    weights = [np.where(curved, np.sin(part * angle) / safe, part) for part in (1.0 - share, share)]
    return np.asarray(weights[0] * one + weights[1] * two)
