"""A run that continues on a data set that has grown."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from safetensors.torch import load_file

from sgkit.cli.app import main
from sgkit.runs.folder import RunFolder
from sgkit.tasks.prepare import PrepareOptions, prepare
from tests.runs.driver import Cli

ADA = ["--augment", "ada", "--set", "train.augment.p=0.5"]


def store_of(folder: Path, count: int, *, size: tuple[int, int] = (8, 16), classes: tuple[str, ...] = ()) -> Path:
    random = np.random.RandomState(0)
    for index in range(count):
        path = folder / "images" / (classes[index % len(classes)] if classes else "") / f"{index}.png"
        path.parent.mkdir(exist_ok=True, parents=True)
        Image.fromarray(random.randint(0, 256, (*size, 3), dtype=np.uint8)).save(path)
    options = PrepareOptions(size=size, labels="folders" if classes else "none")
    return prepare(folder / "images", folder / "store", options=options).path


def test_optimizers_and_augmentation_continue_on_new_data(tmp_path: Path, cli: Cli) -> None:
    run, grown = tmp_path / "run", store_of(tmp_path / "grown", 30)
    assert cli.new(run, "--kimg", "0.016", *ADA) == 0
    again = ["train", str(grown), "--out", str(run), "--resume", "--device", "cpu", "--kimg", "0.024"]
    before = RunFolder(run).snapshots()[-1]
    assert main(again) == 1
    assert "add --new-data to continue with this one" in cli.said()
    assert main([*again, "--new-data"]) == 0
    [event] = cli.log(run, event="new data")
    assert event["images"] == 16
    assert f"New data: 30 images of {grown}, before 20 of " in event["text"]
    assert "Optimizers and augmentation continue" in event["text"]
    config = RunFolder(run).read_config()
    assert (config.data.store, config.data.num_images) == (str(grown), 30)
    states = [load_file(snapshot.state) for snapshot in (before, RunFolder(run).snapshots()[-1])]
    assert [float(state["d.step.b4_head.bias"]) for state in states] == [3.0, 4.0]  # with one lazy penalty
    assert [line["augment_p"] for line in cli.log(run) if "step" in line] == pytest.approx([0.5] * 3, abs=1e-3)
    assert main([*again[:-1], "0.032"]) == 0  # from now on these are the run's images
    assert main([*again[:-1], "0.040", "--new-data"]) == 2
    assert "--new-data has no effect here: " in cli.said()


@pytest.mark.parametrize(
    ("facts", "message"),
    [
        ({"size": (8, 8)}, "model.image_size is 16x8, but the store's is 8x8."),
        ({"classes": ("a", "c")}, "its classes are a, c, the run's are a, b."),
        ({}, "model.label_dim is 2, but the store's is 0."),
    ],
)
def test_data_that_does_not_fit_is_refused(
    tmp_path: Path, cli: Cli, tiny: list[str], facts: dict[str, Any], message: str
) -> None:
    run, first = tmp_path / "run", store_of(tmp_path / "first", 10, classes=("a", "b"))
    assert main(["train", str(first), "--out", str(run), *tiny, "--kimg", "0.008"]) == 0
    other = store_of(tmp_path / "other", 12, **({"classes": ("a", "b")} if "size" in facts else {}), **facts)
    before = (run / "config.toml").read_bytes()
    assert main(["train", str(other), "--out", str(run), "--resume", "--new-data", "--device", "cpu"]) == 2
    assert message in cli.said()
    assert (run / "config.toml").read_bytes() == before
