"""Running statistics that layers keep of what passes through them: noted in one pass, followed after the batch.

Noting and following are apart so that a batch that is split over passes and processes moves the statistics once, by all
of its images, and a step that is left out moves nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

from sgkit.model.layers import Layer
from sgkit.model.network import PlannedNetwork


@contextmanager
def tracking(network: PlannedNetwork) -> Iterator[None]:
    """A block whose forward passes note what the running statistics of ``network`` are made of."""
    layers = _tracking_layers(network)
    for layer in layers:
        layer.tracks = True
    try:
        yield
    finally:
        for layer in layers:
            layer.tracks = False


def observed_statistics(network: PlannedNetwork) -> Tensor | None:
    """What the last tracked pass found, in a row, as means over its images; ``None``: there are no such statistics."""
    found = [layer.observed.reshape(-1) for layer in _tracking_layers(network)]
    return torch.cat(found) if found else None


def follow_statistics(network: PlannedNetwork, means: Tensor) -> None:
    """Move the running statistics towards what the whole batch has shown."""
    for layer in _tracking_layers(network):
        own, means = means.tensor_split([layer.observed.numel()])
        layer.follow(own.view(layer.observed.shape))


def _tracking_layers(network: PlannedNetwork) -> list[Layer]:
    layers = [network.layer(spec.name) for spec in network.plan]
    return [layer for layer in layers if layer.keeps_statistics]
