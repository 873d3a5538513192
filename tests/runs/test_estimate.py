"""What a run would be: the dry run, the bound on memory, the table of presets."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from sgkit.cli.app import main
from sgkit.config import ModelConfig
from sgkit.config.presets import PRESETS, preset
from sgkit.errors import ConfigError
from sgkit.runs import estimate
from sgkit.runs.config import RunConfig
from sgkit.runs.estimate import bounded
from sgkit.runs.folder import RunFolder
from sgkit.runs.probe import Cost
from sgkit.runtime.distributed import DistributedContext
from tests.runs.driver import Cli, files
from tests.schemas import checked_result


def test_a_dry_run_tells_everything_and_writes_nothing(
    store: Path, tmp_path: Path, tiny: list[str], capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["train", str(store), *tiny, "--kimg", "0.04", "--keep", "2", "--dry-run"]) == 0
    said = capfd.readouterr().out
    assert "[model.synthesis]" in said
    assert "Nothing was written. This run would take" in said
    for word in ("device", "parameters", "memory", "speed", "time", "disk"):
        assert f"  {word} " in said
    assert list(tmp_path.iterdir()) == []


COST = Cost(gib=1.0, gib_per_image=0.25, seconds_per_image=0.01, batch=8)


@pytest.fixture
def known_cost(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(estimate, "measure_cost", lambda model, train, **options: COST)


@pytest.mark.usefixtures("known_cost")
@pytest.mark.parametrize(("memory", "held"), [(20.0, None), (4.1, 12), (2.0, 4)])
def test_the_micro_batch_is_the_largest_that_fits(memory: float, held: int | None) -> None:
    row = preset("stylegan2-32")
    config = RunConfig(model=row.model, train=row.train)
    found, cost = bounded(config, DistributedContext(), "fp32", memory)
    assert found.train.micro_batch == held
    assert cost.peak(held or 32) <= memory
    assert replace(found, train=replace(found.train, micro_batch=None)) == config


@pytest.mark.usefixtures("known_cost")
def test_a_dry_run_reports_what_its_schema_says(
    store: Path, tiny: list[str], capfd: pytest.CaptureFixture[str]
) -> None:
    command = ["train", "--dry-run", str(store), *tiny]
    assert main([*command, "--json"]) == 0
    assert checked_result(command, capfd.readouterr().out)["memory_gib"] == COST.peak(8)


@pytest.mark.usefixtures("known_cost")
def test_too_little_memory_is_refused() -> None:
    config = RunConfig(model=ModelConfig(image_size=(16, 16)))
    with pytest.raises(ConfigError, match=r"needs about 2.00 GiB even with 4 images at once; --memory allows 1.5"):
        bounded(config, DistributedContext(), "fp32", 1.5)


@pytest.mark.usefixtures("known_cost")
def test_a_batch_that_a_generator_needs_whole_is_not_split() -> None:
    row = preset("self-modulated")
    config = RunConfig(model=row.model, train=row.train)
    assert bounded(config, DistributedContext(), "fp32", 9.0)[0] == config
    with pytest.raises(ConfigError, match=r"needs about 9.00 GiB; --memory allows 4.1.*Use --batch 12 or less"):
        bounded(config, DistributedContext(), "fp32", 4.1)


@pytest.mark.usefixtures("known_cost")
def test_memory_bounds_a_run(tmp_path: Path, cli: Cli) -> None:
    assert cli.new(tmp_path / "run", "--kimg", "0.008", "--memory", "2.1GiB") == 0
    assert RunFolder(tmp_path / "run").read_config().train.micro_batch == 4


@pytest.mark.parametrize("options", [[], ["--size", "64"]])
def test_all_presets_are_listed(capfd: pytest.CaptureFixture[str], options: list[str]) -> None:
    assert main(["train", "--list-presets", "--json", *options]) == 0
    rows = {row["name"]: row for row in json.loads(capfd.readouterr().out)}
    assert list(rows) == list(PRESETS)
    small = rows["stylegan2-32"]
    assert small["size"] == ("64x64" if options else "32x32")
    assert (small["batch"], small["lr"], small["r1_gamma"]) == (32, 0.0025, 0.1)
    assert 0 < small["generator"] < rows["stylegan2-f"]["generator"]


def test_without_json_the_presets_are_a_table(capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "--list-presets", "--size", "32"]) == 0
    said = capfd.readouterr().out
    what, numbers = (table.splitlines()[1:] for table in said.split("\n\n"))
    assert [name for name in PRESETS if not any(line.startswith(f"{name} ") for line in what)] == []
    assert [line.split()[:2] for line in numbers] == [[name, "32"] for name in PRESETS]  # no row is broken


def test_what_is_missing_is_named(cli: Cli, store: Path) -> None:
    for options, message in (([], "Name the STORE"), ([str(store)], "Name the folder of the run with --out")):
        assert main(["train", *options, "--preset", "stylegan2-32"]) == 2
        assert message in cli.said()


def test_a_dry_run_is_of_the_run_that_the_options_make(
    store: Path, tmp_path: Path, cli: Cli, tiny: list[str], capfd: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    assert cli.new(run, "--kimg", "0.008") == 0
    before = files(run)
    cli.said()
    command = ["train", str(store), "--out", str(run), "--dry-run", "--device", "cpu"]
    assert main([*command, "--resume", "--kimg", "0.040", "--max-time", "1h"]) == 0
    said = capfd.readouterr()
    assert " for 0.032 kimg" in said.out
    assert "--max-time" in said.out
    assert "Measuring a few training steps" in said.err
    assert "measuring memory and time of steps with 2 images on cpu" in said.err
    assert main([*command, "--preset", "stylegan2-32"]) == 1
    assert "holds a run already" in cli.said()
    assert files(run) == before


def test_networks_that_no_machine_holds_are_refused_without_being_built(tmp_path: Path, cli: Cli) -> None:
    large = ("--set", "model.synthesis.channel_max=65536", "--set", "model.synthesis.channel_base=16777216")
    assert cli.new(tmp_path / "run", *large) == 2
    said = cli.said()
    assert "billion parameters. Training them needs " in said
    assert "Use a smaller preset" in said
    assert not (tmp_path / "run").exists()
