"""Train a generator on the images of a store, into a run directory; resume a run exactly at its last snapshot."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

from sgkit.errors import SgkitError
from sgkit.runs.configure import Request, configured, is_restarted, run_precision
from sgkit.runs.estimate import bounded
from sgkit.runs.events import OnEvent, ignore_event
from sgkit.runs.folder import RunFolder
from sgkit.runs.run import Run, TrainResult
from sgkit.runtime.distributed import DistributedContext, distributed
from sgkit.runtime.progress import OnProgress, ignore_progress
from sgkit.store import StoreDataset


def train(
    store: str | Path,
    out: str | Path,
    *,
    preset: str | None = None,
    config: Mapping[str, Any] | None = None,
    settings: Mapping[str, Any] | None = None,
    resume: bool = False,
    new_data: bool = False,
    memory_gib: float | None = None,
    device: str = "auto",
    should_stop: Callable[[], str | None] = lambda: None,
    on_progress: OnProgress = ignore_progress,
    on_event: OnEvent = ignore_event,
) -> TrainResult:
    """How a run over the images of ``store`` ended; its files are in ``out``. Under torchrun, all processes call it.

    Args:
        store: what ``sgkit prepare`` made; it decides image size, channels and labels.
        out: the run directory: new, or with ``resume`` one that may hold a run.
        preset: a name from :data:`sgkit.config.presets.PRESETS`; ``auto`` or ``None``: chosen by images and machine. A
            resumed run knows its own.
        config: dotted keys of :class:`sgkit.runs.config.RunConfig` as a configuration file has them.
        settings: dotted keys over these, such as ``"train.batch"``; one that has no effect is refused.
        resume: continue from the last complete snapshot, or start a new run if there is none. A process that torchrun
            has restarted resumes in any case.
        new_data: a resumed run continues with the images of ``store``, which are different from those before.
        memory_gib: split batches (``train.micro_batch``) to need less memory than this, by measuring a few steps.
        device: ``auto``, ``cpu``, ``cuda``, ``cuda:N`` or ``mps``.
        should_stop: asked after each step; a reason makes the run save a snapshot and return.
        on_progress: called after each step.
        on_event: called with each event, for example a damaged snapshot or signs of collapse.

    Raises:
        InputError: ``out`` exists already, or is not a run.
        ConfigError: an unknown preset or key, or a value that does not fit the images.
        StoreError: the store cannot be used.
        NonFiniteError: a loss or gradient is not finite, and the policy ``health.nonfinite`` has come to its end.
        TrainingError: the run cannot continue: different images, no complete snapshot, a full disk, a lost process.
    """
    request = Request(
        store=str(store),
        preset=preset,
        base=config or {},
        settings=settings or {},
        new_data=new_data,
        memory_gib=memory_gib,
        is_restarted=is_restarted(),
    )
    with distributed(device) as context, ExitStack() as held:
        folder, dataset = RunFolder(Path(out)), StoreDataset(store)
        is_resumed = (resume or request.is_restarted) and folder.config_file.exists()
        if is_resumed:
            _lock(folder, context, held)
        else:
            folder.check_new()
        chosen = configured(folder if is_resumed else None, dataset, request, context)
        if chosen.model.label_dim == 0:
            dataset = dataset.unlabelled()
        precision = run_precision(chosen, request, context, resumed=is_resumed)
        chosen = replace(chosen, train=replace(chosen.train, precision=precision))
        if memory_gib is not None:
            bound = bounded(chosen, context, precision, memory_gib)[0] if context.is_main else None
            chosen = context.gather_objects(bound)[0]
        if not is_resumed:
            _lock(folder, context, held)
            folder.check_new()  # once more: another run may have come and gone
        context.barrier()  # nobody writes before everybody has looked
        run = Run(folder, chosen, dataset, context, precision, on_progress=on_progress, on_event=on_event)
        return run.go(should_stop)


def _lock(folder: RunFolder, context: DistributedContext, held: ExitStack) -> None:
    """Have the main process hold the folder as long as ``held`` lasts; what stands against it, all processes raise."""
    problem: SgkitError | None = None
    try:
        if context.is_main:
            held.enter_context(folder.locked())
    except SgkitError as error:
        problem = error
    found: SgkitError | None = context.gather_objects(problem)[0]
    if found is not None:
        raise found
