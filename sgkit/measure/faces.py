"""Faces as features: dlib's descriptor of the largest face of each image, for the metrics of identity."""

from __future__ import annotations

import torch
from torch import Tensor

from sgkit.errors import InputError
from sgkit.inversion.network_losses import USUAL_PLACE, found_faces
from sgkit.metrics.identity import DESCRIPTOR_DIM, WEIGHTS_SHA256, cut_faces, load_face_network
from sgkit.metrics.networks import to_rgb

SMALLEST = 16
"""Least side of an image in which a face is looked for."""


class FaceExtractor:
    """Descriptors of faces, and whether a face was found.

    Raises:
        MissingDependencyError: the extra ``faces`` is not installed.
    """

    name, dim = "identity", DESCRIPTOR_DIM + 1
    content_id = f"dlib-face-resnet/{WEIGHTS_SHA256[:16]}/largest-face-or-usual-place"

    def __init__(self, device: torch.device | str = "cpu") -> None:
        self.device = torch.device(device)
        self._network = load_face_network(self.device)
        found_faces(torch.zeros(1, 3, SMALLEST, SMALLEST))  # before images are read: is the face finder installed?

    @torch.inference_mode()
    def __call__(self, images: Tensor) -> Tensor:
        """Features float32 [N, 129] of ``images`` uint8 [N, C, H, W]: the descriptor, and 1 where a face was found."""
        if min(images.shape[2:]) < SMALLEST:
            raise InputError(
                f"Faces are looked for in images of {SMALLEST} pixels or more; these have "
                f"{images.shape[3]}x{images.shape[2]} (WxH). Use larger images."
            )
        x = to_rgb(images.to(self.device)) / 127.5 - 1
        places = found_faces(x)
        usual = torch.tensor(USUAL_PLACE)
        chosen = torch.stack([usual if place is None else place for place in places]).to(x)
        found = torch.tensor([[float(place is not None)] for place in places]).to(x)
        return torch.cat([self._network(cut_faces(x, chosen)).float(), found], dim=1)
