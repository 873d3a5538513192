from __future__ import annotations

import json
import os
import shlex
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageSequence

from sgkit.cli.app import main
from sgkit.cli.demo import run_command
from sgkit.errors import InputError
from sgkit.metrics import effnet
from sgkit.tasks.demo import running, steps
from sgkit.tasks.demo.running import run_demo
from sgkit.tasks.demo.steps import DemoScale, Speed, can_measure, planned
from tests.html_page import ParsedPage

pytestmark = pytest.mark.xdist_group("demo")  # one process makes the demo, for all tests
SMALL = DemoScale(num_images=8, workers=1, kimg=0.008, frames=3, project_steps=1, metric_images=8, panorama_width=768)
SPEED = Speed(seconds=0.02, processor_seconds=0.04, threads=2)


@pytest.fixture(scope="module", autouse=True)
def _no_offline_metrics() -> Iterator[None]:
    """Measuring has tests of its own, and takes long."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(steps, "can_measure", lambda: False)
        yield


def run_small(out: Path, run: Callable[[list[str]], Any] = run_command) -> list[str]:
    """Run the smallest demo; what it told."""
    told: list[str] = []
    run_demo(out, scale=SMALL, run=run, tell=told.append)
    return told


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A whole demo of the smallest size, made in the folder that holds it."""
    folder = tmp_path_factory.mktemp("demo")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setattr(running, "measure_speed", lambda: SPEED)
        run_small(Path("demo"))
    return folder / "demo"


def test_the_demo_makes_everything_and_a_page_of_it(done: Path) -> None:
    text = (done / "index.html").read_text(encoding="utf-8")
    page = ParsedPage(text)
    assert len(page.ids) == 9
    assert len(page.images) == 13
    assert text.count('class="turning"') == 1
    assert "<script" not in text
    assert page.texts["h2"][-1] == "Measure"
    assert page.texts["code"][-1] == "pip install 'stylegan-sgkit[offline]'"
    assert {"speed measured at the start", "pictures shown", "PSNR", "seam visibility"} <= set(page.texts["dt"])
    assert "50 images per second" in text
    assert "{" not in "".join(page.texts["p"] + page.texts["figcaption"] + page.texts["dd"])


def test_the_commands_on_the_page_make_what_it_shows(
    done: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = ParsedPage((done / "index.html").read_text(encoding="utf-8"))
    typed = [shlex.split(line) for line in page.texts["code"] if line.startswith("sgkit ")]
    assert len(typed) == len(json.loads((done / "demo.json").read_text())["records"]) == 14
    monkeypatch.chdir(tmp_path)
    for words in typed:
        assert main(words[1:]) == 0, words
    shown = sorted(path.relative_to(done) for pattern in ("*.png", "*.webp") for path in done.rglob(pattern))
    assert len(shown) > 14
    for path in shown:
        if path.name != "loss.png":
            assert same_picture(done / path, tmp_path / "demo" / path), path


def same_picture(one: Path, other: Path) -> bool:
    """Whether two files show the same pixels."""
    with Image.open(one) as first, Image.open(other) as second:
        frames = [[np.asarray(frame) for frame in ImageSequence.Iterator(image)] for image in (first, second)]
    return len(frames[0]) == len(frames[1]) and all(map(np.array_equal, *frames))


def test_a_demo_that_is_done_is_kept(done: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(argv: list[str]) -> Any:
        raise AssertionError(argv)

    monkeypatch.chdir(done.parent)
    assert "train: done before, kept." in run_small(Path("demo"), refuse)


def test_a_stopped_demo_continues(done: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(done.parent)
    kept = (done / "demo.json").read_text()
    values = json.loads(kept)
    records = dict(values["records"])
    values["records"] = {name: records[name] for name in records if name not in ("panorama", "train")}
    (done / "demo.json").write_text(json.dumps(values))
    picture = done / "pictures" / "panorama.png"
    pixels, asked = picture.read_bytes(), []

    def pretend(argv: list[str]) -> Any:
        asked.append((argv[0], picture.exists(), "--resume" in argv))  # a command refuses to overwrite it
        picture.write_bytes(pixels)
        return records[argv[0]]["result"]

    run_small(Path("demo"), pretend)
    assert asked == [("panorama", False, False), ("train", True, True)]
    assert json.loads((done / "demo.json").read_text())["records"].keys() == records.keys()


@pytest.mark.parametrize(
    ("seconds", "processor", "expected"),
    [
        (0.02, 0.04, 0.02),  # two threads on an idle machine
        (0.04, 0.04, 0.02),  # twice as slow, because other programs run: the same work, in twice the time
        (0.20, 0.04, 0.10),  # ten times as slow: less work, too
        (0.01, 0.04, 0.01),  # more threads than cores spin
    ],
)
def test_work_is_sized_by_processor_time_and_never_planned_beyond_twice_the_time(
    seconds: float, processor: float, expected: float
) -> None:
    speed = Speed(seconds=seconds, processor_seconds=processor, threads=2)
    assert speed.plannable == pytest.approx(expected)


def test_more_speed_or_time_is_more_work_within_bounds() -> None:
    usual = planned(SPEED, 2.0)
    assert usual == DemoScale()
    slow, fast = (planned(Speed(seconds=s, processor_seconds=2 * s, threads=2), 2.0) for s in (1.0, 1e-4))
    for name in ("frames", "project_steps", "kimg", "metric_images"):
        assert getattr(slow, name) < getattr(usual, name) < getattr(fast, name)
    assert slow.kimg == 0.08
    assert fast.metric_images <= fast.num_images
    assert planned(SPEED, 20.0).kimg == pytest.approx(1.42)


def test_speed_is_measured_with_the_packaged_model() -> None:
    speed = running.measure_speed()
    assert 0 < speed.seconds < 60
    assert speed.threads >= 1


def test_the_extra_offline_is_enough_to_measure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip(effnet.PACKAGE)
    assert can_measure()
    monkeypatch.setattr(effnet, "PACKAGE", "no_such_package")
    assert not can_measure()
    (tmp_path / "without_weights").mkdir()
    (tmp_path / "without_weights" / "__init__.py").touch()
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(effnet, "PACKAGE", "without_weights")
    assert not can_measure()


def test_measuring_is_a_step_where_its_packages_are(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "measure" not in {step.name for step in steps.steps()}
    monkeypatch.setattr(steps, "can_measure", lambda: True)
    assert [step.name for step in steps.steps()][-2:] == ["measure_before", "measure"]


def test_other_folders_are_left_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "thesis.txt").touch()
    monkeypatch.setenv("OMP_WAIT_POLICY", "")
    monkeypatch.delenv("OMP_WAIT_POLICY")
    assert main(["demo", "--out", str(tmp_path)]) == 1
    assert os.environ["OMP_WAIT_POLICY"] == "PASSIVE"  # threads that wait let other programs run
    assert "is not empty and is not a demo. Name a new folder with --out." in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]
    (tmp_path / "demo.json").write_text("[1]")
    with pytest.raises(InputError, match=r"demo\.json is damaged, or of a different version\. Remove .* and start"):
        run_small(tmp_path)
