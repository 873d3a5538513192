"""What recipes may ask of a step beside the plain one: games, penalties, freezing, precision, policies."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest
import torch

from sgkit.config import AugmentConfig, TrainConfig
from sgkit.config.presets import PRESETS
from sgkit.errors import ConfigError, NonFiniteError
from sgkit.model import build
from sgkit.ops import filter2d
from sgkit.training.augment import blurred
from sgkit.training.loop import train
from sgkit.training.optimizers import LossScale
from sgkit.training.schedules import blur_sigma
from sgkit.training.state import TrainState
from tests.training.driver import Batch, changed, run, weights

GAMES = [
    {"loss": "nonsaturating"},
    {"loss": "saturating"},
    {"loss": "hinge", "r1_gamma": 0.0},
    {"loss": "relativistic", "r2_gamma": 1.0},
    {"loss": "wgan", "r1_gamma": 0.0, "gp_weight": 10.0, "drift_weight": 0.001},
]


@pytest.mark.parametrize("interval", [1, 2])
@pytest.mark.parametrize("game", GAMES, ids=lambda game: game["loss"])
def test_every_game_trains_alike_in_any_micro_batches(
    start: Any, train_config: TrainConfig, game: dict[str, Any], interval: int
) -> None:
    config = replace(train_config, total_kimg=0.016, d_reg_interval=interval, pl_interval=interval, **game)
    whole, parts = start(config), start(config)
    expected = run(whole, config)
    got = run(parts, replace(config, micro_batch=2))
    for one, other in zip(got, expected, strict=True):
        assert one.values == pytest.approx(other.values, rel=2e-3, abs=1e-4)
        assert all(math.isfinite(value) for value in one.values.values())
    penalties = {"loss_r1": config.r1_gamma, "loss_r2": config.r2_gamma, "loss_gp": config.gp_weight}
    for report, due in zip(expected, (True, interval == 1), strict=True):
        for name, weight in penalties.items():
            assert (name in report.values) == (due and weight > 0)
        assert ("grad_d_reg" in report.values) == (due and interval > 1 and any(penalties.values()))


def test_lazy_penalties_weigh_as_much_as_the_steps_that_they_stand_for(start: Any, train_config: TrainConfig) -> None:
    """StyleGAN2, appendix B: a penalty of every k-th step is multiplied by k, R1 and path lengths alike."""
    lazy = replace(train_config, total_kimg=0.004, batch=4, pl_weight=2.0)
    first = {}
    for interval in (4, 8):
        config = replace(lazy, d_reg_interval=interval, pl_interval=interval)
        first[interval] = run(start(config), config)[0].values
    for name in ("grad_d_reg", "grad_pl"):
        assert first[8][name] / first[4][name] == pytest.approx(2.0, rel=0.05), name


def test_a_penalty_in_each_step_is_a_part_of_its_loss(start: Any, train_config: TrainConfig) -> None:
    """One movement by the sum: the gradient is that of loss and penalty together, the learning rate the plain one."""
    config = replace(train_config, total_kimg=0.008, d_reg_interval=1, pl_weight=0.0)
    state = start(config)
    assert state.optimizers["d"].param_groups[0]["lr"] == config.d_lr
    run(state, config)
    steps = {int(value["step"]) for value in state.optimizers["d"].state.values()}
    assert steps == {1}
    lazy = replace(config, d_reg_interval=2)
    state = start(lazy)
    run(state, lazy)
    assert {int(value["step"]) for value in state.optimizers["d"].state.values()} == {2}


OFFICIAL_RATES = [  # preset, learning rates of G and D as NVIDIA's code scales them: by c = interval / (interval + 1)
    ("stylegan2-a", 1, 1),
    ("stylegan2-b", 1, 1),
    ("stylegan2-c", 4 / 5, 16 / 17),
    ("stylegan2-d", 4 / 5, 16 / 17),
    ("stylegan2-f", 4 / 5, 16 / 17),
    ("ada-cifar", 4 / 5, 16 / 17),
    ("ada-paper256", 4 / 5, 16 / 17),
    ("stylegan3-r", 1, 16 / 17),
]


@pytest.mark.parametrize("regularized", [True, False])
@pytest.mark.parametrize(("name", "g", "d"), OFFICIAL_RATES)
def test_lazy_regularization_scales_optimizers_as_the_official_code_does(
    tiny_config: Any, name: str, g: float, d: float, regularized: bool
) -> None:
    """Also where path lengths or R1 are off: TensorFlow's and PyTorch's code scale by the interval alone."""
    recipe = PRESETS[name].train
    recipe = recipe if regularized or name == "stylegan2-b" else replace(recipe, pl_weight=0.0, r1_gamma=0.0)
    state = TrainState.start(build(tiny_config(name), seed=1), recipe)
    for player, lr, share in (("g", recipe.g_lr, g), ("d", recipe.d_lr, d)):
        group = state.optimizers[player].param_groups[0]
        assert group["lr"] == pytest.approx(lr * share)
        assert group["betas"] == pytest.approx((0.0, 0.99**share))


def test_runs_of_earlier_versions_scale_only_what_is_regularized(start: Any) -> None:
    config = TrainConfig.from_dict({"pl_weight": 0.0, "pl_interval": 4, "r1_gamma": 0.0})
    rates = [optimizer.param_groups[0]["lr"] for optimizer in start(config).optimizers.values()]
    assert rates == [config.g_lr, config.d_lr]


def test_strengths_of_noise_have_their_own_rate(start: Any) -> None:
    state = start(TrainConfig(pl_weight=0.0, noise_lr_factor=0.25))
    weights, strengths = state.optimizers["g"].param_groups
    named = dict(state.model.raw_generator.named_parameters())
    wanted = {id(value) for name, value in named.items() if name.endswith("noise_strength")}
    assert {id(value) for value in strengths["params"]} == wanted
    assert len(wanted) + len(weights["params"]) == len(named)
    assert strengths["lr"] == strengths["initial_lr"] == weights["lr"] / 4


def test_classes_of_an_auxiliary_discriminator_are_learned(tiny_config: Any) -> None:
    """Labels that show in the images: the class loss falls, and score and classes are reported apart."""
    model = tiny_config("progan", label_dim=2)
    config = replace(
        TrainConfig(), growth=None, total_kimg=0.12, batch=4, pl_weight=0.0, r1_gamma=0.0, d_lr=0.01, g_lr=1e-30
    )
    model = replace(
        model,
        synthesis=replace(model.synthesis, growing=False),
        discriminator=replace(model.discriminator, growing=False),
    )

    images = torch.tensor([0, 255, 0, 255], dtype=torch.uint8)[:, None, None, None].expand(4, 3, 16, 16)
    batch = Batch(images, torch.eye(2).repeat(2, 1))
    reports = list(train(TrainState.start(build(model, seed=1), config), lambda *_: [batch] * 30, config))
    assert reports[-1].values["class_d"] < reports[0].values["class_d"]
    assert "class_g" in reports[0].values


def test_frozen_parts_keep_their_weights(start: Any, train_config: TrainConfig) -> None:
    config = replace(train_config, freeze_d=2, freeze_mapping=True, freeze_affine=True)
    state = start(config)
    before = weights(state)
    run(state, config)
    moved = changed(before, weights(state))
    names = {name for name in before if not name.endswith(("taps", "noise_const"))}
    layers = [spec.name for spec in state.discriminator.plan][:2]
    frozen = {
        name
        for name in names
        if ".affine." in name
        or "generator.mapping." in name
        or any(name.startswith(f"discriminator.{layer}.") for layer in layers)
    }
    assert frozen
    assert moved == names - frozen
    assert not any(parameter.requires_grad for parameter in state.generator.parameters())


def test_freezing_all_of_d_is_refused(start: Any, train_config: TrainConfig) -> None:
    with pytest.raises(ConfigError, match=r"freeze_d is 9; the discriminator has 4 layers, so give less"):
        start(replace(train_config, freeze_d=9))


def test_augmentation_is_steered_and_shown(start: Any, train_config: TrainConfig) -> None:
    augment = AugmentConfig(kind="ada", target=-0.99, interval=2, kimg=0.08)
    config = replace(train_config, augment=augment)
    state = start(config)
    reports = run(state, config)
    # D's signs are above that target, so p rises by 16 / 80 each second step.
    assert [report.values["augment_p"] for report in reports] == pytest.approx([0, 0.2, 0.2, 0.4, 0.4, 0.6])
    split = run(start(config), replace(config, micro_batch=4))
    for one, other in zip(split, reports, strict=True):
        assert one.values == pytest.approx(other.values, rel=1e-3, abs=1e-4)


def test_the_rate_follows_the_states_factor(start: Any, train_config: TrainConfig) -> None:
    config = replace(train_config, total_kimg=0.008, pl_weight=0.0)
    state = start(config)
    state.lr_factor = 0.25
    report = run(state, config)[0]
    assert state.optimizers["g"].param_groups[0]["lr"] == config.g_lr / 4
    assert report.values["lr_factor"] == 0.25


def test_the_blur_before_d_is_the_papers_and_fades() -> None:
    images = torch.randn(1, 3, 12, 10)
    sigma = 1.5
    taps = torch.tensor([2.0 ** -((x / sigma) ** 2) for x in range(-4, 5)])
    torch.testing.assert_close(blurred(images, sigma), filter2d(images, taps / taps.sum()))
    assert blurred(images, 0.2) is images
    assert [blur_sigma(n, sigma=10, kimg=200) for n in (0, 100_000, 200_000, 300_000)] == [10, 5, 0, 0]


def test_recomputed_activations_change_nothing(start: Any, train_config: TrainConfig) -> None:
    kept, recomputed = start(train_config), start(train_config)
    expected = run(kept, train_config)
    got = run(recomputed, replace(train_config, recompute=True))
    assert [report.values for report in got] == [report.values for report in expected]
    assert changed(weights(kept), weights(recomputed)) == set()


@pytest.mark.filterwarnings("ignore")  # of what dynamo looks at while tracing
def test_compiled_networks_train_alike(start: Any, train_config: TrainConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    """Traced as for a compiler, but run as traced: what needs second derivatives stays out of it."""
    traced = []

    def trace(network: torch.nn.Module, **options: Any) -> Any:
        traced.append(type(network).__name__)
        return compile_network(network, backend="eager", **options)

    compile_network = torch.compile
    monkeypatch.setattr(torch, "compile", trace)
    config = replace(train_config, total_kimg=0.016, d_reg_interval=1, pl_interval=1)
    plain, compiled = start(config), start(config)
    expected = run(plain, config)
    got = run(compiled, replace(config, compile=True))
    assert traced == ["Synthesis", "Discriminator"]
    for one, other in zip(got, expected, strict=True):
        assert one.values == pytest.approx(other.values, rel=1e-4, abs=1e-6)


def test_low_resolutions_may_stay_in_full_precision(start: Any, train_config: TrainConfig) -> None:
    """A network of 4 and 8 px with one reduced resolution: 8 px computes in bf16, the rest as fp32 does."""
    config = replace(train_config, total_kimg=0.008, reduced_resolutions=1)
    state = start(config)
    dtypes: dict[str, torch.dtype] = {}
    for spec in state.discriminator.plan:
        state.discriminator.layer(spec.name).register_forward_hook(
            lambda _, args, out, name=spec.name: dtypes.__setitem__(name, out.features.dtype)
        )
    for spec in state.generator.synthesis.plan:
        state.generator.synthesis.layer(spec.name).register_forward_hook(
            lambda _, args, out, name=f"g.{spec.name}": dtypes.__setitem__(name, out.features.dtype)
        )
    run(state, replace(config, r1_gamma=0.0, pl_weight=0.0), precision="bf16")
    low = {name for name, dtype in dtypes.items() if dtype == torch.bfloat16}
    assert low == {name for name in dtypes if "b8_" in name}


def test_fp16_scales_losses_and_leaves_out_what_overflows(start: Any, train_config: TrainConfig) -> None:
    config = replace(train_config, precision="fp16", total_kimg=0.032)
    state = start(config)
    state.loss_scales["d"] = LossScale(value=2.0**120)  # overflows in fp16, whatever the gradient
    plain = run(start(train_config), replace(train_config, total_kimg=0.008))[0].values
    reports = run(state, config, precision="fp16")
    assert any("this update was skipped, and losses are scaled by" in event for event in reports[0].skipped)
    assert state.loss_scales["d"].value < 2.0**120
    assert state.loss_scales["g"] == LossScale(value=LossScale.START, good_steps=4 + 2)
    assert reports[0].values["loss_g"] == pytest.approx(plain["loss_g"], rel=0.02)
    assert reports[0].values["grad_g"] == pytest.approx(plain["grad_g"], rel=0.05)


def test_the_loss_scale_doubles_after_a_while_and_halves_on_overflow() -> None:
    scale = LossScale(value=4.0)
    for _ in range(LossScale.PATIENCE):
        scale = scale.after(overflow=False)
    assert scale == LossScale(value=8.0)
    assert scale.after(overflow=True).value == 4.0
    assert LossScale().after(overflow=True).value == 1.0


def test_updates_that_are_not_finite_are_left_out_by_name(start: Any, train_config: TrainConfig) -> None:
    config = replace(train_config, total_kimg=0.008)
    state = start(config)
    with torch.no_grad():
        next(state.discriminator.parameters()).fill_(float("nan"))
    before = weights(state)
    [report] = run(state, config, skip_nonfinite=True)
    assert report.skipped[0].startswith("At 0.000 kimg (step 0) loss_g is not finite (nan): this update was skipped")
    assert len(report.skipped) == 3  # G's loss, D's loss, D's penalties; path lengths do not hang on D
    assert "loss_g" not in report.values
    assert "loss_pl" in report.values
    assert all(math.isfinite(value) for value in report.values.values())
    assert not any(name.startswith("discriminator") for name in changed(before, weights(state)))
    with pytest.raises(NonFiniteError, match=r"loss_g is not finite"):
        run(TrainState.start(state.model, config), config)
