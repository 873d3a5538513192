"""The preset ``auto``: what is chosen for which images and machine, said in five lines, recorded as plain values."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from sgkit.config.presets import preset
from sgkit.runs.auto import Images, Machine, choose, micro_batch
from sgkit.runs.folder import RunFolder
from sgkit.store.header import LabelSchema
from tests.runs.driver import Cli

FLOWERS = Images(count=4317, size=(64, 64))
LAPTOP, SERVER, GPU = Machine(threads=2), Machine(threads=16), Machine(device="cuda", memory_gib=24)


@pytest.mark.parametrize(
    ("images", "machine", "given", "chosen", "changes"),
    [
        (replace(FLOWERS, size=(32, 32)), LAPTOP, {}, "stylegan2-mini", {"train.batch": 16, "train.r1_gamma": 0.1}),
        (replace(FLOWERS, size=(32, 32)), SERVER, {}, "stylegan2-32", {"train.batch": 16, "train.r1_gamma": 0.1}),
        (FLOWERS, LAPTOP, {}, "stylegan2-64", {"model.synthesis.channel_base": 1024, "train.r1_gamma": 0.1}),
        (FLOWERS, SERVER, {}, "stylegan2-64", {"model.synthesis.channel_base": None, "train.pl_weight": None}),
        (FLOWERS, LAPTOP, {"model.z_dim": 64}, "stylegan2-64", {"model.synthesis.channel_base": None}),
        (FLOWERS, LAPTOP, {"train.batch": "8"}, "stylegan2-64", {"train.batch": None, "train.r1_gamma": 0.102}),
        (FLOWERS, LAPTOP, {"train.r1_gamma": "1"}, "stylegan2-64", {"train.r1_gamma": None}),
        (FLOWERS, GPU, {}, "ada-auto", {"train.batch": None, "train.r1_gamma": 0.0256, "train.augment.kimg": None}),
        (FLOWERS, replace(GPU, num_processes=2), {}, "ada-auto", {"train.r1_gamma": 0.0128}),
        (FLOWERS, replace(LAPTOP, num_processes=3), {}, "stylegan2-64", {"train.batch": 12}),
        (FLOWERS, LAPTOP, {}, "stylegan2-64", {"train.augment.kind": "ada", "train.augment.kimg": 100.0}),
        (replace(FLOWERS, count=20_000), LAPTOP, {}, "stylegan2-64", {"train.augment.kind": "none"}),
        (FLOWERS, LAPTOP, {"train.augment.kind": "none"}, "stylegan2-64", {"train.augment.kimg": None}),
        (FLOWERS, LAPTOP, {}, "stylegan2-64", {"train.mirror": True}),
        (replace(FLOWERS, count=20_000), LAPTOP, {}, "stylegan2-64", {"train.mirror": False}),
        (
            replace(FLOWERS, labels=LabelSchema(kind="class", names=("hand_left", "hand_right"))),
            LAPTOP,
            {},
            "stylegan2-64",
            {"train.mirror": False},
        ),
        (
            replace(FLOWERS, labels=LabelSchema(kind="class", names=("tulip", "rose"))),
            LAPTOP,
            {},
            "stylegan2-64",
            {"train.mirror": True},
        ),
        (
            replace(FLOWERS, labels=LabelSchema(kind="float", names=("angle",))),
            LAPTOP,
            {},
            "stylegan2-64",
            {"train.mirror": False},
        ),
    ],
)
def test_what_is_chosen(
    images: Images, machine: Machine, given: dict[str, Any], chosen: str, changes: dict[str, Any]
) -> None:
    """``None``: not changed."""
    found = choose(images, machine, given=given)
    assert found.preset == chosen
    assert {key: found.changes.get(key) for key in changes} == changes
    assert not found.changes.keys() & given.keys()


def test_it_says_what_and_why_in_five_lines() -> None:
    lines = choose(FLOWERS, LAPTOP, given={}).lines
    assert [line.partition(":")[0] for line in lines] == ["networks", "batch", "R1", "augmentation", "mirror"]
    assert "ADA's rule 0.0002 x 64\N{SUPERSCRIPT TWO} / 16" in lines[2]
    assert "4,317 images" in lines[3]
    assert "--no-mirror" in lines[4]
    small = choose(replace(FLOWERS, size=(32, 32)), LAPTOP, given={}).lines
    assert "0.1, because ADA's rule 0.0002 x 32\N{SUPERSCRIPT TWO} / 16 = 0.0128 is too weak" in small[2]
    assert "smaller images are a better start" in choose(replace(FLOWERS, size=(128, 128)), LAPTOP, given={}).lines[0]
    model = preset("stylegan2-64").model
    assert (
        "of the model of --init, fitted to 32x32"
        in (choose(replace(FLOWERS, size=(32, 32)), LAPTOP, given={}, init=model).lines[0])
    )
    asked = {"train.mirror": True, "train.r1_gamma": 1, "train.augment.kind": "ada"}
    assert len(choose(FLOWERS, LAPTOP, given=asked).lines) == 2


def test_a_batch_is_split_where_memory_is_short() -> None:
    large = preset("stylegan2-f").model
    found = micro_batch(large, 32, Machine(device="cuda", memory_gib=80))
    assert found is not None
    held, line = found
    assert held == 8
    assert line.startswith("memory: 8 images at once, since 32 need about 1")
    assert micro_batch(large, 32, Machine(device="cuda", memory_gib=8)) == (4, line.replace("8 images", "4 images"))
    assert micro_batch(preset("stylegan2-64").model, 16, Machine(memory_gib=8)) is None
    assert micro_batch(large, 32, Machine()) is None


def test_a_run_records_plain_values_and_resumes_on_any_machine(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, tiny = tmp_path / "run", ["--set", "train.num_workers=0", "--set", "train.log_kimg=0.016"]
    assert cli.train(run, "--kimg", "0.016", *tiny) == 0
    said = cli.said()
    assert "Chosen for 20 images of 16x8 on a CPU with" in said
    assert "  mirror: on, which doubles 20 images" in said
    config = RunFolder(run).read_config()
    assert config.preset.startswith("stylegan2-")
    assert (config.train.batch, config.train.mirror, config.train.augment.kind) == (16, True, "ada")
    assert len(config.choices) == 5
    assert "Choices" in (run / "report.html").read_text()

    def refuse(**_: Any) -> None:
        raise AssertionError("a resumed run chooses nothing")

    monkeypatch.setattr("sgkit.runs.auto.choose", refuse)
    assert cli.resume(run, "--kimg", "0.032", *tiny[2:]) == 0
    assert "Chosen for" not in cli.said()
    assert RunFolder(run).read_config().choices == config.choices
    monkeypatch.undo()
    again = tmp_path / "again"
    assert cli.train(again, "--config", str(run / "config.toml"), "--kimg", "0.016") == 0
    assert RunFolder(again).read_config().train.r1_gamma == config.train.r1_gamma
    assert RunFolder(again).read_config().choices == ()


def test_auto_can_be_named_and_flags_come_first(cli: Cli, tmp_path: Path) -> None:
    options = ["--preset", "auto", "--batch", "8", "--no-mirror", "--augment", "none", "--kimg", "0.008"]
    assert cli.train(tmp_path / "run", *options, "--set", "train.num_workers=0") == 0
    config = RunFolder(tmp_path / "run").read_config()
    assert (config.train.batch, config.train.mirror, config.train.augment.kind) == (8, False, "none")
    assert [line.partition(":")[0] for line in config.choices] == ["networks", "batch", "R1"]
