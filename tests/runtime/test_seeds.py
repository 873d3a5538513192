from __future__ import annotations

import torch

from sgkit.runtime.seeds import derive_seed, torch_generator


def test_streams_are_fixed_for_all_time() -> None:
    assert derive_seed(0, "noise", 3) == 5420394799816579032


def test_streams_differ_by_seed_and_every_name() -> None:
    seeds = {derive_seed(s, n, i) for s in range(4) for n in ("z", "noise") for i in range(4)}
    assert len(seeds) == 32
    assert derive_seed(0, "1") != derive_seed(0, 1)
    assert derive_seed(0, "ab", "c") != derive_seed(0, "a", "bc")


def test_seeds_fit_a_signed_64_bit_number() -> None:
    assert all(0 <= derive_seed(s) < 2**63 for s in range(100))


def test_generator_repeats_its_stream() -> None:
    first = torch.randn(5, generator=torch_generator(7, "z"))
    assert torch.equal(first, torch.randn(5, generator=torch_generator(7, "z")))
    assert not torch.equal(first, torch.randn(5, generator=torch_generator(7, "noise")))
