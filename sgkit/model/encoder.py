"""The encoder: image -> w or w+. A discriminator's plan whose head has more outputs, walked as every network is."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import torch
from torch import Tensor

from sgkit.config import ModelConfig, override
from sgkit.errors import UsageError
from sgkit.model.discriminator import Discriminator
from sgkit.model.model import Model
from sgkit.model.plan import discriminator_plan, num_ws
from sgkit.model.spec import Plan

STATISTICS_SEED = 0
_SAMPLES, _CHUNK = 10_000, 1000
_SMALLEST_DEVIATION = 1e-3
"""Of a number of w, as a fraction of the largest: directions that hardly vary are not blown up."""


class Encoder(Discriminator):
    """E: image -> latents of a model, as offsets from its mean w in deviations of w.

    Args:
        config: the model's; the layers are those of its discriminator, without what depends on other images.
        rows: 1: one w for all layers; the model's ``num_ws``: w+, whose later rows are offsets from the first.
    """

    middle: Tensor
    """[w_dim]."""
    deviations: Tensor
    """[w_dim]."""

    def __init__(self, config: ModelConfig, *, rows: int) -> None:
        alone = {"discriminator.mbstd_num_channels": 0, "discriminator.label_mode": "auxiliary"}
        super().__init__(override(config, alone), partial(encoder_plan, rows=rows))
        self.rows = rows
        self.register_buffer("middle", torch.zeros(config.w_dim))
        self.register_buffer("deviations", torch.ones(config.w_dim))

    def forward(self, images: Tensor, label: Tensor | None = None) -> Tensor:
        """w+ [N, num_ws, w_dim] for ``images`` [N, C, H, W], -1 to 1."""
        return (self.middle + self.offsets(images) * self.deviations).expand(-1, num_ws(self.config), -1)

    def offsets(self, images: Tensor) -> Tensor:
        """[N, rows, w_dim], in deviations of w from its mean."""
        out = self.outputs(images).reshape(len(images), self.rows, self.config.w_dim)
        return torch.cat([out[:, :1], out[:, :1] + out[:, 1:]], dim=1)


def encoder_plan(config: ModelConfig, *, rows: int, lod: float = 0.0, enlarged: bool = True) -> Plan:  # noqa: ARG001
    """The encoder's layers: the discriminator's of the full size, the head with ``rows`` w as its outputs."""
    *layers, head = discriminator_plan(config)
    return (*layers, replace(head, out_channels=rows * config.w_dim))


@torch.no_grad()
def new_encoder(model: Model, *, rows: int, seed: int = 0) -> Encoder:
    """An encoder that gives the mean w of ``model`` for every image; its layers are those of the discriminator, if any.

    Raises:
        UsageError: ``rows`` is neither 1 nor the model's number of w.
    """
    if rows not in (1, model.num_ws):
        raise UsageError(f"An encoder gives 1 w or {model.num_ws}, one for each layer; {rows} were asked for.")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        encoder = Encoder(model.config, rows=rows)
    if model.discriminator is not None:
        known, own = model.discriminator.state_dict(), encoder.state_dict()
        for name, value in own.items():
            given = known.get(name)
            if given is not None and given.ndim == value.ndim and given.shape != value.shape:
                given = given[:, : value.shape[1]] if given.ndim > 1 else given  # without the minibatch deviation
            if given is not None and given.shape == value.shape:
                value.copy_(given)
    head = encoder.layer(encoder.plan[-1].name)
    head.get_parameter("out.weight").zero_()
    head.get_parameter("out.bias").zero_()
    ws = _sampled(model)
    deviations = ws.std(dim=0)
    encoder.middle.copy_(ws.mean(dim=0))
    encoder.deviations.copy_(deviations.clamp(min=_SMALLEST_DEVIATION * deviations.max().item()))
    return encoder.to(model.device)


def _sampled(model: Model) -> Tensor:
    """[n, w_dim]: w of random z and classes."""
    generator = torch.Generator().manual_seed(STATISTICS_SEED)
    parts = [sample_w(model, _CHUNK, generator) for _ in range(0, _SAMPLES, _CHUNK)]
    return torch.cat(parts)


@torch.no_grad()
def sample_w(model: Model, count: int, generator: torch.Generator) -> Tensor:
    """w [count, w_dim] of random z and, in conditional models, of random classes."""
    config = model.config
    z = torch.randn((count, config.z_dim), generator=generator).to(model.device) if config.z_dim else None
    label = None
    if config.label_dim:
        classes = torch.randint(config.label_dim, (count,), generator=generator)
        label = torch.eye(config.label_dim)[classes].to(model.device)
    return model.map(z, label)[:, 0]
