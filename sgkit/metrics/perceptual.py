"""Perceptual distances between images: LPIPS on three networks, StyleGAN2-ADA's VGG distance, EfficientNet features.

LPIPS (Zhang et al., "The unreasonable effectiveness of deep features as a perceptual metric", 2018), version 0.1:
features of several layers, each place's vector scaled to length 1; squared differences, weighted by channel, averaged
over places, summed over layers. NVIDIA's VGG distance is the same on images that are first reduced to 256 pixels.
Everything is differentiable, and no image of a batch influences another.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal, get_args

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sgkit.config.networks import NETWORKS, NetworkRow
from sgkit.errors import UsageError
from sgkit.metrics.effnet import EfficientNetLite0, effnet_input, effnet_weights_path
from sgkit.metrics.networks import checked_tensor, load_weights, read_state, wide
from sgkit.metrics.trunks import Trunk, TrunkName
from sgkit.runtime.progress import OnProgress, ignore_progress
from sgkit.unpickle import load_script_tensors
from sgkit.weights import fetch_weights

PerceptualName = Literal["lpips", "lpips-alex", "lpips-squeeze", "vgg", "effnet"]
PERCEPTUAL: tuple[PerceptualName, ...] = get_args(PerceptualName)
EPS = 1e-10
"""Beside the length of a vector of features, as the package ``lpips`` has it."""
SHIFT, SCALE = (-0.030, -0.088, -0.188), (0.458, 0.448, 0.450)
"""ImageNet's mean and deviation of red, green and blue, for pixels from -1 to 1."""
_TRUNKS: dict[str, TrunkName] = {
    "lpips": "vgg16",
    "lpips-alex": "alexnet",
    "lpips-squeeze": "squeezenet1_1",
    "vgg": "vgg16",
}
_ROOT_SUM = 18.17
"""Sum of the square roots of the weights of LPIPS for the first layer of VGG16."""


class PerceptualDistance(nn.Module):
    """The distance called ``row.name``.

    Args:
        row: how images are prepared.
        network: normalised images -> features of each layer [N, C, h, w].
        heads: weights of each layer's channels [C]; ``None``: all weigh 1.
    """

    def __init__(self, row: NetworkRow, network: nn.Module, heads: Sequence[Tensor] | None) -> None:
        super().__init__()
        self.row, self.network = row, network
        self.heads = None if heads is None else nn.ParameterList(head.requires_grad_(False) for head in heads)

    def embed(self, images: Tensor) -> list[Tensor]:
        """What is compared of ``images`` [N, 1|3|4, H, W] (-1 to 1): vectors of length 1 at every place of a layer.

        Raises:
            UsageError: the images are too small for the network.
        """
        taps = [wide(tap) for tap in self.network(self._prepared(rgb_of(images)))]
        return [tap / (torch.linalg.vector_norm(tap, dim=1, keepdim=True) + EPS) for tap in taps]

    def between(self, one: Sequence[Tensor], other: Sequence[Tensor]) -> Tensor:
        """Distances [N] of what :meth:`embed` gave."""
        parts = []
        for index, (a, b) in enumerate(zip(one, other, strict=True)):
            squares = (a - b).square()
            weighed = squares if self.heads is None else squares * self.heads[index][:, None, None]
            parts.append(weighed.sum(dim=1).mean(dim=(1, 2)))
        return torch.stack(parts).sum(dim=0)

    def forward(self, images: Tensor, targets: Tensor) -> Tensor:
        """Distances [N] between images and targets, both [N, C, H, W] from -1 to 1."""
        return self.between(self.embed(images), self.embed(targets))

    def _prepared(self, images: Tensor) -> Tensor:
        row, least = self.row, min(images.shape[2:])
        if least < row.smallest:
            raise UsageError(
                f"The loss {row.name} needs images of {row.smallest} pixels or more; these have {least}. "
                "Use features, pixels, l1 or ssim."
            )
        if row.resize == "bicubic":
            return effnet_input((images + 1) * 127.5)
        if row.resize == "area" and row.size is not None and images.shape[2] > row.size:
            images = F.interpolate(images, size=(row.size, row.size), mode="area")
        shift, scale = (images.new_tensor(values)[:, None, None] for values in (SHIFT, SCALE))
        return ((images - shift) / scale).contiguous(memory_format=torch.channels_last)


def rgb_of(images: Tensor) -> Tensor:
    """RGB [N, 3, H, W] of grey, RGB or RGBA images, all from -1 to 1; grey is repeated, RGBA laid over black."""
    if images.shape[1] == 4:
        return (images[:, :3] + 1) * ((images[:, 3:] + 1) / 2) - 1
    return images.expand(-1, 3, -1, -1) if images.shape[1] == 1 else images


def load_perceptual(
    name: PerceptualName, device: torch.device | str = "cpu", *, on_progress: OnProgress = ignore_progress
) -> PerceptualDistance:
    """The distance called ``name``, with its weights, on ``device``; they are downloaded where they are missing.

    Raises:
        MissingDependencyError: it needs a package that is not installed.
        WeightsError: weights cannot be downloaded, or are not the published ones.
    """
    row = NETWORKS[name]
    if name == "effnet":
        network = EfficientNetLite0()
        load_weights(network, read_state(effnet_weights_path()))
        return PerceptualDistance(row, _Stages(network), None).eval().to(device)
    paths = [fetch_weights(weights, on_progress=on_progress) for weights in row.weights]
    return perceptual_of_files(name, paths).to(device)


def perceptual_of_files(name: PerceptualName, paths: Sequence[Path]) -> PerceptualDistance:
    """The distance called ``name`` with the weights in ``paths``: trunk and heads, or NVIDIA's one file.

    Raises:
        CheckpointError: a file is damaged, or of another network.
    """
    trunk = Trunk(_TRUNKS[name])
    if name == "vgg":
        state = nvidia_vgg_state(paths[0])
        heads = [checked_tensor(state, f"lpips{n}", (size, 1, 1)).flatten() for n, size in enumerate(trunk.channels)]
        if abs(heads[0].sum().item() - _ROOT_SUM) < 0.05:  # a file that stores what multiplies features, not squares
            heads = [head.square() for head in heads]
    else:
        state, stored = read_state(paths[0]), read_state(paths[1])
        heads = [
            checked_tensor(stored, f"lin{n}.model.1.weight", (1, size, 1, 1)).flatten()
            for n, size in enumerate(trunk.channels)
        ]
    return PerceptualDistance(NETWORKS[name], trunk.load(state), heads).eval()


def nvidia_vgg_state(path: Path) -> dict[str, Tensor]:
    """The tensors of NVIDIA's ``vgg16.pt``, convolutions named as in torchvision's state dict.

    Raises:
        CheckpointError: the file is damaged, hostile or of another network.
    """
    names = {f"layers.conv{n}": name for n, name in enumerate(Trunk("vgg16").names, start=1)}
    state: dict[str, Tensor] = {}
    for name, tensor in read_state(path, load_script_tensors).items():
        module, _, part = name.rpartition(".")
        state[f"{names[module]}.{part}" if module in names else name] = tensor
    return state


class _Stages(nn.Module):
    """Features of EfficientNet-Lite0 at each resolution."""

    def __init__(self, network: EfficientNetLite0) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor) -> list[Tensor]:
        return self.network.stages(x)
