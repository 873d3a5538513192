"""``sgkit train`` as users run it: through ``main(argv)``, on a store made for it."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import sgkit
from sgkit.cli.app import main
from sgkit.config import ModelConfig, TrainConfig
from sgkit.model import build
from sgkit.render.inputs import Inputs
from sgkit.render.render import render
from sgkit.runs import train
from sgkit.runs.folder import RunFolder
from sgkit.runs.samples import sample_scenes, screen_grid
from sgkit.tasks.prepare import PrepareOptions, prepare
from tests.html_page import ParsedPage
from tests.runs.conftest import TINY
from tests.runs.driver import Cli


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twenty images of 16x8 (WxH) in two folders, which are their classes."""
    folder = tmp_path_factory.mktemp("images")
    random = np.random.RandomState(0)
    for index in range(20):
        path = folder / "pictures" / ("left" if index % 2 else "right") / f"{index}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(random.randint(0, 256, (8, 16, 3), dtype=np.uint8)).save(path)
    options = PrepareOptions(size=(8, 16), labels="folders")
    return prepare(folder / "pictures", folder / "store", options=options).path


def log_of(run: Path) -> list[dict[str, Any]]:
    """The lines on steps without clocks and memory; those on snapshots and events have no number of steps."""
    clocks = ("time", "sec_per_kimg", "memory_gib")
    return [{key: value for key, value in line.items() if key not in clocks} for line in Cli.log(run, key="step")]


def test_a_run_leaves_everything_behind(cli: Cli, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    run = tmp_path / "run"
    assert cli.new(run, "--kimg", "0.04", "--mirror", "--json") == 0
    said = capfd.readouterr()
    assert re.search(
        r"At 0 kimg: stylegan2-32 \(parameters: generator \d,\d{3}, discriminator \d,\d{3}\) on 20 ", said.err
    )
    what = "on 20 images of 16x8x3 with 2 classes, to 0.04 kimg; fp32 on cpu. To watch: "
    assert f"{what}{run / 'report.html'}\n" in said.err
    result = json.loads(said.out)
    assert (result["kimg"], result["total_kimg"], result["stopped_by"]) == (0.04, 0.04, None)
    assert result["snapshot"] == str(run / "snapshots" / "000000.040")

    names = ["000000.000", "000000.016", "000000.032", "000000.040"]
    assert [snapshot.folder.name for snapshot in RunFolder(run).snapshots()] == names
    pictures = sorted(path.name for path in (run / "images").iterdir())
    assert pictures == [*(f"fakes_{name}.png" for name in names), "reals.png"]
    with Image.open(run / "images" / "reals.png") as reals, Image.open(run / "images" / pictures[0]) as fakes:
        assert reals.size == fakes.size == (16 * 16, 8 * 12)

    lines = cli.log(run, key="step")
    assert [line["images"] for line in lines] == [8, 16, 24, 32, 40]
    assert {"loss_g", "loss_d", "loss_r1", "loss_pl", "grad_g", "sign_real", "sec_per_kimg", "memory_gib"} <= set(
        lines[0]
    )
    assert list(run.glob("events.out.tfevents.*"))

    model = sgkit.load(run)
    assert model.info.kimg == 0.04
    assert model.info.provenance["content_hash"] == RunFolder(run).read_config().data.content_hash
    assert (model.image_size, model.config.label_dim) == ((8, 16), 2)
    assert torch.equal(model.generator.mapping.w_avg, cli.tensors(run)["generator.mapping.w_avg"])


def test_models_know_their_classes_by_name(cli: Cli, tmp_path: Path) -> None:
    run = tmp_path / "run"
    assert cli.new(run, "--kimg", "0.016") == 0
    assert sgkit.load(run).class_names == ("left", "right")
    assert cli.resume(run, "--kimg", "0.024") == 0
    assert sgkit.load(run).class_names == ("left", "right")
    report = (run / "report.html").read_text()
    commands = " ".join(ParsedPage(report).texts["code"])
    assert f"generate {run} --class left --seeds 0-31" in commands
    assert "each with the label of the training image in its place" in report
    for name, number in (("right", "1"), ("left", "0")):
        assert main(["generate", str(run), "--seeds", "0", "--class", name, "--out", str(tmp_path / name)]) == 0
        assert main(["generate", str(run), "--seeds", "0", "--class", number, "--out", str(tmp_path / number)]) == 0
        pictures = [tmp_path / folder / "seed0000.png" for folder in (name, number)]
        assert Image.open(pictures[0]).tobytes() == Image.open(pictures[1]).tobytes()
    cli.said()
    assert main(["generate", str(run), "--seeds", "0", "--class", "up", "--out", str(tmp_path / "up")]) == 2
    assert "a class number from 0 to 1 (left, right)" in " ".join(cli.said().split())


def test_a_store_with_labels_can_be_trained_without(cli: Cli, tmp_path: Path) -> None:
    run, bare = tmp_path / "run", ("--set", "model.label_dim=0")
    assert cli.new(run, "--kimg", "0.016", *bare) == 0
    assert cli.resume(run, "--kimg", "0.024") == 0
    model = sgkit.load(run)
    assert (model.info.kimg, model.config.label_dim, model.class_names) == (0.024, 0, ())
    again = tmp_path / "again"
    assert cli.train(again, "--config", str(run / "config.toml")) == 0
    assert log_of(again) == log_of(run)


def test_labels_of_another_number_are_refused(cli: Cli, store: Path, tmp_path: Path) -> None:
    assert cli.new(tmp_path / "run", "--set", "model.label_dim=3") == 2
    error = " ".join(cli.said().split())
    assert "model.label_dim is 3, but the store's is 2. Leave it out: the store decides; or set it to 0 to" in error


def test_the_config_file_starts_an_equal_run(cli: Cli, tmp_path: Path) -> None:
    assert cli.new(tmp_path / "one", "--kimg", "0.016", "--seed", "5") == 0
    again = cli.train(tmp_path / "two", "--config", str(tmp_path / "one" / "config.toml"))
    assert again == 0
    assert (tmp_path / "one" / "config.toml").read_text() == (tmp_path / "two" / "config.toml").read_text()
    assert log_of(tmp_path / "one") == log_of(tmp_path / "two")


def test_a_run_killed_between_snapshots_resumes_bit_for_bit(cli: Cli, tmp_path: Path) -> None:
    straight, broken = tmp_path / "straight", tmp_path / "broken"
    assert cli.new(straight, "--kimg", "0.048", "--mirror") == 0
    assert cli.new(broken, "--kimg", "0.032", "--mirror") == 0
    # As SIGKILL leaves it after the log went on: the last snapshot is missing, a part of it is there.
    folder = RunFolder(broken)
    folder.snapshots()[-1].folder.rename(broken / "snapshots" / ".000000.032.aside")
    assert folder.snapshots()[-1].images == 16
    assert cli.resume(broken, "--kimg", "0.048") == 0
    assert cli.same(straight, broken)
    assert log_of(broken) == log_of(straight)
    fakes = "images/fakes_000000.048.png"
    assert (straight / fakes).read_bytes() == (broken / fakes).read_bytes()


def test_a_complete_run_resumed_does_nothing(cli: Cli, tmp_path: Path) -> None:
    run = tmp_path / "run"
    assert cli.new(run, "--kimg", "0.008") == 0
    before = {path: path.read_bytes() for path in (run / "snapshots").rglob("*.safetensors")}
    assert cli.resume(run) == 0
    assert {path: path.read_bytes() for path in (run / "snapshots").rglob("*.safetensors")} == before


@pytest.mark.parametrize(
    ("options", "code", "message"),
    [
        (["--preset", "stylegan2-23"], 2, r"Unknown preset 'stylegan2-23'. Did you mean 'stylegan2-32'?"),
        (
            ["--preset", "stylegan2-32", "--set", "train.bach=8"],
            2,
            "Unknown configuration key 'train.bach'. Did you mean 'train.batch'?",
        ),
        (["--preset", "stylegan2-32", "--batch", "6"], 2, "give a multiple of 4."),
        (["--preset", "stylegan1-f", "--batch", "8"], 2, "at every resolution: --set train.growth.batches=8"),
        (
            ["--preset", "stylegan2-32", "--set", "model.image_channels=1"],
            2,
            "model.image_channels is 1, but the store's is 3.",
        ),
        (["--preset", "stylegan2-32", "--precision", "fp16"], 2, "Precision 'fp16' needs a GPU."),
    ],
)
def test_mistakes_are_explained_and_nothing_is_touched(
    cli: Cli, tmp_path: Path, options: list[str], code: int, message: str
) -> None:
    assert cli.train(tmp_path / "run", *options) == code
    assert message in cli.said()
    assert not (tmp_path / "run").exists()


def test_a_missing_store_is_explained(cli: Cli, tmp_path: Path) -> None:
    assert cli.new(tmp_path / "run", store=tmp_path / "nothing") == 1
    assert "nothing" in cli.said()
    assert not (tmp_path / "run").exists()


def test_runs_are_not_overwritten_and_resumed_only_as_they_were(cli: Cli, store: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    assert cli.new(run, "--kimg", "0.008") == 0
    before = {path: path.stat().st_mtime_ns for path in run.rglob("*")}
    other = prepare(
        store.parent / "pictures", tmp_path / "other", options=PrepareOptions(size=(16, 16), labels="folders")
    )
    cli.said()
    for store_given, options, code, message in [
        (store, ["--preset", "stylegan2-32"], 1, f"{run} holds a run already. Add --resume to continue it"),
        (store, ["--resume", "--preset", "stylegan2-64"], 2, "was started with preset 'stylegan2-32'"),
        (store, ["--resume", "--set", "model.w_dim=4"], 2, "'model.w_dim' cannot change on --resume"),
        (other.path, ["--resume"], 1, "was trained on different images (20 of store"),
    ]:
        assert cli.train(run, *options, store=store_given) == code
        assert message in cli.said()
    assert {path: path.stat().st_mtime_ns for path in run.rglob("*")} == before


def test_a_loss_that_explodes_leaves_the_last_snapshot(cli: Cli, tmp_path: Path) -> None:
    run = tmp_path / "run"
    assert cli.new(run, "--kimg", "0.08", "--set", "train.g_lr=1e30") == 1
    error = cli.said()
    assert "is not finite" in error
    assert "--resume --set train.g_lr=" in error
    assert all(torch.isfinite(tensor).all() for tensor in cli.tensors(run).values())


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_saves_first_and_says_how_to_go_on(
    cli: Cli, store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: signal.Signals, code: int
) -> None:
    from sgkit.runs.logs import RunLog

    write = RunLog.write

    def write_and_signal(self: RunLog, report: Any, values: Any) -> None:
        write(self, report, values)
        if report.images == 24:
            os.kill(os.getpid(), number)

    monkeypatch.setattr(RunLog, "write", write_and_signal)
    before = signal.getsignal(number)
    run = tmp_path / "run"
    assert cli.new(run, "--kimg", "1") == code
    assert signal.getsignal(number) == before
    error = cli.said()
    assert f"{number.name}: saving a snapshot after this step." in error
    assert f"Continue with: sgkit train {store} --out {run} --resume" in error
    assert RunFolder(run).snapshots()[-1].images == 24


def test_two_processes_train_as_one(cli: Cli, store: Path, tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    options = ["--kimg", "0.016", "--set", "train.d_reg_interval=1", "--set", "train.pl_interval=1"]
    assert cli.new(one, *options) == 0
    launch = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "--master-port", "29571"]
    command = [*launch, "-m", "sgkit", "train", str(store), "--out", str(two), "--device", "cpu", *cli.tiny, *options]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, done.stderr
    for got, expected in zip(log_of(two), log_of(one), strict=True):
        assert got == pytest.approx(expected, rel=1e-3, abs=1e-4)
    expected, got = cli.tensors(one), cli.tensors(two)
    assert [name for name in expected if not torch.allclose(got[name], expected[name], rtol=1e-2, atol=1e-3)] == []


def test_the_task_is_a_function(store: Path, tmp_path: Path) -> None:
    settings = TINY | {"train.total_kimg": 0.008}
    seen: list[Any] = []
    result = train(
        store, tmp_path / "run", preset="stylegan2-32", settings=settings, device="cpu", on_progress=seen.append
    )
    assert result.kimg == 0.008
    assert (result.snapshot / "model.safetensors").is_file()
    assert [(progress.done, progress.total, progress.unit) for progress in seen] == [(0.008, 0.008, "kimg")]
    assert {"loss G", "loss D", "sign real", "memory"} <= set(seen[0].fields)
    assert RunFolder(result.run).read_config().train.g_lr == 0.0025 != TrainConfig.g_lr


@pytest.mark.parametrize(("size", "shape"), [((32, 32), (16, 12)), ((256, 256), (4, 3)), ((2048, 1024), (3, 2))])
def test_grids_fill_a_screen(size: tuple[int, int], shape: tuple[int, int]) -> None:
    assert screen_grid(size) == shape


def test_samples_do_not_hang_on_the_batch_and_leave_random_state_alone() -> None:
    inputs = Inputs(build(ModelConfig(image_size=(8, 16), z_dim=8, w_dim=8)))
    scenes = sample_scenes(inputs, labels=None, count=5)
    before = torch.get_rng_state()
    whole = np.stack([one.pixels for one in render(scenes, inputs, batch=5)])
    assert torch.equal(torch.get_rng_state(), before)
    parts = np.stack([one.pixels for one in render(scenes, inputs, batch=2)])
    assert whole.shape == (5, 8, 16, 3)
    assert np.abs(whole.astype(int) - parts.astype(int)).max() <= 1
