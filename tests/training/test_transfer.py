"""Beginning from another model: the same pictures where everything fits, and every tensor accounted for."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch

from sgkit.config import ModelConfig
from sgkit.errors import ConfigError
from sgkit.model import Model, build
from sgkit.training.transfer import Transfer, fitted_config, transfer


def moved(source: Model, **changes: Any) -> tuple[Model, Transfer]:
    config = source.config
    images = {"image_size": config.image_size, "image_channels": config.image_channels, "label_dim": config.label_dim}
    target = build(fitted_config(config, **(images | changes)), seed=8)
    return target, transfer(source, target)


def every_tensor(model: Model) -> set[str]:
    return {f"{name}.{key}" for name, network in model.networks().items() for key in network.state_dict()}


@pytest.mark.parametrize("name", ["stylegan2-f", "stylegan1-f", "progan", "stylegan3-t", "self-modulated"])
def test_the_same_networks_are_copied_whole(tiny_config: Any, name: str) -> None:
    source = build(tiny_config(name), seed=1)
    with torch.no_grad():
        source.generator.mapping.w_avg.fill_(0.25)
    target, done = moved(source)
    assert set(done.copied) == every_tensor(target)
    assert (done.widened, done.initialized, done.dropped) == ((), (), ())
    z = source.sample_z([3])
    assert torch.equal(target.generator(z), source.generator(z))
    assert target.discriminator is not None
    assert torch.equal(target.discriminate(source.generator(z)), source.discriminate(source.generator(z)))
    assert "tensors copied." in done.summary()


def test_averaged_and_trained_weights_stay_apart_where_both_are_given(tiny_config: Any) -> None:
    source = build(tiny_config(), seed=1)
    with torch.no_grad():
        source.generator.synthesis.b4_input.const.add_(1)
    target, _ = moved(source)
    assert torch.equal(target.generator.synthesis.b4_input.const, source.generator.synthesis.b4_input.const)
    assert target.raw_generator is not None
    assert torch.equal(target.raw_generator.synthesis.b4_input.const + 1, target.generator.synthesis.b4_input.const)
    alone = replace(source, raw_generator=None, discriminator=None)
    target, done = moved(alone)
    assert target.raw_generator is not None
    assert torch.equal(target.raw_generator.synthesis.b4_input.const, source.generator.synthesis.b4_input.const)
    assert all(name.startswith("discriminator.") for name in done.initialized)
    assert done.initialized


@pytest.mark.parametrize("size", [(32, 32), (8, 8), (16, 32)])
def test_resolutions_are_added_and_dropped(tiny_config: Any, size: tuple[int, int]) -> None:
    source = build(tiny_config(), seed=1)
    target, done = moved(source, image_size=size)
    assert target.generator(target.sample_z([0])).shape[2:] == size
    assert set(done.copied) | set(done.initialized) | set(done.widened) == every_tensor(target)
    assert set(done.dropped) == every_tensor(source) - every_tensor(target)
    shared = "raw_generator.synthesis.b8_conv1.weight"
    assert shared in done.copied
    assert ("raw_generator.synthesis.b32_conv1.weight" in done.initialized) == (size == (32, 32))
    assert ("generator.synthesis.b16_conv1.weight" in done.dropped) == (size == (8, 8))
    assert ("b32_conv1" in done.summary()) == (size == (32, 32))


def test_explicit_channels_are_cut_and_continued(tiny_config: Any) -> None:
    config: ModelConfig = tiny_config(synthesis__channels=(8, 6, 4), discriminator__channels=(8, 6, 4))
    fit = lambda size: fitted_config(config, image_size=size, image_channels=3, label_dim=0)  # noqa: E731
    assert fit((64, 64)).synthesis.channels == (8, 6, 4, 2, 1)
    assert fit((8, 8)).discriminator.channels == (8, 6)
    assert fit((16, 16)) == config


@pytest.mark.parametrize("name", ["stylegan2-f", "stylegan1-f"])
def test_labels_are_added_without_changing_the_pictures(tiny_config: Any, name: str) -> None:
    """StyleGAN2's label stands beside z, normalised apart: at first it changes nothing."""
    source = build(tiny_config(name), seed=1)
    target, done = moved(source, label_dim=3)
    assert set(done.widened) == {"generator.mapping.fc0.weight", "raw_generator.mapping.fc0.weight"}
    z, labels = source.sample_z([3, 4]), torch.eye(3)[:2]
    if name == "stylegan2-f":
        torch.testing.assert_close(target.generator(z, labels), source.generator(z), rtol=1e-4, atol=1e-5)
    back, done = moved(target, label_dim=0)
    if name == "stylegan2-f":
        torch.testing.assert_close(back.generator(z), source.generator(z), rtol=1e-4, atol=1e-5)
    assert any(".embed." in name or "label_matrix" in name for name in done.dropped)


def test_networks_that_cannot_change_size_say_so(tiny_config: Any) -> None:
    with pytest.raises(ConfigError, match=r"StyleGAN3's layers .* 16x16 \(WxH\), the images are 32x32\. Prepare"):
        fitted_config(tiny_config("stylegan3-t"), image_size=(32, 32), image_channels=3, label_dim=0)


def test_networks_that_share_nothing_are_refused(tiny_config: Any) -> None:
    source = build(tiny_config(synthesis__channel_max=4), seed=1)
    target = build(tiny_config("stylegan3-t", synthesis__channel_max=16), seed=1)
    with pytest.raises(ConfigError, match=r"No layer of the model's generator fits these networks"):
        transfer(source, target)


def test_larger_networks_begin_with_the_enlarged_images(tiny_config: Any) -> None:
    source = build(tiny_config(), seed=1)
    target, done = moved(source, image_size=(32, 32))
    assert "generator.synthesis.b32_rgb.weight" in done.initialized
    z = source.sample_z([3, 4])
    small, large = source.generator(z), target.generator(z)
    halved = torch.nn.functional.avg_pool2d(large, 2)[..., 2:-2, 2:-2]
    expected = small[..., 2:-2, 2:-2]
    assert (halved - expected).square().mean() < 0.2 * (expected - expected.mean()).square().mean()
    assert target.discriminator is not None
    weight = target.discriminator.get_parameter("b32_from_rgb.weight")
    assert weight.abs().sum() > 0


def test_the_summary_names_each_layer_once(tiny_config: Any) -> None:
    source = build(tiny_config(label_dim=2), seed=1)
    _, done = moved(source, image_size=(8, 8), label_dim=0)
    text = done.summary()
    assert text.count("b16_conv0") == 2  # of the generator and of the discriminator
    assert "dropped (generator: b16_conv0, b16_conv1, b16_rgb, mapping.embed; discriminator: " in text
    assert "raw_generator" not in text
    assert "newly initialized (discriminator: b8_from_rgb, " in text
