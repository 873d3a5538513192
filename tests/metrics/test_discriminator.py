"""Features of a model's own discriminator."""

from __future__ import annotations

import pytest
import torch

from sgkit.config import DiscriminatorConfig, MappingConfig, ModelConfig, SynthesisConfig
from sgkit.errors import UsageError
from sgkit.metrics.discriminator import DiscriminatorExtractor
from sgkit.metrics.features import load_extractor
from sgkit.model import Model, build
from tests.metrics.random_networks import pictures


def tiny(**options: object) -> Model:
    config = ModelConfig(
        image_size=(16, 16),
        z_dim=8,
        w_dim=8,
        mapping=MappingConfig(num_layers=2),
        synthesis=SynthesisConfig(channel_base=128, channel_max=8),
        discriminator=DiscriminatorConfig(channel_base=128, channel_max=8),
        **options,  # type: ignore[arg-type]
    )
    return build(config, seed=1)


@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize("size", [16, 24])
def test_features_are_of_each_image(channels: int, size: int) -> None:
    extractor = DiscriminatorExtractor(tiny(image_channels=channels))
    images = ((pictures(5, size) + 1) * 127.5).round().byte()
    found = extractor(images)
    assert (found.shape, found.dtype) == ((5, extractor.dim), torch.float32)
    torch.testing.assert_close(torch.cat([extractor(images[:2]), extractor(images[2:])]), found)
    assert found.std(dim=0).max() > 0
    torch.testing.assert_close(extractor(images[:, :1]), extractor(images[:, :1].expand(-1, 3, -1, -1)))


def test_features_are_the_mean_of_the_last_layer() -> None:
    model = tiny()
    images = ((pictures(2, 16) + 1) * 127.5).round().byte()
    assert model.discriminator is not None
    layers = model.discriminator.features(images / 127.5 - 1, stop=len(model.discriminator.plan) - 1)
    last = list(layers.values())[-1]
    torch.testing.assert_close(DiscriminatorExtractor(model)(images), last.mean(dim=(2, 3)))


def test_another_model_has_another_content_id() -> None:
    one, other_one = (DiscriminatorExtractor(tiny(**options)).content_id for options in ({}, {"image_channels": 1}))
    assert one != other_one


def test_a_model_without_a_discriminator_is_told() -> None:
    model = tiny()
    with pytest.raises(UsageError, match=r"holds none. Use a file with the discriminator"):
        DiscriminatorExtractor(Model(config=model.config, generator=model.generator))
    with pytest.raises(UsageError, match="use them with sgkit metrics MODEL"):
        load_extractor("d")
