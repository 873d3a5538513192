from __future__ import annotations

import copy
import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from sgkit.config.presets import PRESETS
from sgkit.errors import UsageError
from sgkit.model import Branch, NoNoise, SeededNoise, StoredNoise, build, steps, walk

SQUARE_ONLY = ("stylegan3-t", "stylegan3-r")


def ws_of(model, count: int = 2, **options) -> Tensor:
    label = model.one_hot([i % model.config.label_dim for i in range(count)]) if model.config.label_dim else None
    return model.map(model.sample_z(range(count)), label, **options)


# ---------------------------------------------------------------------------------------- every architecture


@pytest.mark.parametrize("name", PRESETS)
def test_one_image_alone_is_the_same_in_a_batch(tiny_model, name: str) -> None:
    model = tiny_model(name, label_dim=2)
    ws = ws_of(model, 5)
    together = model.synthesize(ws)
    assert together.shape == (5, 3, 16, 16)
    assert together.dtype == torch.float32
    for index in range(5):
        alone = model.synthesize(ws[index : index + 1])
        torch.testing.assert_close(alone[0], together[index], rtol=1e-5, atol=1e-5 * float(together.abs().max()))
    assert not torch.allclose(together[0], together[1], atol=1e-3 * float(together.abs().max()))


@pytest.mark.parametrize("channels", [1, 4])
@pytest.mark.parametrize("size", [(16, 28), (24, 16), (20, 20)])
@pytest.mark.parametrize("name", [name for name in PRESETS if name not in SQUARE_ONLY])
def test_any_base_and_any_channels(tiny_model, name: str, size: tuple[int, int], channels: int) -> None:
    model = tiny_model(name, size=size, channels=channels)
    images = model.synthesize(ws_of(model))
    assert images.shape == (2, channels, *size)
    assert images.isfinite().all()
    assert model.discriminate(images).shape == (2, 1)


@pytest.mark.parametrize("name", ["stylegan2-f", "stylegan2-e-gresnet-dorig", "stylegan1-f", "progan", "stylegan3-t"])
def test_features_are_channels_last(tiny_model, name: str) -> None:
    model = tiny_model(name)
    for spec, (state,) in steps([Branch(model.generator.synthesis, model.styles(ws_of(model)))]):
        assert state.features.is_contiguous(memory_format=torch.channels_last), spec.name


@pytest.mark.parametrize("name", ["progan", "stylegan1-f", "stylegan2-f", "stylegan2-e-gresnet-dorig", "stylegan3-t"])
def test_autocast_stays_near_and_gives_float32_images(tiny_model, name: str) -> None:
    model = tiny_model(name, synthesis__channel_base=512, synthesis__channel_max=32)
    ws = ws_of(model)
    expected = model.synthesize(ws)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        images = model.synthesize(ws)
    assert images.dtype == torch.float32
    error = (images - expected).square().mean().sqrt() / expected.square().mean().sqrt()
    assert float(error) < 0.05


def test_autocast_stays_near_while_the_constant_is_flat(tiny_config) -> None:
    model = build(tiny_config("stylegan1-f", synthesis__channel_base=512, synthesis__channel_max=32), seed=3)
    for name, parameter in model.generator.named_parameters():
        if name.endswith("noise_strength"):
            parameter.add_(0.3 * torch.randn_like(parameter))
    ws = ws_of(model)
    expected = model.synthesize(ws)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        images = model.synthesize(ws)
    error = (images - expected).square().mean().sqrt() / expected.square().mean().sqrt()
    assert float(error) < 0.05


@pytest.mark.parametrize("name", ["progan", "stylegan1-c", "stylegan1-f", "stylegan2-d"])
def test_growing_is_continuous_and_keeps_the_image_s_size(tiny_model, name: str) -> None:
    model = tiny_model(name)
    ws = ws_of(model)

    def at(lod: float) -> Tensor:
        model.grow(lod)
        return model.synthesize(ws)

    for level in (0, 1):
        torch.testing.assert_close(at(level + 1e-6), at(level), rtol=1e-3, atol=1e-4)
        torch.testing.assert_close(at(level + 1 - 1e-6), at(level + 1), rtol=1e-3, atol=1e-4)
        middle = at(level + 0.25)
        torch.testing.assert_close(middle, 0.75 * at(level) + 0.25 * at(level + 1), rtol=1e-3, atol=1e-4)
    smallest = at(2)
    assert smallest.shape == (2, 3, 16, 16)
    assert torch.equal(smallest, F.interpolate(smallest[:, :, ::4, ::4], scale_factor=4, mode="nearest"))


def test_what_does_not_grow_says_so(tiny_model) -> None:
    with pytest.raises(UsageError, match=r"lod is 1, but the network does not grow; leave it 0\."):
        tiny_model().grow(1.0)


# ------------------------------------------------------------------------------------------------ formulas


def modulated(x: Tensor, layer: torch.nn.Module, w: Tensor, *, demodulate: bool) -> Tensor:
    """One sample with a weight of its own (StyleGAN2, equations 1 and 3)."""
    style = w @ layer.affine.weight.t() / math.sqrt(w.shape[0]) + layer.affine.bias
    weight = layer.weight / math.sqrt(layer.weight[0].numel()) * style[None, :, None, None]
    if demodulate:
        weight = weight / (weight.square().sum(dim=(1, 2, 3), keepdim=True) + 1e-8).sqrt()
    return F.conv2d(x, weight, padding=weight.shape[-1] // 2)


def test_the_first_resolution_of_stylegan2_in_float64(tiny_model) -> None:
    model = tiny_model(size=(4, 7), synthesis__conv_clamp=0.9)
    network = model.generator.double().synthesis
    ws = torch.randn(1, model.num_ws, 12, dtype=torch.float64)
    conv, rgb = network.layer("b4_conv1"), network.layer("b4_rgb")
    x = modulated(network.layer("b4_input").const[None], conv, ws[0, 0], demodulate=True)
    x = x + conv.noise_const * conv.noise_strength + conv.bias[:, None, None]
    x = (math.sqrt(2) * F.leaky_relu(x, 0.2)).clamp(-0.9, 0.9)
    image = modulated(x, rgb, ws[0, 1], demodulate=False) + rgb.bias[:, None, None]
    torch.testing.assert_close(network(ws), image.clamp(-0.9, 0.9), rtol=1e-6, atol=1e-8)


# ------------------------------------------------------------------------------------------- w+, s and noise


def test_styles_are_one_for_each_styled_layer(tiny_model) -> None:
    model = tiny_model()
    ws = ws_of(model)
    styles = model.styles(ws)
    plan = {spec.name: spec for spec in model.generator.synthesis.plan if spec.style_index is not None}
    assert list(styles) == list(plan)
    for name, style in styles.items():
        assert style.shape == (2, plan[name].in_channels)
    (state,) = walk([Branch(model.generator.synthesis, styles)])
    assert torch.equal(state.image, model.synthesize(ws))


def test_each_w_drives_only_its_layers(tiny_model) -> None:
    model = tiny_model()
    ws = ws_of(model, 1)
    plain = model.styles(ws)
    for index in range(model.num_ws):
        moved = ws.clone()
        moved[:, index] += 1
        changed = {name for name, style in model.styles(moved).items() if not torch.equal(style, plain[name])}
        assert changed == {spec.name for spec in model.generator.synthesis.plan if spec.style_index == index}


@pytest.mark.parametrize("name", ["stylegan2-f", "stylegan1-f"])
def test_constant_style_maps_give_the_same_image(tiny_model, name: str) -> None:
    model = tiny_model(name)
    ws = ws_of(model)
    maps = {name: style[:, :, None, None].expand(-1, -1, 1, 4) for name, style in model.styles(ws).items()}
    (state,) = walk([Branch(model.generator.synthesis, maps)])
    expected = model.synthesize(ws)
    torch.testing.assert_close(state.image, expected, rtol=1e-4, atol=1e-4 * float(expected.abs().max()))


def test_style_maps_give_each_side_its_own_image(tiny_model) -> None:
    """Far from the seam each side is nearer to the image of its own style."""
    model = tiny_model(size=(32, 64), synthesis__use_noise=False)
    one, other = (model.styles(ws) for ws in ws_of(model).split(1))
    maps = {
        name: torch.stack([one[name]] * 8 + [other[name]] * 8, dim=2)[:, :, None] for name in one
    }  # [1, C, 1, 16]: the canvas of the first layer has 8 columns
    mixed, left, right = (walk([Branch(model.generator.synthesis, styles)])[0].image for styles in (maps, one, other))
    torch.testing.assert_close(mixed[..., :2], left[..., :2], rtol=0.2, atol=0.1 * float(left.abs().max()))
    assert float((mixed - left)[..., :8].abs().mean()) < 0.5 * float((mixed - right)[..., :8].abs().mean())
    assert float((mixed - right)[..., -8:].abs().mean()) < 0.5 * float((mixed - left)[..., -8:].abs().mean())


def test_ws_are_checked(tiny_model) -> None:
    model = tiny_model()
    with pytest.raises(UsageError, match=r"The model needs ws of shape \[N, 6, 12\]; got \[2, 12\]\."):
        model.synthesize(torch.zeros(2, 12))
    with pytest.raises(UsageError, match=r"The model needs ws of shape \[N, 6, 12\]; got \[2, 5, 12\]\."):
        model.synthesize(torch.zeros(2, 5, 12))


def test_noise_by_name_and_by_object(tiny_model) -> None:
    model = tiny_model()
    ws = ws_of(model)
    const = model.synthesize(ws)
    assert torch.equal(const, model.synthesize(ws, noise="const"))
    assert torch.equal(const, model.synthesize(ws, noise=StoredNoise()))
    assert torch.equal(model.synthesize(ws, noise="none"), model.synthesize(ws, noise=NoNoise()))
    assert not torch.equal(const, model.synthesize(ws, noise="none"))
    assert torch.equal(model.synthesize(ws, noise="random"), model.synthesize(ws, noise="random"))
    assert not torch.equal(model.synthesize(ws, noise="random"), model.synthesize(ws, noise="random", noise_seed=1))
    seeded = model.synthesize(ws, noise=SeededNoise((1, 2)))
    assert torch.equal(seeded, model.synthesize(ws, noise=SeededNoise((1, 2))))
    torch.testing.assert_close(seeded[1:], model.synthesize(ws[1:], noise=SeededNoise((2,))), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", PRESETS)
def test_each_picture_has_the_noise_of_its_own_seed_in_every_layer(tiny_model, name: str) -> None:
    model = tiny_model(name, label_dim=2)
    synthesis = model.generator.synthesis
    ws = ws_of(model, 1).expand(2, -1, -1)

    def layers(ws: Tensor, *seeds: int) -> dict[str, Tensor]:
        branch = Branch(synthesis, synthesis.styles(ws), SeededNoise(seeds))
        return {spec.name: states[0].features for spec, states in steps([branch]) if spec.has_noise}

    together = layers(ws, 1, 2)
    assert bool(together) == any(spec.has_noise for spec in synthesis.plan)
    for layer, features in together.items():
        assert features.shape[0] == 2
        assert not torch.allclose(features[0], features[1], atol=1e-3), layer
    for index, seed in enumerate((1, 2)):
        for layer, features in layers(ws[:1], seed).items():
            torch.testing.assert_close(features[0], together[layer][index], rtol=1e-4, atol=1e-4)


def test_noise_is_scaled_by_its_strength(tiny_model) -> None:
    model = tiny_model()
    ws = ws_of(model)
    for name, parameter in model.generator.named_parameters():
        if name.endswith("noise_strength"):
            parameter.zero_()
    assert torch.equal(model.synthesize(ws), model.synthesize(ws, noise="none"))


# --------------------------------------------------------------------------- what is kept between two calls


def clone_with_energy_forgotten(model, ws: Tensor) -> Tensor:
    fresh = copy.deepcopy(model.generator.synthesis)
    for parameter in fresh.parameters():
        parameter.requires_grad_(True)
    return fresh(ws).detach()


def test_weights_changed_in_place_are_seen(tiny_model) -> None:
    model = tiny_model()
    ws = ws_of(model)
    model.synthesize(ws)
    with torch.no_grad():
        for parameter in model.generator.synthesis.parameters():
            parameter.mul_(torch.rand_like(parameter) + 0.5)
    torch.testing.assert_close(model.synthesize(ws), clone_with_energy_forgotten(model, ws))


def test_weights_put_in_place_of_others_are_seen(tiny_model) -> None:
    model = tiny_model()
    ws = ws_of(model)
    layer = model.generator.synthesis.layer("b8_conv0")
    for scale in range(1, 30):  # memory of the last one is likely to be used again
        model.synthesize(ws)
        shape = layer.weight.shape
        del layer.weight
        layer.weight = torch.nn.Parameter(torch.randn(shape) * scale, requires_grad=False)
        torch.testing.assert_close(model.synthesize(ws), clone_with_energy_forgotten(model, ws))


def test_a_state_dict_loaded_between_two_calls_is_seen(tiny_model) -> None:
    model, other = tiny_model(), tiny_model()
    ws = ws_of(model)
    for parameter in other.generator.parameters():
        parameter.mul_(torch.rand_like(parameter) + 0.5)
    expected = other.synthesize(ws)
    assert not torch.allclose(model.synthesize(ws), expected)
    model.generator.load_state_dict(other.generator.state_dict())
    torch.testing.assert_close(model.synthesize(ws), expected)


def test_gradients_flow_after_a_call_in_inference_mode(tiny_model) -> None:
    model = tiny_model()
    ws = ws_of(model)
    with torch.inference_mode():
        model.synthesize(ws)
    ws.requires_grad_()
    model.synthesize(ws).square().sum().backward()
    assert ws.grad is not None
    assert float(ws.grad.abs().min()) > 0


def test_models_may_be_made_in_inference_mode(tiny_model) -> None:
    with torch.inference_mode():
        model = tiny_model()
        images = model.synthesize(ws_of(model))
    outside = tiny_model()
    torch.testing.assert_close(images, outside.synthesize(ws_of(outside)))


def test_modes_with_and_without_gradients_agree(tiny_model) -> None:
    for name in ("stylegan2-f", "stylegan2-e-gresnet-dresnet", "stylegan1-f", "progan", "stylegan3-t"):
        model = tiny_model(name)
        ws = ws_of(model)
        quiet = model.synthesize(ws)
        model.generator.requires_grad_(True)
        loud = model.synthesize(ws.requires_grad_())
        torch.testing.assert_close(quiet, loud.detach(), rtol=1e-5, atol=1e-5 * float(quiet.abs().max()))
