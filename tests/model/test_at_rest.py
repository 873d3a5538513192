"""What is kept of a weight follows the weight."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import nn

from sgkit.model import Model, build
from sgkit.model.layers.at_rest import AtRest, ScaledWeight
from sgkit.ops import conv2d


def _load(layer: nn.Linear) -> None:
    layer.load_state_dict({"weight": torch.full((2, 2), 3.0)})


def _exchange(layer: nn.Linear) -> None:
    layer.weight.data = torch.full((2, 2), 3.0)


def _replace(layer: nn.Linear) -> None:
    layer.weight = nn.Parameter(torch.full((2, 2), 3.0), requires_grad=False)


def _write(layer: nn.Linear) -> None:
    layer.weight.fill_(3.0)


@pytest.mark.parametrize("change", [_load, _exchange, _replace, _write])
def test_a_changed_weight_is_noticed(change: Callable[[nn.Linear], None]) -> None:
    calls = []
    at_rest = AtRest(lambda weight, dtype: calls.append(dtype) or weight.double() * 2)
    layer = nn.Linear(2, 2, bias=False).eval().requires_grad_(False)
    first = at_rest.of(layer, layer.weight, torch.float32)
    assert at_rest.of(layer, layer.weight, torch.float32) is first
    change(layer)
    assert torch.equal(at_rest.of(layer, layer.weight, torch.float32), torch.full((2, 2), 6.0).double())
    for dtype in (torch.bfloat16, torch.float32, torch.bfloat16):  # in turn, at no cost
        at_rest.of(layer, layer.weight, dtype)
    assert calls == [torch.float32, torch.float32, torch.bfloat16]


def test_nothing_is_kept_of_a_weight_that_is_trained() -> None:
    at_rest = AtRest(lambda weight, dtype: weight)
    layer = nn.Linear(2, 2)
    assert at_rest.of(layer.train().requires_grad_(False), layer.weight, torch.float32) is None
    assert at_rest.of(layer.eval().requires_grad_(True), layer.weight, torch.float32) is None


@pytest.mark.parametrize(("channels", "resolution"), [(4, 8), (128, 8), (128, 4)])
def test_a_scaled_weight_at_rest_convolves_as_in_training(channels: int, resolution: int) -> None:
    """Also where it is kept as Winograd's transform of it."""
    layer = nn.Conv2d(channels, channels, 3, bias=False)
    scaled, x = ScaledWeight(0.5, resolution=resolution), torch.randn(1, channels, resolution, resolution)
    trained = scaled.of(layer.train(), layer.weight, x.dtype)
    assert trained.requires_grad
    kept = scaled.of(layer.eval().requires_grad_(False), layer.weight, x.dtype)
    assert (kept.ndim == 3) == (channels == 128 and resolution == 8)
    torch.testing.assert_close(conv2d(x, kept), conv2d(x, trained.detach()), rtol=1e-4, atol=1e-5)


def test_images_follow_weights_that_change(tiny_model: Callable[..., Model]) -> None:
    model = tiny_model()
    z = model.sample_z([1])
    before = model(z)
    for name, parameter in model.generator.synthesis.named_parameters():
        if name.endswith("conv1.weight"):
            parameter.neg_()
    changed = model(z)
    assert not torch.allclose(changed, before)
    fresh = build(model.config, seed=9)
    fresh.generator.load_state_dict(model.generator.state_dict())
    torch.testing.assert_close(fresh(z), changed)
