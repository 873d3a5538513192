from __future__ import annotations

import numpy as np
import pytest

from sgkit.render.seams import BLOCK, Steps, steps_of


def gradient(length: int = 64, height: int = 8) -> np.ndarray:
    """Levels that rise by 2 from column to column."""
    return np.broadcast_to(np.arange(length, dtype=np.uint8)[None, :, None] * 2, (height, length, 3))


def test_a_hard_cut_is_measured_as_a_seam_and_a_smooth_picture_is_not() -> None:
    found = steps_of(gradient()).seams([32])
    assert found is not None
    assert (found.at_joins, found.elsewhere, found.ratio) == (2, 2, 1)
    cut = np.concatenate([gradient(32), gradient(32)], axis=1)
    found = steps_of(cut).seams([32])
    assert found is not None
    assert (found.at_joins, found.elsewhere, found.worst) == (62, 2, 62)
    assert steps_of(cut.transpose(1, 0, 2)).seams([32], axis="y") == found


def test_a_ring_is_measured_over_its_closure() -> None:
    steps = steps_of(gradient())
    assert steps.seams([]) is None
    assert steps.seams([64]) is None
    ring = steps.seams([64], is_ring=True)
    assert ring is not None
    assert ring.ratio == 63
    tall = steps_of(gradient().transpose(1, 0, 2)).seams([64], axis="y", is_ring=True)
    assert tall is not None
    assert tall.ratio == 63


def test_steps_do_not_depend_on_how_rows_arrive() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (2 * BLOCK + 3, 5, 3), dtype=np.uint8)
    whole, parts = steps_of(pixels), Steps(len(pixels), 5)
    for start, stop in ((0, 1), (1, BLOCK + 7), (BLOCK + 7, len(pixels))):
        parts.add(pixels[start:stop])
    np.testing.assert_allclose(parts.x, whole.x, rtol=1e-12)
    np.testing.assert_allclose(parts.y, whole.y, rtol=1e-12)
    plain = np.abs(np.roll(pixels, -1, axis=0).astype(int) - pixels).mean(axis=(1, 2))
    np.testing.assert_allclose(whole.y, plain, rtol=1e-12)
    assert whole.x.mean() == pytest.approx(np.abs(np.roll(pixels, -1, axis=1).astype(int) - pixels).mean())
