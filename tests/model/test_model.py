from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from sgkit.config.presets import PRESETS
from sgkit.errors import UsageError
from sgkit.model import Model, ModelInfo, build, content_hash
from sgkit.model.layers.self_modulated import SelfModulatedConv


def test_sample_z_is_numpy_s_random_state(tiny_config) -> None:
    model = build(tiny_config())
    z = model.sample_z([0, 85, 2**32 - 1])
    assert (z.shape, z.dtype) == ((3, 12), torch.float32)
    for row, seed in zip(z, (0, 85, 2**32 - 1), strict=True):
        assert row.tolist() == np.random.RandomState(seed).randn(1, 12)[0].astype(np.float32).tolist()


@pytest.mark.parametrize("seed", [-1, 2**32])
def test_seeds_out_of_range_are_refused(tiny_config, seed: int) -> None:
    with pytest.raises(UsageError, match=rf"Seed {seed} is out of range; seeds go from 0 to 4294967295\."):
        build(tiny_config()).sample_z([0, seed])


def test_one_hot(tiny_config) -> None:
    model = build(tiny_config(label_dim=3))
    assert model.one_hot([2, 0]).tolist() == [[0, 0, 1], [1, 0, 0]]
    assert model.one_hot(1, count=2).tolist() == [[0, 1, 0], [0, 1, 0]]
    assert model.one_hot(0).tolist() == [[1, 0, 0]]
    for number in (3, -1):
        with pytest.raises(UsageError, match=rf"Class {number} is out of range; the model has classes 0 to 2\."):
            model.one_hot([0, number])
    with pytest.raises(UsageError, match=r"This model is unconditional: leave the class out\."):
        build(tiny_config()).one_hot(0)


def test_a_model_without_discriminator_says_so(tiny_config) -> None:
    model = Model(config=tiny_config(), generator=build(tiny_config()).generator)
    assert list(model.networks()) == ["generator"]
    with pytest.raises(UsageError, match=r"This model's file holds no discriminator\."):
        model.discriminate(torch.zeros(1, 3, 16, 16))


def test_facts(tiny_config) -> None:
    model = build(tiny_config(size=(16, 28)))
    assert model.image_size == (16, 28)
    assert model.num_ws == 6
    assert model.device == torch.device("cpu")
    assert model.info == ModelInfo()
    assert list(model.networks()) == ["generator", "raw_generator", "discriminator"]
    assert model.to("cpu") is model


def test_networks_are_in_evaluation_mode_and_need_no_gradient(tiny_config) -> None:
    for network in build(tiny_config()).networks().values():
        assert not network.training
        assert not any(parameter.requires_grad for parameter in network.parameters())


def test_a_model_starts_at_the_lod_of_its_info(tiny_config) -> None:
    whole = build(tiny_config("progan"))
    grown = Model(config=whole.config, generator=whole.generator, info=ModelInfo(lod=1.0))
    assert grown.generator.synthesis.plan[-1].name == "b8_rgb"


def test_the_generator_goes_from_z_to_image(tiny_model) -> None:
    model = tiny_model(label_dim=2)
    z, label = model.sample_z([0, 1]), model.one_hot([0, 1])
    whole = model.generator(z, label, truncation_psi=0.5, truncation_cutoff=3, noise="none")
    ws = model.map(z, label, truncation_psi=0.5, truncation_cutoff=3)
    assert torch.equal(whole, model.synthesize(ws, noise="none"))


# ------------------------------------------------------------------------------------------- fresh weights


@pytest.mark.parametrize("name", PRESETS)
def test_build_is_a_function_of_config_and_seed(tiny_config, name: str) -> None:
    config = tiny_config(name, label_dim=2)
    one, same, other = build(config, seed=1), build(config, seed=1), build(config, seed=2)
    for key, network in one.networks().items():
        assert content_hash(network) == content_hash(same.networks()[key])
        assert content_hash(network) != content_hash(other.networks()[key])
    assert content_hash(one.raw_generator) == one.content_hash()


def test_build_leaves_the_global_random_state_alone(tiny_config) -> None:
    before = torch.get_rng_state()
    build(tiny_config())
    assert torch.equal(torch.get_rng_state(), before)


def test_fresh_parameters_start_as_the_papers_say(tiny_config) -> None:
    model = build(tiny_config())
    for key, value in model.generator.state_dict().items():
        if key.endswith(("affine.bias",)):
            assert torch.equal(value, torch.ones_like(value)), key
        elif key.endswith((".bias", "noise_strength", "w_avg")):
            assert torch.equal(value, torch.zeros_like(value)), key
    weight = torch.cat([p.flatten() for n, p in model.discriminator.named_parameters() if n.endswith("weight")])
    assert float(weight.std()) == pytest.approx(1.0, abs=0.05)
    mapping = torch.cat([p.flatten() for n, p in model.generator.mapping.named_parameters() if n.endswith("weight")])
    assert float(mapping.std()) == pytest.approx(100.0, rel=0.1)  # the learning-rate multiplier is 0.01


def test_images_of_a_fresh_model_are_of_a_sane_magnitude(tiny_config) -> None:
    model = build(tiny_config("stylegan2-f", size=(32, 32), synthesis__channel_base=1024, synthesis__channel_max=32))
    images = model.synthesize(model.map(model.sample_z(range(8))))
    assert 0.1 < float(images.std()) < 10


# -------------------------------------------------------------------------------------------- content hash


def test_the_content_hash_never_changes(tiny_config) -> None:
    """Latent files name their model by it."""
    model = build(tiny_config())
    for parameter in model.generator.state_dict().values():
        parameter.fill_(0.5)
    assert model.content_hash() == GOLDEN_HASH


GOLDEN_HASH = "ce95998e244f13cc29f56b52880e8f892985acedcae265a1657f8ad87dc34e53"


def test_any_value_changes_the_content_hash(tiny_config) -> None:
    model = build(tiny_config())
    seen = {model.content_hash()}
    for value in model.generator.state_dict().values():
        value.view(-1)[0] += 1
        seen.add(model.content_hash())
    assert len(seen) == len(model.generator.state_dict()) + 1


def test_what_is_no_part_of_the_generator_does_not_change_it(tiny_config) -> None:
    model = build(tiny_config())
    before = model.content_hash()
    for parameter in model.discriminator.parameters():
        parameter.add_(1)
    model = replace(model, info=ModelInfo(kimg=7.0), discriminator=None)
    assert model.content_hash() == before


def test_the_content_hash_sees_values_not_strides(tiny_config) -> None:
    model = build(tiny_config())
    before = model.content_hash()
    model.generator.to(memory_format=torch.channels_last)
    assert model.content_hash() == before


# ------------------------------------------------------------------------------------------------- names


def test_names_of_tensors_in_a_model_file(tiny_config) -> None:
    model = build(tiny_config("stylegan2-f", label_dim=2, size=(8, 8)))
    names = set(model.generator.state_dict())
    assert names == {
        "mapping.w_avg",
        *(f"mapping.{layer}.{part}" for layer in ("embed", "fc0", "fc1") for part in ("weight", "bias")),
        "synthesis.b4_input.const",
        *(
            f"synthesis.{layer}.{part}"
            for layer in ("b4_conv1", "b8_conv0", "b8_conv1")
            for part in ("weight", "bias", "noise_strength", "noise_const", "affine.weight", "affine.bias")
        ),
        *(
            f"synthesis.{layer}.{part}"
            for layer in ("b4_rgb", "b8_rgb")
            for part in ("weight", "bias", "affine.weight", "affine.bias")
        ),
    }
    assert set(model.discriminator.state_dict()) == {
        *(f"b8_{layer}.{part}" for layer in ("from_rgb", "conv0", "conv1") for part in ("weight", "bias")),
        "b8_conv1.skip_weight",
        *(f"b4_head.{part}" for part in ("weight", "bias", "fc.weight", "fc.bias", "out.weight", "out.bias")),
        *(f"mapping.{layer}.{part}" for layer in ("embed", "fc0", "fc1") for part in ("weight", "bias")),
    }


@pytest.mark.parametrize("label_dim", [0, 3])
def test_a_fresh_self_modulated_model_draws_as_in_training(tiny_config, label_dim: int) -> None:
    """Its running statistics are those of some images; zeros and ones would saturate most of the first picture."""
    model = build(tiny_config("self-modulated", size=(32, 32), label_dim=label_dim), seed=1)
    label = torch.eye(3)[torch.arange(16) % 3] if label_dim else None
    images = model.generator(model.sample_z(range(16)), label)
    assert (images.abs() > 0.99).float().mean() < 0.3
    by_batch = model.generator.train()(model.sample_z(range(16)), label)
    assert float(images.std()) == pytest.approx(float(by_batch.std()), rel=0.2)


def test_batch_normalisation_without_self_modulation_is_torchs_own(tiny_config) -> None:
    """The baseline of Chen et al. 2019: learned scale and shift, the same for every z."""
    network = build(tiny_config("batch-norm", size=(16, 16)), seed=1).generator.synthesis
    layer = next(one for one in network.modules() if isinstance(one, SelfModulatedConv))
    with torch.no_grad():
        for learned in (layer.scale, layer.shift):
            learned.bias.normal_()
        layer.running_mean.normal_()
    x, z = torch.randn(3, layer.channels, 4, 4), torch.randn(3, 8)
    expected = F.batch_norm(x, layer.running_mean, layer.running_var, layer.scale.bias, layer.shift.bias, eps=layer.eps)
    torch.testing.assert_close(layer.finish(x, layer.style(z)), F.relu(expected) * 2**0.5)
    assert torch.equal(layer.style(z), layer.style(-z))
