"""The commands of docs/data.md are run, in order, in a folder with small data of the kinds that the page names."""

from __future__ import annotations

import io
import re
import shlex
import zipfile
from pathlib import Path

import lmdb
import numpy as np
import pytest
from PIL import Image

from sgkit.cli.app import main
from sgkit.store import read_header

PAGE = Path(__file__).parents[2] / "docs" / "data.md"
NOT_HERE = {"train": "needs hours", "torchrun": "needs processes of its own", "dlib": "needs an extra"}
LANDMARKS = (48, 60, 80, 60, 64, 75, 52, 90, 76, 90)


def encoded(seed: int, size: tuple[int, int], form: str) -> bytes:
    small = np.random.RandomState(seed).randint(0, 256, (6, 6, 3)).astype(np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(small).resize(size, Image.Resampling.BICUBIC).save(buffer, form)
    return buffer.getvalue()


@pytest.fixture
def workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What the recipes start from, of two or three pictures each."""
    monkeypatch.chdir(tmp_path)
    photos = {f"{place}/{index}.jpg": index for index, place in enumerate(("coast", "coast", "hills"))}
    for name, index in photos.items():
        for folder, size in (("photos", (1040, 600)), ("images1024x1024", (64, 64))):
            Path(folder, name).parent.mkdir(parents=True, exist_ok=True)
            Path(folder, name).write_bytes(encoded(index, size, "JPEG"))
    for folder in ("cats", "dogs"):
        Path(folder).mkdir()
        Path(folder, "0.jpg").write_bytes(encoded(0, (64, 64), "JPEG"))
    for folder in ("bedroom_train_lmdb", "car_lmdb"):
        with lmdb.open(folder, map_size=1 << 22) as environment, environment.begin(write=True) as transaction:
            for index in range(2):
                transaction.put(f"key{index}".encode(), encoded(index, (300, 256), "WEBP"))
    with zipfile.ZipFile("img_align_celeba.zip", "w") as archive:
        for index in (1, 2):
            archive.writestr(f"img_align_celeba/00000{index}.jpg", encoded(index, (178, 218), "JPEG"))
    Path("list_attr_celeba.txt").write_text(
        "2\nEyeglasses Smiling Young\n000001.jpg -1  1  1\n000002.jpg  1 -1  1\n", encoding="utf-8"
    )
    rows = [",".join(map(str, (name, *LANDMARKS))) for name in photos]
    Path("marks.csv").write_text("\n".join([",".join(("name", *map(str, range(10)))), *rows]), encoding="utf-8")
    ages = "".join(f"{name},{30 + index}.5,1.{index}\n" for name, index in photos.items())
    Path("ages.csv").write_text("file,age,height\n" + ages, encoding="utf-8")
    return tmp_path


def commands() -> list[list[str]]:
    blocks = re.findall(r"^```sh\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.M | re.S)
    lines = "".join(blocks).replace("\\\n", " ").splitlines()
    found = [shlex.split(line, comments=True) for line in lines]
    return [words for words in found if words[0] == "sgkit" and words[1] not in NOT_HERE and not _needs_dlib(words)]


def _needs_dlib(words: list[str]) -> bool:
    return "face" in words and "--landmarks" not in words


@pytest.mark.usefixtures("workplace")
def test_every_recipe_makes_what_it_says(capsys: pytest.CaptureFixture[str]) -> None:
    ran = commands()
    assert len(ran) > 15
    names = {"STORE": "photos-256", "OTHER": "own/train", "DIR": "sheets", "NEW": "merged"}
    for words in ran:
        words = [names.get(word, word) for word in words]
        if "--part" in words:
            words[words.index("--part") + 1] = "1/1"
        code = main([*words[1:], *(["--workers", "1"] if words[1] == "prepare" else [])])
        printed = capsys.readouterr()
        assert code == (1 if "diff" in words else 0), (words, printed)
    sizes = {path.name: read_header(path).image_size for path in Path().glob("*") if (path / "header.json").is_file()}
    assert sizes["cars"] == (512, 512)
    assert sizes["wide"] == (256, 448)
    assert read_header("celeba").labels.names == ("Smiling", "Eyeglasses")
    assert read_header("classes").labels.names == ("coast", "hills")
    assert read_header("pets").labels.names == ("cats", "dogs")
    assert read_header("grown").sizes[-1] == (4, 4)
    assert read_header("places").num_images == 24
