from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from rich.console import Console

from sgkit.cli import report, terminal
from sgkit.runtime.progress import Progress


@dataclass(frozen=True)
class Result:
    name: str
    path: Path
    scores: tuple[float, ...]


RESULT = Result("a", Path("out") / "x.png", (1.5, float("nan"), float("inf")))


def test_json_goes_to_standard_output_alone(capsys: pytest.CaptureFixture[str]) -> None:
    report.emit(RESULT, json=True, show=lambda result: report.out("not this"))
    shown = capsys.readouterr()
    assert json.loads(shown.out) == {"name": "a", "path": str(RESULT.path), "scores": [1.5, None, None]}
    assert shown.err == ""


def test_without_json_the_command_shows_its_result(capsys: pytest.CaptureFixture[str]) -> None:
    report.emit(RESULT, json=False, show=lambda result: report.out(result.name))
    assert capsys.readouterr().out == "a\n"


def test_json_holds_what_libraries_return() -> None:
    assert report.jsonable({"n": np.float32(0.5), "a": np.arange(2), "t": torch.ones(1), 3: {"b", "a"}}) == {
        "n": 0.5,
        "a": [0, 1],
        "t": [1.0],
        "3": ["a", "b"],
    }
    assert report.jsonable(torch.device("cpu")) == "cpu"


def test_text_is_never_read_as_markup(capsys: pytest.CaptureFixture[str]) -> None:
    report.out("[red]x[/red] [/]")
    report.error("no [bold]such[/bold] key", hint="[x]")
    report.warning("odd [y]")
    report.note("wrote [z].png")
    report.facts({"a[1]": "[b]"}, title="[t]")
    report.table(["[c]"], [["[d]"]])
    shown = capsys.readouterr()
    assert "[red]x[/red] [/]" in shown.out
    assert "[t]" in shown.out
    assert "a[1]  [b]" in shown.out
    assert "[c]" in shown.out
    assert "[d]" in shown.out
    assert shown.err == "Error: no [bold]such[/bold] key\n[x]\nWarning: odd [y]\nwrote [z].png\n"


def test_errors_are_not_wrapped(capsys: pytest.CaptureFixture[str]) -> None:
    report.error("long " * 60 + "end")
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_table_aligns_numbers_to_the_right(capsys: pytest.CaptureFixture[str]) -> None:
    report.table(["name", "score"], [["a", 1.23456], ["b", 100.0]], title="Scores")
    lines = [line.rstrip() for line in capsys.readouterr().out.splitlines()]
    assert lines == ["Scores", "name  score", "a     1.235", "b       100"]


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.4, "0:00"), (67, "1:07"), (3599.7, "1:00:00"), (3 * 86400 + 61, "3 days 00:01"), (86400, "1 day 00:00")],
)
def test_duration(seconds: float, words: str) -> None:
    assert report.duration(seconds) == words


def test_meter_counts_rate_and_time_left() -> None:
    now = 100.0
    meter = report._Meter(lambda: now)
    assert meter.words(Progress(done=0, total=40)) == "0/40 images, 0:00 elapsed"
    now = 110.0
    words = meter.words(Progress(done=10, total=40, fields={"loss": "0.5"}))
    assert words == "10/40 images, 1 images/s, 0:10 elapsed, 0:30 left, loss 0.5"


def test_meter_of_a_resumed_run_counts_only_what_it_saw() -> None:
    now = 0.0
    meter = report._Meter(lambda: now)
    meter.words(Progress(done=1000, total=1200))
    now = 50.0
    assert "2 images/s, 0:50 elapsed, 0:50 left" in meter.words(Progress(done=1100, total=1200))


def test_meter_starts_anew_with_each_stage() -> None:
    now = 0.0
    meter = report._Meter(lambda: now)
    meter.words(Progress(done=0, total=10, stage="reading"))
    now = 60.0
    meter.words(Progress(done=10, total=10, stage="reading"))
    now = 70.0
    assert meter.words(Progress(done=8, total=16, stage="writing")) == "8/16 images, 0:10 elapsed"
    now = 72.0
    assert meter.words(Progress(done=16, total=16, stage="writing")) == "16/16 images, 4 images/s, 0:12 elapsed"


def test_a_stage_that_was_interrupted_goes_on_where_it_stood() -> None:
    now = 0.0
    meter = report._Meter(lambda: now)
    meter.words(Progress(done=0, total=100, unit="kimg"))
    for name in ("once", "again"):
        now += 10
        meter.words(Progress(done=10 if name == "once" else 20, total=100, unit="kimg"))
        now += 500
        meter.words(Progress(done=1, total=2, stage="measuring"))
        now += 500
        assert "16:40 elapsed" in meter.words(Progress(done=2, total=2, stage="measuring"))
    now += 10
    words = meter.words(Progress(done=30, total=100, unit="kimg"))
    assert words == "30/100 kimg, 1 kimg/s, 0:30 elapsed, 1:10 left"


def test_short_runs_are_counted_in_thousandths() -> None:
    meter = report._Meter(lambda: 0.0)
    assert meter.words(Progress(done=0.016, total=0.1, unit="kimg")).startswith("0.016/0.100 kimg")
    assert meter.words(Progress(done=15.7, total=1000, unit="kimg")).startswith("15.7/1,000 kimg")


def test_slow_work_is_told_in_seconds_each() -> None:
    now = 0.0
    meter = report._Meter(lambda: now)
    meter.words(Progress(done=0, unit="kimg"))
    now = 90.0
    assert meter.words(Progress(done=1.5, unit="kimg")) == "1.5 kimg, 60 s/kimg, 1:30 elapsed"


def test_lines_are_written_now_and_then_and_at_the_end(capsys: pytest.CaptureFixture[str]) -> None:
    with report.progress_bar("Preparing", every=1e6) as on_progress:
        for done in range(5):
            on_progress(Progress(done=done, total=4, stage="[reading]"))
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 2
    assert lines[0].startswith("Preparing: [reading]: 0/4 images")
    assert lines[1].startswith("Preparing: [reading]: 4/4 images")


def test_a_failure_ends_the_lines_without_another(capsys: pytest.CaptureFixture[str]) -> None:
    def fail() -> None:
        with report.progress_bar("Preparing", every=1e6) as on_progress:
            on_progress(Progress(done=1))
            on_progress(Progress(done=2))
            raise ValueError("stop")

    with pytest.raises(ValueError, match="stop"):
        fail()
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_a_terminal_gets_a_bar(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(terminal, "STDERR", Console(stderr=True, force_terminal=True, width=100))
    with report.progress_bar("Preparing") as on_progress:
        on_progress(Progress(done=4, total=4, fields={"skipped": "[1]"}))
    shown = capsys.readouterr().err
    assert "Preparing" in shown
    assert "4/4 images" in shown
    assert "skipped [1]" in shown


def test_a_terminal_gets_a_table_of_facts(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(terminal, "STDERR", Console(stderr=True, force_terminal=True, width=100))
    with report.live_table("Training") as on_progress:
        on_progress(Progress(done=1, total=4, unit="kimg", fields={"G": "0.500", "[fake]": "-0.25"}))
        report.warning("something happened")
        on_progress(Progress(done=2, total=4, unit="kimg", stage="measuring"))
    lines = capsys.readouterr().err.splitlines()
    assert any("something happened" in line for line in lines)
    head = [index for index, line in enumerate(lines) if "[fake]" in line][-1]
    assert "0.500" in lines[head + 1]  # kept while other work goes on
    assert "-0.25" in lines[head + 1]
    assert "Training: measuring" in lines[head - 1]


def test_without_a_terminal_facts_stand_in_the_line(capsys: pytest.CaptureFixture[str]) -> None:
    with report.live_table("Training") as on_progress:
        on_progress(Progress(done=1, total=4, unit="kimg", fields={"G": "0.500"}))
    assert "Training: 1/4 kimg, 0:00 elapsed, G 0.500" in capsys.readouterr().err
