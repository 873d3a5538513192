from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from sgkit.errors import CheckpointError
from sgkit.metrics.inception import FidInception, InceptionExtractor, resize_tensorflow1
from sgkit.metrics.networks import load_weights
from tests.metrics.random_networks import conv_specs


@pytest.fixture(scope="module")
def state() -> dict[str, torch.Tensor]:
    draw = torch.Generator().manual_seed(0)
    tensors: dict[str, torch.Tensor] = {}
    for spec in conv_specs(FidInception()):
        for name, shape in spec.shapes().items():
            scale = (2 / max(int(np.prod(shape[1:])), 1)) ** 0.5 if name.endswith("conv.weight") else 0.1
            tensors[name] = torch.randn(shape, generator=draw) * scale + (0 if name.endswith("conv.weight") else 1)
            if name.endswith("running_var"):
                tensors[name] = tensors[name].abs()
    return tensors


def test_architecture_is_the_published_one(state: dict[str, torch.Tensor]) -> None:
    shapes = {spec.conv: spec.shapes()[f"{spec.conv}.weight"] for spec in conv_specs(FidInception())}
    assert len(shapes) == 94
    trained = sum(tensor.numel() for name, tensor in state.items() if "running" not in name)
    assert trained == 23_834_568 - 2048 * 1000 - 1000  # torchvision's count of its Inception-v3, less the classifier
    assert shapes["Conv2d_1a_3x3.conv"] == (32, 3, 3, 3)
    assert shapes["Mixed_5b.branch5x5_2.conv"] == (64, 48, 5, 5)
    assert shapes["Mixed_6c.branch7x7dbl_2.conv"] == (160, 160, 7, 1)
    assert shapes["Mixed_7a.branch7x7x3_4.conv"] == (192, 192, 3, 3)
    assert shapes["Mixed_7c.branch3x3dbl_3b.conv"] == (384, 384, 3, 1)
    assert shapes["Mixed_7c.branch_pool.conv"] == (192, 2048, 1, 1)


def test_features_against_a_plain_transcription(state: dict[str, torch.Tensor]) -> None:
    x = torch.rand(1, 3, 299, 299, generator=torch.Generator().manual_seed(1)) * 2 - 1
    network = FidInception()
    load_weights(network, state)
    with torch.inference_mode():
        found, expected = network(x), _plain_inception(state, x)
    assert found.shape == (1, 2048)
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-4)


def _plain_inception(state: dict[str, torch.Tensor], x: torch.Tensor) -> torch.Tensor:
    """The graph written out once more, line by line, with batch normalisation as its own step."""

    def conv(name: str, x: torch.Tensor, stride: int = 1, pad: tuple[int, int] = (0, 0)) -> torch.Tensor:
        x = F.conv2d(x, state[f"{name}.conv.weight"], stride=stride, padding=pad)
        norm = [state[f"{name}.bn.{key}"] for key in ("running_mean", "running_var", "weight", "bias")]
        return F.relu(F.batch_norm(x, *norm, eps=1e-3))

    def a(n: str, x: torch.Tensor) -> torch.Tensor:
        five = conv(f"{n}.branch5x5_2", conv(f"{n}.branch5x5_1", x), pad=(2, 2))
        three = conv(f"{n}.branch3x3dbl_2", conv(f"{n}.branch3x3dbl_1", x), pad=(1, 1))
        three = conv(f"{n}.branch3x3dbl_3", three, pad=(1, 1))
        pool = conv(f"{n}.branch_pool", F.avg_pool2d(x, 3, 1, 1, count_include_pad=False))
        return torch.cat([conv(f"{n}.branch1x1", x), five, three, pool], 1)

    def c(n: str, x: torch.Tensor) -> torch.Tensor:
        wide, tall = (0, 3), (3, 0)
        seven = conv(f"{n}.branch7x7_3", conv(f"{n}.branch7x7_2", conv(f"{n}.branch7x7_1", x), pad=wide), pad=tall)
        double = conv(f"{n}.branch7x7dbl_1", x)
        for step, pad in ((2, tall), (3, wide), (4, tall), (5, wide)):
            double = conv(f"{n}.branch7x7dbl_{step}", double, pad=pad)
        pool = conv(f"{n}.branch_pool", F.avg_pool2d(x, 3, 1, 1, count_include_pad=False))
        return torch.cat([conv(f"{n}.branch1x1", x), seven, double, pool], 1)

    def e(n: str, x: torch.Tensor, pool: Callable[[torch.Tensor], torch.Tensor]) -> torch.Tensor:
        three = conv(f"{n}.branch3x3_1", x)
        double = conv(f"{n}.branch3x3dbl_2", conv(f"{n}.branch3x3dbl_1", x), pad=(1, 1))
        parts = [conv(f"{n}.branch1x1", x)]
        for stem, name in ((three, "branch3x3_2"), (double, "branch3x3dbl_3")):
            parts += [conv(f"{n}.{name}a", stem, pad=(0, 1)), conv(f"{n}.{name}b", stem, pad=(1, 0))]
        return torch.cat([*parts, conv(f"{n}.branch_pool", pool(x))], 1)

    x = conv("Conv2d_2a_3x3", conv("Conv2d_1a_3x3", x, stride=2))
    x = F.max_pool2d(conv("Conv2d_2b_3x3", x, pad=(1, 1)), 3, 2)
    x = F.max_pool2d(conv("Conv2d_4a_3x3", conv("Conv2d_3b_1x1", x)), 3, 2)
    x = a("Mixed_5d", a("Mixed_5c", a("Mixed_5b", x)))
    three = conv("Mixed_6a.branch3x3dbl_2", conv("Mixed_6a.branch3x3dbl_1", x), pad=(1, 1))
    three = conv("Mixed_6a.branch3x3dbl_3", three, stride=2)
    x = torch.cat([conv("Mixed_6a.branch3x3", x, stride=2), three, F.max_pool2d(x, 3, 2)], 1)
    for name in ("Mixed_6b", "Mixed_6c", "Mixed_6d", "Mixed_6e"):
        x = c(name, x)
    three = conv("Mixed_7a.branch3x3_2", conv("Mixed_7a.branch3x3_1", x), stride=2)
    seven = conv("Mixed_7a.branch7x7x3_2", conv("Mixed_7a.branch7x7x3_1", x), pad=(0, 3))
    seven = conv("Mixed_7a.branch7x7x3_4", conv("Mixed_7a.branch7x7x3_3", seven, pad=(3, 0)), stride=2)
    x = torch.cat([three, seven, F.max_pool2d(x, 3, 2)], 1)
    x = e("Mixed_7b", x, lambda y: F.avg_pool2d(y, 3, 1, 1, count_include_pad=False))
    x = e("Mixed_7c", x, lambda y: F.max_pool2d(y, 3, 1, 1))
    return F.adaptive_avg_pool2d(x, 1).flatten(1)


def test_resize_is_tensorflow_1s() -> None:
    row = torch.tensor([[[[0.0, 10.0]]]])
    # output pixel i reads input i * 2 / 5: 0, 0.4, 0.8, 1.2, 1.6; beyond the last pixel it stays
    assert resize_tensorflow1(row, (1, 5)).flatten().tolist() == pytest.approx([0, 4, 8, 10, 10])
    assert resize_tensorflow1(torch.arange(6.0).view(1, 1, 6, 1), (3, 1)).flatten().tolist() == [0, 2, 4]


@pytest.mark.parametrize("size", [(5, 9), (16, 16), (40, 23)])
def test_resize_against_a_transcription(size: tuple[int, int]) -> None:
    x = torch.rand(2, 3, 16, 16, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    expected = torch.empty(2, 3, *size, dtype=torch.float64)
    for i in range(size[0]):
        for j in range(size[1]):
            y, z = i * 16 / size[0], j * 16 / size[1]
            (y0, z0), (dy, dz) = (int(y), int(z)), (y % 1, z % 1)
            y1, z1 = min(y0 + 1, 15), min(z0 + 1, 15)
            top = x[:, :, y0, z0] * (1 - dz) + x[:, :, y0, z1] * dz
            bottom = x[:, :, y1, z0] * (1 - dz) + x[:, :, y1, z1] * dz
            expected[:, :, i, j] = top * (1 - dy) + bottom * dy
    torch.testing.assert_close(resize_tensorflow1(x, size), expected, rtol=1e-5, atol=1e-5)


def test_extractor(state: dict[str, torch.Tensor], tmp_path: Path) -> None:
    torch.save(state, tmp_path / "weights.pth")
    extractor = InceptionExtractor(path=tmp_path / "weights.pth")
    images = torch.randint(0, 256, (2, 3, 24, 32), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    prepared = extractor.prepare(images)
    assert prepared.shape == (2, 3, 299, 299)
    assert prepared[:, :, 0, 0].tolist() == ((images[:, :, 0, 0].float() - 128) / 128).tolist()
    features = extractor(images)
    assert features.shape == (2, extractor.dim)
    assert features.dtype == torch.float32
    torch.testing.assert_close(extractor(images[1:]), features[1:], rtol=1e-3, atol=1e-4)


def test_weights_file_with_code_is_refused(tmp_path: Path) -> None:
    torch.save({"Conv2d_1a_3x3.conv.weight": print}, tmp_path / "weights.pth")
    with pytest.raises(CheckpointError, match=r"nothing of it was run\. It tries to reach __builtin__\.print"):
        InceptionExtractor(path=tmp_path / "weights.pth")
