"""Networks in nested tables of tensors, recognised by the tensors that they must have and not by an outer key.

A StyleGAN2 generator circulates as ``g_ema``, as a bare state dict, under ``module.``, ``state_dict.decoder.`` or
``params_ema.``, and under the tensor names of four projects. :func:`find_networks` flattens what a file holds into
dotted names, looks for the tensors that only one kind of network has, removes the prefix before them and translates the
rest into one project's names, so that everything after it sees one form.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from sgkit.errors import CheckpointError
from sgkit.unpickle.arrays import as_array
from sgkit.unpickle.inert import shown

Array = np.ndarray[Any, Any]
MAX_DEPTH = 12
MAX_TENSORS = 50_000
MAX_NAME = 1024
MAX_NETWORKS = 64
OPTIMIZER = re.compile(r"optim|optimizer|scheduler|scaler", re.IGNORECASE)
AVERAGE = re.compile(
    r"(?:^|[._])(?:ema[a-z]*|[a-z]*(?<!sch)ema|smooth|running|shadow|avg|averaged?|gs|ge)(?=$|[._])", re.IGNORECASE
)
"""How projects call the moving average of a generator."""
TRAINED = re.compile(r"(?:^|[._])(?:g|generator|netg|gen)$", re.IGNORECASE)
"""How they call the generator as trained."""
WRAPPER = re.compile(r"(?:^|\.)(?:module|_orig_mod)(?=\.|$)")
"""What torch's wrappers for several devices and for compilation put into names."""
MEAN_W = ("latent_avg", "mean_latent", "w_avg", "truncation.w_avg", "dlatent_avg", "mean_w")
"""How projects call the mean w of a generator, which stands beside its tensors."""


@dataclass(frozen=True)
class Dialect:
    """How one project names the tensors of one architecture."""

    project: str
    """As :class:`sgkit.checkpoint.foreign.ForeignFile` names its kind."""
    generator: tuple[str, ...]
    """Tensors that only this project's generators have; one of them is enough to find the network."""
    discriminator: tuple[str, ...]
    translate: Callable[[str, bool], str] = field(default=lambda name, _: name)
    """(name, is it a discriminator) -> the name in the form that the adapter of this kind reads."""
    kind: str = ""
    """The kind whose adapter reads it; empty: the project's own."""


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
        "mmgeneration-stylegan2",
        ("conv1.conv.style_modulation.linear.weight_orig", "to_rgb1.conv.style_modulation.linear.weight_orig"),
        ("convs.0.0.conv.weight_orig", "convs.1.conv2.1.conv.weight_orig"),
        _mmgeneration,
        "rosinality-stylegan2",
    ),
    Dialect(
        "basicsr-stylegan2",
        ("style_conv1.modulated_conv.modulation.weight", "to_rgb1.modulated_conv.modulation.weight"),
        ("conv_body.0.0.weight", "conv_body.1.conv2.1.weight"),
        _basicsr,
        "rosinality-stylegan2",
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


@dataclass(frozen=True)
class FoundNetwork:
    """One network of a file."""

    where: str
    """The dotted prefix at which it was found, such as ``state_dict.decoder``; empty: the file itself."""
    dialect: Dialect
    is_discriminator: bool
    tensors: dict[str, Array]
    """By the names that the adapter of its kind reads."""

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


def flatten(loaded: Mapping[Any, Any]) -> tuple[dict[str, Array], dict[str, Any]]:
    """(tensors by dotted name, everything else at the top); states of optimisers are left out.

    Raises:
        CheckpointError: tables are nested without end, or there are too many tensors.
    """
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
                raise CheckpointError(f"its tables are nested without end or far too large, at {shown(name[:80])}.")
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


def find_networks(tensors: Mapping[str, Array]) -> tuple[list[FoundNetwork], list[str]]:
    """(the networks among tensors, in the order of the file; the names of the tensors that belong to none)."""
    places: dict[tuple[str, bool], Dialect] = {}
    for name in tensors:
        for dialect, anchor, is_discriminator in _anchors():
            if name == anchor or name.endswith("." + anchor):
                places.setdefault((name[: len(name) - len(anchor)], is_discriminator), dialect)
        if len(places) > MAX_NETWORKS:
            raise CheckpointError(f"it holds more than {MAX_NETWORKS} networks; no checkpoint does.")
    prefixes = sorted({prefix for prefix, _ in places}, key=len, reverse=True)
    members: dict[str, dict[str, Array]] = {prefix: {} for prefix in prefixes}
    rest: list[str] = []
    for name, array in tensors.items():
        owner = next((prefix for prefix in prefixes if name.startswith(prefix)), None)
        if owner is None:
            rest.append(name)
        else:
            members[owner][name[len(owner) :]] = array
    return [
        FoundNetwork(
            prefix.rstrip("."),
            dialect,
            is_discriminator,
            {dialect.translate(name, is_discriminator): array for name, array in members[prefix].items()},
        )
        for (prefix, is_discriminator), dialect in places.items()
    ], rest


def _anchors() -> Iterable[tuple[Dialect, str, bool]]:
    for dialect in DIALECTS:
        yield from ((dialect, anchor, False) for anchor in dialect.generator)
        yield from ((dialect, anchor, True) for anchor in dialect.discriminator)


@dataclass(frozen=True)
class Roles:
    """Which of the networks of a file is used as what."""

    generator: FoundNetwork | None
    """The moving average where there is one, else the only generator."""
    raw_generator: FoundNetwork | None
    discriminator: FoundNetwork | None
    unused: tuple[FoundNetwork, ...]


def roles(found: Iterable[FoundNetwork]) -> Roles:
    """The networks by their use: a moving average before a generator as trained, the first of each.

    A generator that is neither called an average nor by the usual name of one as trained (a bare state dict,
    ``decoder``, ``params``) counts as the one to use.
    """
    found = list(found)
    generators = [network for network in found if not network.is_discriminator]
    candidates = [n for n in generators if n.is_average] or [n for n in generators if not n.is_trained]
    generator = candidates[0] if candidates else None
    kind = (generator or generators[0]).dialect.project if generators else None
    own = [n for n in found if kind in (None, n.dialect.project) and n is not generator]
    raw = next((n for n in own if not n.is_discriminator and not n.is_average), None)
    discriminator = next((n for n in own if n.is_discriminator), None)
    used = (generator, raw, discriminator)
    return Roles(generator, raw, discriminator, tuple(n for n in found if not any(n is u for u in used)))


def mean_w(tensors: Mapping[str, Array], network: FoundNetwork) -> Array | None:
    """The mean w that belongs to a network: beside its tensors, or nearest above them."""
    parts = network.where.split(".") if network.where else []
    for count in range(len(parts), -1, -1):
        prefix = "".join(part + "." for part in parts[:count])
        for name in MEAN_W:
            if prefix + name in tensors:
                return tensors[prefix + name]
    return None
