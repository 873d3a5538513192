"""Which number format the network computes in, and whether this machine is fast in it.

Weights, optimizer and losses stay fp32; ``bf16`` and ``fp16`` are autocast regions around the forward passes. On CUDA
``fp32`` is true fp32. What is left in fp32 beside bf16 and fp16 may use TF32, whose products have 10 bits of mantissa
where bf16's have 7: see :func:`set_tf32`. cuDNN's benchmark mode stays off: it tries every algorithm for each new
shape, which takes longer than short commands do.
"""

from __future__ import annotations

import warnings
from contextlib import AbstractContextManager
from typing import Literal

import torch

from sgkit.errors import UsageError, did_you_mean
from sgkit.runtime.device import cpu_flags

PRECISION_NAMES = ("auto", "fp32", "bf16", "fp16")
ResolvedPrecision = Literal["fp32", "bf16", "fp16"]

_CPU_BF16_UNITS = ("amx_bf16", "avx512_bf16", "bf16")  # the last one is Arm's BFMMLA
_TENSOR_CORE_BF16 = (8, 0)  # compute capability of Ampere


def resolve_precision(name: str, device: torch.device) -> ResolvedPrecision:
    """The precision called ``name`` on ``device``; ``auto``: bf16 where matrix units compute it, else fp32.

    On CPUs with such units :mod:`sgkit.model.precision` measures instead: not every network is faster in bf16 there.

    Raises:
        UsageError: the name is unknown, or the device cannot compute in it.
    """
    if name == "auto":
        return "bf16" if bf16_units(device) else "fp32"
    if name == "fp32":
        return "fp32"
    if name == "bf16":
        return "bf16"
    if name == "fp16":
        if device.type == "cpu":
            raise UsageError("Precision 'fp16' needs a GPU. On a CPU, use bf16 or fp32.")
        return "fp16"
    raise UsageError(f"Unknown precision {name!r}. {did_you_mean(name, PRECISION_NAMES)}")


def set_tf32(precision: ResolvedPrecision, device: torch.device) -> None:
    """Allow TF32 in the fp32 products of this process on CUDA unless ``precision`` is fp32; elsewhere do nothing.

    PyTorch allows it in convolutions by default, and not in products of matrices.
    """
    if device.type == "cuda":
        with warnings.catch_warnings():  # newer versions have other names for it, which older ones lack
            warnings.simplefilter("ignore")
            torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = precision != "fp32"


def autocast(precision: ResolvedPrecision, device: torch.device) -> AbstractContextManager[None]:
    """A context in which networks on ``device`` compute in ``precision``; fp32 switches an outer autocast off."""
    dtype = {"fp32": None, "bf16": torch.bfloat16, "fp16": torch.float16}[precision]
    return torch.autocast(device.type, dtype=dtype, enabled=dtype is not None)


def bf16_units(device: torch.device) -> str | None:
    """What multiplies bf16 matrices on ``device`` (``"amx_bf16"``, ``"tensor cores"``); ``None``: bf16 is slow."""
    if device.type == "cpu":
        found = next((flag for flag in _CPU_BF16_UNITS if flag in cpu_flags()), None)
        return found if found and torch.backends.mkldnn.is_available() else None  # type: ignore[no-untyped-call]
    if device.type == "cuda":
        return "tensor cores" if torch.cuda.get_device_capability(device) >= _TENSOR_CORE_BF16 else None
    return None
