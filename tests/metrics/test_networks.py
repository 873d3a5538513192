from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from sgkit.errors import CheckpointError, InputError
from sgkit.metrics import networks
from sgkit.metrics.networks import ConvSpec, FoldedConv, PlainConv, to_rgb


def random_state(spec: ConvSpec) -> dict[str, torch.Tensor]:
    draw = torch.Generator().manual_seed(0)
    return {name: torch.rand(shape, generator=draw) + 0.1 for name, shape in spec.shapes().items()}


def loaded(spec: ConvSpec, state: dict[str, torch.Tensor]) -> FoldedConv:
    made = FoldedConv(spec)
    made.load(state)
    return made


SPEC = ConvSpec(conv="a.conv", norm="a.bn", in_channels=4, out_channels=6, kernel=(3, 5), padding="centred")


@pytest.mark.parametrize("activation", ["none", "relu", "relu6"])
def test_folded_convolution_is_convolution_and_batch_norm(activation: str) -> None:
    spec = ConvSpec(**{**SPEC.__dict__, "activation": activation})
    state = random_state(spec)
    norm = nn.BatchNorm2d(6, eps=1e-3).eval()
    norm.load_state_dict({k.removeprefix("a.bn."): v for k, v in state.items() if "bn" in k}, strict=False)
    x = torch.randn(2, 4, 9, 8, generator=torch.Generator().manual_seed(1))
    expected = norm(torch.nn.functional.conv2d(x, state["a.conv.weight"], padding=(1, 2)))
    act = {"none": nn.Identity(), "relu": nn.ReLU(), "relu6": nn.ReLU6()}[activation]
    torch.testing.assert_close(loaded(spec, state)(x), act(expected))


@pytest.mark.parametrize("activation", ["none", "relu", "relu6"])
@pytest.mark.parametrize("options", [{}, {"stride": 2}, {"groups": 2}, {"padding": "tensorflow", "stride": 2}])
def test_fused_convolution_is_the_plain_one(activation: str, options: dict[str, object]) -> None:
    layer = loaded(spec := ConvSpec(**{**SPEC.__dict__, "activation": activation, **options}), random_state(spec))
    for size in ((9, 8), (6, 12)):
        for number in (2, 1):  # weights are laid out for the first batch
            x = torch.randn(number, 4, *size, generator=torch.Generator().manual_seed(1)) * 4
            with torch.inference_mode():
                found = layer(x)
            torch.testing.assert_close(found, layer(x), rtol=1e-5, atol=1e-5)


def test_bf16_features_are_close(monkeypatch: pytest.MonkeyPatch) -> None:
    class Means(networks.NetworkExtractor):
        name, dim, content_id = "means", 6, "means/1"

        @staticmethod
        def prepare(images: torch.Tensor) -> torch.Tensor:
            return images.float() / 255

    class Network(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = FoldedConv(SPEC)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.mean(self.conv(x), dim=(2, 3), dtype=torch.float32)

    state = {name: tensor.numpy() for name, tensor in random_state(SPEC).items()}
    monkeypatch.setattr(networks, "load_tensors", lambda _: state)
    images = torch.randint(0, 256, (3, 4, 16, 16), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    full, low = Means(Network(), Path("x"), "cpu"), Means(Network(), Path("x"), "cpu").in_bf16()
    assert (full.content_id, low.content_id, low.in_bf16().content_id) == ("means/1", "means/1/bf16", "means/1/bf16")
    assert (full.note, low.note) == ("", "features in bf16")
    found, expected = low(images), full(images)
    assert found.dtype == torch.float32
    assert 0 < (found - expected).abs().max() / expected.abs().max() < 1e-2


@pytest.mark.parametrize(
    ("size", "kernel", "before", "after"), [(8, 3, 0, 1), (8, 5, 1, 2), (7, 3, 1, 1), (9, 5, 2, 2), (8, 1, 0, 0)]
)
def test_tensorflow_padding_puts_the_odd_pixel_last(size: int, kernel: int, before: int, after: int) -> None:
    spec = ConvSpec(
        conv="c", norm="n", in_channels=1, out_channels=1, kernel=(kernel, kernel), stride=2, padding="tensorflow"
    )
    state = random_state(spec)
    x = torch.randn(1, 1, size, size, generator=torch.Generator().manual_seed(1))
    padded = torch.nn.functional.pad(x, (before, after, before, after))
    valid = loaded(ConvSpec(**{**spec.__dict__, "padding": "valid"}), state)
    found = loaded(spec, state)(x)
    torch.testing.assert_close(found, valid(padded))
    assert found.shape[-1] == -(-size // 2)


def test_folded_convolution_names_what_does_not_fit() -> None:
    state = random_state(SPEC)
    with pytest.raises(CheckpointError, match=r"no tensor 'a.bn.bias'"):
        loaded(SPEC, {k: v for k, v in state.items() if k != "a.bn.bias"})
    with pytest.raises(CheckpointError, match=r"'a.conv.weight' of the weights file has shape \(6, 4, 3, 3\)"):
        loaded(SPEC, {**state, "a.conv.weight": torch.zeros(6, 4, 3, 3)})


def test_to_rgb() -> None:
    colour = torch.tensor([10, 20, 200], dtype=torch.uint8).view(1, 3, 1, 1)
    assert to_rgb(colour).flatten().tolist() == [10, 20, 200]
    assert to_rgb(colour[:, :1]).flatten().tolist() == [10, 10, 10]
    for alpha, expected in ((255, [10, 20, 200]), (0, [0, 0, 0]), (51, [2, 4, 40])):
        rgba = torch.cat([colour, torch.full((1, 1, 1, 1), alpha, dtype=torch.uint8)], dim=1)
        assert to_rgb(rgba).flatten().tolist() == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize("images", [torch.zeros(1, 3, 4, 4), torch.zeros(1, 2, 4, 4, dtype=torch.uint8)])
def test_to_rgb_refuses_other_images(images: torch.Tensor) -> None:
    with pytest.raises(InputError, match="uint8 images"):
        to_rgb(images)


def test_wide_convolutions_by_fewer_products() -> None:
    conv, draw = PlainConv(128, 128, 3, padding=1), torch.Generator().manual_seed(0)
    conv.take(torch.randn(128, 128, 3, 3, generator=draw) / 34, torch.randn(128, generator=draw))
    x = torch.randn(1, 128, 10, 14, generator=draw)
    with torch.no_grad():
        expected = conv(x)
        conv.winograd = True
        found = conv(x)
        assert conv._transformed is not None
        assert (found - expected).norm() / expected.norm() < 1e-5
        torch.testing.assert_close(conv.double()(x.double()).float(), expected, rtol=1e-4, atol=1e-5)
