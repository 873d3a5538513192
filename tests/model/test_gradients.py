from __future__ import annotations

import math
from collections.abc import Iterable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sgkit.config.presets import PRESETS
from sgkit.model import Branch, Discriminator, Generator, MapNoise, walk
from sgkit.runtime.precision import autocast


def check(network: nn.Module, names: Iterable[str]) -> None:
    parameters = dict(network.named_parameters())
    for name in names:
        gradient = parameters[name].grad
        assert gradient is not None, name
        assert gradient.isfinite().all(), name
        assert float(gradient.abs().max()) > 0, name


def in_use(network: Generator | Discriminator) -> list[str]:
    """Names of the parameters behind the present plan and the mapping: a growing network holds more."""
    walked = network.synthesis if isinstance(network, Generator) else network
    layers = {spec.name for spec in walked.plan} | {"mapping"}
    return [name for name, _ in network.named_parameters() if layers & set(name.split("."))]


def weights(names: Iterable[str]) -> list[str]:
    """Without biases and noise: between piecewise linear layers they only choose the piece."""
    return [name for name in names if name.endswith("weight")]


@pytest.mark.parametrize("name", PRESETS)
def test_the_adversarial_loss_reaches_every_parameter(tiny_model, name: str) -> None:
    model = tiny_model(name, label_dim=2)
    for network in (model.generator, model.discriminator):
        network.train().requires_grad_(True)
    label = model.one_hot([0, 1, 1, 0])
    images = model.generator(model.sample_z(range(4)), label, noise="random")
    F.softplus(-model.discriminator(images, label)).mean().backward()
    check(model.generator, in_use(model.generator))
    check(model.discriminator, in_use(model.discriminator))


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_features_lie_so_that_gradients_of_weights_are_fast(tiny_model, precision: str) -> None:
    """Channels last, but for half precision where a weight takes a gradient (on CPUs)."""
    model = tiny_model("stylegan2-f")
    images, ws = torch.randn(4, 3, 16, 16), model.map(model.sample_z(range(2)))
    synthesis = model.generator.synthesis
    for trains in (False, True):
        model.discriminator.requires_grad_(trains)
        synthesis.requires_grad_(trains)
        with autocast(precision, torch.device("cpu")):
            (state,) = walk([Branch(synthesis, synthesis.styles(ws))], stop=4)
            features = model.discriminator.features(images)["b16_conv0"]
        is_plain = trains and precision == "bf16"
        for values in (state.features, features):
            assert values.is_contiguous(memory_format=torch.channels_last) != is_plain
            assert values.is_contiguous() == is_plain


@pytest.mark.parametrize("name", PRESETS)
def test_r1_differentiates_twice(tiny_model, name: str) -> None:
    model = tiny_model(name)
    network = model.discriminator.train().requires_grad_(True)
    images = torch.randn(4, 3, 16, 16, requires_grad=True)
    (gradient,) = torch.autograd.grad(network(images).sum(), images, create_graph=True)
    gradient.square().sum(dim=(1, 2, 3)).mean().backward()
    check(network, weights(in_use(network)))


@pytest.mark.parametrize("name", [name for name in PRESETS if not name.startswith("stylegan3")])
def test_path_length_differentiates_twice(tiny_model, name: str) -> None:
    model = tiny_model(name)
    network = model.generator.train().requires_grad_(True)
    ws = network.mapping(model.sample_z(range(2)))
    ws = ws if ws.requires_grad else ws.requires_grad_()  # ProGAN's mapping has no parameters
    images = network.synthesis(ws, noise="random")
    noise = torch.randn_like(images) / math.sqrt(images.shape[2] * images.shape[3])
    (gradient,) = torch.autograd.grad((images * noise).sum(), ws, create_graph=True)
    gradient.square().sum(dim=2).mean(dim=1).sqrt().mean().backward()
    check(network, weights(in_use(network)))


def r1(network: nn.Module, images: Tensor) -> Tensor:
    (gradient,) = torch.autograd.grad(network(images).sum(), images, create_graph=True)
    return gradient.square().sum()


def test_r1_by_finite_differences(tiny_model) -> None:
    """The penalty's derivative by a weight, against two evaluations of the penalty."""
    network = tiny_model(size=(8, 8)).discriminator.double().requires_grad_(True)
    images = torch.randn(2, 3, 8, 8, dtype=torch.float64, requires_grad=True)
    weight = network.get_parameter("b8_conv1.weight")
    (derivative,) = torch.autograd.grad(r1(network, images), weight)
    direction = torch.randn_like(weight)
    step = 1e-6
    values = []
    for sign in (1, -1):
        with torch.no_grad():
            weight.add_(sign * step * direction)
        values.append(float(r1(network, images).detach()))
        with torch.no_grad():
            weight.sub_(sign * step * direction)
    assert (values[0] - values[1]) / (2 * step) == pytest.approx(float((derivative * direction).sum()), rel=1e-4)


@pytest.mark.parametrize("name", ["stylegan2-f", "stylegan1-f", "stylegan3-t", "progan", "self-modulated"])
def test_latents_get_gradients_from_a_frozen_model(tiny_model, name: str) -> None:
    model = tiny_model(name)
    ws = model.map(model.sample_z([0])).requires_grad_()
    model.synthesize(ws).square().sum().backward()
    assert ws.grad is not None
    assert (ws.grad.abs().amax(dim=(0, 2)) > 0).all()
    assert all(parameter.grad is None for parameter in model.generator.parameters())


def test_styles_and_noise_maps_get_gradients(tiny_model) -> None:
    model = tiny_model()
    network = model.generator.synthesis
    styles = {name: style.requires_grad_() for name, style in model.styles(model.map(model.sample_z([0]))).items()}
    maps = {spec.name: torch.randn(1, 1, *spec.size, requires_grad=True) for spec in network.plan if spec.has_noise}
    walk([Branch(network, styles, MapNoise(maps))])[0].image.square().sum().backward()
    for name, value in [*styles.items(), *maps.items()]:
        assert value.grad is not None, name
        assert float(value.grad.abs().max()) > 0, name


def test_float64_gradients_of_a_whole_generator(tiny_model) -> None:
    model = tiny_model(size=(4, 8), synthesis__channel_base=8)
    network = model.generator.double().synthesis
    ws = torch.randn(1, model.num_ws, 12, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(network, (ws,), fast_mode=True)
    assert torch.autograd.gradgradcheck(network, (ws,), fast_mode=True)
