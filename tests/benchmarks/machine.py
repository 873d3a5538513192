"""The machine: what it is, and what its processor can do at best, which everything else is compared with."""

from __future__ import annotations

import platform
import subprocess
import time
from collections.abc import Callable
from importlib import metadata

import torch
import torch.nn.functional as F

from sgkit.runtime.device import cpu_flags
from sgkit.runtime.precision import bf16_units

SHAPES = ((512, 32), (512, 64), (256, 128), (128, 256), (64, 512))
"""Channels and side of the 3x3 convolutions of StyleGAN2's config F at 1024 pixels that take most of its time."""
PACKAGES = ("torch", "numpy", "pillow", "onnxruntime", "openvino", "onnxscript")
FLAGS = ("avx2", "avx512f", "avx512_bf16", "avx512_fp16", "amx_bf16")


def facts(threads: int) -> dict[str, object]:
    """Processor, memory and versions."""
    flags = cpu_flags()
    return {
        "processor": _processor(),
        "flags": [flag for flag in FLAGS if flag in flags],
        "bf16_units": bf16_units(torch.device("cpu")) or "none",
        "cores": torch.multiprocessing.cpu_count(),
        "threads": threads,
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "packages": {name: _version(name) for name in PACKAGES if _version(name)},
    }


def ceilings(*, quick: bool) -> dict[str, object]:
    """GFLOP/s of convolutions in fp32 and bf16, for each shape and at best; GB/s of a copy in memory."""
    found: dict[str, object] = {}
    calls = 3 if quick else 6
    for name, dtype in (("fp32", torch.float32), ("bf16", torch.bfloat16)):
        rates = {f"{channels} at {side}": _convolution(channels, side, dtype, calls) for channels, side in SHAPES}
        found[name] = {"best": max(rates.values()), "shapes": rates}
    source = torch.ones(64 * 2**20 // 4)
    target = torch.empty_like(source)
    found["copy"] = round(2 * source.numel() * 4 / _best(lambda: target.copy_(source), 3 * calls) / 1e9, 1)
    return found


def _convolution(channels: int, side: int, dtype: torch.dtype, calls: int) -> float:
    x = torch.randn(1, channels, side, side, dtype=dtype).contiguous(memory_format=torch.channels_last)
    weight = torch.randn(channels, channels, 3, 3, dtype=dtype).contiguous(memory_format=torch.channels_last)
    return round(2 * 9 * channels**2 * side**2 / _best(lambda: F.conv2d(x, weight, padding=1), calls) / 1e9, 1)


def _best(function: Callable[[], object], calls: int) -> float:
    """Processor seconds of the fastest call: a ceiling is what the machine can do."""
    times = []
    with torch.inference_mode():
        for _ in range(calls + 1):
            began = time.process_time()
            function()
            times.append(time.process_time() - began)
    return min(times[1:])


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _processor() -> str:
    """The name, with family and model where the name says little."""
    try:
        shown = subprocess.run(["lscpu"], capture_output=True, text=True, env={"LC_ALL": "C", "PATH": "/usr/bin:/bin"})
    except OSError:
        return platform.processor() or platform.machine()
    values = {
        key.strip(): value.strip() for key, _, value in (line.partition(":") for line in shown.stdout.splitlines())
    }
    family = f"family {values.get('CPU family', '?')} model {values.get('Model', '?')}"
    return f"{values.get('Model name', platform.machine())}, {family}"
