from __future__ import annotations

from pathlib import Path

import pytest

from sgkit.config import HealthConfig, KeepConfig, MetricsConfig, override
from sgkit.errors import ConfigError
from sgkit.runs.config import RunConfig
from sgkit.runs.folder import RunFolder


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("keep.last", "0", "keep.last is '0'; it must be 1 or more, or none"),
        ("metrics.every_kimg", "0", "metrics.every_kimg is '0'; it must be above 0, or none"),
        ("metrics.num_images", "1", "metrics.num_images is '1'; it must be 2 or more, or none"),
        ("health.nonfinite", "skp", "health.nonfinite is 'skp'. Did you mean 'skip'"),
        ("health.collapse", "skip", "health.collapse is 'skip'. Allowed: warn, rollback, stop"),
        ("health.rollback_lr_factor", "0", "health.rollback_lr_factor is '0'; it must be above 0 and at most 1"),
        ("health.path_length_growth", "1", "health.path_length_growth is '1'; it must be above 1"),
    ],
)
def test_what_is_not_allowed_is_said(key: str, value: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        override(RunConfig(), {key: value})


def test_settings_arrive_as_text() -> None:
    changes = {"keep.last": "3", "metrics.names": "fid, kid", "metrics.every_kimg": "50", "wandb": "faces"}
    config = override(RunConfig(), changes)
    assert config.keep == KeepConfig(last=3)
    assert config.metrics == MetricsConfig(names=("fid", "kid"), every_kimg=50.0)
    assert override(config, {"keep.last": "none", "metrics.names": ""}).metrics.names == ()
    assert config.wandb == "faces"


def test_files_of_an_older_sgkit_have_the_defaults(tmp_path: Path) -> None:
    run = RunFolder(tmp_path)
    run.config_file.write_text('preset = "stylegan2-32"\n[train]\nbatch = 8\n')
    config = run.read_config()
    assert (config.keep, config.metrics, config.health) == (KeepConfig(), MetricsConfig(), HealthConfig())
    run.write_config(config)
    assert run.read_config() == config
