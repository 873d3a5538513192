from __future__ import annotations

import errno
from pathlib import Path

import pytest

from sgkit.config import ModelConfig, TrainConfig
from sgkit.errors import ConfigError, InputError
from sgkit.runs.config import DataFacts, RunConfig
from sgkit.runs.folder import RunFolder
from sgkit.runtime.toml import to_toml

CONFIG = RunConfig(
    preset="stylegan2-32",
    data=DataFacts(store='odd "name" \\ ünïcode\n', content_hash="abc", num_images=3),
    model=ModelConfig(image_size=(8, 16), label_dim=2),
    train=TrainConfig(g_lr=1e-05, ema_rampup=0.05, micro_batch=8, mirror=True),
)


def test_config_file_holds_everything_and_reads_back(tmp_path: Path) -> None:
    run = RunFolder(tmp_path)
    run.write_config(CONFIG)
    assert run.read_config() == CONFIG
    text = run.config_file.read_text(encoding="utf-8")
    assert "[model.synthesis]" in text
    assert "resample_filter = [1.0, 3.0, 3.0, 1.0]" in text


def test_toml_of_every_kind_of_value() -> None:
    values = {"a": None, "b": True, "c": [1, 2.5], "d": {"e": "x", "f": {"g": 1e-08}}, "h": 2}
    assert to_toml(values) == 'a = "none"\nb = true\nc = [1, 2.5]\nh = 2\n\n[d]\ne = "x"\n\n[d.f]\ng = 1e-08\n'


def test_a_config_with_an_unknown_key_names_the_nearest(tmp_path: Path) -> None:
    run = RunFolder(tmp_path)
    run.config_file.write_text("[train]\nbatches = 3\n")
    with pytest.raises(ConfigError, match=r"'train.batches'. Did you mean 'train.batch'"):
        run.read_config()
    run.config_file.write_text("[train\n")
    with pytest.raises(ConfigError, match=r"is not valid TOML"):
        run.read_config()


def test_snapshots_are_listed_by_images_and_only_whole_ones(tmp_path: Path) -> None:
    run = RunFolder(tmp_path)
    for images in (1_200_032, 0, 20_032):
        run.write_snapshot(images, lambda snapshot: snapshot.model.write_text("x"))
    for odd in (".000900.000.aside", "notes", "000123"):
        (tmp_path / "snapshots" / odd).mkdir()
    names = [(snapshot.images, snapshot.folder.name) for snapshot in run.snapshots()]
    assert names == [(0, "000000.000"), (20_032, "000020.032"), (1_200_032, "001200.032")]
    assert run.fakes_file(20_032).name == "fakes_000020.032.png"


def test_a_snapshot_that_fails_leaves_nothing(tmp_path: Path) -> None:
    def fail(snapshot: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    run = RunFolder(tmp_path)
    with pytest.raises(OSError, match="the disk is full"):
        run.write_snapshot(32, fail)
    assert run.snapshots() == []
    assert list((tmp_path / "snapshots").iterdir()) == []


def test_a_new_run_takes_a_new_or_empty_folder(tmp_path: Path) -> None:
    RunFolder(tmp_path).check_new()
    RunFolder(tmp_path / "new").check_new()
    (tmp_path / "file").write_text("x")
    with pytest.raises(InputError, match=r"is a text file\. Name a new folder"):
        RunFolder(tmp_path / "file").check_new()
    with pytest.raises(InputError, match=r"Not a run folder: .* is a folder"):
        RunFolder(tmp_path).check_new()
    RunFolder(tmp_path).write_config(CONFIG)
    with pytest.raises(InputError, match=r"holds a run already\. Add --resume"):
        RunFolder(tmp_path).check_new()


def test_a_folder_without_a_run_cannot_be_resumed(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"holds no run to resume .*To start one, leave --resume out"):
        RunFolder(tmp_path).read_config()
