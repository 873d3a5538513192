"""One process, or several started by ``torchrun``: rank, barrier and reductions. Everything else is torch's."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
import torch.distributed as dist

# Defaults of its functions name the group that there is when it is first imported, and optimizers import it: a group
# named there would never end, and its threads can abort the process at its end.
import torch.distributed.nn.functional

from sgkit.errors import UsageError
from sgkit.runtime.device import resolve_device


@dataclass(frozen=True, kw_only=True)
class DistributedContext:
    """Place of a process among the others. Made by :func:`distributed`; the default stands for a single process.

    Every method below must be called by all processes; with one process it does nothing.
    """

    rank: int = 0
    world_size: int = 1
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    """Where this process computes; its own GPU where there are several."""
    numbers: Callable[[str], int] | None = field(default=None, repr=False, compare=False)
    """Gives 1, 2, 3 ... under a name, each to one of the processes."""

    @property
    def is_main(self) -> bool:
        """Whether this process is the one that writes files and reports."""
        return self.rank == 0

    def barrier(self) -> None:
        """Wait until every process is here."""
        if self.world_size > 1:
            dist.barrier()

    def all_reduce_sum(self, tensor: torch.Tensor) -> torch.Tensor:
        """The sum of the processes' tensors, written into ``tensor`` and returned."""
        if self.world_size > 1:
            dist.all_reduce(tensor)
        return tensor

    def differentiable_sum(self, tensor: torch.Tensor) -> torch.Tensor:
        """The sum of the processes' tensors, whose gradient of any order is the sum of the processes' gradients.

        All processes must call it, and its backward pass, in the same order.
        """
        return _Sum.apply(tensor) if self.world_size > 1 else tensor  # type: ignore[no-untyped-call]

    def broadcast(self, tensor: torch.Tensor) -> torch.Tensor:
        """The main process's tensor, written into ``tensor`` and returned."""
        if self.world_size > 1:
            dist.broadcast(tensor, src=0)
        return tensor

    def claimed(self, name: str, count: int) -> Iterator[int]:
        """Numbers below ``count``, rising, each for one process only: whoever is free takes the next one.

        ``name`` must not be used twice in a job. Unlike the other methods, processes need not call it together.
        """
        if self.world_size == 1 or self.numbers is None:
            yield from range(count)
            return
        while (number := self.numbers(name) - 1) < count:
            yield number

    def gather_objects(self, value: Any) -> list[Any]:
        """The value of every process, by rank. Values travel pickled, between processes of one job only."""
        if self.world_size == 1:
            return [value]
        gathered: list[Any] = [None] * self.world_size
        dist.all_gather_object(gathered, value)
        return gathered


class _Sum(torch.autograd.Function):
    """A sum over processes is its own adjoint."""

    @staticmethod
    def forward(ctx: Any, tensor: torch.Tensor) -> torch.Tensor:  # noqa: ARG004
        """Return the sum, in a new tensor."""
        total = tensor.clone()
        dist.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> torch.Tensor:  # noqa: ARG004
        """Return the sum of the gradients."""
        return _Sum.apply(gradients[0])  # type: ignore[no-any-return,no-untyped-call]


@contextmanager
def distributed(device: str = "auto") -> Iterator[DistributedContext]:
    """The place of this process, read from the variables that ``torchrun`` sets; alone when there are none.

    The group (gloo on CPU, nccl on CUDA) is left when the block ends. With CUDA each process takes GPU ``LOCAL_RANK``.

    Raises:
        UsageError: the variables are incomplete, there are fewer GPUs than processes, or MPS is asked to be shared.
    """
    world_size = int(os.environ.get("WORLD_SIZE", "1"))
    if world_size == 1:
        yield DistributedContext(device=resolve_device(device))
        return
    missing = [name for name in ("RANK", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT") if name not in os.environ]
    if missing:
        raise UsageError(
            f"WORLD_SIZE is {world_size} but {', '.join(missing)} is not set. Start the processes with "
            "'torchrun --nproc-per-node N -m sgkit ...', or unset WORLD_SIZE to run alone."
        )
    own = _own_device(resolve_device(device), int(os.environ["LOCAL_RANK"]))
    numbers = _join_group("nccl" if own.type == "cuda" else "gloo")
    try:
        yield DistributedContext(rank=dist.get_rank(), world_size=world_size, device=own, numbers=numbers)
    finally:
        dist.destroy_process_group()


def is_lost(error: BaseException, context: DistributedContext) -> bool:
    """Whether ``error`` is how torch says that the connection to another process broke."""
    words = r"gloo|nccl|connection|peer|socket"
    is_torch = isinstance(error, RuntimeError) and re.search(words, str(error), re.IGNORECASE) is not None
    return context.world_size > 1 and is_torch


def _join_group(backend: str) -> Callable[[str], int]:
    """Meet the other processes where ``torchrun`` says; the result counts for all of them, under a name.

    Addresses go under the number of the attempt: the store outlives a restart, and without that a process might try to
    reach one that is gone.
    """
    store, rank, world_size = next(iter(dist.rendezvous("env://")))  # type: ignore[attr-defined]
    attempt = os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")
    apart = dist.PrefixStore(f"attempt {attempt}", store)  # type: ignore[attr-defined]
    dist.init_process_group(backend, store=apart, rank=rank, world_size=world_size)
    return lambda name: int(apart.add(f"sgkit {name}", 1))


def _own_device(device: torch.device, local_rank: int) -> torch.device:
    if device.type == "mps":
        raise UsageError("MPS cannot be shared by several processes. Run one process, or use --device cpu.")
    if device.type != "cuda":
        return device
    if device.index is not None:
        raise UsageError(f"Device {str(device)!r} cannot be shared by several processes. Use --device cuda.")
    if local_rank >= torch.cuda.device_count():
        raise UsageError(
            f"Process {local_rank} of this machine has no GPU: this machine has {torch.cuda.device_count()}. "
            "Start at most one process per GPU, or use --device cpu."
        )
    torch.cuda.set_device(local_rank)
    return torch.device("cuda", local_rank)
