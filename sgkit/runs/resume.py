"""The snapshot that a run continues from, and the state that it continues with."""

from __future__ import annotations

from dataclasses import dataclass

from sgkit import checkpoint
from sgkit.errors import TrainingError
from sgkit.model import build
from sgkit.runs.config import RunConfig
from sgkit.runs.events import ROLLBACK
from sgkit.runs.folder import RunFolder
from sgkit.runs.logs import read_log
from sgkit.runs.snapshots import Snapshot, damage
from sgkit.runs.state import load_state
from sgkit.runtime.distributed import DistributedContext
from sgkit.training.state import TrainState
from sgkit.training.transfer import Transfer, transfer


@dataclass(frozen=True, kw_only=True)
class StartingPoint:
    """Where a run continues."""

    snapshot: Snapshot | None = None
    """``None``: the run begins."""
    damaged: tuple[tuple[Snapshot, str], ...] = ()
    """Newer snapshots that cannot be used, and why."""
    lr_factor: float | None = None
    """Factor of the learning rates after a rollback to this snapshot; ``None``: there was none."""
    rollbacks: int = 0
    """Rollbacks so far."""


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
    """The point, or a sentence that says why there is none."""
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

    A new run has random weights, or those of the model that it starts from; then the second value says what was copied.

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
        done = transfer(checkpoint.load(config.init), networks, config=config.train)
    state = TrainState.start(networks.to(context.device), config.train)
    if point.snapshot is not None:
        load_state(state, point.snapshot.state)
        state.augment = state.augment.configured(config.train.augment)
    if point.lr_factor is not None:
        state.lr_factor = point.lr_factor
    return state, done
