"""Foreign checkpoints as neutral descriptions: which networks a file holds, their options, their tensors by name.

Nothing of a file is executed or imported, and nothing is decided here about arithmetic: the adapters turn a
description into a model.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from sgkit.checkpoint.foreign_file import Array, ForeignFile, ForeignNetwork
from sgkit.checkpoint.state_dicts import describe_state_dicts
from sgkit.errors import CheckpointError, InputError
from sgkit.unpickle import load
from sgkit.unpickle.allowed import Namespace, PersistentObject, TfNetwork
from sgkit.unpickle.arrays import ArrayRecord, TensorView, as_array
from sgkit.unpickle.budget import MAX_STEPS, Budget, bad_data
from sgkit.unpickle.stand_ins import shown

MAX_DEPTH = 24
DESCRIBING_STEPS = MAX_STEPS // 4
"""Entries of tables that are looked at; a file may name the same table often."""
MAX_TEXT = 4096
MAX_PARTS = 16
PLAIN_BYTES = 100
SCALARS = (bool, int, float, str, type(None))


def read_foreign(path: str | Path) -> ForeignFile:
    """The neutral description of a foreign checkpoint.

    Raises:
        CheckpointError: the file is damaged, hostile, too large inside, or of no known kind.
        InputError: the file is missing.
    """
    path = Path(path)
    try:
        loaded = read_stream(path)
        budget = Budget(path.stat().st_size, DESCRIBING_STEPS)
        with bad_data("it"):
            return replace(_describe(loaded, budget), file_name=path.name)
    except CheckpointError as error:
        raise CheckpointError(f"Cannot read checkpoint {str(path)!r}: {error}") from error


def read_stream(path: Path) -> Any:
    """The objects of a pickle or torch file, inert, with arrays as views of the mapped file.

    Raises:
        CheckpointError: the file is damaged or hostile; the message says everything that it tried to reach.
        InputError: the file is missing.
    """
    if not path.is_file():
        raise InputError(f"There is no checkpoint {str(path)!r}. Give a file, or a run directory that holds snapshots.")
    return load(path)


# ------------------------------------------------------------------------------------------ descriptions


def _describe(loaded: Any, budget: Budget) -> ForeignFile:
    if isinstance(loaded, PersistentObject):
        loaded = {"G_ema" if "Generator" in _text(_meta(loaded, budget).get("class_name")) else "D": loaded}
    if isinstance(loaded, TfNetwork):
        loaded = (loaded,)
    if isinstance(loaded, (tuple, list)) and loaded and all(isinstance(n, TfNetwork) for n in loaded):
        return _describe_tf(loaded, budget)
    if isinstance(loaded, (tuple, list)) and any(isinstance(item, dict) for item in loaded):
        loaded = {str(index): item for index, item in enumerate(loaded[:MAX_PARTS])}
    if isinstance(loaded, (ArrayRecord, TensorView)):
        raise CheckpointError(
            "it holds one tensor, not a network. If these are latents: sgkit generate MODEL --latent FILE"
        )
    if not isinstance(loaded, dict):
        raise CheckpointError(f"it holds a value of type {type(loaded).__name__} where networks are expected.")
    if any(isinstance(value, PersistentObject) for value in loaded.values()):
        return _describe_nvidia(loaded, budget)
    return describe_state_dicts(loaded, partial(plain, budget=budget))


def _describe_nvidia(loaded: dict[Any, Any], budget: Budget) -> ForeignFile:
    networks: dict[str, ForeignNetwork] = {}
    extras: dict[str, Any] = {}
    for key, value in loaded.items():
        if not isinstance(value, PersistentObject):
            extras[str(key)] = plain(value, budget)
            continue
        network = _persistent_network(str(key), value, budget)
        if key == "augment_pipe":
            extras["augment_pipe"] = {
                "class_name": network.builder,
                **network.options,
                **{name: _plain_array(array, budget) for name, array in network.tensors.items() if array.size == 1},
            }
        else:
            networks[network.name] = network
    newer = any(_is_stylegan3(network) for network in networks.values())
    return ForeignFile("stylegan3" if newer else "stylegan2-ada-pytorch", networks, extras)


def _is_stylegan3(network: ForeignNetwork) -> bool:
    """Whether the stylegan3 repository wrote it: its generators take their options flat."""
    flat = "z_dim" in network.options and "synthesis_kwargs" not in network.options
    return "synthesis.input.freqs" in network.tensors or (flat and "channel_base" in network.options)


def _persistent_network(name: str, value: PersistentObject, budget: Budget) -> ForeignNetwork:
    meta = _meta(value, budget)
    state = _table(meta.get("state"), f"the state of {name}", budget)
    options = plain(state.get("_init_kwargs", {}), budget)
    if state.get("_init_args"):
        raise CheckpointError(f"{name} was built with positional arguments; NVIDIA's tools write named ones.")
    tensors: dict[str, Array] = {}
    attributes: dict[str, dict[str, Any]] = {}
    for path, module in _modules(state, name, budget):
        attributes[path] = {str(key): plain(item, budget) for key, item in module.items() if isinstance(item, SCALARS)}
        for group in ("_parameters", "_buffers"):
            for key, entry in _table(module.get(group) or {}, f"{group} of {name}", budget).items():
                array = as_array(entry)
                if array is not None:
                    tensors[f"{path}.{key}" if path else str(key)] = array
    source = _text(meta.get("module_src"))
    return ForeignNetwork(name, _text(meta.get("class_name")), options, tensors, attributes, source)


def _meta(value: PersistentObject, budget: Budget) -> dict[Any, Any]:
    meta = _table(value.meta, "a module", budget)
    if meta.get("type") != "class" or type(meta.get("version")) is not int:
        raise CheckpointError("a module in it is not of the layout that NVIDIA's tools write.")
    if meta["version"] != 6:
        raise CheckpointError(f"a module in it has persistence version {meta['version']}; version 6 is known.")
    return meta


def _modules(state: dict[Any, Any], name: str, budget: Budget) -> Iterator[tuple[str, dict[Any, Any]]]:
    """Every module of a network with its path, parents first; a module that contains itself is an error."""
    pending = [("", state, 0)]
    while pending:
        path, module, depth = pending.pop()
        yield path, module
        if depth > MAX_DEPTH:
            raise CheckpointError(f"the modules of {name} contain each other endlessly.")
        children = _table(module.get("_modules") or {}, f"the modules of {name}", budget)
        for key, child in reversed(children.items()):
            if child is None:
                continue
            full = f"{path}.{key}" if path else str(key)
            if not isinstance(child, PersistentObject):
                raise CheckpointError(f"module {shown(full)} of {name} is not of the layout that NVIDIA's tools write.")
            pending.append(
                (full, _table(_meta(child, budget).get("state"), f"module {shown(full)} of {name}", budget), depth + 1)
            )


TF_KINDS = {
    "stylegan2-tf": {"G_main", "D_stylegan2", "D_stylegan"},
    "stylegan-tf": {"G_style", "D_basic"},
    "progan-tf": {"G_paper", "D_paper"},
}
"""Kind -> the functions that build its networks."""


def _describe_tf(loaded: tuple[Any, ...] | list[Any], budget: Budget) -> ForeignFile:
    names = {1: ("Gs",), 3: ("G", "D", "Gs")}.get(len(loaded))
    if names is None:
        raise CheckpointError(f"it holds {len(loaded)} TensorFlow networks; three (G, D, Gs) or one are expected.")
    networks = {name: _tf_network(name, network, budget) for name, network in zip(names, loaded, strict=True)}
    functions = {network.builder for network in networks.values()}
    if len(networks) == 1 and any(function.startswith("D_") for function in functions):
        networks = {"D": networks["Gs"]}
    kind = next((kind for kind, known in TF_KINDS.items() if functions & known), None)
    if kind is None:
        known = ", ".join(sorted(set().union(*TF_KINDS.values())))
        raise CheckpointError(f"its TensorFlow networks were built by {shown(sorted(functions))}; known are {known}.")
    return ForeignFile(kind, networks, {})


def _tf_network(name: str, network: TfNetwork, budget: Budget) -> ForeignNetwork:
    state = _table(network.state, f"network {name}", budget)
    if state.get("version") not in (2, 3, 4):
        raise CheckpointError(f"network {name} has version {shown(state.get('version'))}; versions 2 to 4 are known.")
    tensors: dict[str, Array] = {}
    attributes: dict[str, dict[str, Any]] = {}
    pending: list[tuple[str, dict[Any, Any], int]] = [("", state, 0)]
    while pending:
        prefix, table, depth = pending.pop()
        attributes[prefix] = {"build_func_name": plain(table.get("build_func_name"), budget)}
        attributes[prefix]["static_kwargs"] = plain(table.get("static_kwargs") or {}, budget)
        variables = table.get("variables") or ()
        if not isinstance(variables, (tuple, list)):
            raise CheckpointError(f"the variables of network {name} are damaged.")
        budget.step(len(variables))
        for entry in variables:
            array = as_array(entry[1]) if isinstance(entry, (tuple, list)) and len(entry) == 2 else None
            if array is None or not isinstance(entry[0], str):
                raise CheckpointError(f"a variable of network {name} is damaged.")
            tensors[prefix + entry[0]] = array
        components = _table(table.get("components") or {}, f"the parts of network {name}", budget)
        if depth and components:
            raise CheckpointError(f"the parts of network {name} have parts themselves; genuine files have none.")
        for key, part in components.items():
            if not isinstance(part, TfNetwork):
                raise CheckpointError(f"part {shown(key)} of network {name} is not a network.")
            pending.append((f"{key}/", _table(part.state, f"part {shown(key)} of {name}", budget), depth + 1))
    options = plain(state.get("static_kwargs") or {}, budget)
    builder, source = _text(state.get("build_func_name")), _text(state.get("build_module_src"))
    return ForeignNetwork(name, builder, options, tensors, attributes, source)


# ------------------------------------------------------------------------------------------ plain values


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def plain(value: Any, budget: Budget, *, depth: int = 0) -> Any:
    """A copy of a value made of numbers, text and containers; what is nothing of these is left out."""
    budget.step()
    budget.make(PLAIN_BYTES)
    if depth > MAX_DEPTH:
        raise CheckpointError("the options in it are nested endlessly.")
    if isinstance(value, Namespace):
        value = value.state
    if isinstance(value, str):
        budget.make(min(len(value), MAX_TEXT))
        return value[:MAX_TEXT]
    if value is None or isinstance(value, (bool, int, float)):
        return value
    if isinstance(value, (ArrayRecord, TensorView)):
        return _plain_array(as_array(value), budget)
    if isinstance(value, dict):
        return {str(key)[:MAX_TEXT]: plain(item, budget, depth=depth + 1) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item, budget, depth=depth + 1) for item in value]
    if isinstance(value, set):
        budget.step(len(value))
        return sorted(str(item)[:MAX_TEXT] for item in value)
    return None


def _plain_array(array: Array | None, budget: Budget) -> Any:
    if array is None or array.size > MAX_TEXT:
        return None
    budget.step(array.size)
    return array.item() if array.ndim == 0 else array.tolist()


def _table(value: Any, what: str, budget: Budget) -> dict[Any, Any]:
    if not isinstance(value, dict):
        raise CheckpointError(f"{what} is damaged: a table is expected there.")
    budget.step(len(value))
    return value
