"""The page that shows a run."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from sgkit.runs.report import MAX_FRAMES, _spread
from tests.html_page import ParsedPage
from tests.runs.driver import Cli


@pytest.mark.usefixtures("cheap_features")
def test_the_report_shows_samples_curves_health_data_and_configuration(tmp_path: Path, cli: Cli) -> None:
    run = tmp_path / "run"
    options = ["--metrics", "fd_effnet", "--set", "metrics.num_images=6", "--kimg", "0.040"]
    assert cli.new(run, *options) == 0
    shutil.copy(run / "images" / "reals.png", run / "images" / "fakes_000000.900.png")  # after the end of the run
    (run / "images" / "fakes_000000.024.png").write_bytes(b"damaged")
    assert cli.new(run, *options, "--resume") == 0  # complete: written again, nothing else
    text = (run / "report.html").read_text(encoding="utf-8")
    page = ParsedPage(text)
    assert page.texts["h2"] == ["Samples", "Metrics", "Curves", "Health", "The progress line", "Data", "Configuration"]
    assert {"Losses", "Path length", "fd_effnet", "Diversity of samples"} <= set(page.texts["strong"])
    assert page.texts["p"][0] == "stylegan2-32, 0.04 kimg: complete."
    assert "No problems so far." in page.texts["p"]
    assert "channel_base = 64" in text
    assert "16x8, 3 channels" in text
    frames = ["0 kimg", "0.016 kimg", "0.032 kimg", "0.04 kimg"]
    assert [image["alt"] for image in page.images] == [*reversed(frames), "Training images, spread over the store"]


def test_names_are_escaped(tmp_path: Path, cli: Cli) -> None:
    run = tmp_path / "<b>run"
    assert cli.new(run, "--kimg", "0.008") == 0
    text = (run / "report.html").read_text(encoding="utf-8")
    assert "<b>run" not in text
    assert ParsedPage(text).texts["h1"] == ["<b>run"]


@pytest.mark.parametrize("count", [0, 1, MAX_FRAMES, MAX_FRAMES + 1, 100, 1000])
def test_a_long_run_shows_few_grids_with_the_first_and_last(count: int) -> None:
    files = [Path(str(number)) for number in range(count)]
    shown = list(_spread(files))
    assert len(shown) <= MAX_FRAMES
    assert shown == sorted(set(shown), key=files.index)
    assert shown[:1] == files[:1]
    assert shown[-1:] == files[-1:]


def test_the_speed_is_that_of_the_progress_line() -> None:
    """The last 64 steps or so, weighted by their images; all of them where there are fewer."""
    from sgkit.runs.report import _times

    rows = [{"step": step, "kimg": step / 100, "sec_per_kimg": pace} for step, pace in ((50, 9.0), (60, 40.0))]
    assert _times(rows) == (pytest.approx(0.5 * 9 + 0.1 * 40), pytest.approx((0.5 * 9 + 0.1 * 40) / 0.6))
    rows += [{"step": step, "kimg": step / 100, "sec_per_kimg": pace} for step, pace in ((100, 20.0), (150, 30.0))]
    assert _times(rows)[1] == pytest.approx((0.4 * 20 + 0.5 * 30) / 0.9)
