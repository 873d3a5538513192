"""Where the parts of a face are in a picture: outlines from the 68 landmarks of the extra ``faces``."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from sgkit.errors import InputError
from sgkit.render.pictures import Pixels, opaque, to_picture
from sgkit.render.shapes import MaskPicture, Shape
from sgkit.runtime.limits import read_file
from sgkit.store.images.faces import DlibLandmarker

LANDMARK_SIDES = (320, 400, 256, 512)
"""Smaller pictures are enlarged to these sides until a face is found: the detector sees none below 40 pixels."""
Points = Any
"""NumPy array: corners [n, 2] of an outline, x and y, as fractions of the picture."""


def face_points(pixels: Pixels, name: str) -> Points:
    """The 68 landmarks [68, 2] of the largest face in ``pixels`` [H, W, C], as fractions of the picture.

    Raises:
        MissingDependencyError: the extra ``faces`` is not installed.
        InputError: no face is found in the picture, which is called ``name``.
    """
    picture = to_picture(opaque(pixels)).convert("RGB")
    for side in LANDMARK_SIDES:
        scale = max(side / min(picture.size), 1.0)
        size = (round(picture.width * scale), round(picture.height * scale))
        found = _landmarker().points(picture.resize(size, Image.Resampling.BICUBIC))
        if found:
            return (found[0] + 0.5) / np.array(size)
    raise InputError(
        f"No face was found in the image of {name}. Give the region as a shape instead, such as "
        "box:0.3,0.6,0.7,0.9, or a segmentation of the image."
    )


def _landmarker() -> DlibLandmarker:
    if not _KEPT:
        _KEPT.append(DlibLandmarker())
    return _KEPT[0]


_KEPT: list[DlibLandmarker] = []
"""The detector takes a second to load."""


def outlines(part: str, points: Points) -> list[Points]:
    """The outlines of ``part``, a key of :data:`PARTS`, in a face with the landmarks ``points`` [68, 2]."""
    return PARTS[part](np.asarray(points, np.float64))


def part_shapes(
    parts: Sequence[str],
    pixels: Pixels | None,
    name: str,
    *,
    softness: float,
    segmentation: Segmentation | None = None,
) -> tuple[Shape, ...]:
    """The shapes of ``parts`` in the picture ``pixels`` of ``name``, or in its segmentation.

    Raises:
        MissingDependencyError: the extra ``faces`` is not installed.
        InputError: no face is found.
    """
    if segmentation is not None:
        return tuple(segmentation.shape(part, softness=softness) for part in parts)
    assert pixels is not None, "landmarks are found in a picture"
    points = face_points(pixels, name)
    return tuple(polygon_text(one, softness=softness) for part in parts for one in outlines(part, points))


@dataclass(frozen=True)
class Segmentation:
    """An image file whose pixels are numbers of parts, and which numbers each part has."""

    file: str
    hash: str
    parts: Mapping[str, tuple[int, ...]]

    def shape(self, part: str, *, softness: float) -> MaskPicture:
        """Where ``part`` is."""
        return MaskPicture(picture=self.file, hash=self.hash, softness=softness, values=self.parts[part])


def segmentation_of(file: str | Path, parts: Mapping[str, tuple[int, ...]]) -> Segmentation:
    """The segmentation in ``file``, with its table of parts.

    Raises:
        InputError: the file is not there.
    """
    data = read_file(Path(file), kind="image")
    return Segmentation(str(file), hashlib.sha256(data).hexdigest(), parts)


def polygon_text(corners: Points, *, softness: float) -> str:
    """A polygon as a scene writes it."""
    numbers = ",".join(f"{value:.4f}" for value in np.clip(corners, -1.0, 2.0).ravel())
    return f"polygon:{numbers}" + (f",{softness:g}" if softness else "")


def _scaled(corners: Points, across: float, down: float) -> Points:
    """The outline enlarged about the middle of its bounding box."""
    middle = (corners.min(axis=0) + corners.max(axis=0)) / 2
    return middle + (corners - middle) * (across, down)


def _hull(corners: Points) -> Points:
    """The convex hull, anticlockwise (Andrew's monotone chain)."""
    ordered = corners[np.lexsort((corners[:, 1], corners[:, 0]))]

    def chain(given: Sequence[Points]) -> list[Points]:
        kept: list[Points] = []
        for point in given:
            while len(kept) > 1 and _turn(kept[-2], kept[-1], point) <= 0:
                kept.pop()
            kept.append(point)
        return kept[:-1]

    return np.array(chain(list(ordered)) + chain(list(ordered[::-1])))


def _turn(a: Points, b: Points, c: Points) -> float:
    return float((b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0]))


def _eyes(points: Points) -> list[Points]:
    """Both eyes with their lids."""
    return [_scaled(points[part], 1.6, 2.4) for part in (slice(36, 42), slice(42, 48))]


def _brows(points: Points) -> list[Points]:
    """Both brows: the five points of each, made as thick as a third of the way to the eye."""
    found = []
    for brow, eye in ((slice(17, 22), slice(36, 42)), (slice(22, 27), slice(42, 48))):
        half = (points[eye].mean(axis=0) - points[brow].mean(axis=0)) / 3
        found.append(np.concatenate([points[brow] - half, (points[brow] + half)[::-1]]))
    return found


def _nose(points: Points) -> list[Points]:
    return [_scaled(_hull(points[27:36]), 1.5, 1.1)]


def _mouth(points: Points) -> list[Points]:
    return [_scaled(points[48:60], 1.3, 1.5)]


def _forehead(points: Points) -> Points:
    """The hairline, from the left temple to the right: the brows moved up by the length of the nose."""
    return points[17:27] - 0.8 * (points[30] - points[27:28])


def _face(points: Points) -> list[Points]:
    """Chin, cheeks and forehead."""
    return [np.concatenate([points[0:17], _forehead(points)[::-1]])]


def _hair(points: Points) -> list[Points]:
    """What is above the forehead and beside the cheeks down to the mouth: landmarks do not see hair itself."""
    left, right = points[0:5, 0].min(), points[12:17, 0].max()
    aside, bottom = 0.35 * (right - left), points[48:60, 1].mean()
    outside = np.array([(left - aside, bottom), (left - aside, 0.0), (right + aside, 0.0), (right + aside, bottom)])
    inside = np.concatenate([points[12:17], _forehead(points)[::-1], points[0:5]])
    return [np.concatenate([outside, inside])]


PARTS: dict[str, Callable[[Points], list[Points]]] = {
    "eyes": _eyes,
    "brows": _brows,
    "nose": _nose,
    "mouth": _mouth,
    "face": _face,
    "hair": _hair,
}
"""Part -> its outlines; the keys are those of :data:`sgkit.config.regions.FACE_PARTS`."""
