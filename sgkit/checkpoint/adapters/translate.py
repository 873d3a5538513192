"""The translator that all formats share: names and layouts of tensors as tables, read and written exactly.

See :mod:`sgkit.checkpoint.adapters` for how a format uses it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from sgkit.checkpoint.adapters.missing import add_missing
from sgkit.checkpoint.assemble import counted
from sgkit.checkpoint.foreign_file import Array, ForeignFile, ForeignNetwork
from sgkit.config import ModelConfig
from sgkit.errors import CheckpointError, ConfigError
from sgkit.unpickle.mapped import forget_pages

Tensors = dict[str, Tensor]
"""The tensors of one network by sgkit's names."""
FORGET_AFTER = 1 << 24
"""Bytes of a file that are looked at before their memory is given back: what was copied is not needed twice."""


@dataclass(frozen=True)
class Transform:
    """How a tensor is stored elsewhere: ``read`` gives sgkit's layout; ``write``, if ever needed, theirs."""

    read: Callable[[Array], Array]
    write: Callable[[Array], Array] | None = None

    def then(self, other: Transform) -> Transform:
        """The transform that is read by this one first, then by ``other``."""
        first, second = self.write, other.write
        both = None if first is None or second is None else lambda x: first(second(x))
        return Transform(lambda x: other.read(self.read(x)), both)


SAME = Transform(lambda x: x, lambda x: x)
FLIPPED = Transform(lambda x: x[..., ::-1, ::-1], lambda x: x[..., ::-1, ::-1])
"""Convolution kernels turned by 180 degrees, as transposed convolutions take them."""
BATCHED = Transform(lambda x: x[0], lambda x: x[None])
"""With an axis of length 1 in front."""


@dataclass(frozen=True)
class Row:
    """One line of a table: a tensor's name in sgkit, its name elsewhere, and how it is stored there."""

    ours: str
    theirs: str
    transform: Transform = SAME


Part = str | tuple[str, str] | tuple[str, str, Transform]


def rows(ours: str, theirs: str, *parts: Part) -> list[Row]:
    """The rows of one layer.

    Args:
        ours: sgkit's prefix, such as ``synthesis.b8_conv0.``.
        theirs: the other project's.
        parts: the names after the prefixes: one for both, or ours, theirs, and perhaps a transform.
    """
    table = []
    for part in parts:
        mine, other, *transform = (part, part) if isinstance(part, str) else part
        table.append(Row(ours + mine, theirs + other, *transform))
    return table


@dataclass(frozen=True, kw_only=True)
class Format:
    """How the checkpoints of one project are read; the package's docstring says how to add one."""

    roles: dict[str, str]
    """Their name of a network -> ``generator`` (the averaged one), ``raw_generator`` or ``discriminator``."""
    config: Callable[[ForeignFile, ForeignNetwork, ForeignNetwork | None], ModelConfig]
    """The configuration of a file's generator, and discriminator if given."""
    generator: Callable[[ModelConfig, ForeignNetwork], list[Row]]
    discriminator: Callable[[ModelConfig, ForeignNetwork], list[Row]]
    implied: Callable[[ModelConfig, ForeignNetwork, bool], Mapping[str, Array | None]]
    """Tensors that follow from the configuration (filters), with the value they must have (``None``: any). The flag
    says whether it is the discriminator."""
    has_options: bool
    """Whether the file says how its networks compute. Then an unknown tensor is an error, else it is ignored."""
    optional: tuple[str, ...] = ()
    """Endings of sgkit's names: a group of tensors that files may lack, to be filled in by :func:`add_missing`."""
    constants: Callable[[ModelConfig, Tensors], Tensors] | None = None
    """Tensors of the generator that the format never stores."""
    extras: tuple[str, ...] = ()
    """Entries of the file that are kept in the provenance."""
    assumed: str = ""
    """A note on what is assumed where the file says nothing."""


@dataclass
class Adapted:
    """A foreign checkpoint in sgkit's terms."""

    config: ModelConfig
    networks: dict[str, Tensors]
    """``generator``, ``raw_generator``, ``discriminator``: tensors by sgkit's names."""
    kimg: float = 0.0
    lod: float = 0.0
    notes: dict[str, Any] = field(default_factory=dict)
    """Facts for the provenance: what the file said, and what was filled in."""


def adapt(file: ForeignFile, form: Format) -> Adapted:
    """The checkpoint in sgkit's terms. Only the generator that makes the images must be usable: another network that
    is not is left out, and the notes say why.
    """
    unknown = sorted(set(file.networks) - set(form.roles))
    if unknown:
        raise CheckpointError(f"It holds unknown networks: {', '.join(unknown)}. Known are {', '.join(form.roles)}.")
    names = [name for name, role in form.roles.items() if role != "discriminator"]
    used = next((file.networks[name] for name in names if name in file.networks), None)
    if used is None:
        held = file.notes.get("found", {name: name for name in file.networks}).values()
        raise CheckpointError(f"It holds no generator, only {', '.join(held)}. {' or '.join(names)} is needed.")
    notes: dict[str, Any] = {key: file.extras[key] for key in form.extras if file.extras.get(key)}
    if form.has_options:
        notes["options"] = {name: network.options for name, network in file.networks.items()}
    elif form.assumed:
        notes["options"] = form.assumed
    config, networks = form.config(file, used, None), {}
    for name, network in file.networks.items():
        role = form.roles[name]
        try:
            if role == "discriminator":
                whole = form.config(file, used, network)
                implied = form.implied(whole, network, True)
                networks[role] = _translated(form, network, form.discriminator(whole, network), implied, notes)
                config = whole
            else:
                implied = form.implied(config, network, False)
                tensors = _translated(form, network, form.generator(config, network), implied, notes)
                tensors |= form.constants(config, tensors) if form.constants else {}
                add_missing(tensors, config, file.extras.get(f"{name}.latent_avg"), notes)
                networks[role] = tensors
        except (CheckpointError, ConfigError) as error:
            if network is used:
                raise
            notes.setdefault("left_out", {})[role] = str(error)
    kimg, lod = file.extras.get("kimg"), used.tensors.get("lod")
    return Adapted(
        config,
        networks,
        kimg=kimg if type(kimg) is float else 0.0,
        lod=float(lod.item()) if config.synthesis.growing and lod is not None and lod.size == 1 else 0.0,
        notes=notes,
    )


def _translated(
    form: Format, network: ForeignNetwork, table: list[Row], implied: Mapping[str, Array | None], notes: dict[str, Any]
) -> Tensors:
    """The tensors of one network, without those that the format may lack and the file does not have."""
    for ending in form.optional:
        group = [row for row in table if row.ours.endswith(ending)]
        if not any(row.theirs in network.tensors for row in group):
            table = [row for row in table if row not in group]
    if not form.has_options:
        network = _known_part(network, table, implied, notes)
    return translate(network, table, implied=implied)


def translate(
    network: ForeignNetwork, table: Sequence[Row], *, implied: Mapping[str, Array | None] | None = None
) -> Tensors:
    """The tensors by sgkit's names.

    Args:
        network: where theirs are.
        table: every tensor that is wanted.
        implied: see :class:`Format`.
    """
    implied = implied or {}
    wanted = {row.theirs for row in table}
    problems = [
        *counted("missing", (name for name in sorted(wanted) if name not in network.tensors)),
        *counted("unknown", (n for n in network.tensors if n not in wanted and n not in implied)),
        *counted("not what the options imply", _surprises(network, implied)),
    ]
    if problems:
        raise CheckpointError(f"Network {network.name} does not fit its options: {'; '.join(problems)}.")
    tensors: Tensors = {}
    looked_at = 0
    for row in table:
        tensors[row.ours] = _read(row, network)
        looked_at += tensors[row.ours].nbytes
        if looked_at >= FORGET_AFTER:
            forget_pages(network.tensors[row.theirs])
            looked_at = 0
    return tensors


def translate_back(tensors: Mapping[str, Tensor], table: Sequence[Row]) -> dict[str, Array]:
    """Arrays by the other project's names: the inverse of :func:`translate`."""
    arrays = {}
    for row in table:
        assert row.transform.write is not None, "a table that is only read"
        values = row.transform.write(tensors[row.ours].detach().cpu().numpy())
        arrays[row.theirs] = values.copy(order="C")  # keeps 0-dim arrays as they are
    return arrays


def _read(row: Row, network: ForeignNetwork) -> Tensor:
    """A float32 tensor in separate memory; the one copy that loading makes."""
    array = network.tensors[row.theirs]
    if array.dtype.kind != "f":
        raise CheckpointError(f"Tensor {row.theirs} of network {network.name} holds {array.dtype}, not numbers.")
    try:
        return torch.from_numpy(np.array(row.transform.read(array), dtype=np.float32, order="C", copy=True))
    except (ValueError, IndexError) as error:
        shape = list(array.shape)
        raise CheckpointError(f"Tensor {row.theirs} of network {network.name} has shape {shape}: {error}.") from error


def _surprises(network: ForeignNetwork, implied: Mapping[str, Array | None]) -> Iterable[str]:
    for name, value in implied.items():
        held = network.tensors.get(name)
        if held is None or value is None:
            continue
        if held.shape != value.shape or not np.allclose(held, value, rtol=1e-4, atol=1e-6):
            yield name


ARCHITECTURAL = re.compile(
    r"attn|attention|lora|adapter|embed|label|class|iwt|dwt|wavelet|haar|style_vec", re.IGNORECASE
)
"""Names of tensors that change the arithmetic: a network with them is not the one that its other tensors suggest."""


def _known_part(
    network: ForeignNetwork, table: Sequence[Row], implied: Iterable[str], notes: dict[str, Any]
) -> ForeignNetwork:
    """The network without the tensors that its architecture does not have; they are noted as ignored.

    Files without options say nothing about how a network computes, so one tensor more does not make it a different
    architecture unless its name says so.
    """
    wanted = {row.theirs for row in table} | set(implied)
    unknown = [name for name in network.tensors if name not in wanted]
    other = [name for name in unknown if ARCHITECTURAL.search(name)]
    if other:
        raise CheckpointError(
            f"Network {network.name} is a changed architecture: {counted('unknown', other)[0]}. Such layers change "
            "the images, and sgkit does not have them."
        )
    if unknown:
        notes.setdefault("ignored", []).extend(f"{network.name}.{name}" for name in unknown)
    return replace(network, tensors={name: array for name, array in network.tensors.items() if name in wanted})
