"""torch files that hold nested tables of tensors: which networks are in them, and what each is used as."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from sgkit.checkpoint.description import Array, ForeignFile, ForeignNetwork
from sgkit.checkpoint.networks import MEAN_W, find_networks, flatten, mean_w, roles
from sgkit.errors import CheckpointError
from sgkit.unpickle.inert import shown

ROLE_NAMES = {
    "rosinality-stylegan2": ("g_ema", "g", "d"),
    "rosinality-stylegan1": ("g_running", "generator", "discriminator"),
    "nvidia-state-dict": ("G_ema", "G", "D"),
}
"""Kind -> what its adapter calls the averaged generator, the one as trained, and the discriminator."""
RAW_MEAN = "g_latent_avg"
"""The mean w of the generator as trained; only sgkit writes it."""


def describe_state_dicts(loaded: dict[Any, Any], plain: Callable[[Any], Any]) -> ForeignFile:
    """The networks in nested tables of tensors, whatever the outer keys are.

    Args:
        loaded: what a torch file holds.
        plain: gives the plain form of what is not a tensor.

    Raises:
        CheckpointError: no network is known.
    """
    tensors, others = flatten(loaded)
    extras = {name: plain(value) for name, value in others.items() if not name.endswith(("optim", "optimizer"))}
    return describe_arrays(tensors, extras)


def describe_arrays(tensors: dict[str, Array], extras: dict[str, Any]) -> ForeignFile:
    """The networks among tensors with dotted names, as ``.safetensors`` and ``.npz`` hold them.

    Raises:
        CheckpointError: no network is known.
    """
    found, rest = find_networks(tensors)
    if not found:
        raise _no_network(tensors, extras)
    chosen = roles(found)
    first = chosen.generator or chosen.raw_generator or found[0]
    kind = first.dialect.kind or first.dialect.project
    if kind == "lucidrains-stylegan2":
        return ForeignFile(kind, {}, extras)
    averaged, raw, discriminator = ROLE_NAMES[kind]
    used = {averaged: chosen.generator, raw: chosen.raw_generator, discriminator: chosen.discriminator}
    networks: dict[str, ForeignNetwork] = {}
    for role, network in used.items():
        if network is None:
            continue
        own = {name: array for name, array in network.tensors.items() if name not in MEAN_W}
        networks[role] = ForeignNetwork(network.where or role, "", {}, own)
        mean = tensors.get(RAW_MEAN) if role == raw else None
        mean = mean_w(tensors, network) if mean is None else mean
        if mean is not None and role != discriminator:
            extras[f"{role}.latent_avg"] = mean
    means = {name for name in rest if name.rpartition(".")[2] in (*MEAN_W, RAW_MEAN)}
    places = zip(("generator", "raw_generator", "discriminator"), used.values(), strict=True)
    notes: dict[str, Any] = {"found": {role: network.place for role, network in places if network is not None}}
    ignored = [f"{n.place} ({'discriminator' if n.is_discriminator else 'generator'})" for n in chosen.unused]
    ignored += _groups(name for name in rest if name not in means and name not in extras)
    if ignored:
        notes["ignored"] = ignored
    return ForeignFile(kind, networks, extras, notes=notes, project=first.dialect.project)


def _groups(names: Iterable[str]) -> list[str]:
    """Tensors that belong to no network, counted by the first part of their names."""
    counts: dict[str, int] = {}
    for name in names:
        parts = name.split(".")
        group = ".".join(parts[: 2 if len(parts) > 2 else 1])
        counts[group] = counts.get(group, 0) + 1
    return [f"{group} ({count} tensor{'s' if count > 1 else ''})" for group, count in counts.items()]


def _no_network(tensors: dict[str, Array], extras: dict[str, Any]) -> CheckpointError:
    """The error for a file without a network that is known; it says what is there instead."""
    if any(name.rpartition(".")[2] in ("latent", "w", "w_plus", "latents") for name in tensors):
        return CheckpointError(
            f"it holds latents, not a model ({shown(list(tensors)[:3], limit=120)}). Generate from it with: "
            "sgkit generate MODEL --latent FILE"
        )
    held = tensors or extras
    top = shown(sorted(map(str, held))[:12], limit=300)
    return CheckpointError(
        f"it holds no network of a known project. Its entries are {top}. Known are StyleGAN2 and 3 of NVIDIA, "
        "rosinality, MMGeneration and BasicSR, StyleGAN1 and ProGAN; other architectures cannot be read."
    )
