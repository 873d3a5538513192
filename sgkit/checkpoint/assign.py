"""Networks built around tensors that are there already: nothing is drawn, nothing copied, every misfit named."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from sgkit.errors import CheckpointError

__all__ = ["adopt", "name_list", "weightless"]

N = TypeVar("N", bound=nn.Module)
MAX_NAMED = 12


class _Weightless(TorchFunctionMode):
    """While it is on, fresh weights have a shape but no memory, so building a network costs nothing."""

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if func is torch.randn:
            kwargs = {**(kwargs or {}), "device": "meta"}
        return func(*args, **(kwargs or {}))


def adopt(build: Callable[[], N], tensors: Mapping[str, Tensor], *, what: str) -> N:
    """The network that ``build`` makes, with ``tensors`` as its parameters and buffers; they are not copied.

    Args:
        build: makes the network, such as ``lambda: Generator(config)``.
        tensors: state dict name -> tensor.
        what: how a message calls the network: ``"the generator"``.

    Raises:
        CheckpointError: tensors are missing, unknown, of another shape, or hold no floating-point numbers; each is
            named.
    """
    network = weightless(build, what=what)
    wanted = network.state_dict()
    problems = [
        *_each("missing", (name for name in wanted if name not in tensors)),
        *_each("unknown", (name for name in tensors if name not in wanted)),
        *_each("of another shape", _misfits(wanted, tensors)),
        *_each("no floating-point numbers", (n for n, t in tensors.items() if not t.is_floating_point())),
    ]
    if problems:
        raise CheckpointError(f"The file does not fit {what}. " + " ".join(problems))
    network.load_state_dict(dict(tensors), assign=True)
    return network


def weightless(build: Callable[[], N], *, what: str) -> N:
    """The network that ``build`` makes, its weights without memory or values: for its names, shapes and filters.

    Raises:
        CheckpointError: it cannot be built.
    """
    try:
        with _Weightless():
            return build()
    except (RuntimeError, OverflowError, TypeError) as error:
        raise CheckpointError(f"The configuration of {what} describes no network that can be built: {error}") from error


def _misfits(wanted: Mapping[str, Tensor], tensors: Mapping[str, Tensor]) -> Iterable[str]:
    for name, tensor in wanted.items():
        if name in tensors and tensors[name].shape != tensor.shape:
            yield f"{name} (is {list(tensors[name].shape)}, must be {list(tensor.shape)})"


def _each(what: str, names: Iterable[str]) -> list[str]:
    found = list(names)
    if not found:
        return []
    return [f"{len(found)} {'tensor is' if len(found) == 1 else 'tensors are'} {what}: {name_list(found)}."]


def name_list(names: Iterable[str]) -> str:
    """Names separated by commas; beyond a dozen the rest are counted."""
    found = list(names)
    rest = f" and {len(found) - MAX_NAMED} more" if len(found) > MAX_NAMED else ""
    return ", ".join(found[:MAX_NAMED]) + rest
