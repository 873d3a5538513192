"""Choosing the snapshot that a run goes on from, and putting a state into one."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from safetensors import SafetensorError

from sgkit import checkpoint
from sgkit.errors import TrainingError
from sgkit.faults import explain
from sgkit.model import ModelInfo, build
from sgkit.runs.folder import RunConfig, RunFolder
from sgkit.runs.logs import read_log
from sgkit.runs.snapshots import Snapshot, damage
from sgkit.runs.state import load_state, save_state
from sgkit.runtime.distributed import DistributedContext
from sgkit.training.schedules import stage_at
from sgkit.training.state import TrainState
from sgkit.training.transfer import Transfer, transfer

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
ROLLBACK = "rollback"
"""Name of the event that tells of going back to a snapshot."""


@dataclass(frozen=True, kw_only=True)
class StartingPoint:
    """Where a run goes on."""

    snapshot: Snapshot | None = None
    """``None``: it begins."""
    damaged: tuple[tuple[Snapshot, str], ...] = ()
    """Newer snapshots that cannot be used, and why."""
    lr_factor: float | None = None
    """What the learning rates were lowered to when the run went back to this very snapshot; ``None``: it did not."""
    rollbacks: int = 0
    """How often the run has gone back so far."""


def starting_point(folder: RunFolder, context: DistributedContext) -> StartingPoint:
    """The newest whole snapshot of a run, found by the main process for all.

    Raises:
        TrainingError: there are snapshots, but all are damaged.
    """
    found = context.gather_objects(_starting_point(folder) if context.is_main else None)[0]
    if isinstance(found, str):
        raise TrainingError(found)
    assert isinstance(found, StartingPoint)
    return found


def _starting_point(folder: RunFolder) -> StartingPoint | str:
    """The point, or the sentence that says why there is none."""
    damaged: list[tuple[Snapshot, str]] = []
    for snapshot in reversed(folder.snapshots()):
        problem = damage(snapshot)
        if problem is None:
            rollbacks = [
                line
                for line in read_log(folder.path)
                if line.get("event") == ROLLBACK and line["images"] <= snapshot.images
            ]
            here = [float(line["lr_factor"]) for line in rollbacks if line["images"] == snapshot.images]
            return StartingPoint(
                snapshot=snapshot,
                damaged=tuple(damaged),
                lr_factor=here[-1] if here else None,
                rollbacks=len(rollbacks),
            )
        damaged.append((snapshot, problem))
    if damaged:
        reasons = "; ".join(f"{snapshot.folder.name}: {problem}" for snapshot, problem in damaged)
        return (
            f"{folder.path} cannot be resumed: all of its {len(damaged)} snapshots are damaged ({reasons}). Nothing "
            "was changed. Put one back from a copy, or start a new run."
        )
    return StartingPoint()


def state_at(
    point: StartingPoint, config: RunConfig, context: DistributedContext
) -> tuple[TrainState, Transfer | None]:
    """The state at ``point``, on this process's device.

    Where the run begins it is freshly drawn, with the weights of the model that it begins from, if any; then also what
    became of these.

    Raises:
        ConfigError: nothing of that model fits.
    """
    networks, done = build(config.model, seed=config.train.seed), None
    if point.snapshot is not None:
        saved = checkpoint.load(point.snapshot.model).networks()
        for name, network in networks.networks().items():
            # Copied into memory of our own: what is loaded may be mapped from the file.
            network.load_state_dict(saved[name].state_dict())
    elif config.init is not None:
        done = transfer(checkpoint.load(config.init), networks)
    state = TrainState.start(networks.to(context.device), config.train)
    if point.snapshot is not None:
        load_state(state, point.snapshot.state)
        state.augment = state.augment.configured(config.train.augment)
    if point.lr_factor is not None:
        state.lr_factor = point.lr_factor
    return state, done


def save_snapshot(folder: RunFolder, state: TrainState, config: RunConfig) -> None:
    """Write the snapshot of ``state``."""

    def write(snapshot: Snapshot) -> None:
        provenance = {"preset": config.preset, **config.data.to_dict(), "seed": config.train.seed}
        if config.init is not None:
            provenance |= {"init": config.init, "init_kimg": config.init_kimg}
        if config.train.augment.kind == "ada":
            provenance["augment_pipe"] = {"p": state.augment.p}
        lod = stage_at(state.images, config.model, config.train).lod
        state.model.info = ModelInfo(kimg=state.kimg, lod=lod, provenance=provenance)
        checkpoint.save(state.model, snapshot.model)
        save_state(state, snapshot.state)

    folder.write_snapshot(state.images, write)


@contextmanager
def writing(what: str, folder: Path) -> Iterator[None]:
    """A block that writes ``what`` into a run; a full disk becomes an error that says how to go on.

    Raises:
        TrainingError: the system refused to write.
    """
    try:
        yield
    except (OSError, SafetensorError) as error:
        number = getattr(error, "errno", None)
        fault = explain(OSError(number, os.strerror(number)) if number else error)
        reason = fault.text.rstrip(".") if fault else str(error)
        advice = (
            "Make room (--keep N holds only the newest N and the best snapshot)" if number in _FULL else "Correct this"
        )
        complete = "Earlier snapshots are complete" if RunFolder(folder).snapshots() else "There is no snapshot yet"
        raise TrainingError(
            f"Cannot write {what} into {folder}: {reason}. {complete}. {advice}, then continue with --resume."
        ) from error
