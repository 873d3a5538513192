from __future__ import annotations

import base64
import json
import re
import shlex
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sgkit.cli import demo
from sgkit.cli.app import main
from sgkit.cli.demo import DemoScale, has_offline_metrics, run_demo
from sgkit.errors import InputError
from sgkit.metrics import effnet
from sgkit.render.pictures import write_png
from sgkit.tasks.demo import Section, demo_page, figure

SMALL = DemoScale(
    num_images=48,
    workers=1,
    size=16,
    kimg=0.032,
    walk_frames=4,
    project_steps=2,
    panorama_pixels=48,
    metric_images=8,
)


class Page(HTMLParser):
    """Checks that tags close in order, and keeps what the page shows."""

    EMPTY = frozenset({"meta", "img", "link", "br"})

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.images: list[dict[str, str | None]] = []
        self.anchors: list[str | None] = []
        self.ids: list[str | None] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        if tag not in self.EMPTY:
            self.open.append(tag)
        if tag == "img":
            self.images.append(values)
        if tag == "a":
            self.anchors.append(values["href"])
        if "id" in values:
            self.ids.append(values["id"])

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_a_page_escapes_what_it_is_given_and_holds_its_pictures(tmp_path: Path) -> None:
    write_png(np.zeros((4, 6, 3), np.uint8), tmp_path / "a.png")
    sections = [
        Section(
            title="One & <two>",
            text="<script>alert(1)</script>",
            commands=("sgkit info 'a<b>.png'",),
            figures=(
                figure(tmp_path / "a.png", 'a "caption"', enlarge=3),
                figure(tmp_path / "a.png", "narrow", width=3),
            ),
            facts={"size": "6x4"},
            seconds=75.2,
            details=("More", "x = '<1>'"),
        ),
        Section(title="Plain", text="words"),
    ]
    text = demo_page("A <title>", "lead", sections, facts={})
    page = Page(text)
    assert "<script" not in text
    assert "1 min 15 s" in text
    assert [(image["width"], image["height"]) for image in page.images] == [("18", "12"), ("3", "2")]
    assert page.images[0]["alt"] == 'a "caption"'
    data = str(page.images[0]["src"]).removeprefix("data:image/png;base64,")
    assert base64.b64decode(data) == (tmp_path / "a.png").read_bytes()
    assert page.anchors == [f"#{name}" for name in page.ids]
    assert "http" not in text


@pytest.fixture(scope="module", autouse=True)
def _no_offline_metrics() -> Iterator[None]:
    """Measuring has tests of its own, and takes long."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(demo, "has_offline_metrics", lambda: False)
        yield


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A whole demo of the smallest size."""
    out = tmp_path_factory.mktemp("demo") / "demo"
    run_demo(out, SMALL)
    return out


def test_the_demo_makes_everything_and_a_page_of_it(done: Path) -> None:
    text = (done / "index.html").read_text(encoding="utf-8")
    page = Page(text)
    assert len(page.ids) == 8
    assert len(page.images) == 11
    assert sorted(path.name for path in (done / "pictures").iterdir()) == [
        "generated.png",
        "mix.png",
        "mix_projected.png",
        "panorama.png",
        "walk.webp",
    ]
    assert len(list((done / "projected").glob("*/latent.npz"))) == 3
    assert re.search(r"pip install &#x27;stylegan-sgkit\[offline\]&#x27;", text)


def test_a_demo_that_is_done_is_kept(done: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = {path: path.stat().st_mtime_ns for path in (done / "pictures").iterdir()}
    run_demo(done, SMALL)
    assert {path: path.stat().st_mtime_ns for path in (done / "pictures").iterdir()} == before
    assert "train: done before, kept." in capsys.readouterr().err


def test_a_demo_stopped_midway_goes_on(done: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    records = json.loads((done / "demo.json").read_text())
    (done / "demo.json").write_text(json.dumps({name: records[name] for name in records if name != "panorama"}))
    picture = done / "pictures" / "panorama.png"
    pixels, asked = picture.read_bytes(), []

    def pretend(argv: list[str]) -> Any:
        asked.append((argv[0], picture.exists()))  # a command refuses to overwrite it
        picture.write_bytes(pixels)
        return records[argv[0]]["result"]

    monkeypatch.setattr(demo, "run_step", pretend)
    run_demo(done, SMALL)
    assert asked == [("panorama", False)]


def test_the_commands_on_the_page_are_the_ones_that_ran(done: Path) -> None:
    records = json.loads((done / "demo.json").read_text())
    picture = done / "pictures" / "mix_projected.png"
    before = picture.read_bytes()
    picture.unlink()
    words = shlex.split(records["mix projections"]["command"])
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

    monkeypatch.setattr(demo, "run_step", pretend)
    monkeypatch.setattr("time.perf_counter", lambda: clock[0])
    record = demo._train(["train", "store"], tmp_path, DemoScale(kimg=100.0, minutes=1.5, leg_seconds=25.0))
    assert goals == pytest.approx([0.32, 1.57, 2.82, 4.07, 4.5], abs=1e-3)
    assert record.seconds == pytest.approx(90.0)
    assert record.command == "sgkit train store --kimg 4.5"
    goals.clear()
    (tmp_path / "config.toml").unlink()
    demo._train(["train", "store"], tmp_path, DemoScale(kimg=1.0, minutes=60.0))
    assert goals == [0.32, 1.0]


def test_the_extra_offline_is_enough_to_measure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip(effnet.PACKAGE)
    assert has_offline_metrics()
    monkeypatch.setattr(effnet, "PACKAGE", "no_such_package")
    assert not has_offline_metrics()
    (tmp_path / "without_weights").mkdir()
    (tmp_path / "without_weights" / "__init__.py").touch()
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(effnet, "PACKAGE", "without_weights")
    assert not has_offline_metrics()


def test_measuring_is_a_step_where_its_packages_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "measure" not in demo.steps(tmp_path, SMALL)
    monkeypatch.setattr(demo, "has_offline_metrics", lambda: True)
    assert list(demo.steps(tmp_path, SMALL))[-2:] == ["measure untrained", "measure"]


def test_other_folders_are_left_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "thesis.txt").touch()
    assert main(["demo", "--out", str(tmp_path)]) == 1
    assert "is not empty and holds no demo. Name a new folder with --out." in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]
    (tmp_path / "demo.json").write_text("[1]")
    with pytest.raises(InputError, match=r"demo\.json is damaged\. Remove .* and start again"):
        run_demo(tmp_path, SMALL)
