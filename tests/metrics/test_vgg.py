"""VGG16 of NVIDIA's metrics: its preparation and features against a transcription."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch.nn import functional as F

from sgkit.errors import CheckpointError
from sgkit.metrics import vgg
from sgkit.metrics.trunks import Trunk
from sgkit.metrics.vgg import VggExtractor, VggFeatures
from tests.metrics.random_networks import pictures, trunk_state, waves


@pytest.mark.parametrize("size", [64, 300])
def test_preparation_is_nvidia_s(size: int) -> None:
    """A grid whose places are moved so that corners line up as in TensorFlow 1, sampled with the border repeated."""
    images = ((pictures(1, size) + 1) * 127.5).round().byte()
    theta = torch.eye(2, 3)
    theta[:, 2] = 1 / size - 1 / 224
    grid = F.affine_grid(theta[None], [1, 3, 224, 224], align_corners=False)
    x = F.grid_sample(images.float(), grid, padding_mode="border", align_corners=False) / 255
    mean, deviation = (torch.tensor(v)[:, None, None] for v in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
    torch.testing.assert_close(VggExtractor.prepare(images), (x - mean) / deviation, rtol=0, atol=2e-4)


def small_state(monkeypatch: pytest.MonkeyPatch) -> dict[str, torch.Tensor]:
    """Weights up to 8 numbers where NVIDIA's file has 4096, to be quick."""
    monkeypatch.setattr(vgg, "VGG_DIM", 8)
    state = trunk_state(Trunk("vgg16"))
    state |= {"layers.fc1.weight": waves((8, 25088), 1.0) * 0.01, "layers.fc1.bias": waves((8,), 2.0)}
    return state | {"layers.fc2.weight": waves((8, 8), 3.0), "layers.fc2.bias": waves((8,), 4.0)}


def test_features_are_those_before_the_classes(monkeypatch: pytest.MonkeyPatch) -> None:
    state = small_state(monkeypatch)
    last = waves((2, 512, 14, 14), 5.0)
    monkeypatch.setattr(Trunk, "forward", lambda self, x: [last])
    found = VggFeatures(state)(torch.zeros(2, 3, 224, 224))
    x = F.max_pool2d(last, 2).reshape(2, -1)
    x = F.relu(x @ state["layers.fc1.weight"].T + state["layers.fc1.bias"])
    x = F.relu(x @ state["layers.fc2.weight"].T + state["layers.fc2.bias"])
    assert (x > 0).any()
    torch.testing.assert_close(found, x)


def test_a_file_without_its_last_layers_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vgg, "nvidia_vgg_state", lambda path: trunk_state(Trunk("vgg16")))
    with pytest.raises(CheckpointError, match=r"no tensor 'layers.fc1.weight'"):
        VggExtractor(path=Path("made-up"))


def test_images_become_features(monkeypatch: pytest.MonkeyPatch) -> None:
    """The extractor, by a stand-in for the trunk; in bf16 it has another id."""
    state = small_state(monkeypatch)
    monkeypatch.setattr(vgg, "nvidia_vgg_state", lambda path: state)
    monkeypatch.setattr(Trunk, "forward", lambda self, x: [x[:, :1, ::16, ::16].repeat(1, 512, 1, 1)])
    extractor = VggExtractor(path=Path("made-up"))
    images = ((pictures(2, 40) + 1) * 127.5).round().byte()
    found = extractor(images)
    assert (found.shape, found.dtype) == ((2, 8), torch.float32)
    torch.testing.assert_close(found, extractor._network(VggExtractor.prepare(images)))
    first = extractor.content_id
    torch.testing.assert_close(extractor.in_bf16()(images), found, rtol=0.1, atol=0.2)
    assert extractor.content_id == f"{first}/bf16"
