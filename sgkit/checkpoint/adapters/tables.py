"""Key tables: which tensor of ours is which of theirs, and how one form becomes the other, exactly and both ways."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from sgkit.checkpoint.description import ForeignFile, ForeignNetwork
from sgkit.config import ModelConfig
from sgkit.errors import CheckpointError, ConfigError
from sgkit.text import name_list
from sgkit.unpickle.mapped import forget_pages

Array = np.ndarray[Any, Any]
Tensors = dict[str, Tensor]
"""The tensors of one network by our names."""
FORGET_AFTER = 1 << 24
"""Bytes of a file that are looked at before their memory is given back: what was copied is not needed twice."""


@dataclass(frozen=True)
class Form:
    """How a tensor is stored elsewhere: ``read`` gives our form of it, ``write`` theirs of ours, if ever written."""

    read: Callable[[Array], Array]
    write: Callable[[Array], Array] | None = None

    def then(self, other: Form) -> Form:
        """The form that is read by this one first, then by ``other``."""
        first, second = self.write, other.write
        both = None if first is None or second is None else lambda x: first(second(x))
        return Form(lambda x: other.read(self.read(x)), both)


SAME = Form(lambda x: x, lambda x: x)
FLIPPED = Form(lambda x: x[..., ::-1, ::-1], lambda x: x[..., ::-1, ::-1])
"""Convolution kernels turned by 180 degrees, as transposed convolutions take them."""
BATCHED = Form(lambda x: x[0], lambda x: x[None])
"""With an axis of length 1 in front."""


@dataclass(frozen=True)
class Entry:
    """One line of a key table."""

    ours: str
    theirs: str
    form: Form = SAME


@dataclass
class Adapted:
    """A foreign checkpoint in our terms."""

    config: ModelConfig
    networks: dict[str, Tensors]
    """``generator``, ``raw_generator``, ``discriminator``: tensors by our names."""
    kimg: float = 0.0
    lod: float = 0.0
    notes: dict[str, Any] = field(default_factory=dict)
    """Facts for the provenance: what the file said, and what had to be made up."""


def to_tensor(array: Array) -> Tensor:
    """A float32 tensor of its own; the one copy that loading makes."""
    return torch.from_numpy(np.array(array, dtype=np.float32, order="C", copy=True))


def converted(
    network: ForeignNetwork, table: Sequence[Entry], *, derived: Mapping[str, Array | None] | None = None
) -> dict[str, Tensor]:
    """Our tensors by our names.

    Args:
        network: where theirs are.
        table: every tensor that is wanted.
        derived: tensors of theirs that follow from the configuration, with the value they must have (``None``: any).

    Raises:
        CheckpointError: tensors are missing, unknown, or differ from what the configuration implies; each is named.
    """
    derived = derived or {}
    wanted = {entry.theirs for entry in table}
    problems = [
        *_sentence("missing", (name for name in sorted(wanted) if name not in network.tensors)),
        *_sentence("unknown", (n for n in network.tensors if n not in wanted and n not in derived)),
        *_sentence("not what the options imply", _surprises(network, derived)),
    ]
    if problems:
        raise CheckpointError(f"Network {network.name} does not fit its options: {'; '.join(problems)}.")
    tensors: dict[str, Tensor] = {}
    looked_at = 0
    for entry in table:
        tensors[entry.ours] = _read(entry, network)
        looked_at += tensors[entry.ours].nbytes
        if looked_at >= FORGET_AFTER:
            forget_pages(network.tensors[entry.theirs])
            looked_at = 0
    return tensors


ARCHITECTURAL = re.compile(
    r"attn|attention|lora|adapter|embed|label|class|iwt|dwt|wavelet|haar|style_vec", re.IGNORECASE
)
"""Names of tensors that change the arithmetic: a network with them is not the one that its other tensors suggest."""


def known_part(
    network: ForeignNetwork,
    table: Sequence[Entry],
    *,
    derived: Iterable[str],
    notes: dict[str, Any],
) -> ForeignNetwork:
    """The network without the tensors that its architecture does not have; they are noted as ignored.

    Files of state dicts say nothing about how a network computes, so a tensor too many is no sign of another one unless
    its name says so.

    Raises:
        CheckpointError: a tensor belongs to another architecture.
    """
    wanted = {entry.theirs for entry in table} | set(derived)
    unknown = [name for name in network.tensors if name not in wanted]
    other = [name for name in unknown if ARCHITECTURAL.search(name)]
    if other:
        raise CheckpointError(
            f"Network {network.name} is a changed architecture: {_sentence('unknown', other)[0]}. Such layers change "
            "the images, and sgkit does not have them."
        )
    if unknown:
        notes.setdefault("ignored", []).extend(f"{network.name}.{name}" for name in unknown)
    return replace(network, tensors={name: array for name, array in network.tensors.items() if name in wanted})


def convert_networks(
    file: ForeignFile,
    roles: Mapping[str, str],
    config: ModelConfig,
    *,
    used: ForeignNetwork,
    notes: dict[str, Any],
    generator: Callable[[str, ForeignNetwork, ModelConfig], Tensors],
    discriminator: Callable[[ForeignNetwork, ModelConfig], tuple[ModelConfig, Tensors]],
) -> tuple[ModelConfig, dict[str, Tensors]]:
    """The model's configuration and the tensors of every network of ``file``, by role.

    Only ``used``, the generator that makes the images, must be usable: another network that is not is left out, and
    ``notes`` say why.

    Args:
        roles: role of each network in the model, by its key in ``file.networks``.
        config: what the generator says of the model; ``discriminator`` completes it.
        generator: gives the tensors of the generator with this key.

    Raises:
        CheckpointError: ``used`` is incomplete or unsupported.
    """
    networks: dict[str, Tensors] = {}
    for name, network in file.networks.items():
        role = roles[name]
        try:
            if role == "discriminator":
                config, networks[role] = discriminator(network, config)
            else:
                networks[role] = generator(name, network, config)
        except (CheckpointError, ConfigError) as error:
            if network is used:
                raise
            notes.setdefault("left_out", {})[role] = str(error)
    return config, networks


def _read(entry: Entry, network: ForeignNetwork) -> Tensor:
    array = network.tensors[entry.theirs]
    if array.dtype.kind != "f":
        raise CheckpointError(f"Tensor {entry.theirs} of network {network.name} holds {array.dtype}, not numbers.")
    try:
        return to_tensor(entry.form.read(array))
    except (ValueError, IndexError) as error:
        shape = list(array.shape)
        raise CheckpointError(f"Tensor {entry.theirs} of network {network.name} has shape {shape}: {error}.") from error


def _surprises(network: ForeignNetwork, derived: Mapping[str, Array | None]) -> Iterable[str]:
    for name, value in derived.items():
        held = network.tensors.get(name)
        if held is None or value is None:
            continue
        if held.shape != value.shape or not np.allclose(held, value, rtol=1e-4, atol=1e-6):
            yield name


def _sentence(what: str, names: Iterable[str]) -> list[str]:
    found = list(names)
    if not found:
        return []
    return [f"{len(found)} {'tensor is' if len(found) == 1 else 'tensors are'} {what}: {name_list(found)}"]


def written(tensors: Mapping[str, Tensor], table: Sequence[Entry]) -> dict[str, Array]:
    """Their arrays by their names: the inverse of :func:`converted`."""
    arrays = {}
    for entry in table:
        assert entry.form.write is not None, "a table that is only read"
        values = entry.form.write(tensors[entry.ours].detach().cpu().numpy())
        arrays[entry.theirs] = values.copy(order="C")  # keeps 0-dim arrays as they are
    return arrays


def option(options: Mapping[str, Any], name: str, kind: type, default: Any) -> Any:
    """An option of a foreign network, checked.

    Raises:
        CheckpointError: it has another type.
    """
    value = options.get(name, default)
    if kind is float and type(value) is int:
        value = float(value)
    if type(value) is not kind and not (value is None and default is None):
        raise CheckpointError(
            f"Option {name} of the network is {value!r}; a value of type {kind.__name__} is expected."
        )
    return value


def refuse_unknown_options(options: Mapping[str, Any], known: Iterable[str], *, what: str) -> None:
    """Refuse options that no rule covers, as they may change the arithmetic.

    Raises:
        CheckpointError: naming each.
    """
    unknown = sorted(set(options) - set(known))
    if unknown:
        named = name_list(f"{name}={options[name]!r}"[:80] for name in unknown)
        raise CheckpointError(f"{what} was built with options that sgkit does not know: {named}.")


def channel_rule(channels: Sequence[int]) -> dict[str, Any]:
    """The fields of a configuration that give ``channels`` at 4x4, 8x8 ...: base and maximum, else each by itself."""
    largest = max(channels)
    low, high = 1, 1 << 40
    for level, count in enumerate(channels):
        resolution = 4 << level
        low = max(low, count * resolution)
        if count < largest:
            high = min(high, (count + 1) * resolution - 1)
    if low > high:
        return {"channels": tuple(channels)}
    power = 1 << (low - 1).bit_length()
    return {"channel_base": power if power <= high else low, "channel_max": largest}
