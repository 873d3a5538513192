"""What a step does, and what it must not hang on: micro-batches, and where a run was interrupted."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from sgkit.config import ModelConfig, TrainConfig
from sgkit.errors import ConfigError, TrainingError
from sgkit.training.batches import check_batch, share
from sgkit.training.loop import train
from sgkit.training.rng import Rng
from sgkit.training.schedules import Stage, ema_beta
from tests.training.driver import changed, resumed, run, supply_for, tensors


def test_reports_count_images_and_name_regularizers_when_applied(start: Any, train_config: TrainConfig) -> None:
    reports = run(start(train_config), train_config)
    assert [(report.step, report.images) for report in reports] == [(n, 8 * n) for n in range(1, 7)]
    assert ["loss_pl" in report.values for report in reports] == [True, False, True, False, True, False]
    assert ["loss_r1" in report.values for report in reports] == [True, False, False, True, False, False]
    assert all(math.isfinite(value) for report in reports for value in report.values.values())
    assert all(abs(report.values["sign_real"]) <= 1 for report in reports)


def test_a_killed_run_resumes_bit_for_bit(start: Any, train_config: TrainConfig, tmp_path: Path) -> None:
    straight = start(train_config)
    expected_reports = run(straight, train_config)

    first = start(train_config)
    run(first, replace(train_config, total_kimg=0.024))
    second = resumed(first, train_config, tmp_path / "state.safetensors")
    assert (second.images, second.step) == (24, 3)
    reports = run(second, train_config)

    assert [report.values for report in reports] == [report.values for report in expected_reports[3:]]
    assert changed(tensors(second), tensors(straight)) == set()


@pytest.mark.parametrize("micro_batch", [2, 4])
def test_accumulated_batches_train_as_whole_ones(start: Any, train_config: TrainConfig, micro_batch: int) -> None:
    whole, parts = start(train_config), start(train_config)
    expected = run(whole, train_config)
    got = run(parts, replace(train_config, micro_batch=micro_batch))
    for one, other in zip(got, expected, strict=True):
        assert one.values == pytest.approx(other.values, rel=2e-4, abs=1e-5)


def test_a_micro_batch_that_is_no_divisor_is_fine(start: Any, train_config: TrainConfig) -> None:
    whole, parts = start(train_config), start(train_config)
    expected = run(whole, replace(train_config, total_kimg=0.008))
    got = run(parts, replace(train_config, total_kimg=0.008, micro_batch=6))
    assert got[0].values == pytest.approx(expected[0].values, rel=1e-4, abs=1e-6)


def test_networks_move_only_in_their_own_phases(start: Any, train_config: TrainConfig) -> None:
    config = replace(train_config, d_lr=1e-30, total_kimg=0.008)
    state = start(config)
    before = tensors(state)
    run(state, config)
    after = tensors(state)
    moved = {name.split(".")[0] for name, value in before.items() if not torch.allclose(after[name], value, atol=1e-20)}
    assert moved == {"generator", "raw_generator", "pl_mean"}
    assert not any(
        parameter.requires_grad for network in state.model.networks().values() for parameter in network.parameters()
    )


def test_every_parameter_is_trained(start: Any, train_config: TrainConfig) -> None:
    state = start(train_config)
    before = tensors(state)
    run(state, train_config)
    still = [
        f"{name}.{key}"
        for name, network in state.model.networks().items()
        for key, parameter in network.named_parameters()
        if torch.equal(parameter, before[f"{name}.{key}"])
    ]
    assert still == []


def test_average_follows_the_formula(start: Any, train_config: TrainConfig) -> None:
    state = start(train_config)
    supply = train(state, supply_for(state.model.config), train_config)
    average = state.model.generator.mapping.fc0.weight.double()
    for report in supply:
        beta = ema_beta(batch=8, images=report.images, ema_kimg=0.02, ema_rampup=0.5)
        average = beta * average + (1 - beta) * state.generator.mapping.fc0.weight.double()
        torch.testing.assert_close(state.model.generator.mapping.fc0.weight.double(), average, rtol=1e-5, atol=1e-6)


def test_mean_w_follows_the_mapped_latents(start: Any, train_config: TrainConfig) -> None:
    config = replace(train_config, total_kimg=0.008, g_lr=1e-30, style_mixing_prob=0.0)
    state = start(config)
    before = state.generator.mapping.w_avg.clone()
    z = Rng(seed=config.seed, device=torch.device("cpu")).normal("g.z", range(8), [6])
    w = state.generator.mapping(z)[:, 0].mean(dim=0)
    run(state, config)
    beta = state.model.config.mapping.w_avg_beta
    torch.testing.assert_close(state.generator.mapping.w_avg, beta * before + (1 - beta) * w)
    assert torch.equal(state.model.generator.mapping.w_avg, state.generator.mapping.w_avg)


def test_bf16_computes_main_phases_in_bf16_and_regularizers_in_fp32(start: Any, train_config: TrainConfig) -> None:
    config = replace(train_config, total_kimg=0.008, g_lr=1e-30, d_lr=1e-30)
    expected = run(start(config), config)[0].values
    got = run(start(config), config, precision="bf16")[0].values
    for name in ("loss_g", "loss_d", "grad_g", "grad_d"):
        assert got[name] == pytest.approx(expected[name], rel=0.05)
        assert got[name] != expected[name]
    for name in ("loss_r1", "loss_pl", "grad_d_reg", "grad_pl", "pl_length"):
        assert got[name] == pytest.approx(expected[name], rel=1e-5)


def test_bf16_keeps_weights_and_moments_in_fp32(start: Any, train_config: TrainConfig) -> None:
    state = start(train_config)
    reports = run(state, train_config, precision="bf16")
    assert {value.dtype for value in tensors(state).values()} == {torch.float32}
    assert all(math.isfinite(value) for report in reports for value in report.values.values())


@pytest.mark.parametrize(("where", "name"), [("discriminator", "loss_g"), ("generator", "loss_g")])
def test_a_loss_that_is_not_finite_stops_the_run_by_name(
    start: Any, train_config: TrainConfig, where: str, name: str
) -> None:
    state = start(train_config)
    network = getattr(state, where)
    with torch.no_grad():
        next(network.parameters()).fill_(float("nan"))
    before = tensors(state)
    with pytest.raises(TrainingError, match=rf"At 0\.000 kimg \(step 0\) {name} is not finite .*--resume"):
        run(state, train_config)
    other = "discriminator" if where == "generator" else "raw_generator"
    assert all(torch.equal(value, before[key]) for key, value in tensors(state).items() if key.startswith(other))


def test_batches_that_end_end_the_run(start: Any, model_config: ModelConfig, train_config: TrainConfig) -> None:
    assert len(list(train(start(train_config), supply_for(model_config, steps=2), train_config))) == 2


@pytest.mark.parametrize(("count", "size"), [(6, (8, 16)), (8, (4, 8))])
def test_a_batch_of_another_size_is_refused(
    start: Any, model_config: ModelConfig, train_config: TrainConfig, count: int, size: tuple[int, int]
) -> None:
    def supply(stage: Stage, mine: range) -> Any:
        return supply_for(model_config)(replace(stage, size=size), range(count))

    message = rf"Got a batch of {count} images of {size[1]}x{size[0]} \(WxH\); this process needs 8 images of 16x8\."
    with pytest.raises(TrainingError, match=message):
        list(train(start(train_config), supply, train_config))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"batch": 7}, r"batch is 7; .*groups of 2 .*give a multiple of 2"),
        ({"micro_batch": 3}, r"micro_batch is 3; .*groups of 2"),
        ({"batch": 2, "pl_batch_shrink": 4}, r"pl_batch_shrink is 4, but .*only 2 images of the batch of 2"),
    ],
)
def test_batches_that_do_not_divide_are_refused(
    model_config: ModelConfig, train_config: TrainConfig, changes: dict[str, int], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        check_batch(model_config, replace(train_config, **changes))


def test_a_deviation_over_the_whole_batch_refuses_to_be_split(
    model_config: ModelConfig, train_config: TrainConfig
) -> None:
    model = replace(model_config, discriminator=replace(model_config.discriminator, mbstd_group_size=None))
    check_batch(model, train_config)
    with pytest.raises(ConfigError, match=r"runs over the whole batch .*Set a group size, such as 4"):
        check_batch(model, replace(train_config, micro_batch=4))


def test_shares_cover_the_batch_without_overlap() -> None:
    parts = [share(17, rank=rank, world_size=3) for rank in range(3)]
    assert [number for part in parts for number in part] == list(range(17))
    assert max(map(len, parts)) - min(map(len, parts)) <= 1
