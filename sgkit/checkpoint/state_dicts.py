"""Networks in nested tables of tensors, recognised by the tensors that they must have and not by an outer key.

A StyleGAN2 generator circulates as ``g_ema``, as a bare state dict, under ``module.``, ``state_dict.decoder.`` or
``params_ema.``, and under the tensor names of four projects. :func:`describe_arrays` looks among dotted names for the
tensors that only one kind of network has, removes the prefix before them and translates the rest into one project's
names, so that everything after it sees one form.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from sgkit.checkpoint.foreign_file import Array, ForeignFile, ForeignNetwork
from sgkit.errors import CheckpointError
from sgkit.unpickle.arrays import as_array
from sgkit.unpickle.stand_ins import shown

MAX_DEPTH = 12
MAX_TENSORS = 50_000
MAX_NAME = 1024
MAX_NETWORKS = 64
OPTIMIZER = re.compile(r"optim|optimizer|scheduler|scaler", re.IGNORECASE)
AVERAGE = re.compile(
    r"(?:^|[._])(?:ema[a-z]*|[a-z]*(?<!sch)ema|smooth|running|shadow|avg|averaged?|gs|ge)(?=$|[._])", re.IGNORECASE
)
"""Names of the moving average of a generator."""
TRAINED = re.compile(r"(?:^|[._])(?:g|generator|netg|gen)$", re.IGNORECASE)
"""Names of the generator as trained."""
WRAPPER = re.compile(r"(?:^|\.)(?:module|_orig_mod)(?=\.|$)")
"""What torch's wrappers for several devices and for compilation put into names."""
MEAN_W = ("latent_avg", "mean_latent", "w_avg", "truncation.w_avg", "dlatent_avg", "mean_w")
"""Names of the mean w of a generator, which is stored beside its tensors."""
RAW_MEAN = "g_latent_avg"
"""The mean w of the generator as trained; only sgkit writes it."""


@dataclass(frozen=True)
class Dialect:
    """How one project names the tensors of one architecture."""

    kind: str
    """The kind whose format reads it; a key of :data:`ROLE_NAMES`."""
    generator: tuple[str, ...]
    """Tensors that only this project's generators have; one of them is enough to find the network."""
    discriminator: tuple[str, ...]
    translate: Callable[[str, bool], str] = field(default=lambda name, _: name)
    """(name, is it a discriminator) -> the name that the format of this kind knows."""
    project: str = ""
    """Who writes it, where that is not the kind's own project."""


def _mmgeneration(name: str, discriminator: bool) -> str:
    if discriminator:
        return re.sub(r"(\d)\.(?:conv|linear)\.weight_orig$", r"\1.weight", name)
    name = re.sub(r"^style_mapping\.(\d+)\.(?:linear\.)?", r"style.\1.", name)
    name = name.replace("constant_input.", "input.").replace(".noise_injector.", ".noise.")
    name = name.replace(".style_modulation.linear.", ".modulation.").replace(".style_modulation.", ".modulation.")
    name = re.sub(r"^injected_noise_(\d+)$", r"noises.noise_\1", name)
    return name.removesuffix("_orig")


def _basicsr(name: str, discriminator: bool) -> str:
    if discriminator:
        return name.replace("conv_body.", "convs.")
    name = re.sub(r"^style_(conv1|convs\.\d+)\.weight$", r"\1.noise.weight", name)
    name = re.sub(r"^style_(conv1|convs\.)", r"\1", name).replace(".modulated_conv.", ".conv.")
    name = re.sub(r"^style_mlp\.", "style.", name).replace("constant_input.weight", "input.input")
    return re.sub(r"^noises\.noise(\d+)$", r"noises.noise_\1", name)


DIALECTS: tuple[Dialect, ...] = (
    Dialect(
        "rosinality-stylegan2",
        ("conv1.conv.modulation.weight", "to_rgb1.conv.modulation.weight"),
        ("convs.0.0.weight", "convs.1.conv2.1.weight"),
    ),
    Dialect(
        "rosinality-stylegan2",
        ("conv1.conv.style_modulation.linear.weight_orig", "to_rgb1.conv.style_modulation.linear.weight_orig"),
        ("convs.0.0.conv.weight_orig", "convs.1.conv2.1.conv.weight_orig"),
        _mmgeneration,
        "mmgeneration-stylegan2",
    ),
    Dialect(
        "rosinality-stylegan2",
        ("style_conv1.modulated_conv.modulation.weight", "to_rgb1.modulated_conv.modulation.weight"),
        ("conv_body.0.0.weight", "conv_body.1.conv2.1.weight"),
        _basicsr,
        "basicsr-stylegan2",
    ),
    Dialect(
        "rosinality-stylegan1",
        ("generator.progression.0.conv1.input",),
        ("progression.0.conv1.0.conv.weight_orig",),
    ),
    Dialect("lucidrains-stylegan2", ("G.initial_conv.weight",), ()),
    Dialect("nvidia-state-dict", ("synthesis.b4.const", "synthesis.input.freqs"), ("b4.fc.weight",)),
)
"""In the order in which they are looked for."""
ROLE_NAMES = {
    "rosinality-stylegan2": ("g_ema", "g", "d"),
    "rosinality-stylegan1": ("g_running", "generator", "discriminator"),
    "nvidia-state-dict": ("G_ema", "G", "D"),
}
"""Kind -> what its format calls the averaged generator, the one as trained, and the discriminator."""


@dataclass(frozen=True, eq=False)
class FoundNetwork:
    """One network of a file."""

    where: str
    """The dotted prefix at which it was found, such as ``state_dict.decoder``; empty: the file itself."""
    dialect: Dialect
    is_discriminator: bool
    tensors: dict[str, Array]
    """By the names that the format of its kind knows."""

    @property
    def is_average(self) -> bool:
        """Whether its prefix calls it the moving average of a generator."""
        return AVERAGE.search(self.where) is not None

    @property
    def is_trained(self) -> bool:
        """Whether its prefix is the usual one of a generator as trained, beside which an average would be kept."""
        return TRAINED.search(WRAPPER.sub("", self.where)) is not None

    @property
    def place(self) -> str:
        """What a message calls the place."""
        return self.where or "the file itself"


def describe_state_dicts(loaded: Mapping[Any, Any], plain: Callable[[Any], Any]) -> ForeignFile:
    """The networks in nested tables of tensors, whatever the outer keys are.

    Args:
        loaded: what a torch file holds.
        plain: gives the plain form of what is not a tensor.
    """
    tensors, others = _flatten(loaded)
    extras = {name: plain(value) for name, value in others.items() if not name.endswith(("optim", "optimizer"))}
    return describe_arrays(tensors, extras)


def describe_arrays(tensors: dict[str, Array], extras: dict[str, Any]) -> ForeignFile:
    """The networks among tensors with dotted names, as ``.safetensors`` and ``.npz`` hold them."""
    found, rest = _find(tensors)
    if not found:
        raise _no_network(tensors, extras)
    used = _by_role(found)
    first = next(network for network in (*used.values(), found[0]) if network is not None)
    kind, project = first.dialect.kind, first.dialect.project or first.dialect.kind
    if kind not in ROLE_NAMES:
        return ForeignFile(kind, {}, extras)
    networks: dict[str, ForeignNetwork] = {}
    for name, (role, network) in zip(ROLE_NAMES[kind], used.items(), strict=True):
        if network is None:
            continue
        own = {key: array for key, array in network.tensors.items() if key not in MEAN_W}
        networks[name] = ForeignNetwork(network.where or name, "", {}, own)
        mean = tensors.get(RAW_MEAN) if role == "raw_generator" else None
        mean = _mean_w(tensors, network.where) if mean is None else mean
        if mean is not None and role != "discriminator":
            extras[f"{name}.latent_avg"] = mean
    notes: dict[str, Any] = {"found": {role: network.place for role, network in used.items() if network}}
    unused = [network for network in found if network not in used.values()]
    ignored = [f"{n.place} ({'discriminator' if n.is_discriminator else 'generator'})" for n in unused]
    ignored += _groups(n for n in rest if n.rpartition(".")[2] not in (*MEAN_W, RAW_MEAN) and n not in extras)
    if ignored:
        notes["ignored"] = ignored
    return ForeignFile(kind, networks, extras, notes=notes, project=project)


def _flatten(loaded: Mapping[Any, Any]) -> tuple[dict[str, Array], dict[str, Any]]:
    """(tensors by dotted name, everything else at the top); states of optimisers are left out."""
    tensors: dict[str, Array] = {}
    extras: dict[str, Any] = {}
    pending: list[tuple[str, Any, int]] = [("", loaded, 0)]
    visited = 0
    while pending:
        prefix, table, depth = pending.pop()
        inner: list[tuple[str, Any, int]] = []
        for key, value in table.items():
            visited += 1
            name = prefix + (key if isinstance(key, str) else str(key)[:MAX_NAME])
            if visited > MAX_TENSORS or depth > MAX_DEPTH or len(name) > MAX_NAME:
                raise CheckpointError(f"its tables are nested endlessly or far too large, at {shown(name[:80])}.")
            if isinstance(value, dict):
                if not OPTIMIZER.search(name):
                    inner.append((name + ".", value, depth + 1))
                continue
            array = as_array(value)
            if array is not None:
                tensors[name] = array
            if not prefix and (array is None or array.size == 1):
                extras[name] = value
        pending += reversed(inner)
    return tensors, extras


def _find(tensors: Mapping[str, Array]) -> tuple[list[FoundNetwork], list[str]]:
    """(the networks among tensors, in the order of the file; the names of the tensors that belong to none)."""
    anchors = [(d, anchor, False) for d in DIALECTS for anchor in d.generator]
    anchors += [(d, anchor, True) for d in DIALECTS for anchor in d.discriminator]
    places: dict[tuple[str, bool], Dialect] = {}
    for name in tensors:
        for dialect, anchor, is_discriminator in anchors:
            if name == anchor or name.endswith("." + anchor):
                places.setdefault((name[: len(name) - len(anchor)], is_discriminator), dialect)
        if len(places) > MAX_NETWORKS:
            raise CheckpointError(f"it holds more than {MAX_NETWORKS} networks; no checkpoint holds that many.")
    members: dict[str, dict[str, Array]] = {prefix: {} for prefix, _ in sorted(places, key=lambda p: -len(p[0]))}
    rest: list[str] = []
    for name, array in tensors.items():
        prefix = next((prefix for prefix in members if name.startswith(prefix)), None)
        if prefix is None:
            rest.append(name)
        else:
            members[prefix][name[len(prefix) :]] = array
    networks = []
    for (prefix, is_discriminator), dialect in places.items():
        translated = {dialect.translate(name, is_discriminator): array for name, array in members[prefix].items()}
        networks.append(FoundNetwork(prefix.rstrip("."), dialect, is_discriminator, translated))
    return networks, rest


def _by_role(found: list[FoundNetwork]) -> dict[str, FoundNetwork | None]:
    """The networks by their use: a moving average before a generator as trained, the first of each.

    A generator that is neither called an average nor by the usual name of one as trained (a bare state dict,
    ``decoder``, ``params``) counts as the one to use.
    """
    generators = [network for network in found if not network.is_discriminator]
    candidates = [n for n in generators if n.is_average] or [n for n in generators if not n.is_trained]
    generator = candidates[0] if candidates else None
    own = [n for n in found if n is not generator]
    if generators:
        own = [n for n in own if n.dialect == (generator or generators[0]).dialect]
    return {
        "generator": generator,
        "raw_generator": next((n for n in own if not n.is_discriminator and not n.is_average), None),
        "discriminator": next((n for n in own if n.is_discriminator), None),
    }


def _mean_w(tensors: Mapping[str, Array], where: str) -> Array | None:
    """The mean w that belongs to the network at ``where``: beside its tensors, or nearest above them."""
    parts = where.split(".") if where else []
    for count in range(len(parts), -1, -1):
        prefix = "".join(part + "." for part in parts[:count])
        for name in MEAN_W:
            if prefix + name in tensors:
                return tensors[prefix + name]
    return None


def _groups(names: Iterable[str]) -> list[str]:
    """Tensors that belong to no network, counted by the first part of their names."""
    parts = (name.split(".") for name in names)
    counts = Counter(".".join(part[: 2 if len(part) > 2 else 1]) for part in parts)
    return [f"{group} ({count} tensor{'s' if count > 1 else ''})" for group, count in counts.items()]


def _no_network(tensors: dict[str, Array], extras: dict[str, Any]) -> CheckpointError:
    """The error for a file without a network that is known; it says what is there instead."""
    if any(name.rpartition(".")[2] in ("latent", "w", "w_plus", "latents") for name in tensors):
        return CheckpointError(
            f"it holds latents, not a model ({shown(list(tensors)[:3], limit=120)}). Generate from it with: "
            "sgkit generate MODEL --latent FILE"
        )
    top = shown(sorted(map(str, tensors or extras))[:12], limit=300)
    return CheckpointError(
        f"it holds no network of a known project. Its entries are {top}. Known are StyleGAN2 and 3 of NVIDIA, "
        "rosinality, MMGeneration and BasicSR, StyleGAN1 and ProGAN; other architectures cannot be read."
    )
