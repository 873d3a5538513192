from __future__ import annotations

import json
import shlex
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from sgkit.cli.app import main
from sgkit.cli.demo import run_command
from sgkit.errors import InputError
from sgkit.metrics import effnet
from sgkit.tasks import demo
from sgkit.tasks.demo import DemoScale, can_measure, run_demo, train_in_legs
from tests.html_page import ParsedPage

SMALL = DemoScale(
    num_images=48,
    workers=1,
    size=16,
    kimg=0.032,
    frames=4,
    project_steps=2,
    panorama_width=64,
    metric_images=8,
)


@pytest.fixture(scope="module", autouse=True)
def _no_offline_metrics() -> Iterator[None]:
    """Measuring has tests of its own, and takes long."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(demo, "can_measure", lambda: False)
        yield


def run_small(out: Path, run: Callable[[list[str]], Any] = run_command) -> list[str]:
    """Run the smallest demo; what it told."""
    told: list[str] = []
    run_demo(out, SMALL, run=run, tell=told.append)
    return told


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A whole demo of the smallest size."""
    out = tmp_path_factory.mktemp("demo") / "demo"
    run_small(out)
    return out


def test_the_demo_makes_everything_and_a_page_of_it(done: Path) -> None:
    text = (done / "index.html").read_text(encoding="utf-8")
    page = ParsedPage(text)
    assert len(page.ids) == 8
    assert len(page.images) == 10
    assert "<script" not in text
    assert page.texts["h2"][-1] == "Measure"
    assert page.texts["code"][-1] == "pip install 'stylegan-sgkit[offline]'"
    assert {"images", "PSNR", "seam visibility"} <= set(page.texts["dt"])
    assert sorted(path.name for path in (done / "pictures").iterdir()) == [
        "generated.png",
        "mix.png",
        "mixed.png",
        "panorama.png",
        "trained.png",
        "walk.webp",
    ]
    assert len(list((done / "projected").glob("*/latent.npz"))) == 1


def test_a_demo_that_is_done_is_kept(done: Path) -> None:
    def refuse(argv: list[str]) -> Any:
        raise AssertionError(argv)

    assert "train: done before, kept." in run_small(done, refuse)


def test_a_stopped_demo_continues(done: Path) -> None:
    records = json.loads((done / "demo.json").read_text())
    (done / "demo.json").write_text(json.dumps({name: records[name] for name in records if name != "panorama"}))
    picture = done / "pictures" / "panorama.png"
    pixels, asked = picture.read_bytes(), []

    def pretend(argv: list[str]) -> Any:
        asked.append((argv[0], picture.exists()))  # a command refuses to overwrite it
        picture.write_bytes(pixels)
        return records[argv[0]]["result"]

    run_small(done, pretend)
    assert asked == [("panorama", False)]


def test_the_commands_on_the_page_are_the_ones_that_ran(done: Path) -> None:
    records = json.loads((done / "demo.json").read_text())
    picture = done / "pictures" / "mixed.png"
    before = picture.read_bytes()
    picture.unlink()
    words = shlex.split(records["mix_projections"]["command"])
    assert words[0] == "sgkit"
    assert main(words[1:]) == 0
    assert picture.read_bytes() == before


def test_training_stops_by_the_clock_and_goes_on_in_legs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [0.0]
    goals: list[float] = []

    def pretend(argv: list[str]) -> dict[str, float]:
        goals.append(float(argv[argv.index("--kimg") + 1]))
        clock[0] += 20.0 * (goals[-1] - (goals[-2] if len(goals) > 1 else 0.0))  # 20 s/kimg
        (tmp_path / "config.toml").touch()
        assert ("--resume" in argv) == (len(goals) > 1)
        return {"kimg": goals[-1]}

    monkeypatch.setattr("time.perf_counter", lambda: clock[0])
    scale = DemoScale(kimg=100.0, minutes=1.5, leg_seconds=25.0)
    record = train_in_legs(["train", "store"], tmp_path, scale, pretend)
    assert goals == pytest.approx([0.32, 1.57, 2.82, 4.07, 4.5], abs=1e-3)
    assert record.seconds == pytest.approx(90.0)
    assert record.command == "sgkit train store --kimg 4.5"
    goals.clear()
    (tmp_path / "config.toml").unlink()
    train_in_legs(["train", "store"], tmp_path, DemoScale(kimg=1.0, minutes=60.0), pretend)
    assert goals == [0.32, 1.0]


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
    assert "measure" not in {step.name for step in demo.steps()}
    monkeypatch.setattr(demo, "can_measure", lambda: True)
    assert [step.name for step in demo.steps()][-2:] == ["measure_untrained", "measure"]


def test_grids_on_the_page_are_those_that_one_command_makes() -> None:
    def shown(*kimg: float) -> list[float]:
        return [demo._kimg(path) for path in demo._grids([Path(f"fakes_{one:010.3f}.png") for one in kimg])]

    assert shown(0, 0.32, 1.7, 2, 3.9, 4, 5.5, 6, 7.3) == [0, 4, 7.3]
    assert shown(0, 0.32, 1.7) == [0, 1.7]
    assert shown(0) == [0]


def test_other_folders_are_left_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "thesis.txt").touch()
    assert main(["demo", "--out", str(tmp_path)]) == 1
    assert "is not empty and is not a demo. Name a new folder with --out." in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]
    (tmp_path / "demo.json").write_text("[1]")
    with pytest.raises(InputError, match=r"demo\.json is damaged\. Remove .* and start again"):
        run_small(tmp_path)
