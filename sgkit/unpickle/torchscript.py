"""The tensors of TorchScript archives, by name. The programs in them are not even looked at.

``torch.jit.save`` writes a zip archive as ``torch.save`` does: ``data.pkl`` is a pickle of the module, an object whose
class is in the archive's own ``code/``, with a table of parameters, buffers and submodules for its state.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from sgkit.errors import CheckpointError
from sgkit.runtime import limits
from sgkit.unpickle.allowed import AllowList, Instance
from sgkit.unpickle.arrays import as_array
from sgkit.unpickle.budget import Budget, bad_data
from sgkit.unpickle.mapped import mapped_file, written_bytes
from sgkit.unpickle.stand_ins import Allowed
from sgkit.unpickle.torch_files import read_members
from sgkit.unpickle.zips import ZIP_START, stored_members

MAX_DEPTH = 64
"""Of modules in modules."""
CLASSES = "__torch__."
"""Starts the names of the classes of an archive."""
LISTS = ("build_intlist", "build_doublelist", "build_boollist", "build_tensorlist", "restore_type_tag")
"""Functions of ``torch.jit._pickle`` that say what a list is made of."""


class ScriptAllowList(AllowList):
    """What a TorchScript archive may name beyond other torch files: its own classes, and kinds of lists."""

    def find(self, module: str, name: str) -> Any:
        """The :class:`Allowed` of a global; a class of the archive becomes a table of attributes."""
        if f"{module}.".startswith(CLASSES):
            return Allowed(CLASSES, Instance)
        if module == "torch.jit._pickle" and name in LISTS:
            return Allowed(name, lambda values, *_: values)
        return super().find(module, name)


def load_script_tensors(path: str | Path) -> dict[str, np.ndarray[Any, Any]]:
    """The parameters and buffers of a TorchScript archive, named as in its state dict; views of the mapped file.

    Raises:
        CheckpointError: the file is damaged or hostile, or holds something else.
        OSError: it cannot be read.
    """
    with limits.open_regular(path) as file:
        data = mapped_file(file)
        budget = Budget(written_bytes(file))
        with budget.guarding(), bad_data("it"):
            if bytes(data[: len(ZIP_START)]) != ZIP_START:
                raise CheckpointError("it is not a TorchScript archive: it does not start as a zip archive.")
            members = stored_members(data, needed=_is_data)
            module = read_members(members, ScriptAllowList(budget, _no_nested).find, budget)
            if not isinstance(module, Instance):
                raise CheckpointError("it is not a TorchScript archive: it does not hold a module.")
    tensors = _tensors(module)
    if not tensors:
        raise CheckpointError("it is a TorchScript archive without tensors.")
    return tensors


def _is_data(name: str) -> bool:
    """Whether a member holds data of the module; all else is code and its constants."""
    inner = name.partition("/")[2]
    return inner in ("data.pkl", "byteorder") or inner.startswith("data/")


def _no_nested(*_: Any) -> Any:
    raise CheckpointError("it nests a torch stream, which TorchScript archives never do.")


def _tensors(module: Instance) -> dict[str, np.ndarray[Any, Any]]:
    """Name -> tensor, of a module and those in it; a module that is there twice counts under its first name."""
    found: dict[str, np.ndarray[Any, Any]] = {}
    level, seen = [("", module)], set[int]()
    for _ in range(MAX_DEPTH):
        below = []
        for prefix, one in level:
            if not isinstance(one.state, dict) or id(one.state) in seen:
                continue
            seen.add(id(one.state))
            for name, value in one.state.items():
                array = as_array(value)
                if array is not None:
                    found[f"{prefix}{name}"] = array
                elif isinstance(value, Instance):
                    below.append((f"{prefix}{name}.", value))
        level = below
    if level:
        raise CheckpointError(f"its modules are nested deeper than {MAX_DEPTH} levels; no network needs that.")
    return found
