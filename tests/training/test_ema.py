from __future__ import annotations

import torch
from torch import nn

from sgkit.training.ema import update_average


def normalizer(seed: int) -> nn.Module:
    torch.manual_seed(seed)
    network = nn.BatchNorm1d(3)  # has parameters, floating and whole buffers
    with torch.no_grad():
        network.weight.normal_()
        network.running_mean.normal_()
        network.num_batches_tracked.fill_(seed)
    return network


def test_parameters_are_averaged_and_buffers_are_copied() -> None:
    average, live = normalizer(1), normalizer(2)
    expected = 0.75 * average.weight.detach() + 0.25 * live.weight.detach()
    update_average(average, live, beta=0.75)
    torch.testing.assert_close(average.weight.detach(), expected)
    assert torch.equal(average.running_mean, live.running_mean)
    assert average.num_batches_tracked == 2


def test_beta_zero_copies_exactly() -> None:
    average, live = normalizer(1), normalizer(2)
    update_average(average, live, beta=0.0)
    assert all(torch.equal(a, b) for a, b in zip(average.parameters(), live.parameters(), strict=True))
    assert all(a.data_ptr() != b.data_ptr() for a, b in zip(average.parameters(), live.parameters(), strict=True))
