"""Seeds: one number given by the user, as many independent streams as the work needs."""

from __future__ import annotations

import hashlib

import torch


def derive_seed(seed: int, *names: int | str) -> int:
    """A 63-bit seed for the stream called ``names``: the same on every machine, unrelated for unlike names."""
    text = repr((seed, *names)).encode()
    return int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), "big") >> 1


def torch_generator(seed: int, *names: int | str, device: torch.device | str = "cpu") -> torch.Generator:
    """A generator on ``device`` for the stream called ``names``."""
    return torch.Generator(device=device).manual_seed(derive_seed(seed, *names))
