from __future__ import annotations

import torch

from sgkit.training.mixing import mix_styles, mixing_cutoffs


def test_layers_from_the_cutoff_on_come_from_the_other_latent() -> None:
    ws, other = torch.zeros(3, 5, 2), torch.ones(3, 5, 2)
    mixed = mix_styles(ws, other, torch.tensor([1, 4, 5]))
    assert mixed[:, :, 0].tolist() == [[0, 1, 1, 1, 1], [0, 0, 0, 0, 1], [0, 0, 0, 0, 0]]
    assert torch.equal(mixed[:, :, 0], mixed[:, :, 1])


def test_cutoffs_leave_a_layer_to_each_latent_and_reach_all_layers() -> None:
    uniform = torch.stack([torch.zeros(1000), torch.linspace(0, 1 - 1e-7, 1000)], dim=1)
    assert mixing_cutoffs(uniform, num_ws=6, probability=0.9).unique().tolist() == [1, 2, 3, 4, 5]


def test_the_share_of_mixed_images_is_the_probability() -> None:
    uniform = torch.stack([torch.linspace(0, 1 - 1e-7, 1000), torch.full((1000,), 0.5)], dim=1)
    cutoffs = mixing_cutoffs(uniform, num_ws=8, probability=0.3)
    assert (cutoffs < 8).sum().item() == 300


def test_a_single_layer_is_never_mixed() -> None:
    assert mixing_cutoffs(torch.zeros(4, 2), num_ws=1, probability=1.0).tolist() == [1, 1, 1, 1]
