from __future__ import annotations

import json
import socket
import sys
from pathlib import Path

import pytest
import torch
from torch import multiprocessing

from sgkit.errors import UsageError
from sgkit.runtime.distributed import DistributedContext, distributed


def test_alone_without_torchrun(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    with distributed("cpu") as context:
        assert (context.rank, context.world_size, context.is_main) == (0, 1, True)
        assert context.device == torch.device("cpu")
        context.barrier()
        assert context.all_reduce_sum(torch.tensor([3.0])).item() == 3.0
        assert context.broadcast(torch.tensor([4.0])).item() == 4.0
        assert context.gather_objects("a") == ["a"]


def test_incomplete_environment_says_how_to_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    for name in ("RANK", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(UsageError, match=r"WORLD_SIZE is 2 but RANK, LOCAL_RANK.*torchrun"), distributed("cpu"):
        pass


def test_main_is_rank_zero() -> None:
    assert not DistributedContext(rank=1, world_size=2).is_main


def _work(rank: int, folder: str, port: int) -> None:
    import os

    os.environ.update(
        WORLD_SIZE="2", RANK=str(rank), LOCAL_RANK=str(rank), MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port)
    )
    with distributed("cpu") as context:
        total = context.all_reduce_sum(torch.tensor([float(rank)])).item()
        seen = context.broadcast(torch.tensor([float(rank)])).item()
        everyone = context.gather_objects({"rank": context.rank})
        weight = torch.nn.Parameter(torch.ones(1))
        weight.sum().backward()
        torch.optim.SGD([weight]).step()  # loads parts of torch that would keep the group
        context.barrier()
    tasks = Path("/proc/self/task")
    names = [(task / "comm").read_text() for task in tasks.iterdir()] if tasks.is_dir() else []
    of_group = [name for name in names if "gloo" in name]
    Path(folder, f"{rank}.json").write_text(json.dumps([total, seen, everyone, of_group]))


@pytest.mark.skipif(sys.platform == "win32", reason="gloo needs a network device name there")
def test_two_processes_agree(tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    multiprocessing.spawn(_work, args=(str(tmp_path), port), nprocs=2)
    for rank in (0, 1):
        assert json.loads((tmp_path / f"{rank}.json").read_text()) == [1.0, 0.0, [{"rank": 0}, {"rank": 1}], []]
