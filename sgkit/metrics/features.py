"""The interface of a feature extractor, and the extractors that there are."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from sgkit.config.words import FeaturePrecision
from sgkit.errors import UsageError
from sgkit.metrics.effnet import EFFNET_DIM, EffnetExtractor
from sgkit.metrics.inception import (
    INCEPTION_DIM,
    CleanInceptionExtractor,
    InceptionExtractor,
    TorchInceptionExtractor,
)
from sgkit.metrics.onnx_network import OnnxExtractor
from sgkit.metrics.vgg import VGG_DIM, VggExtractor
from sgkit.metrics.vit import VITS, VitExtractor, VitRow
from sgkit.runtime.progress import OnProgress, ignore_progress


class FeatureExtractor(Protocol):
    """Turns images into features. Any object with these members will do."""

    @property
    def name(self) -> str:
        """Short name, for example ``"effnet"``."""

    @property
    def dim(self) -> int:
        """Numbers per image."""

    @property
    def content_id(self) -> str:
        """Identifies weights and preprocessing: extractors with the same id give the same features."""

    def __call__(self, images: Tensor) -> Tensor:
        """Features float32 [N, dim] of ``images`` uint8 [N, C, H, W]."""


@dataclass(frozen=True, kw_only=True)
class ExtractorRecipe:
    """One row of :data:`EXTRACTORS`."""

    dim: int
    make: Callable[[torch.device, OnProgress], FeatureExtractor]
    """Loads the network on a device; reports a download of its weights."""


class Pixels:
    """Passes images on, for metrics of the images themselves; their statistics check what they are given."""

    name, dim, content_id = "pixels", 0, "pixels"

    def __call__(self, images: Tensor) -> Tensor:
        """``images``, as they are."""
        return images


def _of_vit(row: VitRow) -> ExtractorRecipe:
    return ExtractorRecipe(
        dim=row.dim, make=lambda device, on_progress: VitExtractor(row, device, on_progress=on_progress)
    )


def _without_model(_device: torch.device, _on_progress: OnProgress) -> FeatureExtractor:
    raise UsageError(
        "The metrics of the network 'd' compare by the discriminator of the measured model: use them with sgkit "
        "metrics MODEL. In Python, give sgkit.metrics.discriminator.DiscriminatorExtractor(model)."
    )


def _without_faces(_device: torch.device, _on_progress: OnProgress) -> FeatureExtractor:
    raise UsageError(
        "The metrics of the network 'identity' look for faces first: use them with sgkit metrics IMAGES. In Python, "
        "give sgkit.measure.faces.FaceExtractor()."
    )


EXTRACTORS: dict[str, ExtractorRecipe] = {
    "effnet": ExtractorRecipe(dim=EFFNET_DIM, make=lambda device, _: EffnetExtractor(device)),
    "inception": ExtractorRecipe(
        dim=INCEPTION_DIM, make=lambda device, on_progress: InceptionExtractor(device, on_progress=on_progress)
    ),
    "vgg16": ExtractorRecipe(
        dim=VGG_DIM, make=lambda device, on_progress: VggExtractor(device, on_progress=on_progress)
    ),
    **{row.name: _of_vit(row) for row in VITS.values()},
    "inception-clean": ExtractorRecipe(
        dim=INCEPTION_DIM, make=lambda device, on_progress: CleanInceptionExtractor(device, on_progress=on_progress)
    ),
    "inception-pytorch": ExtractorRecipe(
        dim=INCEPTION_DIM, make=lambda device, on_progress: TorchInceptionExtractor(device, on_progress=on_progress)
    ),
    "d": ExtractorRecipe(dim=0, make=_without_model),
    "identity": ExtractorRecipe(dim=0, make=_without_faces),
    "pixels": ExtractorRecipe(dim=0, make=lambda _device, _on_progress: Pixels()),
}


def load_extractor(
    name: str,
    device: torch.device | str = "cpu",
    *,
    on_progress: OnProgress = ignore_progress,
    precision: FeaturePrecision = "fp32",
) -> FeatureExtractor:
    """The extractor called ``name``, a key of :data:`EXTRACTORS` or an ONNX file, with its network on ``device``.

    Raises:
        UsageError: the network cannot compute in this precision.
        MissingDependencyError: it needs a package that is not installed.
        WeightsError: its weights cannot be downloaded.
    """
    if name in EXTRACTORS:
        made = EXTRACTORS[name].make(torch.device(device), on_progress)
    else:
        made = OnnxExtractor(name, device)
    if precision == "fp32":
        return made
    in_bf16 = getattr(made, "in_bf16", None)
    if in_bf16 is None:
        raise UsageError(f"The features {name!r} are computed in fp32 only. Remove --precision {precision}.")
    found: FeatureExtractor = in_bf16()
    return found
