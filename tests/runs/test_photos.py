"""``sgkit train photos/``: images are prepared into the run, once; and how ``sgkit prepare`` ends."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sgkit.cli.app import main
from sgkit.runs.folder import RunFolder
from sgkit.store.header import read_header
from tests.runs.conftest import TINY

RECIPE = ["--device", "cpu", "--preset", "stylegan2-32"]
RECIPE += [word for key, value in TINY.items() for word in ("--set", f"{key}={value}")]


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Twelve images in two folders, and one that is broken."""
    random = np.random.RandomState(0)
    for index in range(12):
        file = tmp_path / "photos" / ("cats" if index % 2 else "dogs") / f"{index}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(random.randint(0, 256, (10, 10, 3), dtype=np.uint8)).save(file)
    (tmp_path / "photos" / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    return tmp_path / "photos"


def said(capfd: pytest.CaptureFixture[str]) -> str:
    return capfd.readouterr().err


def test_images_are_prepared_into_the_run_once(
    photos: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    run = tmp_path / "run"
    monkeypatch.setattr("sgkit.tasks.prepare._share_of_cores", lambda: 1)
    train = ["train", str(photos), "--out", str(run)]
    assert main([*train, "--size", "8", "--kimg", "0.008", *RECIPE]) == 0
    text = said(capfd)
    assert f"Prepared 12 images of {photos} at 8x8 into {run / 'store'}; left out: 1 (1 truncated)." in text
    assert f"make a store: sgkit prepare {photos} --out STORE --size 8 --labels folders" in text
    assert (run / "store.png").is_file()
    assert RunFolder(run).read_config().data.store == str(run / "store")
    header = (run / "store" / "header.json").stat()

    assert main([*train, "--resume", "--kimg", "0.016", "--device", "cpu"]) == 0
    text = said(capfd)
    assert "Prepar" not in text
    assert "Warning" not in text
    assert (run / "store" / "header.json").stat() == header

    (photos / "cats" / "1.png").unlink()
    assert main([*train, "--resume", "--kimg", "0.024", "--device", "cpu"]) == 0
    text = said(capfd)
    assert f"{photos} does not hold the files that this run is trained on: there were 13, now there are 12." in text
    assert (
        f"sgkit prepare {photos} --out STORE --size 8, then sgkit train STORE --out {run} --resume --new-data" in text
    )
    assert RunFolder(run).snapshots()[-1].images == 24

    assert main([*train, "--resume", "--size", "16"]) == 2
    assert f"The images of {run} were prepared at 8x8; --size 16x16 is another size." in said(capfd)
    assert main([*train, "--size", "8"]) == 1
    assert f"{run} holds a run already. Add --resume" in said(capfd)


def test_a_preparation_that_was_stopped_is_continued(
    photos: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    run = tmp_path / "run"
    monkeypatch.setattr("sgkit.tasks.prepare._share_of_cores", lambda: 1)
    train = ["train", str(photos), "--out", str(run), "--size", "8", "--kimg", "0.008", *RECIPE]

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("sgkit.tasks.prepare.PartBuilder.build", interrupt)
        assert main(train) == 130
    assert not (run / "store" / "header.json").exists()
    assert main(train) == 0
    assert read_header(run / "store").num_images == 12


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--out", "run"], "photos is not a store: its images must be prepared first. Add the size to train at, for"),
        (["--out", "run", "--size", "60"], "Image size 60x60 (WxH) halves only to 15x15"),
        (["--out", "run", "--size", "60"], "Good sizes near: 56x56 and 64x64."),
        (
            ["--dry-run", "--size", "8"],
            "needs a store, and photos is not one. Make it first: sgkit prepare photos --out",
        ),
    ],
)
def test_what_lacks_is_said_at_once(
    photos: Path,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    options: list[str],
    message: str,
) -> None:
    monkeypatch.chdir(photos.parent)
    assert main(["train", "photos", *options]) == 2
    assert message in said(capfd)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["photos"]


def test_prepare_ends_with_a_contact_sheet_and_the_next_command(
    photos: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["prepare", "photos", "--out", "pets", "--size", "8", "--workers", "1"]) == 0
    shown = capfd.readouterr()
    assert "contact sheet  pets.png" in shown.out
    assert "1 (1 truncated), see pets/report.jsonl" in shown.out
    assert "2 folders of images were found (cats, dogs). Add --labels folders to make them classes." in shown.err
    assert shown.err.endswith("Next: sgkit train pets --out runs/pets\n")
    with Image.open("pets.png") as sheet:
        assert (sheet.mode, sheet.size) == ("RGB", (12 * 10 - 2, 8))
        assert len(sheet.getcolors(10_000) or []) > 100

    # An older sheet is replaced, another file of that name is not.
    (tmp_path / "pets").rename(tmp_path / "old")
    grey = ["--size", "16", "--channels", "1", "--workers", "1", "--labels", "folders"]
    assert main(["prepare", "photos", "--out", "pets", *grey, "--json"]) == 0
    shown = capfd.readouterr()
    assert json.loads(shown.out)["contact_sheet"] == "pets.png"
    assert "Next:" not in shown.err
    with Image.open("pets.png") as sheet:
        assert sheet.mode == "L"
    Image.new("RGB", (3, 3)).save("mine.png")
    before = Path("mine.png").read_bytes()
    assert main(["prepare", "photos", "--out", "mine", *grey]) == 0
    assert "No contact sheet was written: mine.png exists and is another file." in said(capfd)
    assert Path("mine.png").read_bytes() == before


def test_each_store_of_a_split_has_a_sheet(
    photos: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    split = ["--size", "8", "--workers", "1", "--split", "train=0.5,val=0.5"]
    assert main(["prepare", "photos", "--out", "pets", *split]) == 0
    assert said(capfd).endswith("Next: sgkit train pets/train --out runs/pets\n")
    assert (tmp_path / "pets" / "train.png").is_file()
    assert (tmp_path / "pets" / "val.png").is_file()


def test_both_names_of_the_store_are_one() -> None:
    from sgkit.cli import training
    from sgkit.runs import folder

    assert training.STORE_NAME == folder.STORE_NAME
