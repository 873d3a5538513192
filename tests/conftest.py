from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # tiny tensors, several test processes: threads would wait for each other

from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import settings

from sgkit.config import ModelConfig, override
from sgkit.config.presets import preset
from sgkit.metrics import features
from sgkit.metrics.features import ExtractorRecipe
from sgkit.model import Branch, Model, build

ARCHITECTURES = (
    "progan",
    "stylegan1-f",
    "stylegan2-e-gorig-dorig",
    "stylegan2-e-gresnet-dorig",
    "stylegan2-f",
    "self-modulated",
    "stylegan3-t",
    "stylegan3-r",
)
"""A preset of every kind of generator."""

# No test measures time: a busy machine would fail it. The same examples in every run.
settings.register_profile("sgkit", deadline=None, derandomize=True)
settings.load_profile("sgkit")


@pytest.fixture(autouse=True)
def _same_start() -> None:
    """Every test starts from the same global random state, whatever ran before it."""
    torch.manual_seed(0)


@pytest.fixture
def tiny_config() -> Callable[..., ModelConfig]:
    """A preset's architecture, made tiny: 16 px, 8 channels."""

    def make(
        name: str = "stylegan2-f",
        *,
        size: tuple[int, int] = (16, 16),
        channels: int = 3,
        label_dim: int = 0,
        **changes: Any,
    ) -> ModelConfig:
        config = preset(name, image_size=size, image_channels=channels, label_dim=label_dim).model
        latent = 12
        small: dict[str, Any] = {
            "z_dim": latent,
            "w_dim": latent + (label_dim if config.mapping.label_mode == "direct" else 0),
            "mapping.num_layers": min(config.mapping.num_layers, 2),
            "discriminator.mapping.num_layers": 2,
        }
        for network in ("synthesis", "discriminator"):
            small |= {f"{network}.channel_base": 64, f"{network}.channel_max": 8}
        if config.synthesis.alias_free is not None:
            small |= {"synthesis.alias_free.num_layers": 5, "synthesis.alias_free.margin": 3}
        return override(config, small | {key.replace("__", "."): value for key, value in changes.items()})

    return make


@pytest.fixture
def tiny_model(tiny_config: Callable[..., ModelConfig]) -> Callable[..., Model]:
    """A fresh tiny model whose zeros and ones (biases, noise strengths, mean w) are moved, so that all count."""

    def make(name: str = "stylegan2-f", **options: Any) -> Model:
        model = build(tiny_config(name, **options), seed=3)
        generator = torch.Generator().manual_seed(4)
        for network in model.networks().values():
            for key, value in network.state_dict().items():
                if key.endswith(("bias", "noise_strength", "w_avg", "running_mean", "const", "input.affine.weight")):
                    value.add_(0.3 * torch.randn(value.shape, generator=generator))
        return model

    return make


@pytest.fixture(params=ARCHITECTURES)
def each_model(request: pytest.FixtureRequest, tiny_model: Callable[..., Model]) -> Model:
    """A tiny model of every architecture."""
    return tiny_model(request.param)  # type: ignore[no-any-return]


@pytest.fixture
def branches_of() -> Callable[..., list[Branch]]:
    """One branch for each seed."""

    def make(model: Model, seeds: tuple[int, ...] = (1, 2), **options: Any) -> list[Branch]:
        styles = model.styles(model.map(model.sample_z(seeds)))
        return [
            Branch(model.generator.synthesis, {name: style[i : i + 1] for name, style in styles.items()}, **options)
            for i in range(len(seeds))
        ]

    return make


class Colours:
    """Features that need no network: mean and standard deviation of each channel."""

    name, dim, content_id = "effnet", 6, "colours"
    seen = 0

    def __call__(self, images: torch.Tensor) -> torch.Tensor:
        type(self).seen += len(images)
        torch.rand(3)  # extractors may use the random state
        x = images.expand(-1, 3, -1, -1).float() / 255
        return torch.cat([x.mean(dim=(2, 3)), x.std(dim=(2, 3))], dim=1)


@pytest.fixture
def cheap_features(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> type[Colours]:
    """Metrics use features that need no network, and an empty cache."""
    monkeypatch.setitem(
        features.EXTRACTORS, "effnet", ExtractorRecipe(dim=6, make=lambda device, on_progress: Colours())
    )
    monkeypatch.setenv("SGKIT_CACHE", str(tmp_path_factory.mktemp("cache")))
    Colours.seen = 0
    return Colours
