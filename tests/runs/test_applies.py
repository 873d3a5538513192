"""Every key of a run's configuration changes what is trained, or is refused where it does not: tried, not believed."""

from __future__ import annotations

import functools
import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import pytest
import torch

import sgkit
from sgkit.cli.app import load_command, main
from sgkit.config import ModelConfig, override
from sgkit.config.presets import preset
from sgkit.errors import ConfigError, UsageError
from sgkit.model import build
from sgkit.runs.applies import NEEDS, OPTIONS, check_effect
from sgkit.runs.config import RunConfig
from sgkit.training.batches import check_batch
from sgkit.training.state import TrainState
from tests.runs.driver import Cli
from tests.training.driver import steps

SMALL = {
    "model.synthesis.channel_base": 64,
    "model.synthesis.channel_max": 8,
    "model.discriminator.channel_base": 64,
    "model.discriminator.channel_max": 8,
    "train.batch": 4,
    "train.precision": "fp32",
}
LATENT = {"model.z_dim": 4, "model.w_dim": 4}
GROWN = {"train.growth.batches": "4", "train.growth.start_resolution": 4, "train.growth.stable_kimg": 0.002}
GROWN |= {"train.growth.fade_kimg": 0.004}
STYLEGAN3 = {"model.synthesis.alias_free.num_layers": 4, "model.synthesis.alias_free.margin": 2}
STYLEGAN3 |= {"model.synthesis.alias_free.filter_size": 4, "train.d_blur_sigma": 1.0}
SITUATIONS: dict[str, tuple[str, int, dict[str, Any]]] = {
    "stylegan2": ("stylegan2-32", 0, SMALL | LATENT | {"model.mapping.num_layers": 2}),
    "labels, ada, frozen": (
        "ada-paper256",
        3,
        SMALL | LATENT | {"train.augment.interval": 1, "train.augment.kimg": 0.01, "train.augment.p": 0.5},
    ),
    "stylegan1, growing": ("stylegan1-f", 0, {**SMALL, **LATENT, **GROWN, "model.mapping.num_layers": 2}),
    "progan, labels": ("progan", 3, {**SMALL, **GROWN, "model.z_dim": 4, "model.w_dim": 7}),
    "self-modulated": ("self-modulated", 0, {**SMALL, "model.z_dim": 8, "model.w_dim": 8}),
    "stylegan3, blurred": (
        "stylegan3-t",
        0,
        SMALL | LATENT | STYLEGAN3,
    ),
}
"""Name -> preset, labels, keys."""
ELSEWHERE = {
    *(
        "preset",
        "sgkit",
        "init",
        "init_kimg",
        "choices",
        "wandb",
        "data.",
        "keep.",
        "metrics.",
        "health.",
    ),  # not of a step
    *(
        "train.total_kimg",
        "train.snapshot_kimg",
        "train.log_kimg",
        "train.num_workers",
        "train.compile",
        "train.cuda_graphs",
    ),
    *("train.micro_batch", "train.recompute", "train.reduced_resolutions"),  # memory and time
    *("model.image_size", "model.image_channels", "model.label_dim", "model.base_size"),  # the store decides
    "train.mirror",  # the store's batches are mirrored
    "train.augment.target",  # shows after more steps
}
VALUES: dict[str, Any] = {
    "model.synthesis.layer": None,
    "model.synthesis.input": None,
    "model.synthesis.growing": None,
    "model.synthesis.alias_free": None,
    "model.discriminator.growing": None,
    "model.discriminator.mapping.label_mode": "direct",
    "model.synthesis.channels": "[4, 4]",
    "model.discriminator.channels": "[4, 4]",
    "model.synthesis.channel_base": 32,
    "model.synthesis.conv_clamp": 0.001,
    "model.discriminator.conv_clamp": 0.001,
    "model.discriminator.mbstd_group_size": 2,
    "model.synthesis.alias_free.kernel": 1,
    "train.growth": None,
    "train.augment.kind": "fixed",
    "train.augment.pipe": "color",
    "train.augment.policy": "color",
    "train.adam_betas": "[0.5, 0.9]",
    "train.growth.start_resolution": 8,
    "train.growth.batches": "2",
    "train.growth.lr_factors": "0.5",
    "train.growth.fade_kimg": 0.008,
    "train.ema_kimg": 0.0,
    "train.ema_rampup": 0.01,
    "train.growth.ema_rampup": 0.01,
    "train.precision": "bf16",
    "train.d_blur_kimg": 0.01,
    "train.freeze_d": 1,
    "train.r1_gamma": 3.0,
    "train.d_reg_interval": 2,
    "train.pl_interval": 3,
}
"""Key -> a value to change it to, where the rule of :func:`changed` gives none; ``None``: not changed alone."""


def flat(values: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in values.items():
        if isinstance(value, dict):
            yield from flat(value, f"{prefix}{key}.")
        else:
            yield prefix + key, value


@functools.cache
def configuration(situation: str) -> RunConfig:
    name, labels, keys = SITUATIONS[situation]
    row = preset(name, image_size=(8, 8), label_dim=labels)
    return override(RunConfig(preset=name, model=row.model, train=row.train), keys)


def kind_of(config: Any, key: str) -> Any:
    for part in key.split(".")[:-1]:
        config = getattr(config, part)
    return typing.get_type_hints(type(config))[key.rpartition(".")[2]]


def changed(config: RunConfig, key: str, value: Any) -> Any:
    """Another value of the key, that its field allows."""
    kind = kind_of(config, key)
    if typing.get_origin(kind) is Literal:
        return next(word for word in typing.get_args(kind) if word != value)
    if isinstance(value, bool):
        return not value
    if "tuple" in str(kind):
        return [1.0, 2.0, 3.0]
    if "int" in str(kind):
        return 1 if value is None else 2 if value == 1 else max(value - 1, 1)
    return 0.25 if value is None else value * 0.5 if value else 0.5


def trained(config: RunConfig, count: int) -> dict[str, torch.Tensor]:
    """All that so many steps leave."""
    state = TrainState.start(build(config.model, seed=config.train.seed), config.train)

    reports = steps(state, config.train, precision="bf16" if config.train.precision == "bf16" else "fp32")
    for _, report in zip(range(count), reports, strict=False):
        values = report.values
    found = {
        f"{name}.{key}": value
        for name, net in state.model.networks().items()
        for key, value in net.state_dict().items()
    }
    x = state.model.generator(
        torch.ones(2, config.model.z_dim),
        torch.eye(max(config.model.label_dim, 2))[:2, : config.model.label_dim] if config.model.label_dim else None,
    )
    shown = {name: torch.tensor(value) for name, value in values.items()}
    return found | shown | {"pl_mean": state.pl_mean, "p": torch.tensor(state.augment.p), "image": x}


@functools.cache
def expected(situation: str, steps: int) -> dict[str, torch.Tensor]:
    return trained(configuration(situation), steps)


def steps_needed(config: RunConfig, key: str) -> int:
    """Steps after which any effect of the key shows: the last layers of a network that grows come with the second."""
    if config.train.growth is not None:
        return 3
    return 1 if key.startswith("model.") else 2


def differs(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() != other.keys() or any(
        value.shape != other[key].shape or not torch.equal(value, other[key]) for key, value in one.items()
    )


def is_refused(config: RunConfig, key: str) -> bool:
    try:
        check_effect(config, [key])
    except UsageError:
        return True
    return False


def keys_of(situation: str) -> list[tuple[str, Any]]:
    """Keys to try: in the first situation all, in further ones those of the networks that depend on something, and
    those of the recipe that are refused in one of the two and not in the other.
    """
    config, first = configuration(situation), configuration(next(iter(SITUATIONS)))
    found = []
    for key, value in flat(config.to_dict()):
        if any(key == known or (known.endswith(".") and key.startswith(known)) for known in ELSEWHERE):
            continue
        depends = ".alias_free." in key or any(need.covers(key) for need in NEEDS)
        decided = key.startswith("model.") or is_refused(config, key) != is_refused(first, key)
        if config is first or (depends and decided):
            found.append((key, value))
    return found


@pytest.mark.parametrize("situation", SITUATIONS)
def test_each_key_changes_what_is_trained_or_is_refused(situation: str) -> None:
    config, wrong = configuration(situation), []
    for key, value in keys_of(situation):
        new = VALUES[key] if key in VALUES else changed(config, key, value)
        if new is None:
            continue
        try:
            other = override(config, {key: new})
            check_batch(other.model, other.train)
        except ConfigError:
            continue  # refused, as it does not fit
        refused = is_refused(other, key)
        steps = steps_needed(config, key)
        if differs(expected(situation, steps), trained(other, steps)) == refused:
            wrong.append((key, value, new, "refused" if refused else "accepted"))
    assert not wrong, "\n".join(map(str, wrong))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            ["--size", "16"],
            "--size has no effect here: it needs a folder of images, or --list-presets. The store decides the size",
        ),
        (["--every", "50kimg"], "--every (metrics.every_kimg) has no effect here: it needs --metrics."),
        (["--new-data"], "--new-data has no effect here: it needs --resume."),
        (["--new-data", "--resume"], "--new-data has no effect here: there is no run to resume"),
        (["--set", "metrics.num_images=50"], "metrics.num_images has no effect here: it needs --metrics."),
        (["--set", "keep.best=false"], "keep.best has no effect here: it needs --metrics."),
        (["--metrics", "fd_effnet", "--set", "keep.best=false"], "it needs --keep"),
        (["--set", "train.augment.target=0.5"], "it needs train.augment.kind ada (--augment ada)"),
        (["--augment", "ada", "--set", "train.augment.policy=color"], "it needs train.augment.kind diffaugment"),
        (["--set", "train.growth.stable_kimg=1"], "There is no 'train.growth' in this configuration"),
        (["--set", "train.pl_weight=0", "--set", "train.pl_decay=0.1"], "it needs train.pl_weight above 0"),
        (["--set", "train.class_weight=2"], "it needs a store with labels"),
        (["--set", "train.reduced_resolutions=1"], "it needs train.precision other than fp32"),
        (["--set", "health.nonfinite=stop", "--set", "health.max_rollbacks=9"], "it needs health.nonfinite or"),
        (
            ["--set", "train.loss=wgan", "--set", "health.saturated_sign=0.9"],
            "it needs a loss whose logits have a sign",
        ),
        (
            ["--kimg", "1", "--set", "train.total_kimg=2"],
            "--set train.total_kimg=... is given together with the option",
        ),
        (["--set", "preset=progan"], "--set preset=... is given together with the option"),
        (["--memory", "8GiB", "--set", "train.micro_batch=4"], "Give one of them."),
        (["--set", "data.store=x"], "data.store cannot be set: sgkit determines it."),
        (["--set", "train.gamma=1"], "Unknown configuration key 'train.gamma'. Use train.r1_gamma."),
        (["--set", "batch_size=8"], "Unknown configuration key 'batch_size'. Use train.batch (--batch)."),
        (["--set", "cfg=auto"], "Unknown configuration key 'cfg'. Use --preset."),
        (["--metrics", "fdi"], "Unknown metric 'fdi'. Did you mean 'fid'?"),
        (["--wandb", "x"], "needs the package 'wandb'"),
    ],
)
def test_options_without_effect_are_refused_before_anything_is_made(
    tmp_path: Path, cli: Cli, options: list[str], message: str
) -> None:
    for more in ([], ["--dry-run"]):
        assert cli.new(tmp_path / "run", *options, *more) in (1, 2)
        assert message in cli.said()
        assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    "option",
    [
        *(
            ["--out", "run"],
            ["--preset", "progan"],
            ["--init", "x"],
            ["--augment", "ada"],
            ["--resume"],
            ["--kimg", "1"],
        ),
        *(["--batch", "8"], ["--seed", "1"], ["--no-mirror"], ["--precision", "fp32"], ["--metrics", "fid"], ["STORE"]),
        *(
            ["--every", "1"],
            ["--keep", "1"],
            ["--new-data"],
            ["--max-time", "1h"],
            ["--memory", "8GiB"],
            ["--dry-run"],
            ["--open"],
        ),
        *(["--wandb", "x"], ["--device", "auto"], ["--config", "x"], ["--set", "a=b"]),
    ],
    ids=lambda option: option[0],
)
def test_a_list_of_presets_takes_no_other_option(store: Path, tmp_path: Path, cli: Cli, option: list[str]) -> None:
    (tmp_path / "x.toml").touch()
    sgkit.save(build(ModelConfig(image_size=(4, 4), z_dim=4, w_dim=4)), tmp_path / "x.safetensors")
    paths = {"STORE": store, "--init": tmp_path / "x.safetensors", "--config": tmp_path / "x.toml"}
    path = [str(paths[option[0]])] if option[0] in paths else []
    assert main(["train", "--list-presets", *(option[:1] if option[0] != "STORE" else []), *(path or option[1:])]) == 2
    name = "--mirror" if option[0] == "--no-mirror" else option[0]
    assert f"{name} has no effect here: --list-presets only shows the presets." in cli.said()


def test_every_option_is_tried() -> None:
    """All options of ``train``: those that set a key are tried by it, the others one by one, here or in other files."""
    tried = {
        *(line.split()[0] for line in OPTIONS.values()),
        "--out",
        "--resume",
        "--new-data",
        "--max-time",
        "--memory",
        "--dry-run",
        "--size",
        "--open",
    }
    tried |= {"--list-presets", "--device", "--config", "--set", "--json"}
    options = {name for parameter in load_command("train").params for name in parameter.opts if name.startswith("--")}
    assert options - {"--help", "--quiet", "--verbose"} == tried


def test_a_whole_configuration_may_hold_what_has_no_effect(tmp_path: Path, cli: Cli, store: Path) -> None:
    """As runs write it; of a hand-written file each key must have an effect."""
    assert cli.new(tmp_path / "one", "--kimg", "0.008", "--augment", "fixed", "--set", "train.augment.p=0.5") == 0
    whole = ["--config", str(tmp_path / "one" / "config.toml"), "--device", "cpu", "--augment", "diffaugment"]
    assert main(["train", str(store), "--out", str(tmp_path / "two"), *whole]) == 0
    (tmp_path / "own.toml").write_text("[train.augment]\np = 0.5\n")
    assert cli.new(tmp_path / "three", "--config", str(tmp_path / "own.toml")) == 2
