"""Losses by networks that others trained: perceptual distances and the identity of faces."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable

import torch
from PIL import Image
from torch import Tensor

from sgkit.config.networks import NETWORKS
from sgkit.metrics.effnet import effnet_weights_path
from sgkit.metrics.identity import cut_faces, face_weights_path, load_face_network
from sgkit.metrics.perceptual import PerceptualDistance, PerceptualName, load_perceptual, rgb_of
from sgkit.model import Model
from sgkit.runtime.progress import OnProgress
from sgkit.store.images.faces import DlibLandmarker
from sgkit.weights import fetch_weights

Distance = Callable[[Tensor], Tensor]
"""Images [N, C, H, W] -> distance of each to its target [N]."""
USUAL_PLACE = ((0.677, 0.0, 0.0), (0.0, 0.677, 0.2))
"""Where the face is in an image that is cut out as in FFHQ (``prepare --crop face``), for :func:`cut_faces`.

The mean of dlib's places in the squares of 123 faces; they deviate by 0.01 of the square's side, their size by 0.04."""
FOUND_SIDE = 256
"""Smaller images are enlarged to this side before faces are searched in them."""


_PACKAGED = {"effnet": effnet_weights_path, "identity": face_weights_path}
"""Losses whose weights a package brings -> finds them there."""


def fetch_networks(losses: Iterable[str], on_progress: OnProgress) -> None:
    """Download the weights of those of ``losses`` that need some and lack them.

    Raises:
        MissingDependencyError: a loss needs a package that is not installed.
        WeightsError: a download is not possible.
    """
    for name in losses:
        if name in _PACKAGED:
            _PACKAGED[name]()
        for weights in NETWORKS[name].weights if name in NETWORKS else ():
            fetch_weights(weights, on_progress=on_progress)


@functools.lru_cache(maxsize=4)
def perceptual_distance(name: PerceptualName, device: torch.device) -> PerceptualDistance:
    """The distance called ``name`` on ``device``, loaded once in a process."""
    return load_perceptual(name, device)


def by_network(name: PerceptualName) -> Callable[[Tensor, Model], Distance]:
    """What makes the perceptual distance called ``name`` to some targets."""

    def build(targets: Tensor, model: Model) -> Distance:
        network = perceptual_distance(name, model.device)
        with torch.no_grad():
            wanted = network.embed(targets)
        return lambda images: network.between(network.embed(images), wanted)

    return build


def by_identity(targets: Tensor, model: Model) -> Distance:
    """The squared distance between the descriptors of faces: 0.36 and more between different people.

    The face is searched in the target and cut out there in both. Where none is found, it is taken to be where it is in
    images that are cut out as in FFHQ.
    """
    network, places = load_face_network(model.device), face_places(targets)
    with torch.no_grad():
        wanted = network(cut_faces(targets, places))
    return lambda images: (network(cut_faces(images, places)) - wanted).square().sum(dim=1)


def face_places(images: Tensor) -> Tensor:
    """Where the faces of ``images`` [N, C, H, W] (-1 to 1) are, [N, 2, 3], as :func:`cut_faces` takes it."""
    usual = torch.tensor(USUAL_PLACE)
    return torch.stack([usual if place is None else place for place in found_faces(images)]).to(images.device)


def found_faces(images: Tensor) -> list[Tensor | None]:
    """Where the face of each of ``images`` [N, C, H, W] (-1 to 1) is, [2, 3]; ``None`` where none is found."""
    landmarker = _landmarker()
    pixels = ((rgb_of(images.detach().float()).clamp(-1, 1) + 1) * 127.5).round().byte().permute(0, 2, 3, 1).cpu()
    places: list[Tensor | None] = []
    for image in pixels:
        picture = Image.fromarray(image.numpy())
        factor = FOUND_SIDE / min(picture.size)
        if factor > 1:
            size = (round(picture.width * factor), round(picture.height * factor))
            picture = picture.resize(size, Image.Resampling.LANCZOS)
        found = landmarker.chip(picture)
        places.append(None if found is None else torch.from_numpy(found).float())
    return places


@functools.lru_cache(maxsize=1)
def _landmarker() -> DlibLandmarker:
    return DlibLandmarker(otherwise="leave out the loss or the metrics of identity.")
