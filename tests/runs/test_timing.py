"""Speed, what to expect, and pictures by time, which change nothing that is trained."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from sgkit.runs.config import RunConfig
from sgkit.runs.expect import expectations, time_words
from sgkit.runs.timing import Pace, PictureTimes
from sgkit.training.loop import TrainReport
from tests.runs.driver import Cli


def steps(pace: Pace, count: int, seconds: float) -> list[float]:
    """Count steps of 10 images; the slowdowns that were told."""
    told = []
    for number in range(count):
        pace.add(TrainReport(step=number, images=number * 10, batch=10, seconds=seconds))
        told.append(pace.slowdown())
    return [times for times in told if times is not None]


def test_the_speed_is_that_of_the_last_steps() -> None:
    pace = Pace()
    assert pace.sec_per_kimg is None
    steps(pace, 1, 50.0)
    assert pace.sec_per_kimg == 5000  # there is a speed from the first step on
    assert steps(pace, 15, 1.0) == []
    assert (pace.sec_per_kimg, pace.start) == (100, None)
    steps(pace, 1, 1.0)
    assert pace.start == 100
    slow = Pace()
    steps(slow, 5, 100.0)
    assert slow.start == 10_000  # slow steps are few


def test_a_slowdown_is_told_once_until_it_is_over() -> None:
    pace = Pace()
    assert steps(pace, 100, 1.0) == []
    told = steps(pace, 200, 3.0)
    assert told == [pytest.approx(2.03, abs=0.05)]
    assert steps(pace, 100, 1.0) == []
    assert len(steps(pace, 100, 3.0)) == 1


def test_pictures_come_after_two_minutes_and_stay_few() -> None:
    clock = SimpleNamespace(now=1000.0)
    times, drawn = PictureTimes(lambda: clock.now), []
    while clock.now < 1000 + 24 * 3600:
        if times.is_due():
            drawn.append(clock.now - 1000)
            times.drawn(seconds=1.0)
        clock.now += 1
    assert drawn[:3] == [120, 420, 720]
    assert 60 < len(drawn) < 100
    times.drawn(seconds=100.0)
    clock.now += 1999
    assert not times.is_due()


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (50, "50 seconds"),
        (720, "12 minutes"),
        (12_600, "3.5 hours"),
        (14_400, "4 hours"),
        (86_400, "1 day"),
        (187_200, "2 days and 4 hours"),
        (90_000, "1 day and 1 hour"),
        (3_456_000, "40 days"),
    ],
)
def test_days_are_called_days(seconds: float, words: str) -> None:
    assert time_words(seconds) == words


def test_what_is_to_come_is_said() -> None:
    facts = expectations(RunConfig(), sec_per_kimg=100, memory_gib=2.0, done_kimg=500)
    assert facts["measured"] == "100 seconds for a thousand images (1 kimg), 2.0 GiB of memory"
    assert facts["a usable model"] == "in about 13.9 hours (at 1000 kimg)"
    assert facts["the end"] == "in about 28 days (at 25000 kimg)"
    assert "recognisable pictures" not in facts


@pytest.fixture
def always(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pictures are due after each step, and a speed is known after two."""
    monkeypatch.setattr(PictureTimes, "is_due", lambda _: True)
    monkeypatch.setattr(Pace, "is_settled", property(lambda self: self._count > 1))


@pytest.mark.parametrize("more", [[], ["--preset", "stylegan1-f", "--set", "train.growth.batches=8"]], ids=str)
def test_pictures_by_time_change_nothing(
    cli: Cli, tmp_path: Path, request: pytest.FixtureRequest, more: list[str]
) -> None:
    options = ["--kimg", "0.048", "--mirror", "--augment", "ada", *more]
    tiny = cli.tiny[2:] if more else cli.tiny
    if more:
        tiny = [*tiny, "--set", "train.growth.stable_kimg=0.016", "--set", "train.growth.fade_kimg=0.016"]
        tiny = [
            word for pair in zip(tiny[::2], tiny[1::2], strict=True) if "train.batch=" not in pair[1] for word in pair
        ]
        tiny += ["--set", "train.growth.start_resolution=4"]
    assert cli.train(tmp_path / "plain", *tiny, *options) == 0
    request.getfixturevalue("always")
    assert cli.train(tmp_path / "timed", *tiny, *options) == 0
    pictures = {path.name for path in (tmp_path / "timed" / "images").iterdir()}
    assert pictures > {path.name for path in (tmp_path / "plain" / "images").iterdir()}
    assert "fakes_000000.008.png" in pictures
    assert cli.same(tmp_path / "plain", tmp_path / "timed")


def test_a_resumed_run_drops_pictures_beyond_its_snapshot(cli: Cli, tmp_path: Path, always: None) -> None:
    run = tmp_path / "run"
    assert cli.new(run, "--kimg", "0.032") == 0
    last = max((run / "snapshots").iterdir())
    last.rename(run / "snapshots" / ".gone.removed")
    stray = run / "images" / "fakes_000000.031.png"
    stray.write_bytes((run / "images" / "fakes_000000.024.png").read_bytes())
    assert cli.resume(run, "--kimg", "0.040") == 0
    assert not stray.exists()
    assert (run / "images" / "fakes_000000.032.png").exists()


def test_the_report_and_the_screen_say_what_to_expect(cli: Cli, tmp_path: Path, always: None) -> None:
    run = tmp_path / "run"
    pages: list[str] = []
    import sgkit.runs.recorder as recorder

    write = recorder.write_report

    def kept(folder: Any, *args: Any, **kwargs: Any) -> None:
        write(folder, *args, **kwargs)
        pages.append(folder.report_file.read_text())

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(recorder, "write_report", kept)
        assert cli.new(run, "--kimg", "0.032") == 0
    said = cli.said()
    assert "What to expect:\n  measured: " in said
    assert "  the end: in about 0 seconds (at 0.032 kimg)" in said
    assert said.index("The progress line shows:\n  kimg: ") < said.index("Training: 0.008/0.032 kimg, ")
    assert said.count("The progress line shows:") == 1
    assert '<meta http-equiv="refresh" content="60">' in pages[0]
    assert "What to expect" in pages[-1]
    assert "http-equiv" not in pages[-1]
    [event] = cli.log(run, event="expect")
    assert json.dumps(event).count("in about") == 1


def test_the_report_is_opened_once(cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[str] = []
    monkeypatch.setattr("webbrowser.open", lambda url: bool(opened.append(url)))
    run = tmp_path / "run"
    assert cli.new(run, "--kimg", "0.024", "--open") == 0
    assert opened == [(run / "report.html").resolve().as_uri()]
    assert f"No browser can be opened here. Open the report yourself: {run / 'report.html'}" in cli.said()
