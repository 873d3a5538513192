"""What each key of a training run's configuration needs to have an effect."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from sgkit.config import MappingConfig
from sgkit.config.applies import Need, refuse_idle
from sgkit.model.plan import num_ws, synthesis_plan
from sgkit.runs.config import RunConfig
from sgkit.training.health import logits_have_signs

OPTIONS = {
    "preset": "--preset",
    "init": "--init",
    "train.freeze_d": "--freeze d:N",
    "train.freeze_mapping": "--freeze mapping",
    "train.freeze_affine": "--freeze affine",
    "train.augment.kind": "--augment",
    "train.total_kimg": "--kimg",
    "train.batch": "--batch",
    "train.seed": "--seed",
    "train.mirror": "--mirror",
    "train.precision": "--precision",
    "metrics.names": "--metrics",
    "metrics.every_kimg": "--every",
    "keep.last": "--keep",
    "wandb": "--wandb",
}
"""Dotted key -> the option of ``sgkit train`` that sets it."""


def check_effect(config: RunConfig, given: Iterable[str]) -> None:
    """Refuse keys that have no effect in ``config``.

    Raises:
        UsageError: says which one, and what it needs.
    """
    refuse_idle(config, given, NEEDS, options=OPTIONS)


def _need(what: str, holds: Callable[[RunConfig], bool], *keys: str) -> Need[RunConfig]:
    return Need(keys, holds, what)


def _keys(table: str, names: str) -> tuple[str, ...]:
    return tuple(f"{table}.{name}" for name in names.split())


def _augments(*kinds: str) -> Callable[[RunConfig], bool]:
    return lambda run: run.train.augment.kind in kinds


def _layer(*layers: str) -> Callable[[RunConfig], bool]:
    return lambda run: run.model.synthesis.layer in layers


def _grows(run: RunConfig) -> bool:
    return run.train.growth is not None and run.train.growth.start_resolution < run.model.resolution


def _has_labels(run: RunConfig) -> bool:
    return run.model.label_dim > 0


def _projects(run: RunConfig) -> bool:
    return _has_labels(run) and run.model.discriminator.label_mode == "project"


def _has_mapping_weights(run: RunConfig) -> bool:
    mapping = run.model.mapping
    return mapping.num_layers > 0 or (_has_labels(run) and mapping.label_mode != "direct")


def _rolls_back(run: RunConfig) -> bool:
    return "rollback" in (run.health.nonfinite, run.health.collapse)


def _mapping(table: str, of: Callable[[RunConfig], MappingConfig]) -> tuple[Need[RunConfig], ...]:
    """What the keys of a mapping network need."""
    layers = f"{table}.num_layers"
    return (
        _need(
            f"{layers} of 1 or more",
            lambda run: of(run).num_layers > 0,
            *_keys(table, "activation lr_multiplier gain_in_weight"),
        ),
        _need(f"{layers} of 2 or more", lambda run: of(run).num_layers > 1, f"{table}.layer_features"),
        _need(
            f"an activation with a gain, so {table}.activation other than linear",
            lambda run: of(run).activation != "linear",
            f"{table}.gain_in_weight",
        ),
        _need("a store with labels", _has_labels, *_keys(table, "label_mode label_features")),
        _need(
            f"{table}.label_mode embed or matrix",
            lambda run: of(run).label_mode in ("embed", "matrix"),
            f"{table}.label_features",
        ),
    )


_MODEL = (
    *_mapping("model.mapping", lambda run: run.model.mapping),
    _need(
        "a store with labels, and model.discriminator.label_mode project",
        _projects,
        *("model.discriminator.mapping.", "model.discriminator.label_projection_dim"),
    ),
    _need(
        "a network that keeps a mean of w, which the discriminator does not",
        lambda run: False,  # noqa: ARG005 - never
        "model.discriminator.mapping.w_avg_beta",
    ),
    *_mapping("model.discriminator.mapping", lambda run: run.model.discriminator.mapping),
    _need("a store with labels", _has_labels, "model.discriminator.label_mode"),
    _need(
        "model.synthesis.layer adain or self_modulated", _layer("adain", "self_modulated"), "model.synthesis.norm_eps"
    ),
    _need("model.synthesis.layer adain", _layer("adain"), "model.synthesis.one_w_per_block"),
    _need(
        "model.synthesis.layer adain or pixel_norm, and a resample_filter of 2 or more taps",
        lambda run: _layer("adain", "pixel_norm")(run) and len(run.model.synthesis.resample_filter) > 1,
        "model.synthesis.bias_before_blur",
    ),
    _need("model.synthesis.layer self_modulated", _layer("self_modulated"), "model.synthesis.style_hidden_features"),
    _need(
        "model.synthesis.layer modulated or alias_free", _layer("modulated", "alias_free"), "model.synthesis.conv_clamp"
    ),
    _need(
        "model.synthesis.layer modulated, adain or pixel_norm",
        _layer("modulated", "adain", "pixel_norm"),
        "model.synthesis.use_noise",
    ),
    _need(
        "a model.synthesis.layer other than alias_free",
        lambda run: run.model.synthesis.layer != "alias_free",
        *_keys("model.synthesis", "architecture resample_filter growing"),
    ),
    _need(
        "a layer with a filter: model.synthesis.layer modulated, adain or pixel_norm, or architecture skip",
        lambda run: run.model.synthesis.layer != "self_modulated" or run.model.synthesis.architecture == "skip",
        "model.synthesis.resample_filter",
    ),
    _need(
        "model.synthesis.channels none",
        lambda run: run.model.synthesis.channels is None,
        *_keys("model.synthesis", "channel_base channel_max"),
    ),
    _need(
        "model.discriminator.channels none",
        lambda run: run.model.discriminator.channels is None,
        *_keys("model.discriminator", "channel_base channel_max"),
    ),
    _need(
        "model.discriminator.layer pooled",
        lambda run: run.model.discriminator.layer == "pooled",
        "model.discriminator.activation_before_pool",
    ),
    _need(
        "model.discriminator.mbstd_num_channels of 1 or more",
        lambda run: run.model.discriminator.mbstd_num_channels > 0,
        "model.discriminator.mbstd_group_size",
    ),
)
_TRAIN = (
    _need(
        "a run that grows: train.growth.start_resolution below the images' resolution",
        _grows,
        *_keys("train.growth", "stable_kimg fade_kimg reset_optimizers ema_rampup"),
    ),
    _need(
        "train.growth.batches empty: they decide the batch at each resolution",
        lambda run: run.train.growth is None or not run.train.growth.batches,
        "train.batch",
    ),
    _need(
        "a store with labels, and model.discriminator.label_mode auxiliary",
        lambda run: _has_labels(run) and run.model.discriminator.label_mode == "auxiliary",
        "train.class_weight",
    ),
    _need(
        "a penalty: train.r1_gamma, r2_gamma or gp_weight above 0",
        lambda run: run.train.penalizes_d or run.train.lazy_scaling == "always",
        "train.d_reg_interval",
    ),
    _need(
        "train.pl_weight above 0",
        lambda run: run.train.pl_weight > 0 or run.train.lazy_scaling == "always",
        "train.pl_interval",
    ),
    _need(
        "train.pl_weight above 0",
        lambda run: run.train.pl_weight > 0,
        *("train.pl_decay", "train.pl_batch_shrink", "health.path_length_growth"),
    ),
    _need(
        "a network that is not regularized, and an interval of 2 or more",
        lambda run: (
            (run.train.pl_weight == 0 and run.train.pl_interval > 1)
            or (not run.train.penalizes_d and run.train.d_reg_interval > 1)
        ),
        "train.lazy_scaling",
    ),
    _need("a model with 2 or more w", lambda run: num_ws(run.model) > 1, "train.style_mixing_prob"),
    _need("train.augment.kind ada or fixed", _augments("ada", "fixed"), *_keys("train.augment", "p pipe")),
    _need("train.augment.kind ada (--augment ada)", _augments("ada"), *_keys("train.augment", "target interval kimg")),
    _need("train.augment.kind diffaugment", _augments("diffaugment"), "train.augment.policy"),
    _need("train.d_blur_sigma above 0", lambda run: run.train.d_blur_sigma > 0, "train.d_blur_kimg"),
    _need(
        "train.ema_decay none, which is used in its place",
        lambda run: run.train.ema_decay is None,
        *("train.ema_kimg", "train.ema_rampup", "train.growth.ema_rampup"),
    ),
    _need(
        "a model with noise inputs (model.synthesis.use_noise)",
        lambda run: any(spec.has_noise for spec in synthesis_plan(run.model)),
        "train.noise_lr_factor",
    ),
    _need("a mapping network with weights", _has_mapping_weights, "train.freeze_mapping"),
    _need(
        "layers that make styles from w",
        lambda run: run.model.synthesis.layer != "pixel_norm",
        "train.freeze_affine",
    ),
    _need("train.precision other than fp32", lambda run: run.train.precision != "fp32", "train.reduced_resolutions"),
)
_WATCH = (
    _need(
        "--metrics",
        lambda run: bool(run.metrics.names),
        *_keys("metrics", "every_kimg num_images patience_kimg"),
        "keep.best",
    ),
    _need("--keep: without it, all snapshots stay", lambda run: run.keep.last is not None, "keep.best"),
    _need(
        "health.nonfinite or health.collapse rollback",
        _rolls_back,
        *_keys("health", "rollback_lr_factor max_rollbacks"),
    ),
    _need(
        "a loss whose logits have a sign (nonsaturating, saturating or hinge)",
        lambda run: logits_have_signs(run.train),
        "health.saturated_sign",
    ),
    _need(
        "averages that are watched: train.pl_weight above 0, or a loss whose logits have a sign",
        lambda run: logits_have_signs(run.train) or run.train.pl_weight > 0,
        "health.window_kimg",
    ),
)

NEEDS = (*_MODEL, *_TRAIN, *_WATCH)
"""Keys that no row covers always have an effect."""
