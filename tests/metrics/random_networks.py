"""Feature networks with weights that are made up, the same everywhere: no file is read."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from sgkit.metrics import perceptual
from sgkit.metrics.effnet import EfficientNetLite0
from sgkit.metrics.identity import FaceNetwork
from sgkit.metrics.inception import FidInception
from sgkit.metrics.networks import ConvSpec, FoldedConv
from sgkit.metrics.perceptual import PerceptualDistance, PerceptualName, load_perceptual, perceptual_of_files
from sgkit.metrics.trunks import Trunk

HEADS = {"lpips": "vgg", "lpips-alex": "alex", "lpips-squeeze": "squeeze"}


def waves(shape: tuple[int, ...], phase: float) -> Tensor:
    """Numbers from -1 to 1 without a visible order."""
    count = torch.Size(shape).numel()
    return torch.sin(torch.arange(count, dtype=torch.float64).square_().mul_(0.37).add_(phase)).float().reshape(shape)


def filled(shapes: Mapping[str, tuple[int, ...]]) -> dict[str, Tensor]:
    """A state dict with weights of He's deviation and small biases."""
    state = {}
    for place, (name, shape) in enumerate(shapes.items()):
        fan_in = max(torch.Size(shape[1:]).numel(), 1)
        state[name] = waves(shape, place) * ((6 / fan_in) ** 0.5 if len(shape) == 4 else 0.05)
        if name.endswith("running_var") or (len(shape) == 1 and ".weight" in name):
            state[name] = 1 + state[name]
    return state


def conv_specs(network: nn.Module) -> list[ConvSpec]:
    """Every convolution of ``network``, in order."""
    return [module.spec for module in network.modules() if isinstance(module, FoldedConv)]


def inception_state() -> dict[str, Tensor]:
    """Random weights that keep the size of features, under the names of the published file."""
    draw = torch.Generator().manual_seed(0)
    tensors = {"fc.weight": torch.randn(1008, 2048, generator=draw) * 0.05, "fc.bias": torch.zeros(1008)}
    for spec in conv_specs(FidInception()):
        for name, shape in spec.shapes().items():
            if name.endswith("conv.weight"):
                tensors[name] = torch.randn(shape, generator=draw) * (2 / np.prod(shape[1:])) ** 0.5
            else:
                tensors[name] = (torch.randn(shape, generator=draw) * 0.1 + 1).abs()
                if name.endswith(("bias", "mean")):
                    tensors[name] -= 1
        tensors[f"{spec.norm}.num_batches_tracked"] = torch.tensor(0)
    return tensors


def heads(trunk: Trunk) -> list[Tensor]:
    """Weights of LPIPS, all positive."""
    return [waves((size,), 100.0 + n).abs() / size**0.5 for n, size in enumerate(trunk.channels)]


def trunk_state(trunk: Trunk) -> dict[str, Tensor]:
    """The state dict that torchvision would have."""
    shapes = {}
    for name, conv in zip(trunk.names, trunk.convs, strict=True):
        shapes |= {f"{name}.{part}": tuple(getattr(conv, part).shape) for part in ("weight", "bias")}
    return filled(shapes)


def made_up(name: PerceptualName) -> PerceptualDistance:
    """The distance called ``name`` with made-up weights, taken in the way files are."""
    with pytest.MonkeyPatch.context() as patch:
        if name == "effnet":
            specs = conv_specs(EfficientNetLite0())
            state = filled({key: shape for spec in specs for key, shape in spec.shapes().items()})
            patch.setattr(perceptual, "effnet_weights_path", lambda: Path("effnet"))
            patch.setattr(perceptual, "read_state", lambda path: state)
            return load_perceptual(name)
        trunk = Trunk(perceptual._TRUNKS[name])
        state = trunk_state(trunk)
        if name == "vgg":
            names = {conv: f"layers.conv{n}" for n, conv in enumerate(trunk.names, start=1)}
            tensors = {f"{names[key.rpartition('.')[0]]}.{key.rpartition('.')[2]}": state[key] for key in state}
            tensors |= {f"lpips{n}": head[:, None, None] for n, head in enumerate(heads(trunk))}
            arrays = {key: tensor.numpy() for key, tensor in tensors.items()}
            patch.setattr(perceptual, "load_script_tensors", lambda path: arrays)
        else:
            stored = {f"lin{n}.model.1.weight": head[None, :, None, None] for n, head in enumerate(heads(trunk))}
            patch.setattr(perceptual, "read_state", lambda path: {"trunk": state, "heads": stored}[path.name])
        return perceptual_of_files(name, [Path("trunk"), Path("heads")])


def made_up_faces() -> FaceNetwork:
    """dlib's network with made-up weights."""
    network = FaceNetwork()
    for place, conv in enumerate(network.convs()):
        shape = tuple(conv.conv.weight.shape)
        conv.conv.weight.copy_(waves(shape, place) * (6 / torch.Size(shape[1:]).numel()) ** 0.5)
        conv.conv.bias.copy_(waves((shape[0],), place) * 0.05)
    network.head.copy_(waves(tuple(network.head.shape), 0.5) * 0.1)
    return network.eval()


def pictures(count: int, size: int, phase: float = 0.0) -> Tensor:
    """Smooth colourful images [N, 3, size, size], -1 to 1, the same everywhere."""
    places = torch.arange(size, dtype=torch.float64) / size
    images = [
        torch.sin((3 + n + c) * places[:, None] + (5 - n) * places[None, :] * (1 + places[:, None]) + c + phase)
        for n in range(count)
        for c in range(3)
    ]
    return torch.stack(images).reshape(count, 3, size, size).float()
