"""Which machine part the tensors live on: ``auto``, ``cpu``, ``cuda`` (also ``cuda:1``) or ``mps``."""

from __future__ import annotations

import platform
from dataclasses import dataclass
from pathlib import Path

import torch

from sgkit.errors import UsageError

DEVICE_NAMES = ("auto", "cpu", "cuda", "mps")


@dataclass(frozen=True, kw_only=True)
class DeviceInfo:
    """One device that this machine offers."""

    name: str
    """What ``--device`` takes, such as ``"cuda:0"``."""
    model: str
    """The maker's name of it."""
    memory: int | None = None
    """Bytes of memory; ``None`` if it shares the machine's."""


def resolve_device(name: str = "auto") -> torch.device:
    """The device called ``name``; ``auto`` is the first available one of CUDA, MPS and CPU.

    Raises:
        UsageError: the name is unknown, or this machine has no such device; what it has is listed.
    """
    if name == "auto":
        return torch.device(_available()[-1])
    kind, _, index = name.partition(":")
    if kind not in DEVICE_NAMES[1:] or (index and not (kind == "cuda" and index.isdecimal())):
        raise UsageError(f"Unknown device {name!r}. Allowed: auto, cpu, cuda, cuda:N, mps.")
    if kind not in _available() or (index and int(index) >= torch.cuda.device_count()):
        here = ", ".join(info.name for info in describe_devices())
        raise UsageError(f"Device {name!r} is not available here. This machine has: {here}. Use --device auto.")
    return torch.device(name)


def to_device(tensor: torch.Tensor, device: torch.device) -> torch.Tensor:
    """``tensor`` on ``device``; a copy to a GPU takes place while this process continues."""
    if device.type != "cuda" or tensor.device.type != "cpu":
        return tensor.to(device)
    return tensor.pin_memory().to(device, non_blocking=True)  # from other memory, the copy would be waited for


def describe_devices() -> tuple[DeviceInfo, ...]:
    """Every device of this machine, the CPU first."""
    devices = [DeviceInfo(name="cpu", model=_cpu_model())]
    for index in range(torch.cuda.device_count() if torch.cuda.is_available() else 0):
        found = torch.cuda.get_device_properties(index)
        devices.append(DeviceInfo(name=f"cuda:{index}", model=found.name, memory=found.total_memory))
    if torch.backends.mps.is_available():
        devices.append(DeviceInfo(name="mps", model="Apple GPU"))
    return tuple(devices)


def cpu_flags() -> frozenset[str]:
    """Instruction set flags of the CPU by Linux's names (``amx_bf16``, ``avx512_bf16`` ...); empty where unknown."""
    words = [value for key, value in _cpu_facts() if key in ("flags", "Features")]
    return frozenset(words[0].split()) if words else frozenset()


def _available() -> list[str]:
    """Kinds of device that work here, the slowest first."""
    kinds = ["cpu"]
    if torch.backends.mps.is_available():
        kinds.append("mps")
    if torch.cuda.is_available():
        kinds.append("cuda")
    return kinds


def _cpu_model() -> str:
    names = [value for key, value in _cpu_facts() if key == "model name"]
    return names[0] if names else platform.processor() or platform.machine()


def _cpu_facts() -> list[tuple[str, str]]:
    """Key and value of each line of Linux's CPU table; empty on other systems."""
    table = Path("/proc/cpuinfo")
    if not table.is_file():
        return []
    pairs = (line.partition(":") for line in table.read_text(encoding="utf-8", errors="replace").splitlines())
    return [(key.strip(), value.strip()) for key, colon, value in pairs if colon]
