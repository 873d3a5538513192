"""The convolutional parts of VGG16, AlexNet and SqueezeNet 1.1, as tables; they load torchvision's state dicts.

VGG16: Simonyan and Zisserman 2015, table 1, D. AlexNet: Krizhevsky, "One weird trick for parallelizing convolutional
neural networks", 2014. SqueezeNet: Iandola et al. 2016, in its later form 1.1, which pools earlier.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sgkit.metrics.networks import PlainConv, checked_tensor

TrunkName = Literal["vgg16", "alexnet", "squeezenet1_1"]


@dataclass(frozen=True)
class Conv:
    """A convolution with bias and ReLU, called ``name`` in the state dict."""

    name: str
    channels: int
    kernel: int = 3
    stride: int = 1
    padding: int = 1


@dataclass(frozen=True)
class Fire:
    """SqueezeNet's module: a 1x1 convolution to few channels, then 1x1 and 3x3 ones side by side."""

    name: str
    squeeze: int
    expand: int


@dataclass(frozen=True)
class Pool:
    """The maximum of a window, at every second place."""

    kernel: int
    ceil: bool = False
    """Keep a last window that is not whole."""


TAP: Literal["tap"] = "tap"
"""What came before it is one of the layers that are compared."""
Step = Conv | Fire | Pool | Literal["tap"]


def _vgg16() -> Iterator[Step]:
    place = 0
    for block, (count, channels) in enumerate(((2, 64), (2, 128), (3, 256), (3, 512), (3, 512))):
        if block:
            yield Pool(2)
            place += 1
        for _ in range(count):
            yield Conv(f"features.{place}", channels)
            place += 2
        yield TAP


TRUNKS: dict[TrunkName, tuple[Step, ...]] = {
    "vgg16": tuple(_vgg16()),
    "alexnet": (
        *(Conv("features.0", 64, 11, 4, 2), TAP, Pool(3), Conv("features.3", 192, 5, 1, 2), TAP, Pool(3)),
        *(Conv("features.6", 384), TAP, Conv("features.8", 256), TAP, Conv("features.10", 256), TAP),
    ),
    "squeezenet1_1": (
        *(Conv("features.0", 64, 3, 2, 0), TAP, Pool(3, ceil=True)),
        *(Fire("features.3", 16, 64), Fire("features.4", 16, 64), TAP, Pool(3, ceil=True)),
        *(Fire("features.6", 32, 128), Fire("features.7", 32, 128), TAP, Pool(3, ceil=True)),
        *(Fire("features.9", 48, 192), TAP, Fire("features.10", 48, 192), TAP),
        *(Fire("features.11", 64, 256), TAP, Fire("features.12", 64, 256), TAP),
    ),
}
"""Steps from the image on, up to the last layer that LPIPS compares."""


class Trunk(nn.Module):
    """One of :data:`TRUNKS`; ``winograd`` as in :class:`~sgkit.metrics.networks.PlainConv`."""

    def __init__(self, name: TrunkName, *, winograd: bool = False) -> None:
        super().__init__()
        self._winograd = winograd
        self.steps = TRUNKS[name]
        self.convs, self.names, self.channels = nn.ModuleList(), list[str](), list[int]()
        channels = 3
        for step in self.steps:
            if isinstance(step, Conv):
                self._add(step, channels)
                channels = step.channels
            elif isinstance(step, Fire):
                self._add(Conv(f"{step.name}.squeeze", step.squeeze, 1, 1, 0), channels)
                self._add(Conv(f"{step.name}.expand1x1", step.expand, 1, 1, 0), step.squeeze)
                self._add(Conv(f"{step.name}.expand3x3", step.expand), step.squeeze)
                channels = 2 * step.expand
            elif step == TAP:
                self.channels.append(channels)

    def _add(self, spec: Conv, channels: int) -> None:
        conv = PlainConv(channels, spec.channels, spec.kernel, stride=spec.stride, padding=spec.padding)
        conv.winograd = self._winograd
        self.convs.append(conv)
        self.names.append(spec.name)

    def load(self, state: Mapping[str, Tensor]) -> Trunk:
        """Take the weights from a state dict; others in it are ignored.

        Raises:
            CheckpointError: a tensor is missing or has a different shape.
        """
        for name, conv in zip(self.names, self.convs, strict=True):
            assert isinstance(conv, PlainConv)
            shape = tuple(conv.weight.shape)
            conv.take(checked_tensor(state, f"{name}.weight", shape), checked_tensor(state, f"{name}.bias", shape[:1]))
        return self

    def forward(self, x: Tensor) -> list[Tensor]:
        """The features after each :data:`TAP`, of normalised images [N, 3, H, W]."""
        taps: list[Tensor] = []
        convs = iter(self.convs)
        for step in self.steps:
            if isinstance(step, Conv):
                x = F.relu(next(convs)(x))
            elif isinstance(step, Fire):
                x = F.relu(next(convs)(x))
                x = F.relu(torch.cat([next(convs)(x), next(convs)(x)], dim=1))
            elif isinstance(step, Pool):
                x = F.max_pool2d(x, step.kernel, stride=2, ceil_mode=step.ceil)
            else:
                taps.append(x)
        return taps
