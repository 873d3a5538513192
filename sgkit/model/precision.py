"""What ``--precision auto`` becomes: the number format in which a network is faster on this machine, measured once.

Only CPUs with bf16 units are measured: elsewhere the rule of :mod:`sgkit.runtime.precision` decides. The measurement
uses a smaller copy of the network: the same layers and channels over a smaller canvas. Choices are kept in the cache
folder by processor, torch version and network; a cache that cannot be written only costs the time.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

import sgkit
from sgkit.config import BASE_RESOLUTION, ModelConfig
from sgkit.model import build, discriminator_plan, synthesis_plan
from sgkit.runtime.device import describe_devices
from sgkit.runtime.distributed import DistributedContext
from sgkit.runtime.files import atomic_path
from sgkit.runtime.precision import ResolvedPrecision, autocast, bf16_units, resolve_precision, set_tf32
from sgkit.weights import cache_folder

Use = Literal["drawing", "training"]

FOLDER = "precision"
WORK: dict[Use, float] = {"drawing": 3e9, "training": 6e8}
"""Multiplications per image of the copy that is measured: a second or two for all passes together. On canvases that
are smaller still, reading the weights takes longer than multiplying with them, which favours bf16."""
PATIENCE = 2.0
"""Seconds after which a measurement takes what it has."""
TOO_SMALL = 2e7
"""Multiplications per image below which a network spends its time elsewhere, so fp32 is taken at once."""
NARROW = 64
"""Channels below which a copy is not made narrower."""
GAIN = 0.95
"""Share of fp32's time below which bf16 is worth its rounding."""
BATCH = 2
ROUND = 3
"""Raised when operators become faster, so that choices that are kept are made again."""


@dataclass(frozen=True, kw_only=True)
class Choice:
    """A measured choice."""

    use: Use
    network: str
    """In words."""
    precision: ResolvedPrecision
    fp32_seconds: float
    bf16_seconds: float
    processor: str
    torch: str


def drawing_precision(name: str, model: ModelConfig, device: torch.device) -> ResolvedPrecision:
    """Return the precision that ``name`` stands for when images are drawn with a network like ``model``.

    Raises:
        UsageError: the name is unknown, or the device cannot compute in it.
    """
    chosen = _chosen(name, "drawing", device, model, _drawing_times)
    set_tf32(chosen, device)
    return chosen


def training_precision(name: str, model: ModelConfig, context: DistributedContext) -> ResolvedPrecision:
    """Return the precision that ``name`` stands for in training: chosen by the main process for all.

    Raises:
        UsageError: the name is unknown, or the device cannot compute in it.
    """
    own: ResolvedPrecision | None = None
    if context.is_main:
        own = _chosen(name, "training", context.device, model, _training_times)
    chosen: ResolvedPrecision | None = context.gather_objects(own)[0]
    assert chosen is not None
    return chosen


def known_choices() -> list[Choice]:
    """Return the choices in the cache that were measured on this processor with this torch."""
    here = _machine()
    found = []
    for file in sorted(cache_folder(FOLDER).glob("*.json")):
        choice = _read(file)
        if choice is not None and (choice.processor, choice.torch) == (here["processor"], here["torch"]):
            found.append(choice)
    return found


_CPU = torch.device("cpu")
_TURNS: tuple[ResolvedPrecision, ...] = ("fp32", "bf16") * 3
"""The first of each also generates code."""
Times = Iterator[tuple[ResolvedPrecision, float]]


def _chosen(
    name: str,
    use: Use,
    device: torch.device,
    model: ModelConfig,
    measure: Callable[[ModelConfig], Times],
) -> ResolvedPrecision:
    if name != "auto" or device.type != "cpu" or bf16_units(device) is None:
        return resolve_precision(name, device)
    if _multiplications(model) < TOO_SMALL:
        return "fp32"
    machine = _machine()
    key = json.dumps([use, machine, sgkit.__version__, ROUND, model.to_dict()], sort_keys=True)
    file = cache_folder(FOLDER) / f"{hashlib.sha256(key.encode()).hexdigest()[:32]}.json"
    known = _read(file)
    if known is not None:
        return known.precision
    best: dict[ResolvedPrecision, float] = {}
    began = time.perf_counter()
    for precision, seconds in measure(_smaller(model, WORK[use])):
        best[precision] = min(seconds, best.get(precision, seconds))
        if len(best) == len(set(_TURNS)) and time.perf_counter() - began > PATIENCE:
            break
    choice = Choice(
        use=use,
        network=_in_words(model),
        precision="bf16" if best["bf16"] < GAIN * best["fp32"] else "fp32",
        fp32_seconds=best["fp32"],
        bf16_seconds=best["bf16"],
        processor=machine["processor"],
        torch=machine["torch"],
    )
    with contextlib.suppress(OSError):
        file.parent.mkdir(parents=True, exist_ok=True)
        with atomic_path(file) as temporary:
            temporary.write_text(json.dumps(asdict(choice), indent=1) + "\n", encoding="utf-8")
    return choice.precision


def _read(file: Path) -> Choice | None:
    """The choice in ``file``; ``None``: there is none, or not one that this version writes."""
    try:
        choice = Choice(**json.loads(file.read_bytes()))
    except (OSError, ValueError, TypeError):
        return None
    return choice if choice.precision in ("fp32", "bf16") else None


def _drawing_times(model: ModelConfig) -> Times:
    generator = build(model).generator
    z, label = _latents(model)
    for precision in _TURNS:
        began = time.process_time()  # of this process alone: others may be busy
        with torch.inference_mode(), autocast(precision, _CPU):
            generator(z, label)
        yield precision, time.process_time() - began


def _training_times(model: ModelConfig) -> Times:
    """Times of the passes that train both networks, without what is computed in fp32 anyway or once per step."""
    networks = build(replace(model, discriminator=replace(model.discriminator, mbstd_group_size=BATCH)))
    generator, discriminator = networks.generator, networks.discriminator
    assert discriminator is not None
    for network in (generator, discriminator):
        network.train().requires_grad_()
    z, label = _latents(model)
    for precision in _TURNS:
        began = time.process_time()
        with autocast(precision, _CPU):
            images = generator(z, label)
            loss = discriminator(images, label).float().square().sum()
        loss.backward()
        with autocast(precision, _CPU):
            loss = discriminator(images.detach(), label).float().square().sum()
        loss.backward()
        yield precision, time.process_time() - began


def _latents(model: ModelConfig) -> tuple[Tensor, Tensor]:
    z = torch.randn(BATCH, model.z_dim, generator=torch.Generator().manual_seed(0))
    return z, torch.zeros(BATCH, model.label_dim)


def _smaller(model: ModelConfig, work: float) -> ModelConfig:
    """A copy over a smaller canvas, with the channels of the largest resolutions, where the time goes; or narrower."""
    smallest = 4 * BASE_RESOLUTION
    while _multiplications(model) > work and model.resolution > smallest:
        height, width = model.image_size
        model = replace(
            model,
            image_size=(height // 2, width // 2),
            base_size=model.base,
            synthesis=_halved(model.synthesis),
            discriminator=_halved(model.discriminator),
        )
    while _multiplications(model) > work and model.synthesis.channel_max > NARROW:
        model = replace(model, synthesis=_narrowed(model.synthesis), discriminator=_narrowed(model.discriminator))
    return model


def _halved(part: Any) -> Any:
    channels = None if part.channels is None else part.channels[1:]
    return replace(part, channel_base=max(part.channel_base // 2, 1), channels=channels)


def _narrowed(part: Any) -> Any:
    most = part.channel_max // 2
    channels = None if part.channels is None else tuple(min(channels, most) for channels in part.channels)
    return replace(part, channel_max=most, channels=channels)


def _multiplications(model: ModelConfig) -> float:
    """Of all convolutions of both networks, for an image."""
    return sum(
        float(spec.size[0] * spec.size[1] * spec.in_channels * spec.out_channels * spec.kernel**2)
        for plan in (synthesis_plan(model), discriminator_plan(model))
        for spec in plan
        if spec.kind in ("conv", "rgb", "from_rgb")
    )


def _machine() -> dict[str, Any]:
    cpu = describe_devices()[0].model
    return {"processor": f"{cpu} ({torch.get_num_threads()} threads)", "torch": torch.__version__}


def _in_words(model: ModelConfig) -> str:
    height, width = model.image_size
    part = model.synthesis
    return f"{part.layer} {width}x{height}, {part.channel_base}/{part.channel_max} channels"
