"""Trouble is said in words, with what to do, on the screen, in the log and in the report."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sgkit.runs.folder import RunFolder
from sgkit.runs.timing import Pace
from sgkit.tasks.prepare import PrepareOptions, prepare, prepare_split
from tests.runs.driver import Cli


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twenty images of 16x8 (WxH), and a table of numbers, one of which is a slip of the pen."""
    folder = tmp_path_factory.mktemp("numbered")
    random, rows = np.random.RandomState(0), ["file,angle"]
    for index in range(20):
        Image.fromarray(random.randint(0, 256, (8, 16, 3), dtype=np.uint8)).save(folder / f"{index:02d}.png")
        rows.append(f"{index:02d}.png,{'3e38' if index == 7 else index / 20}")
    (folder / "angles.csv").write_text("\n".join(rows) + "\n")
    return folder


def told(cli: Cli, run: Path, event: str) -> str:
    """The text of the first event of a name, which the screen and the report show too."""
    text = str(cli.log(run, event=event)[0]["text"])
    assert text in cli.said()
    report = (run / "report.html").read_text()
    assert event in report
    return text


def test_a_label_that_no_network_bears_is_named_before_training(cli: Cli, pictures: Path, tmp_path: Path) -> None:
    options = PrepareOptions(size=(8, 16), labels=str(pictures / "angles.csv"), label_kind="float")
    store = prepare(pictures, tmp_path / "store", options=options).path
    assert cli.new(tmp_path / "run", "--kimg", "0.024", store=store) == 1
    said = cli.said()
    assert "The label of image 7 (07.png) holds 3e+38; no network can be trained with that. Labels are best be" in said
    assert "Correct it in the table of labels, and prepare the store again." in said
    assert not (tmp_path / "run").exists()
    assert cli.new(tmp_path / "run", "--kimg", "0.008", "--set", "model.label_dim=0", store=store) == 0


@pytest.mark.parametrize("policy", ["rollback", "skip"])
def test_the_image_whose_output_is_not_finite_is_named(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, policy: str
) -> None:
    """A discriminator that cannot bear one image: the one with the largest first pixel."""
    from sgkit.model import Discriminator
    from sgkit.store import StoreDataset

    dataset = StoreDataset(cli.store)
    brightest = max(range(20), key=lambda index: int(dataset[index][0].sum()))
    limit = float(dataset[brightest][0].float().mean() / 127.5 - 1) - 1e-4
    forward = Discriminator.forward

    def breaking(self: Discriminator, images: object, *args: object) -> object:
        logits = forward(self, images, *args)  # type: ignore[arg-type]
        too_bright = images.mean(dim=(1, 2, 3))[:, None] > limit  # type: ignore[attr-defined]
        return logits.masked_fill(too_bright, float("nan"))

    monkeypatch.setattr(Discriminator, "forward", breaking)
    run = tmp_path / "run"
    code = cli.new(run, "--kimg", "0.024", "--set", f"health.nonfinite={policy}")
    name = dataset.reader.meta(brightest)["name"]
    text = f"D's output for image {brightest} ({name}) alone is not finite. Look at this image"
    said = cli.said()
    assert text in said
    if policy == "skip":
        assert code == 0
        assert text in cli.log(run, event="skipped update")[0]["text"]
    else:
        assert code == 1
        assert "olled back" not in said  # it would only meet the image again


def test_overfitting_and_augmentation_at_its_limit_are_told(cli: Cli, tmp_path: Path) -> None:
    run = tmp_path / "run"
    health = ["--set", "health.window_kimg=0.008", "--set", "health.overfit_sign=0.001"]
    assert cli.new(run, "--kimg", "0.16", *health, "--set", "train.d_lr=0.02") == 0
    assert "What to do: continue with --resume --augment ada" in told(cli, run, "discriminator overfits")
    limited = tmp_path / "limited"
    strong = ["--augment", "ada", "--set", "train.augment.p=0.95", "--set", "health.window_kimg=0.008"]
    assert cli.new(limited, "--kimg", "0.016", *strong) == 0
    assert "augmented with probability 0.95" in told(cli, limited, "augmentation at its limit")


def test_training_far_slower_than_at_the_start_is_told(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, seconds, add = tmp_path / "run", iter([1.0] * 4 + [5.0] * 6), Pace.add
    monkeypatch.setattr(Pace, "is_settled", property(lambda self: self._count > 1))
    monkeypatch.setattr("sgkit.runs.timing.WINDOW", 2)
    monkeypatch.setattr(Pace, "add", lambda self, report: add(self, replace(report, seconds=next(seconds))))
    assert cli.new(run, "--kimg", "0.08") == 0
    text = told(cli, run, "slow")
    assert "Training is 3.0 times slower than at the start: 375 instead of 125 seconds for a thousand images." in text
    assert "OMP_NUM_THREADS" in text


def test_the_other_part_of_a_split_is_scored_and_changes_nothing(cli: Cli, pictures: Path, tmp_path: Path) -> None:
    options = PrepareOptions(size=(8, 16), labels="none", split="train=0.6,val=0.4")
    prepare_split(pictures, tmp_path / "split", options=options)
    store, run, bare = tmp_path / "split" / "train", tmp_path / "run", tmp_path / "bare"
    assert cli.new(run, "--kimg", "0.032", "--set", "health.overfit_gap=0.000001", store=store) == 0
    assert RunFolder(run).read_config().health.held_out == str(tmp_path / "split" / "val")
    lines = cli.log(run, key="held_out")
    assert [line["images"] for line in lines] == [0, 16, 32]
    assert {"held_out_real", "held_out_fake"} <= lines[0].keys()
    assert "Scores of held-out images" in (run / "report.html").read_text()
    assert cli.new(bare, "--kimg", "0.032", "--set", "health.held_out=none", store=store) == 0
    assert cli.log(bare, key="held_out") == []
    assert cli.same(run, bare)
    (tmp_path / "split" / "val").rename(tmp_path / "gone")
    cli.said()
    assert cli.train(run, "--resume", "--kimg", "0.04", store=store) == 0
    assert "Held-out images cannot be scored: There is no store at" in cli.said()
