"""The allow-list: every global that a checkpoint of a known project names, and what it becomes here.

Names are matched whole: allowing ``torch._utils._rebuild_tensor_v2`` allows nothing else of that module, however the
rest of a dotted path is spelled. Nothing is ever looked up in a real module.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Any

from sgkit.errors import CheckpointError
from sgkit.unpickle.arrays import DTYPES, STORAGE_TYPES, ArrayRecord, DtypeRecord, Storage, TensorView, array_of
from sgkit.unpickle.budget import Budget
from sgkit.unpickle.stand_ins import Allowed, Buildable, Refused, shown, table_key


class PersistentObject:
    """A module of NVIDIA's PyTorch projects: ``meta`` holds type, class name, state, and a source text never used."""

    def __init__(self, meta: Any) -> None:
        self.meta = meta


class Instance(Buildable):
    """An object with a table of attributes."""

    state: Any = None

    def build(self, state: Any) -> None:
        """Take the table."""
        self.state = state


class TfNetwork(Instance):
    """A ``Network`` of NVIDIA's TensorFlow projects."""


class Namespace(Instance):
    """Command-line arguments that rosinality's training scripts save."""


class AllowList:
    """Finds what a global becomes; one for each file, as it shares the file's budget.

    Args:
        budget: where refusals are remembered.
        load_bytes: reads a torch file nested in a byte string.
    """

    def __init__(self, budget: Budget, load_bytes: Callable[[Any], Any]) -> None:
        self.budget = budget
        self._table = _table(budget, load_bytes)

    def find(self, module: str, name: str) -> Any:
        """The :class:`Allowed` of a global; else a :class:`Refused` object, and the budget remembers the name."""
        found = self._table.get((module, name))
        return found if found is not None else self.budget.refuse(shown(f"{module}.{name}").strip("'"))


DROPPED = (
    *(("torch", "device"), ("datetime", "datetime"), ("datetime", "date"), ("datetime", "timedelta")),
    *(("pathlib", name) for name in ("Path", "PosixPath", "WindowsPath", "PurePosixPath", "PureWindowsPath")),
    *(("pathlib._local", name) for name in ("PosixPath", "WindowsPath")),
)
"""Values that training tools keep among their options and that say nothing about a network; they become ``None``."""
MENTIONED = (
    *(("torch", name) for name in ("float16", "bfloat16", "float32", "float64", "int32", "int64", "uint8", "bool")),
    *((module, name) for module in ("builtins", "__builtin__") for name in ("list", "dict", "int", "float", "str")),
)
"""Types that are named, as what a table makes for missing keys or what a tensor was, and that are never called."""
TABLES = (
    *(("collections", "defaultdict"), ("collections", "Counter"), ("easydict", "EasyDict"), ("addict.addict", "Dict")),
    *(("dnnlib.util", "EasyDict"), ("dnnlib", "EasyDict")),
    ("pytorch_lightning.utilities.parsing", "AttributeDict"),
    ("lightning.fabric.utilities.data", "AttributeDict"),
    ("lightning_fabric.utilities.data", "AttributeDict"),
)
"""Kinds of tables that tools keep their options in."""


def _table_of(items: Any = None, *_: Any) -> dict[Any, Any]:
    """An empty table that is filled next; or the one that was given."""
    return items if isinstance(items, dict) else {}


def _table(budget: Budget, load_bytes: Callable[[Any], Any]) -> dict[tuple[str, str], Allowed]:
    makers: dict[tuple[str, str], Callable[..., Any] | None] = {
        ("collections", "OrderedDict"): _ordered_dict,
        ("builtins", "set"): _set,
        ("__builtin__", "set"): _set,
        ("_codecs", "encode"): _encode,
        ("numpy", "ndarray"): None,
        ("numpy", "dtype"): lambda code, *_: _dtype(budget, code),
        ("torch._utils", "_rebuild_tensor_v2"): _rebuild_tensor,
        ("torch._utils", "_rebuild_parameter"): lambda data, *_: data,
        ("torch", "Size"): _size,
        ("torch.storage", "_load_from_bytes"): load_bytes,
        ("torch_utils.persistence", "_reconstruct_persistent_obj"): PersistentObject,
        ("dnnlib.tflib.network", "Network"): TfNetwork,
        ("tfutil", "Network"): TfNetwork,
        ("argparse", "Namespace"): Namespace,
        ("types", "SimpleNamespace"): Namespace,
    }
    for core in ("numpy.core.multiarray", "numpy._core.multiarray"):
        makers[core, "_reconstruct"] = lambda *parts: _reconstruct(budget, *parts)
        makers[core, "scalar"] = lambda *parts: _scalar(budget, *parts)
    for storage in STORAGE_TYPES:
        makers["torch", storage] = None
    makers |= dict.fromkeys(MENTIONED) | dict.fromkeys(DROPPED, lambda *_: None) | dict.fromkeys(TABLES, _table_of)
    return {key: Allowed(".".join(key), make) for key, make in makers.items()}


def _sequence(items: Any, what: str) -> list[Any] | tuple[Any, ...]:
    if not isinstance(items, (list, tuple)):
        raise CheckpointError(f"{what} in it is damaged.")
    return items


def _ordered_dict(pairs: Any = ()) -> OrderedDict[Any, Any]:
    pairs = _sequence(pairs, "an ordered table")
    if not all(isinstance(pair, (list, tuple)) and len(pair) == 2 for pair in pairs):
        raise CheckpointError("an ordered table in it is damaged.")
    return OrderedDict((table_key(key), value) for key, value in pairs)


def _set(items: Any = ()) -> set[Any]:
    return {table_key(item) for item in _sequence(items, "a set")}


def _size(items: Any = ()) -> tuple[Any, ...]:
    return tuple(_sequence(items, "a torch size"))


def _encode(text: Any, coding: Any = "latin1") -> bytes:
    """How Python 3 spells byte strings in protocol 2."""
    if not isinstance(text, str) or coding not in ("latin1", "latin-1"):
        raise CheckpointError(f"it asks for text encoded as {shown(coding)}; only latin1 is used for byte strings.")
    return text.encode("latin-1")


def _dtype(budget: Budget, code: Any) -> DtypeRecord | Refused:
    if isinstance(code, str) and code in DTYPES:
        return DtypeRecord(code)
    odd = not isinstance(code, str) or code[:1] not in "O|"
    what = "a NumPy array of an odd type" if odd else "a NumPy array of Python objects"
    return budget.refuse(f"{what} (type {shown(code)})")


def _reconstruct(budget: Budget, array_class: Any, *_: Any) -> ArrayRecord:
    if not isinstance(array_class, Allowed) or array_class.name != "numpy.ndarray":
        raise CheckpointError("it holds a NumPy array of an unknown class.")
    return ArrayRecord(budget)


def _scalar(budget: Budget, dtype: Any, data: Any = b"") -> ArrayRecord:
    return ArrayRecord(budget, array_of(data, dtype, (), budget=budget))


def _rebuild_tensor(storage: Any, offset: Any, size: Any, stride: Any, *_: Any) -> Any:
    if isinstance(storage, Refused):
        return storage
    return TensorView(storage if isinstance(storage, Storage) else None, offset, size, stride)
