from __future__ import annotations

import dataclasses
import json
import re
import typing
from typing import Any, Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sgkit.config import (
    AliasFreeConfig,
    AugmentConfig,
    Config,
    DiscriminatorConfig,
    GrowthConfig,
    HealthConfig,
    KeepConfig,
    MappingConfig,
    MetricsConfig,
    ModelConfig,
    SynthesisConfig,
    TrainConfig,
    override,
)
from sgkit.config.sizes import base_size_of
from sgkit.config.synonyms import SYNONYMS
from sgkit.errors import ConfigError
from sgkit.runs.config import RunConfig

CLASSES: list[type[Config]] = [
    MappingConfig,
    AliasFreeConfig,
    SynthesisConfig,
    DiscriminatorConfig,
    ModelConfig,
    TrainConfig,
]


def error(*parts: str) -> str:
    """A pattern that finds the parts in order."""
    return ".*".join(re.escape(part) for part in parts)


# ------------------------------------------------------------------------------------------- round trips

mappings = st.builds(
    MappingConfig,
    num_layers=st.integers(1, 12),
    activation=st.sampled_from(["linear", "relu", "lrelu"]),
    layer_features=st.none() | st.integers(1, 64),
    lr_multiplier=st.floats(1e-6, 10),
    w_avg_beta=st.floats(0, 1),
    normalize=st.booleans(),
    gain_in_weight=st.booleans(),
    label_mode=st.sampled_from(["embed", "matrix", "direct", "shift_scale"]),
    label_features=st.none() | st.integers(1, 64),
)
filters = st.lists(st.floats(0.5, 10), min_size=1, max_size=6).map(tuple)
syntheses = st.builds(
    SynthesisConfig,
    architecture=st.sampled_from(["orig", "skip", "resnet"]),
    channel_base=st.integers(1, 2**16),
    channel_max=st.integers(1, 1024),
    resample_filter=filters,
    use_noise=st.booleans(),
    conv_clamp=st.none() | st.floats(1, 1e6),
) | st.builds(
    SynthesisConfig,
    layer=st.just("alias_free"),
    input=st.just("fourier"),
    alias_free=st.builds(AliasFreeConfig, kernel=st.sampled_from([1, 3]), radial_filters=st.booleans()),
)
discriminators = st.builds(
    DiscriminatorConfig,
    layer=st.sampled_from(["filtered", "pooled"]),
    architecture=st.sampled_from(["orig", "skip", "resnet"]),
    resample_filter=filters,
    mbstd_group_size=st.none() | st.integers(1, 64),
    mbstd_num_channels=st.integers(0, 4),
    label_mode=st.sampled_from(["project", "classes", "auxiliary"]),
    mapping=mappings.filter(lambda m: m.label_mode in ("embed", "direct") or m.label_features is not None).map(
        lambda m: dataclasses.replace(m, label_mode="embed") if m.label_mode == "shift_scale" else m
    ),
)
models = st.builds(
    ModelConfig,
    image_size=st.tuples(st.integers(4, 7), st.integers(4, 7), st.integers(1, 8)).map(
        lambda base: (base[0] << base[2], base[1] << base[2])
    ),
    image_channels=st.sampled_from([1, 3, 4]),
    z_dim=st.integers(1, 64),
    w_dim=st.integers(1, 64),
    label_dim=st.integers(0, 5),
    mapping=mappings,
    synthesis=syntheses,
    discriminator=discriminators,
)
trainings = st.builds(
    TrainConfig,
    batch=st.integers(1, 512),
    micro_batch=st.none() | st.integers(1, 64),
    g_lr=st.floats(1e-8, 1),
    adam_betas=st.tuples(st.floats(0, 0.999), st.floats(0, 0.999)),
    mirror=st.booleans(),
    precision=st.sampled_from(["auto", "fp32", "bf16", "fp16"]),
    seed=st.integers(0, 2**31),
)


@settings(max_examples=60)
@given(models | trainings)
def test_plain_values_and_json_read_back_equal(config: ModelConfig | TrainConfig) -> None:
    assert type(config).from_dict(config.to_dict()) == config
    assert type(config).from_dict(json.loads(json.dumps(config.to_dict()))) == config


@settings(max_examples=40)
@given(models | trainings)
def test_every_value_may_also_be_given_as_text(config: ModelConfig | TrainConfig) -> None:
    """As ``--set key=value`` gives it."""

    def flat(values: dict[str, Any], prefix: str = "") -> dict[str, str]:
        out: dict[str, str] = {}
        for key, value in values.items():
            out |= flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {prefix + key: str(value)}
        return out

    assert override(config, flat(config.to_dict())) == config


@pytest.mark.parametrize("cls", CLASSES)
def test_defaults_read_back_from_nothing(cls: type[Config]) -> None:
    assert cls.from_dict({}) == cls()
    assert cls.from_dict(cls().to_dict()) == cls()


@pytest.mark.parametrize("cls", CLASSES)
def test_configurations_are_frozen_and_hashable(cls: type[Config]) -> None:
    config = cls()
    field = dataclasses.fields(config)[0].name
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(config, field, 3)
    assert hash(config) == hash(cls())


@pytest.mark.parametrize("cls", CLASSES)
def test_every_choice_lists_its_words(cls: type[Config]) -> None:
    hints = typing.get_type_hints(cls)
    choices = [name for name, kind in hints.items() if typing.get_origin(kind) is Literal]
    for name in choices:
        with pytest.raises(ConfigError, match=error(f"{name} is 'qqqq'. Allowed: ")):
            cls.from_dict({name: "qqqq"})


# ---------------------------------------------------------------------------------------------- override


@pytest.mark.parametrize(
    ("key", "value", "read"),
    [
        ("z_dim", "32", 32),
        ("z_dim", 32.0, 32),
        ("mapping.lr_multiplier", "0.5", 0.5),
        ("mapping.lr_multiplier", 1, 1.0),
        ("mapping.normalize", "no", False),
        ("mapping.normalize", "TRUE", True),
        ("mapping.normalize", "0", False),
        ("mapping.layer_features", "none", None),
        ("mapping.layer_features", "", None),
        ("mapping.layer_features", "7", 7),
        ("synthesis.resample_filter", "1,2,1", (1.0, 2.0, 1.0)),
        ("synthesis.resample_filter", "[1, 2, 1]", (1.0, 2.0, 1.0)),
        ("synthesis.resample_filter", [1, 2, 1], (1.0, 2.0, 1.0)),
        ("synthesis.architecture", "OriG", "orig"),
        ("image_size", "256,448", (256, 448)),
        ("discriminator.mapping.num_layers", "2", 2),
    ],
)
def test_override_reads_text_as_the_type_of_the_field(key: str, value: object, read: object) -> None:
    config: Any = override(ModelConfig(), {key: value})
    for part in key.split("."):
        config = getattr(config, part)
    assert config == read
    assert type(config) is type(read)


def test_override_finds_the_base_of_another_image_size() -> None:
    config = override(ModelConfig(), {"image_size": "256,448"})
    assert (config.base_size, config.base) == (None, (4, 7))


def test_override_leaves_the_original_alone() -> None:
    config = ModelConfig()
    changed = override(config, {"synthesis.channel_base": 64, "z_dim": 8, "w_dim": 8})
    assert config == ModelConfig()
    assert changed == ModelConfig(z_dim=8, w_dim=8, synthesis=SynthesisConfig(channel_base=64))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"zdim": 3}, "Unknown configuration key 'zdim'. Did you mean 'z_dim'?"),
        (
            {"synthesis.chanel_base": 3},
            "Unknown configuration key 'synthesis.chanel_base'. Did you mean 'synthesis.channel_base'?",
        ),
        ({"conv_clmp": 3}, "Unknown configuration key 'conv_clmp'. Did you mean 'synthesis.conv_clamp'?"),
        ({"mapping.xyz": 3}, "Unknown configuration key 'mapping.xyz'. Allowed: num_layers, "),
        (
            {"sinthesis.channel_base": 3},
            "Did you mean 'synthesis.channel_base'?",
        ),
        ({"z_dim.x": 3}, "Unknown configuration key 'z_dim.x'. Did you mean 'z_dim'?"),
        ({"z_dim": "many"}, "z_dim is 'many'; it must be a whole number."),
        ({"z_dim": 1.5}, "z_dim is 1.5; it must be a whole number."),
        ({"z_dim": "inf"}, "z_dim is 'inf'; it must be a whole number."),
        ({"z_dim": float("nan")}, "z_dim is nan; it must be a whole number."),
        ({"mapping.lr_multiplier": "inf"}, "mapping.lr_multiplier is 'inf'; it must be a number."),
        ({"synthesis.conv_clamp": "nan"}, "synthesis.conv_clamp is 'nan'; it must be a number, or none."),
        (
            {"synthesis.alias_free.kernel": 1},
            "There is no 'synthesis.alias_free' in this configuration, so 'synthesis.alias_free.kernel' cannot be set.",
        ),
        ({"z_dim": True}, "z_dim is True; it must be a whole number."),
        ({"z_dim": None}, "z_dim is None; it must be a whole number."),
        ({"mapping.lr_multiplier": "x"}, "mapping.lr_multiplier is 'x'; it must be a number."),
        ({"mapping.normalize": "maybe"}, "mapping.normalize is 'maybe'; it must be true or false."),
        ({"synthesis.architecture": "skipp"}, "synthesis.architecture is 'skipp'. Did you mean 'skip'?"),
        ({"synthesis.resample_filter": 3}, "synthesis.resample_filter is 3; it must be a list such as [1, 3]."),
        ({"image_size": "64"}, "image_size is '64'; it must be a list of 2 values."),
        ({"mapping": 3}, "mapping is 3; it must be a table of keys and values."),
    ],
)
def test_override_says_what_is_wrong(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=error(message)):
        override(ModelConfig(), changes)


def test_large_whole_numbers_keep_every_digit() -> None:
    assert override(TrainConfig(), {"seed": "9007199254740993"}).seed == 9007199254740993


def test_a_key_that_is_no_text_is_unknown_too() -> None:
    with pytest.raises(ConfigError, match=error("Unknown configuration key '1'.")):
        ModelConfig.from_dict({1: 2})  # type: ignore[dict-item]


def test_from_dict_names_the_whole_path_of_an_unknown_key() -> None:
    message = (
        "Unknown configuration key 'discriminator.mapping.num_layer'. Did you mean 'discriminator.mapping.num_layers'?"
    )
    with pytest.raises(ConfigError, match=error(message)):
        ModelConfig.from_dict({"discriminator": {"mapping": {"num_layer": 3}}})


# -------------------------------------------------------------------------------------------- what fits


@pytest.mark.parametrize(
    ("cls", "values", "message"),
    [
        (SynthesisConfig, {"resample_filter": [1, -1]}, "it must be taps that do not sum to 0."),
        (SynthesisConfig, {"resample_filter": []}, "a list of 0 values; it must be at least 1 long."),
        (SynthesisConfig, {"layer": "alias_free", "input": "fourier"}, "given with layer 'alias_free'"),
        (SynthesisConfig, {"alias_free": {}}, "left out with layer 'modulated'"),
        (SynthesisConfig, {"input": "dense"}, "input is 'dense'; it must be constant with layer 'modulated'."),
        (SynthesisConfig, {"growing": True}, "architecture is 'skip'; it must be 'orig' when growing."),
        (DiscriminatorConfig, {"growing": True}, "architecture is 'resnet'; it must be 'orig'"),
        (AliasFreeConfig, {"kernel": 2}, "kernel is 2; it must be 1 or 3."),
        (AliasFreeConfig, {"num_layers": 2}, "num_critical is 2; it must be under num_layers."),
        (AliasFreeConfig, {"first_cutoff": 5}, "it must be above 1 and above first_cutoff (5)."),
        (
            ModelConfig,
            {
                "synthesis": {
                    "layer": "alias_free",
                    "input": "fourier",
                    "alias_free": {"first_cutoff": 20, "first_stopband": 40},
                },
                "image_size": [32, 32],
            },
            "synthesis.alias_free.first_cutoff is 20.0; it must be below 16, the cutoff of the last layer",
        ),
        (SynthesisConfig, {"layer": "pixel_norm"}, "input is 'constant'; it must be dense with layer 'pixel_norm'."),
        (ModelConfig, {"image_channels": 2}, "image_channels is 2; it must be 1, 3 or 4."),
        (ModelConfig, {"z_dim": 0}, "z_dim is 0; it must be 1 or more, or 0 in a model driven by its label."),
        (ModelConfig, {"mapping": {"num_layers": 0}, "z_dim": 8}, "w_dim is 512; it must be 8 without mapping layers."),
        (
            ModelConfig,
            {"mapping": {"num_layers": 0}, "z_dim": 8, "w_dim": 8, "label_dim": 3},
            "mapping.num_layers is 0; it must be 1 or more, since z and the label make 16 features and w_dim is 8.",
        ),
        (
            ModelConfig,
            {"mapping": {"label_mode": "matrix"}, "z_dim": 0, "label_dim": 3},
            "mapping.label_features is None; it must be 1 or more with z_dim 0 and label mode 'matrix'.",
        ),
        (
            ModelConfig,
            {"discriminator": {"mapping": {"label_mode": "shift_scale"}}, "label_dim": 3},
            "discriminator.mapping.label_mode is 'shift_scale'; it must be embed, matrix or direct: there is no z",
        ),
        (
            ModelConfig,
            {"discriminator": {"mapping": {"label_mode": "matrix"}}, "label_dim": 3},
            "discriminator.mapping.label_features is None; it must be 1 or more with label mode 'matrix'",
        ),
        (
            ModelConfig,
            {"discriminator": {"mapping": {"label_mode": "direct", "num_layers": 0}}, "label_dim": 3},
            "discriminator.mapping.num_layers is 0; it must be 1 or more, or 0 with label mode 'embed'",
        ),
        (
            ModelConfig,
            {"synthesis": {"growing": True, "architecture": "orig"}},
            "discriminator.growing is False; it must be as synthesis.growing.",
        ),
    ],
)
def test_values_that_do_not_fit_are_refused(cls: type[Config], values: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=error(message)):
        cls.from_dict(values)


LIMITS = {  # key: values just beyond its limits
    MappingConfig: (
        "num_layers: -1 257, layer_features: 0 65537, lr_multiplier: 0, w_avg_beta: -.1 1.1, label_features: 0"
    ),
    AliasFreeConfig: (
        "num_layers: 0 257, num_critical: -1, first_cutoff: 0 1025, first_stopband: 1, last_stopband_rel: 1, margin: "
        "-1 1025, filter_size: 0 65, lrelu_upsampling: 0 17, magnitude_ema_beta: -.1 1.1"
    ),
    SynthesisConfig: (
        "channel_base: 0 16777217, channel_max: 0 65537, channels: 0, conv_clamp: 0, norm_eps: 0, "
        "style_hidden_features: -1"
    ),
    DiscriminatorConfig: (
        "channel_base: 0, mbstd_group_size: 0, mbstd_num_channels: -1, head_features: 0, label_projection_dim: 0"
    ),
    ModelConfig: "image_size: 3,4 16385,4, base_size: -1,4, z_dim: -1 65537, w_dim: 0 65537, label_dim: -1 1048577",
    TrainConfig: (
        "total_kimg: 0 1.1e9, batch: 0 65537, micro_batch: 0, class_weight: -1, drift_weight: -1, r1_gamma: -1, "
        "r2_gamma: -1, gp_weight: -1, d_reg_interval: 0, pl_weight: -1, pl_interval: 0, pl_decay: -.1 1.1, "
        "pl_batch_shrink: 0, style_mixing_prob: -.1 1.1, d_blur_sigma: -1 1025, d_blur_kimg: 0, g_lr: 0, d_lr: 0, "
        "noise_lr_factor: 0, adam_betas: 0,1 -.1,0, adam_eps: 0, ema_kimg: -1, ema_rampup: -1, ema_decay: -.1 1.1, "
        "freeze_d: -1 1025, "
        "seed: -1, reduced_resolutions: 0 65, snapshot_kimg: 0.0009, log_kimg: 0.0009, num_workers: -1 257"
    ),
    GrowthConfig: (
        "start_resolution: 2 131072, stable_kimg: -1, fade_kimg: -1, batches: 0, lr_factors: 0, ema_rampup: -1"
    ),
    AugmentConfig: "p: -.1 1.1, target: -1 1, interval: 0, kimg: 0",
    KeepConfig: "last: 0",
    MetricsConfig: "every_kimg: 0, num_images: 1, patience_kimg: 0",
    HealthConfig: (
        "rollback_lr_factor: 0 1.1, max_rollbacks: -1, window_kimg: 0, saturated_sign: 0 1.1, min_diversity: -.1 1, "
        "path_length_growth: 1"
    ),
}


@pytest.mark.parametrize("cls", LIMITS)
def test_limits_hold(cls: type[Config]) -> None:
    limits = re.findall(r"(\w+): ([-.,\de]+(?: [-.,\de]+)*)(?:, |$)", LIMITS[cls])
    assert len(limits) == LIMITS[cls].count(":")
    for key, values in limits:
        for value in values.split():
            with pytest.raises(ConfigError, match=rf"^{key}(\[\d\])? is .+; it must be "):
                cls.from_dict({key: value})


ALL_CLASSES = [*CLASSES, AugmentConfig, GrowthConfig, HealthConfig, KeepConfig, MetricsConfig]
LARGE_IS_FINE = {"seed", "last", "max_rollbacks"}


def whole_numbers(cls: type[Config]) -> list[str]:
    """Fields that hold whole numbers, or lists of them."""
    return [name for name, kind in typing.get_type_hints(cls).items() if "int" in str(kind) and name != "AT_MOST"]


@pytest.mark.parametrize("cls", ALL_CLASSES)
def test_no_number_is_without_a_bound(cls: type[Config]) -> None:
    """A slip such as 10**15 neither fills the memory nor takes for ever."""
    hints, plain = typing.get_type_hints(cls), cls().to_dict()
    for name in set(whole_numbers(cls)) - LARGE_IS_FINE:
        for number in (10**15, -(10**15)):
            value = [number] * max(len(plain[name] or ()), 1) if "tuple" in str(hints[name]) else number
            with pytest.raises(ConfigError, match=name):
                cls.from_dict({name: value})


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (
            {"model": {"image_size": [2**30, 2**30]}},
            "model.image_size[0] is 1073741824; it must be between 4 and 16,384.",
        ),
        ({"train": {"batch": 10**9}}, "train.batch is 1000000000; it must be between 1 and 65,536."),
        ({"train": {"batch": -8}}, "train.batch is -8; it must be between 1 and 65,536."),
        ({"train": {"g_lr": float("nan")}}, "train.g_lr is nan; it must be a number."),
        ({"train": {"adam_betas": [0, 1]}}, "train.adam_betas[1] is 1; it must be 0 or more and below 1."),
        ({"train": {"log_kimg": 1e-300}}, "train.log_kimg is 1e-300; it must be 0.001 or more."),
        ({"train": {"seed": -1}}, "train.seed is -1; it must be 0 or more."),
        (
            {"train": {"seed": 2**63}},
            "train.seed is 9223372036854775808; it must be between 0 and 9,223,",
        ),
        (
            {"train": {"growth": {"batches": [10**9]}}},
            "train.growth.batches[0] is 1000000000; it must be",
        ),
        ({"train": {"augment": {"p": 2}}}, "train.augment.p is 2; it must be between 0 and 1, or none."),
        ({"train": {"augment": {"pipe": "bcg"}}}, "train.augment.pipe is 'bcg', with 'bcg'. Did you mean"),
        ({"train": {"bach": 8}}, "Unknown configuration key 'train.bach'. Did you mean 'train.batch'?"),
        ({"train": 8}, "train is 8; it must be a table of keys and values."),
        ({"train": {"batch": {"a": 1}}}, "train.batch is {'a': 1}; it must be a whole number."),
        ({"train": {"batch": [16**5000]}}, "train.batch is a very long number; it must be a whole number."),
        (
            {"train": {"micro_batch": 16**5000}},
            "train.micro_batch is a very long number; it must be",
        ),
        ({"train": {"mirror": [True]}}, "train.mirror is [True]; it must be true or false."),
        (
            {"model": {"synthesis": {"resample_filter": [1] * 65}}},
            "resample_filter is a list of 65 values; it must",
        ),
        ({"model": {"mapping": {"num_layers": -1}}}, "model.mapping.num_layers is -1; it must be between 0 and 256."),
        ({"preset": ["a"]}, "preset is ['a']; it must be text."),
        ({"preset": "a" * 5000}, "preset is a text of 5,000 characters; it must be at most 4,096 characters long."),
        ({"preset\x1b[2J": "a"}, "Unknown configuration key 'preset\\x1b[2J'."),
        ({"x" * 10**6: 1}, "Unknown configuration key 'xxx"),
        ({"wandb": "a\x1b[2J", "train": {"precision": "\x1b[2J"}}, "train.precision is '\\x1b[2J'. Allowed:"),
    ],
)
def test_what_does_not_fit_is_named_by_its_whole_key(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=error(message)) as caught:
        RunConfig.from_dict(values)
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 1000


@pytest.mark.parametrize("words", SYNONYMS.values())
def test_synonyms_name_keys_that_there_are(words: str) -> None:
    for key in re.findall(r"(?:train|model)\.[a-z_0-9.]+[a-z_0-9]", words):
        override(RunConfig(), {key: None if key.endswith("micro_batch") else _value(RunConfig().to_dict(), key)})


def _value(values: dict[str, Any], key: str) -> Any:
    for part in key.split("."):
        values = values[part]
    return values


# ------------------------------------------------------------------------------------------------ sizes


@pytest.mark.parametrize(
    ("image", "base", "doublings"),
    [
        ((256, 256), (4, 4), 6),
        ((1024, 1024), (4, 4), 8),
        ((256, 448), (4, 7), 6),
        ((384, 256), (6, 4), 6),
        ((256, 384), (4, 6), 6),
        ((96, 96), (6, 6), 4),
        ((160, 160), (5, 5), 5),
        ((224, 224), (7, 7), 5),
        ((4, 4), (4, 4), 0),
        ((5, 4), (5, 4), 0),
        ((1080, 1920), None, None),
        ((64, 1024), (4, 64), 4),
        ((32, 36), (8, 9), 2),
    ],
)
def test_base_size_doubles_into_the_image(
    image: tuple[int, int], base: tuple[int, int] | None, doublings: int | None
) -> None:
    if base is None:
        with pytest.raises(ConfigError, match=error(f"Image size {image[1]}x{image[0]} (WxH) halves only to")):
            base_size_of(image)
        return
    assert base_size_of(image) == base
    config = ModelConfig(image_size=image)
    assert (config.base, config.num_doublings) == (base, doublings)
    assert config.resolution == 4 * 2**config.num_doublings


@settings(max_examples=200)
@given(st.integers(1, 4096), st.integers(1, 4096))
def test_any_size_has_a_base_or_a_message_with_a_size_that_has_one(height: int, width: int) -> None:
    try:
        base_height, base_width = base_size_of((height, width))
    except ConfigError as caught:
        named = re.search(r"Good sizes near: ([x\d]+)(?: and ([x\d]+))?\.$", str(caught))
        assert named is not None
        for size in filter(None, named.groups()):
            near_width, near_height = map(int, size.split("x"))
            base_size_of((near_height, near_width))
        return
    assert 4 <= min(base_height, base_width) <= 8
    factor = height // base_height
    assert factor & (factor - 1) == 0
    assert (base_height * factor, base_width * factor) == (height, width)


def test_a_base_may_be_given() -> None:
    config = ModelConfig(image_size=(64, 64), base_size=(8, 8))
    assert config.num_doublings == 3
    assert config.resolution == 32


@pytest.mark.parametrize("base", [(3, 3), (4, 5), (0, 4), (128, 128)])
def test_a_base_that_does_not_double_into_the_image_is_refused(base: tuple[int, int]) -> None:
    with pytest.raises(ConfigError, match=error(f"64x64 (WxH) is not base size {base[1]}x{base[0]} doubled")):
        ModelConfig(image_size=(64, 64), base_size=base)
