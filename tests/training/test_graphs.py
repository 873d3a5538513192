from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from sgkit.config import AugmentConfig, ModelConfig, TrainConfig
from sgkit.errors import NonFiniteError
from sgkit.model import build
from sgkit.runtime.distributed import DistributedContext
from sgkit.training import batches, rng
from sgkit.training.graphs import Graphs, why_no_graphs
from sgkit.training.loop import TrainReport
from sgkit.training.rng import Rng, counted_normal
from sgkit.training.state import TrainState
from tests.training.driver import changed, run, steps, tensors

CPU = torch.device("cpu")


class Recorder:
    """Stands for CUDA's graphs: does the same work again, with the same tensors."""

    def __init__(self) -> None:
        self.recorded = self.replayed = 0

    def __call__(self, function: Callable[[], Tensor]) -> Callable[[], Tensor]:
        self.recorded += 1

        def replay() -> Tensor:
            self.replayed += 1
            return function()

        return replay


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Noise over pixels as CUDA gets it."""
    monkeypatch.setattr(Rng, "is_counted", True)


def fused(state: TrainState) -> TrainState:
    """``state`` with the optimizers that CUDA gets."""
    for optimizer in state.optimizers.values():
        for group in optimizer.param_groups:
            group |= {"fused": True, "foreach": False}
        optimizer._step_supports_amp_scaling = True  # type: ignore[attr-defined]
    return state


@pytest.mark.usefixtures("counted")
@pytest.mark.parametrize(
    "options",
    [
        pytest.param({}, id="plain"),
        pytest.param({"micro_batch": 4}, id="shards"),
        pytest.param({"augment": AugmentConfig(kind="diffaugment")}, id="diffaugment"),
        pytest.param({"style_mixing_prob": 0.0, "pl_interval": 1, "d_reg_interval": 1}, id="every step"),
        pytest.param({"precision": "bf16"}, id="bf16"),
        pytest.param({"d_blur_sigma": 2.0, "d_blur_kimg": 0.02}, id="blurred at first"),
    ],
)
def test_recorded_updates_train_exactly_as_called_ones(
    start: Callable[[TrainConfig], TrainState], train_config: TrainConfig, options: dict[str, Any]
) -> None:
    config, recorder = replace(train_config, **options), Recorder()
    called, recorded = start(config), start(config)
    plain = run(called, config)
    again = run(recorded, config, graphs=Graphs(recorder))
    assert recorder.recorded >= 2
    assert recorder.replayed >= 4
    assert changed(tensors(called), tensors(recorded)) == set()
    assert [report.values for report in plain] == [report.values for report in again]


@pytest.mark.usefixtures("counted")
def test_nothing_is_recorded_that_a_cuda_graph_could_not_hold(
    model_config: ModelConfig, train_config: TrainConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Random generators of the device, and copies to it, are refused during a capture; so is reading values."""
    forbidden: list[str] = []
    recording = False

    def guard(module: Any, name: str) -> None:
        plain = getattr(module, name)

        def guarded(*given: Any, **options: Any) -> Any:
            if recording:
                forbidden.append(name)
            return plain(*given, **options)

        monkeypatch.setattr(module, name, guarded)

    for module, name in ((rng, "torch_generator"), (rng, "to_device"), (batches, "to_device")):
        guard(module, name)
    for name in ("item", "tolist", "__float__", "__bool__", "cpu"):
        guard(torch.Tensor, name)

    def capture(function: Callable[[], Tensor]) -> Callable[[], Tensor]:
        def replay() -> Tensor:
            nonlocal recording
            recording = True
            try:
                return function()
            finally:
                recording = False

        return replay

    for has_noise in (True, False):
        synthesis = replace(model_config.synthesis, use_noise=has_noise)
        state = fused(TrainState.start(build(replace(model_config, synthesis=synthesis), seed=1), train_config))
        for report in steps(state, train_config, waits=False, graphs=Graphs(capture)):
            assert report.notes == ()
    assert forbidden == []


@pytest.mark.usefixtures("counted")
def test_with_changing_augmentation_only_path_lengths_are_recorded(
    start: Callable[[TrainConfig], TrainState], train_config: TrainConfig
) -> None:
    config, recorder = replace(train_config, augment=AugmentConfig(kind="fixed", p=0.5)), Recorder()
    called, recorded = start(config), start(config)
    run(called, config)
    run(recorded, config, graphs=Graphs(recorder))
    assert (recorder.recorded, recorder.replayed) == (1, 2)
    assert changed(tensors(called), tensors(recorded)) == set()


@pytest.mark.usefixtures("counted")
def test_an_update_that_cannot_be_recorded_is_called_and_the_report_says_why(
    start: Callable[[TrainConfig], TrainState], train_config: TrainConfig
) -> None:
    def refuses(function: Callable[[], Tensor]) -> Callable[[], Tensor]:
        raise RuntimeError("operation not permitted when stream is capturing\nmore lines")

    called, recorded = start(train_config), start(train_config)
    run(called, train_config)
    reports = run(recorded, train_config, graphs=Graphs(refuses))
    assert changed(tensors(called), tensors(recorded)) == set()
    assert [note for report in reports for note in report.notes] == [
        "Training without CUDA graphs: update_g cannot be recorded (operation not permitted when stream is capturing)."
    ]


def test_values_may_be_read_later(start: Callable[[TrainConfig], TrainState], train_config: TrainConfig) -> None:
    waiting, ahead = fused(start(train_config)), fused(start(train_config))
    now, later = run(waiting, train_config), run(ahead, train_config, waits=False)
    assert changed(tensors(waiting), tensors(ahead)) == set()
    assert all(report.pending is not None and "loss_g" not in report.values for report in later)
    assert [report.values for report in now] == [report.read().values for report in later]


def poisoned(model: ModelConfig, config: TrainConfig) -> Iterator[TrainReport]:
    """Steps of a run whose discriminator gives no numbers from the third on."""
    state = fused(TrainState.start(build(model, seed=1), config))
    for report in steps(state, config, waits=False, skip_nonfinite=True):
        if report.step == 2:
            state.discriminator.layer(state.discriminator.plan[-1].name).bias.fill_(torch.nan)  # type: ignore[operator]
            poisoned.before = tensors(state)  # type: ignore[attr-defined]
        poisoned.after = tensors(state)  # type: ignore[attr-defined]
        yield report


def test_an_update_that_is_not_finite_leaves_itself_out(model_config: ModelConfig, train_config: TrainConfig) -> None:
    config = replace(train_config, pl_weight=0.0, total_kimg=0.024)
    reports = [report.read() for report in poisoned(model_config, config)]
    assert [len(report.skipped) for report in reports] == [0, 0, 2]
    assert "At 0.016 kimg (step 2) loss_g is not finite (nan): this update was skipped." in reports[-1].skipped
    moved = changed(poisoned.before, poisoned.after)  # type: ignore[attr-defined]
    assert not [name for name in moved if not name.startswith("generator.")]  # the average follows, all else rests


def test_reading_a_step_that_is_not_finite_raises_where_updates_may_not_be_skipped(
    start: Callable[[TrainConfig], TrainState], train_config: TrainConfig
) -> None:
    state = fused(start(train_config))
    state.generator.mapping.w_avg.zero_()
    next(iter(state.discriminator.parameters())).data.fill_(torch.nan)
    report = next(steps(state, train_config, waits=False))
    with pytest.raises(NonFiniteError, match=r"^At 0.000 kimg \(step 0\) loss_g is not finite \(nan\)\. The last"):
        report.read()


def test_nothing_is_said_of_graphs_on_a_cpu(
    start: Callable[[TrainConfig], TrainState], train_config: TrainConfig
) -> None:
    assert why_no_graphs(train_config, DistributedContext(device=CPU), "fp32") == "CUDA graphs need a CUDA device"
    assert [report.notes for report in run(start(train_config), train_config)] == [()] * 6


@pytest.mark.parametrize(
    ("options", "precision", "reason"),
    [
        ({}, "fp32", None),
        ({"cuda_graphs": "off"}, "fp32", "train.cuda_graphs is off"),
        ({}, "fp16", "fp16 chooses its loss scale by what each update finds"),
        ({"compile": True}, "bf16", "train.compile is on"),
    ],
)
def test_what_a_gpu_can_record(options: dict[str, Any], precision: Any, reason: str | None) -> None:
    context = DistributedContext(device=torch.device("cuda"))
    assert why_no_graphs(TrainConfig(**options), context, precision) == reason


def test_counted_noise_is_normal_and_of_each_key() -> None:
    keys = torch.tensor([1, 2, 2**62 + 5])
    values = counted_normal(keys, 20001)
    assert values.shape == (3, 20001)
    assert values.mean(dim=1).abs().max() < 0.03
    assert (values.var(dim=1) - 1).abs().max() < 0.05
    assert (values.pow(4).mean(dim=1) - 3).abs().max() < 0.25
    assert torch.corrcoef(values).fill_diagonal_(0).abs().max() < 0.03
    assert torch.corrcoef(torch.stack([values[0, :-1], values[0, 1:]]))[0, 1].abs() < 0.03
    assert torch.equal(counted_normal(keys[1:2], 20001)[0], values[1])
    assert torch.equal(counted_normal(keys, 100), values[:, :100])


@pytest.mark.usefixtures("counted")
def test_counted_noise_of_an_image_does_not_depend_on_its_batch(model_config: ModelConfig) -> None:
    plan = build(model_config).generator.synthesis.plan
    rng = Rng(seed=3, device=CPU)
    both, one = (rng.noise("g.noise", numbers, plan).maps for numbers in ([4, 5], [5]))
    assert both.keys() == {spec.name for spec in plan if spec.has_noise}
    for spec in plan:
        if spec.has_noise:
            assert both[spec.name].shape == (2, 1, *spec.size)
            assert torch.equal(both[spec.name][1:], one[spec.name])
