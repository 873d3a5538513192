"""A device that is none: its tensors keep their values on the CPU, and refuse to be mixed with the CPU's.

    python -m tests.gpu.pretended ARGUMENTS OF SGKIT

runs a command as on a GPU, on a machine without one, so that a tensor left on the CPU is found. It is slow: every
operation passes through Python. It shows neither speed nor rounding, and code that asks for "cuda" by name is not
reached.
"""

from __future__ import annotations

import contextlib
import importlib
import io
import pkgutil
import sys
from typing import Any

import torch
from torch import Tensor
from torch.utils import _pytree as pytree
from torch.utils._python_dispatch import TorchDispatchMode, return_and_correct_aliasing
from torch.utils.backend_registration import _DummyBackendModule, _setup_privateuseone_for_python_backend

NAME = "pretended"


class _Module(_DummyBackendModule):
    def get_amp_supported_dtype(self) -> list[torch.dtype]:
        return [torch.float16, torch.bfloat16]


_setup_privateuseone_for_python_backend(NAME, backend_module=_Module())
DEVICE = torch.device(f"{NAME}:0")
_aten = torch.ops.aten
CROSSING = {
    _aten._to_copy.default,
    _aten.copy_.default,
    _aten._local_scalar_dense.default,
    *(_aten.index.Tensor, _aten.index_put.default, _aten.index_put_.default, _aten._index_put_impl_.default),
}
"""Operations that may read tensors of both devices, as on CUDA."""


class Pretended(Tensor):
    """A tensor of the device around one of the CPU."""

    inner: Tensor

    @staticmethod
    def __new__(cls, inner: Tensor) -> Pretended:
        place = {"strides": inner.stride(), "storage_offset": inner.storage_offset()}
        made = Tensor._make_wrapper_subclass(cls, inner.shape, dtype=inner.dtype, device=DEVICE, **place)
        made.inner = inner
        return made

    def __repr__(self) -> str:
        return f"Pretended({self.inner!r})"

    def __deepcopy__(self, memo: Any) -> Tensor:
        made = Pretended(self.detach().inner.clone())
        if isinstance(self, torch.nn.Parameter):
            return torch.nn.Parameter(made, self.requires_grad)
        return made.requires_grad_(self.requires_grad)

    def tolist(self) -> Any:
        """As a tensor of a GPU, whose values come by themselves."""
        return self.detach().inner.tolist()

    def numpy(self, *, force: bool = False) -> Any:
        """As a tensor of a GPU, which has to be brought to the CPU first."""
        raise TypeError(f"can't convert {DEVICE} device type tensor to numpy. Use Tensor.cpu() first.")

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return _run(func, args, kwargs or {})


class Pretend(TorchDispatchMode):
    """Where the device exists."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return _run(func, args, kwargs or {})


def _run(func: Any, args: Any, kwargs: dict[str, Any]) -> Any:
    """Compute on the CPU what was asked for, and put the result where a GPU would have it."""
    tensors = [leaf for leaf in pytree.tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)]
    ours = [tensor for tensor in tensors if isinstance(tensor, Pretended)]
    theirs = [tensor for tensor in tensors if not isinstance(tensor, Pretended) and tensor.dim()]
    if ours and theirs and func not in CROSSING:
        shapes = [[tuple(tensor.shape) for tensor in side] for side in (ours, theirs)]
        raise RuntimeError(f"{func} of tensors {shapes[0]} on {DEVICE} and {shapes[1]} on the cpu.")
    device = kwargs.get("device")
    is_ours = bool(ours) if device is None else torch.device(device).type == DEVICE.type
    if func is _aten.copy_.default:
        is_ours = isinstance(args[0], Pretended)
    bare_args, bare = pytree.tree_map_only(Pretended, lambda tensor: tensor.inner, (args, kwargs))
    if device is not None and is_ours:
        bare = {key: value for key, value in bare.items() if key not in ("pin_memory", "non_blocking")}
        bare["device"] = torch.device("cpu")
    out = func(*bare_args, **bare)
    if func is _aten._to_copy.default and out is bare_args[0]:
        out = out.clone()
    if not is_ours or func is _aten._local_scalar_dense.default:
        return args[0] if func is _aten.copy_.default else out
    out = pytree.tree_map_only(Tensor, lambda x: x if isinstance(x, Pretended) else Pretended(x), out)
    return return_and_correct_aliasing(func, args, kwargs, out) if ours else out


def _inference_mode(mode: Any = True) -> Any:
    """Without gradients only: tensors of this device cannot be inference tensors."""
    if callable(mode):
        return torch.no_grad()(mode)
    return torch.no_grad() if mode else contextlib.nullcontext()


class _Generator(torch.Generator):
    """A source of random numbers on the CPU, whatever the device."""

    asked: torch.device

    def __new__(cls, device: Any = "cpu") -> _Generator:
        made = super().__new__(cls, "cpu")
        made.asked = torch.device(device)
        return made

    @property
    def device(self) -> torch.device:
        """Where its numbers are wanted."""
        return self.asked


def _register() -> torch.library.Library:
    """Give torch what it asks this device for by itself; what comes back must be kept."""
    library = torch.library.Library("aten", "IMPL")

    def empty(size: Any, *, dtype: Any = None, **_ignored: Any) -> Tensor:
        return Pretended(torch.empty(size, dtype=dtype or torch.get_default_dtype()))

    def empty_strided(size: Any, stride: Any, *, dtype: Any = None, **_ignored: Any) -> Tensor:
        return Pretended(torch.empty_strided(size, stride, dtype=dtype or torch.get_default_dtype()))

    def copy_from(source: Tensor, target: Tensor, non_blocking: bool = False) -> Tensor:
        _run(_aten.copy_.default, (target, source), {})
        return target

    library.impl("empty.memory_format", empty, "PrivateUse1")
    library.impl("empty_strided", empty_strided, "PrivateUse1")
    library.impl("_copy_from", copy_from, "PrivateUse1")
    return library


def _on_cpu(write: Any) -> Any:
    """``write`` of safetensors, which brings tensors of a GPU to the CPU by itself."""

    def written(tensors: dict[str, Tensor], *more: Any, **options: Any) -> Any:
        return write({name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}, *more, **options)

    return written


def install() -> torch.library.Library:
    """Make ``--device cuda`` mean this device, in this process, for good. Call it before sgkit is imported."""
    library = _register()
    torch.inference_mode = _inference_mode  # type: ignore[assignment, misc]
    torch.Generator = _Generator  # type: ignore[assignment, misc]
    torch.__future__.set_overwrite_module_params_on_conversion(True)
    import safetensors.torch

    for name in ("save", "save_file"):
        setattr(safetensors.torch, name, _on_cpu(getattr(safetensors.torch, name)))
    import sgkit
    from sgkit.runtime.device import resolve_device

    def resolve(name: str = "auto") -> torch.device:
        return DEVICE if name.startswith("cuda") else resolve_device(name)

    for found in pkgutil.walk_packages(sgkit.__path__, "sgkit."):
        with contextlib.suppress(ImportError):  # of extras that are not there
            module = importlib.import_module(found.name)
            if getattr(module, "resolve_device", None) is resolve_device:
                module.resolve_device = resolve  # type: ignore[attr-defined]
    return library


def main(commands: list[list[str]]) -> list[str]:
    """Run ``commands`` on the device; those that failed, each with the end of what it printed."""
    library = install()
    from sgkit.cli.app import main as sgkit_main

    failed = []
    with Pretend():
        for words in commands:
            printed = io.StringIO()
            with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed):
                code = sgkit_main([*words, "--device", "cuda"])
            if code:
                failed.append(f"{' '.join(words)}\n{printed.getvalue()[-600:]}")
    del library
    return failed


if __name__ == "__main__":
    sys.exit("\n".join(main([sys.argv[1:]])) or 0)
