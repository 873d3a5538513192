from __future__ import annotations

import math
import re

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from sgkit.config.presets import PRESETS
from sgkit.errors import ConfigError, UsageError


def images_of(model, count: int = 4) -> Tensor:
    return torch.randn(count, model.config.image_channels, *model.config.image_size)


def test_without_minibatch_deviation_every_image_stands_alone(tiny_model) -> None:
    model = tiny_model(discriminator__mbstd_num_channels=0)
    images = images_of(model, 5)
    together = model.discriminate(images)
    for index in range(5):
        torch.testing.assert_close(model.discriminate(images[index : index + 1])[0], together[index])


def test_minibatch_deviation_ties_an_image_to_its_own_group_only(tiny_model) -> None:
    model = tiny_model(discriminator__mbstd_group_size=2)
    images = images_of(model, 8)  # groups: j and j + 4
    before = model.discriminate(images)
    images[1] = torch.randn_like(images[1]) * 3
    changed = (model.discriminate(images) - before).abs()[:, 0] > 1e-6
    assert changed.tolist() == [False, True, False, False, False, True, False, False]


@pytest.mark.parametrize("group", [4, None])
def test_a_batch_under_the_group_size_is_one_group(tiny_model, group: int | None) -> None:
    model = tiny_model(discriminator__mbstd_group_size=group)
    images = images_of(model, 3)
    before = model.discriminate(images)
    images[0] *= 2
    assert bool(((model.discriminate(images) - before).abs() > 1e-6).all())


def test_the_last_resolution_in_float64(tiny_model) -> None:
    model = tiny_model(size=(4, 6), discriminator__conv_clamp=1.0)
    network = model.discriminator.double()
    images = images_of(model, 2).double()
    entry, head = network._modules["b4_from_rgb"], network._modules["b4_head"]

    def conv(x: Tensor, layer: torch.nn.Module) -> Tensor:
        weight = layer.weight / math.sqrt(layer.weight[0].numel())
        x = F.conv2d(x, weight, layer.bias, padding=weight.shape[-1] // 2)
        return (math.sqrt(2) * F.leaky_relu(x, 0.2)).clamp(-1, 1)

    def dense(x: Tensor, layer: torch.nn.Module) -> Tensor:
        return x @ layer.weight.t() / math.sqrt(x.shape[1]) + layer.bias

    x = conv(images, entry)
    deviation = (x.var(dim=0, unbiased=False) + 1e-8).sqrt().mean()
    x = conv(torch.cat([x, deviation.expand(2, 1, 4, 6)], dim=1), head)
    x = math.sqrt(2) * F.leaky_relu(dense(x.flatten(1), head.fc), 0.2)
    torch.testing.assert_close(network(images), dense(x, head.out), rtol=1e-6, atol=1e-8)


# ------------------------------------------------------------------------------------------------- labels


@pytest.mark.parametrize("mode", ["project", "classes"])
def test_labels_change_the_logit(tiny_model, mode: str) -> None:
    model = tiny_model(label_dim=3, discriminator__label_mode=mode)
    images = images_of(model)
    logits = [model.discriminate(images, model.one_hot(label, count=4)) for label in range(3)]
    assert logits[0].shape == (4, 1)
    assert not torch.allclose(logits[0], logits[1])
    mixed = model.discriminate(images, model.one_hot([0, 1, 2, 0]))
    for index, label in enumerate([0, 1, 2, 0]):
        torch.testing.assert_close(mixed[index], logits[label][index])


def test_projection_on_the_mapped_label(tiny_model) -> None:
    model = tiny_model(label_dim=3)
    images, label = images_of(model), model.one_hot([0, 1, 2, 0])
    network = model.discriminator
    out = network.features(images)["b4_head"]
    projected = (out * network.mapping(None, label)[:, 0]).sum(dim=1, keepdim=True) / math.sqrt(8)
    torch.testing.assert_close(model.discriminate(images, label), projected)


def test_auxiliary_classes_lie_behind_the_score(tiny_model) -> None:
    model = tiny_model("progan", label_dim=3)
    images = images_of(model)
    out = model.discriminator.features(images)["b4_head"]
    assert out.shape == (4, 4)
    torch.testing.assert_close(model.discriminate(images), out[:, :1])


@pytest.mark.parametrize("mode", ["project", "classes"])
def test_a_conditional_discriminator_needs_labels(tiny_model, mode: str) -> None:
    model = tiny_model(label_dim=3, discriminator__label_mode=mode)
    with pytest.raises(UsageError, match=r"The model needs a label of length 3; none was given\."):
        model.discriminate(images_of(model))


# ----------------------------------------------------------------------------------------------- features


@pytest.mark.parametrize("name", PRESETS)
def test_features_of_every_layer(tiny_model, name: str) -> None:
    model = tiny_model(name)
    network = model.discriminator
    features = network.features(images_of(model))
    assert list(features) == [spec.name for spec in network.plan]
    for spec in network.plan[:-1]:
        side = spec.size[0] // spec.down if spec.kind == "conv" else spec.size[0]
        assert features[spec.name].shape == (4, spec.out_channels, side, side), spec.name


def test_features_stop_before_a_layer(tiny_model) -> None:
    network = tiny_model().discriminator
    images = torch.randn(4, 3, 16, 16)
    assert list(network.features(images, stop=2)) == ["b16_from_rgb", "b16_conv0"]


def test_features_are_channels_last(tiny_model) -> None:
    network = tiny_model("stylegan2-e-gskip-dskip").discriminator
    for name, value in network.features(torch.randn(4, 3, 16, 16)).items():
        assert value.ndim == 2 or value.is_contiguous(memory_format=torch.channels_last), name


@pytest.mark.parametrize("name", ["progan", "stylegan1-f", "stylegan2-d"])
def test_growing_is_continuous(tiny_model, name: str) -> None:
    model = tiny_model(name)
    images = images_of(model)

    def at(lod: float) -> Tensor:
        model.grow(lod)
        return model.discriminate(images)

    for level in (0, 1):
        torch.testing.assert_close(at(level + 1e-6), at(level), rtol=1e-3, atol=1e-4)
        torch.testing.assert_close(at(level + 1 - 1e-6), at(level + 1), rtol=1e-3, atol=1e-4)
    smallest = at(2)
    pooled = F.avg_pool2d(images, 4).repeat_interleave(4, dim=2).repeat_interleave(4, dim=3)
    torch.testing.assert_close(model.discriminate(pooled), smallest, rtol=1e-4, atol=1e-5)


def test_autocast_stays_near_and_gives_float32_logits(tiny_model) -> None:
    model = tiny_model()
    images = images_of(model)
    expected = model.discriminate(images)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        logits = model.discriminate(images)
    assert logits.dtype == torch.float32
    torch.testing.assert_close(logits, expected, rtol=0.1, atol=0.1)


# ------------------------------------------------------------------------------------------------- errors


def test_images_are_checked(tiny_model) -> None:
    model = tiny_model(size=(16, 28))
    for shape in ((4, 3, 28, 16), (4, 1, 16, 28), (3, 16, 28)):
        message = f"The model needs images of shape [N, 3, 16, 28]; got {list(shape)}."
        with pytest.raises(UsageError, match=re.escape(message)):
            model.discriminate(torch.zeros(shape))


def test_pixels_of_bytes_are_refused_with_the_formula(tiny_model) -> None:
    model = tiny_model()
    with pytest.raises(UsageError, match=r"got torch\.uint8\. Pixels of 0 to 255 become such by x / 127\.5 - 1\."):
        model.discriminate(torch.zeros(4, 3, 16, 16, dtype=torch.uint8))


def test_a_minibatch_deviation_whose_channels_do_not_divide_is_refused(tiny_model) -> None:
    with pytest.raises(ConfigError, match=r"mbstd_num_channels is 3; it must divide the 8 channels of the last block"):
        tiny_model(discriminator__mbstd_num_channels=3)


def test_a_batch_that_does_not_divide_is_refused(tiny_model) -> None:
    model = tiny_model()
    message = (
        r"6 images do not divide into groups of 4 for the discriminator's minibatch deviation; give at most 4, or a"
    )
    with pytest.raises(UsageError, match=message):
        model.discriminate(images_of(model, 6))
    with pytest.raises(UsageError, match=message):
        model.discriminator.features(images_of(model, 6))


def test_features_before_the_head_are_of_any_number_of_images(tiny_model) -> None:
    model = tiny_model()
    images = images_of(model, 6)
    head = model.discriminator.plan[-1].index
    together = model.discriminator.features(images, stop=head)
    for name, found in model.discriminator.features(images[5:], stop=head).items():
        torch.testing.assert_close(found, together[name][5:])
