"""The Inception-v3 of FID: the graph that TensorFlow published on 2015-12-05, in torch.

It differs from torchvision's Inception-v3: average pooling excludes the padding, the last block pools by maximum, and
images are resized as TensorFlow 1 did it. Heusel et al., "GANs trained by a two time-scale update rule converge to a
local Nash equilibrium", 2017, use its pooled last layer; every published FID and KID is based on it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from sgkit.errors import CheckpointError
from sgkit.metrics.networks import ConvSpec, FoldedConv, NetworkExtractor, to_rgb
from sgkit.runtime.progress import OnProgress, ignore_progress
from sgkit.weights import WEIGHTS, fetch_weights

INCEPTION_DIM = 2048
INCEPTION_SIZE = 299
INCEPTION_WEIGHTS = "inception-2015-12-05"
PREPROCESSING = "rgb-over-black/tensorflow1-bilinear-299/minus-128-over-128"
"""Part of the content id: change it whenever :meth:`InceptionExtractor.prepare` changes."""

Pool = Literal["none", "avg", "max"]
Convs = tuple[tuple[int, int, int], ...]
"""Channels, height and width of the kernel, of each convolution."""


@dataclass(frozen=True)
class Branch:
    """One of the parallel paths through a block: pool (or not), convolve, and perhaps fork at the end."""

    name: str
    convs: Convs = ()
    """Called ``name``, or ``name_1``, ``name_2`` ... if there are several."""
    fork: Convs = ()
    """Convolutions that all read the last one's output; theirs are concatenated. Called ``name_2a``, ``name_2b``."""
    pool: Pool = "none"
    halve: bool = False
    """Halve the size: the last step has stride 2 and no padding."""


def _block_a(pool_channels: int) -> tuple[Branch, ...]:
    return (
        Branch("branch1x1", ((64, 1, 1),)),
        Branch("branch5x5", ((48, 1, 1), (64, 5, 5))),
        Branch("branch3x3dbl", ((64, 1, 1), (96, 3, 3), (96, 3, 3))),
        Branch("branch_pool", ((pool_channels, 1, 1),), pool="avg"),
    )


_BLOCK_B = (
    Branch("branch3x3", ((384, 3, 3),), halve=True),
    Branch("branch3x3dbl", ((64, 1, 1), (96, 3, 3), (96, 3, 3)), halve=True),
    Branch("branch_pool", pool="max", halve=True),
)


def _block_c(narrow: int) -> tuple[Branch, ...]:
    return (
        Branch("branch1x1", ((192, 1, 1),)),
        Branch("branch7x7", ((narrow, 1, 1), (narrow, 1, 7), (192, 7, 1))),
        Branch("branch7x7dbl", ((narrow, 1, 1), (narrow, 7, 1), (narrow, 1, 7), (narrow, 7, 1), (192, 1, 7))),
        Branch("branch_pool", ((192, 1, 1),), pool="avg"),
    )


_BLOCK_D = (
    Branch("branch3x3", ((192, 1, 1), (320, 3, 3)), halve=True),
    Branch("branch7x7x3", ((192, 1, 1), (192, 1, 7), (192, 7, 1), (192, 3, 3)), halve=True),
    Branch("branch_pool", pool="max", halve=True),
)


def _block_e(pool: Pool) -> tuple[Branch, ...]:
    return (
        Branch("branch1x1", ((320, 1, 1),)),
        Branch("branch3x3", ((384, 1, 1),), fork=((384, 1, 3), (384, 3, 1))),
        Branch("branch3x3dbl", ((448, 1, 1), (384, 3, 3)), fork=((384, 1, 3), (384, 3, 1))),
        Branch("branch_pool", ((192, 1, 1),), pool=pool),
    )


_STEM = (
    # name, channels, kernel, stride, padded, a max pool after it
    ("Conv2d_1a_3x3", 32, 3, 2, False, False),
    ("Conv2d_2a_3x3", 32, 3, 1, False, False),
    ("Conv2d_2b_3x3", 64, 3, 1, True, True),
    ("Conv2d_3b_1x1", 80, 1, 1, False, False),
    ("Conv2d_4a_3x3", 192, 3, 1, False, True),
)
_BLOCKS: tuple[tuple[str, tuple[Branch, ...]], ...] = (
    ("Mixed_5b", _block_a(32)),
    ("Mixed_5c", _block_a(64)),
    ("Mixed_5d", _block_a(64)),
    ("Mixed_6a", _BLOCK_B),
    ("Mixed_6b", _block_c(128)),
    ("Mixed_6c", _block_c(160)),
    ("Mixed_6d", _block_c(160)),
    ("Mixed_6e", _block_c(192)),
    ("Mixed_7a", _BLOCK_D),
    ("Mixed_7b", _block_e("avg")),
    ("Mixed_7c", _block_e("max")),
)


class _InceptionBranch(nn.Module):
    def __init__(self, branch: Branch, prefix: str, channels: int) -> None:
        super().__init__()
        self.branch = branch
        self.chain = nn.Sequential()
        several = len(branch.convs) + len(branch.fork) > 1
        for number, (out, *kernel) in enumerate(branch.convs, start=1):
            name = f"{prefix}{branch.name}_{number}" if several else f"{prefix}{branch.name}"
            halves = branch.halve and number == len(branch.convs)
            self.chain.append(_conv(name, channels, out, kernel, stride=1 + halves, padded=not halves))
            channels = out
        forked = f"{prefix}{branch.name}_{len(branch.convs) + 1}"
        self.fork = nn.ModuleList(
            _conv(forked + letter, channels, out, kernel)
            for letter, (out, *kernel) in zip("ab", branch.fork, strict=False)
        )
        self.out_channels = sum(out for out, *_ in branch.fork) or channels

    def forward(self, x: Tensor) -> Tensor:
        if self.branch.pool == "avg":
            x = F.avg_pool2d(x, 3, stride=1, padding=1, count_include_pad=False)
        elif self.branch.pool == "max":
            x = F.max_pool2d(x, 3, stride=2) if self.branch.halve else F.max_pool2d(x, 3, stride=1, padding=1)
        x = self.chain(x)
        return torch.cat([conv(x) for conv in self.fork], dim=1) if len(self.fork) else x


class FidInception(nn.Module):
    """The network up to its pooled last layer (``pool_3`` in TensorFlow's graph)."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, channels = nn.Sequential(), 3
        for name, out_channels, kernel, stride, padded, pooled in _STEM:
            self.stem.append(_conv(name, channels, out_channels, (kernel, kernel), stride=stride, padded=padded))
            self.stem.extend([nn.MaxPool2d(3, stride=2)] * pooled)
            channels = out_channels
        self.blocks = nn.ModuleList()
        for name, branches in _BLOCKS:
            block = [_InceptionBranch(branch, f"{name}.", channels) for branch in branches]
            self.blocks.append(nn.ModuleList(block))
            channels = sum(branch.out_channels for branch in block)

    def forward(self, x: Tensor) -> Tensor:
        """Features [N, 2048] of normalised images [N, 3, 299, 299]."""
        x = self.stem(x)
        for block in self.blocks:
            assert isinstance(block, nn.ModuleList)
            x = torch.cat([branch(x) for branch in block], dim=1)
        return torch.mean(x, dim=(2, 3), dtype=torch.float32)


def _conv(
    name: str, in_channels: int, out_channels: int, kernel: Sequence[int], *, stride: int = 1, padded: bool = True
) -> FoldedConv:
    return FoldedConv(
        ConvSpec(
            conv=f"{name}.conv",
            norm=f"{name}.bn",
            in_channels=in_channels,
            out_channels=out_channels,
            kernel=(kernel[0], kernel[1]),
            stride=stride,
            padding="centred" if padded else "valid",
            activation="relu",
        )
    )


def resize_tensorflow1(x: Tensor, size: tuple[int, int]) -> Tensor:
    """``x`` [N, C, H, W] resized as TensorFlow 1's ``ResizeBilinear`` did it: output pixel i reads input i * in / out.

    No half-pixel shift and no antialiasing: the corner pixels line up, and the picture moves a little. FID keeps this.
    """
    for dim, out in ((3, size[1]), (2, size[0])):
        given = x.shape[dim]
        if given == out:
            continue
        where = torch.arange(out, device=x.device, dtype=torch.float32) * (given / out)
        low = where.long().clamp(max=given - 1)
        high = (low + 1).clamp(max=given - 1)
        shape = [1, 1, 1, 1]
        shape[dim] = out
        part = (where - low).view(shape)
        start = x.index_select(dim, low)
        x = start + (x.index_select(dim, high) - start) * part
    return x


class InceptionExtractor(NetworkExtractor):
    """Pooled last-layer features of the FID Inception, 2048 numbers per image (see docs/metrics.md)."""

    name = "inception"
    dim = INCEPTION_DIM
    content_id = f"{INCEPTION_WEIGHTS}/{WEIGHTS[INCEPTION_WEIGHTS].sha256[:8]}/{PREPROCESSING}"

    def __init__(
        self,
        device: torch.device | str = "cpu",
        *,
        path: Path | None = None,
        on_progress: OnProgress = ignore_progress,
    ) -> None:
        self._classes: Tensor | None = None
        super().__init__(FidInception(), path or fetch_weights(INCEPTION_WEIGHTS, on_progress=on_progress), device)

    def keep(self, state: Mapping[str, Tensor]) -> None:
        """Keep the weights of the classes; a file without them serves all metrics but the Inception score."""
        self._classes = state.get("fc.weight")

    def logits(self, features: NDArray[np.float32]) -> NDArray[np.float32]:
        """Logits [N, 1008] of features [N, 2048], without the bias, as the Inception scores of NVIDIA and others have.

        Raises:
            CheckpointError: the weights file has no classes.
        """
        if self._classes is None or self._classes.ndim != 2 or self._classes.shape[1] != self.dim:
            raise CheckpointError("The weights of Inception have no tensor 'fc.weight' [1008, 2048], so no classes.")
        found: NDArray[np.float32] = (torch.from_numpy(features) @ self._classes.float().T).numpy()
        return found

    @staticmethod
    def prepare(images: Tensor) -> Tensor:
        """The whole image at 299x299 by TensorFlow 1's bilinear, then (x - 128) / 128."""
        x = resize_tensorflow1(to_rgb(images), (INCEPTION_SIZE, INCEPTION_SIZE))
        return ((x - 128) / 128).contiguous(memory_format=torch.channels_last)


class CleanInceptionExtractor(InceptionExtractor):
    """The same network after clean-fid's resizing."""

    name = "inception-clean"
    content_id = InceptionExtractor.content_id.replace(PREPROCESSING, "rgb-over-black/bicubic-antialias-299/clamp")

    @staticmethod
    def prepare(images: Tensor) -> Tensor:
        """The whole image at 299x299 by antialiased bicubic in float, clamped, then (x - 128) / 128.

        Parmar et al., "On aliased resizing and surprising subtleties in GAN evaluation", 2022.
        """
        x = to_rgb(images)
        if x.shape[2:] != (INCEPTION_SIZE, INCEPTION_SIZE):
            size = (INCEPTION_SIZE, INCEPTION_SIZE)
            x = F.interpolate(x, size, mode="bicubic", align_corners=False, antialias=True).clamp(0, 255)
        return ((x - 128) / 128).contiguous(memory_format=torch.channels_last)


class TorchInceptionExtractor(InceptionExtractor):
    """The same network after pytorch-fid's resizing."""

    name = "inception-pytorch"
    content_id = InceptionExtractor.content_id.replace(PREPROCESSING, "rgb-over-black/bilinear-299/minus-127.5")

    @staticmethod
    def prepare(images: Tensor) -> Tensor:
        """The whole image at 299x299 by torch's bilinear without antialiasing, then 2 x / 255 - 1."""
        x = to_rgb(images) / 255
        x = F.interpolate(x, (INCEPTION_SIZE, INCEPTION_SIZE), mode="bilinear", align_corners=False)
        return (2 * x - 1).contiguous(memory_format=torch.channels_last)
