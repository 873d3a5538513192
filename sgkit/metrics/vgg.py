"""VGG16 features of NVIDIA's metrics: the 4096 numbers before its classes, for precision and recall.

The file is that of the distance ``vgg`` (:mod:`sgkit.metrics.perceptual`); it is read as tensors.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sgkit.metrics.inception import resize_tensorflow1
from sgkit.metrics.networks import NetworkExtractor, checked_tensor, to_rgb
from sgkit.metrics.perceptual import nvidia_vgg_state
from sgkit.metrics.trunks import Trunk
from sgkit.runtime.progress import OnProgress, ignore_progress
from sgkit.weights import WEIGHTS, fetch_weights

VGG_DIM = 4096
VGG_SIZE = 224
VGG_WEIGHTS = "nvidia-vgg16"
PREPROCESSING = "rgb-over-black/tensorflow1-bilinear-224/imagenet"
"""Part of the content id: change it whenever :meth:`VggExtractor.prepare` changes."""
_MEAN, _DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class VggFeatures(nn.Module):
    """VGG16 up to its second layer of 4096 numbers."""

    def __init__(self, state: Mapping[str, Tensor]) -> None:
        super().__init__()
        self.trunk = Trunk("vgg16", winograd=True).load(state)
        for name, fan_in in (("fc1", 512 * 7 * 7), ("fc2", VGG_DIM)):
            self.register_buffer(f"{name}_weight", checked_tensor(state, f"layers.{name}.weight", (VGG_DIM, fan_in)))
            self.register_buffer(f"{name}_bias", checked_tensor(state, f"layers.{name}.bias", (VGG_DIM,)))

    def forward(self, x: Tensor) -> Tensor:
        """Features [N, 4096] of normalised images [N, 3, 224, 224]."""
        x = F.max_pool2d(self.trunk(x)[-1], 2).flatten(1)
        x = F.relu(F.linear(x, self.get_buffer("fc1_weight"), self.get_buffer("fc1_bias")))
        return F.relu(F.linear(x, self.get_buffer("fc2_weight"), self.get_buffer("fc2_bias")))


class VggExtractor(NetworkExtractor):
    """VGG16's features as NVIDIA's precision and recall use them (see docs/metrics.md)."""

    name = "vgg16"
    dim = VGG_DIM
    content_id = f"{VGG_WEIGHTS}/{WEIGHTS[VGG_WEIGHTS].sha256[:16]}/{PREPROCESSING}"

    def __init__(
        self,
        device: torch.device | str = "cpu",
        *,
        path: Path | None = None,
        on_progress: OnProgress = ignore_progress,
    ) -> None:
        state = nvidia_vgg_state(path or fetch_weights(VGG_WEIGHTS, on_progress=on_progress))
        self.take(VggFeatures(state), device)

    @staticmethod
    def prepare(images: Tensor) -> Tensor:
        """The whole image at 224x224 by TensorFlow 1's bilinear, then ImageNet's mean and deviation."""
        x = resize_tensorflow1(to_rgb(images), (VGG_SIZE, VGG_SIZE)) / 255
        mean, deviation = (x.new_tensor(values)[:, None, None] for values in (_MEAN, _DEVIATION))
        return ((x - mean) / deviation).contiguous(memory_format=torch.channels_last)
