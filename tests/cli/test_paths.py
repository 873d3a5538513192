"""A wrong path is answered before torch is imported, in every command; a row for every parameter that reads one."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sgkit.cli.app import COMMANDS, load_command, main

NEEDED = {  # command -> what else it needs, with files that exist
    "prepare": ["HERE", "--out", "new", "--size", "16"],
    "data info": ["HERE"],
    "data verify": ["HERE"],
    "data export": ["HERE", "--out", "new"],
    "data merge": ["HERE", "HERE", "--out", "new"],
    "data diff": ["HERE", "HERE"],
    "train": ["HERE", "--out", "new", "--preset", "stylegan2-mini"],
    "generate": ["HERE", "--out", "new"],
    "mix": ["HERE", "--out", "new.png", "--rows", "0", "--cols", "1"],
    "interpolate": ["HERE", "--out", "new.gif"],
    "project": ["HERE", "HERE", "--out", "new"],
    "encoder train": ["HERE", "--out", "new.safetensors"],
    "tune": ["HERE", "HERE", "--out", "new.safetensors"],
    "panorama": ["HERE", "--out", "new.png"],
    "expand": ["HERE", "--out", "new.png", "--seeds", "0"],
    "blend": ["HERE", "--out", "new.png", "--seeds", "0,1"],
    "shift": ["HERE", "--out", "new.png", "--seeds", "0", "--random", "1"],
    "directions find": ["HERE", "--out", "new.safetensors"],
    "directions apply": ["HERE", "--seeds", "0", "--out", "new.npz"],
    "directions list": ["HERE"],
    "edit": ["HERE", "--seeds", "0", "--out", "new.png"],
    "drag": ["HERE", "--seeds", "0", "--point", "1,1:2,2", "--out", "new"],
    "transfer": ["HERE", "--source", "0", "--reference", "1=box:0,0,1,1", "--out", "new.png"],
    "translate": ["HERE", "HERE", "--seeds", "0", "--out", "new.png"],
    "replay": ["HERE", "--out", "new.png"],
    "metrics": ["HERE", "--data", "HERE"],
    "classifier train": ["HERE", "--out", "new.safetensors"],
    "weights fetch": ["inception-2015-12-05"],
    "weights add": ["HERE"],
    "info": ["HERE"],
    "convert": ["HERE", "new.pt"],
}
READS = {  # (command, parameter) -> the words that give a wrong path to it; a number: the argument in that place
    ("prepare", "sources"): 0,
    ("prepare", "landmarks"): ["--crop", "face", "--landmarks", "NONE"],
    ("prepare", "labels"): ["--labels", "NONE.csv"],
    ("data info", "store"): 0,
    ("data verify", "store"): 0,
    ("data export", "store"): 0,
    ("data merge", "stores"): 1,
    ("data diff", "first"): 0,
    ("data diff", "second"): 1,
    ("train", "store"): 0,
    ("train", "init"): ["--init", "NONE"],
    ("train", "config"): ["--config", "NONE"],
    ("generate", "model"): 0,
    ("generate", "latent"): ["--latent", "NONE.npz"],
    ("mix", "model"): 0,
    ("mix", "rows"): ["--rows", "0,NONE.npz"],
    ("mix", "cols"): ["--cols", "NONE.npz"],
    ("interpolate", "model"): 0,
    ("interpolate", "seeds"): ["--seeds", "0,NONE.npz"],
    ("project", "model"): 0,
    ("project", "images"): 1,
    ("encoder train", "model"): 0,
    ("encoder train", "data"): ["--data", "NONE"],
    ("project", "encoder"): ["--encoder", "NONE"],
    ("project", "landmarks"): ["--crop", "face", "--landmarks", "NONE"],
    ("tune", "model"): 0,
    ("tune", "projections"): 1,
    ("panorama", "model"): 0,
    ("panorama", "latent"): ["--latent", "NONE.npz"],
    ("panorama", "places"): ["--places", "NONE.txt"],
    ("panorama", "painting"): ["--map", "NONE.png"],
    ("expand", "model"): 0,
    ("expand", "seeds"): ["--seeds", "0,NONE.npz"],
    ("blend", "model"): 0,
    ("blend", "seeds"): ["--seeds", "0,NONE.npz"],
    ("blend", "shape"): ["--shape", "2=not:NONE.png,0.1@coarse"],
    ("shift", "model"): 0,
    ("shift", "seeds"): ["--seeds", "0,NONE.npz"],
    ("shift", "photo"): ["--photo", "NONE"],
    ("shift", "copy"): ["--copy", "NONE.png by 0.5,0"],
    ("shift", "mirror"): ["--mirror", "NONE.png"],
    ("shift", "parts_of"): ["--parts-of", "NONE.npz"],
    ("directions find", "model"): 0,
    ("directions find", "labels"): ["--labels", "NONE.csv"],
    ("directions find", "latent"): ["--latent", "NONE.npz"],
    ("directions apply", "model"): 0,
    ("directions apply", "latent"): ["--latent", "NONE.npz"],
    ("directions list", "file"): 0,
    ("edit", "model"): 0,
    ("edit", "latent"): ["--latent", "NONE.npz"],
    ("drag", "model"): 0,
    ("drag", "seeds"): ["--seeds", "NONE.npz"],
    ("drag", "mask"): ["--mask", "NONE.png"],
    ("transfer", "model"): 0,
    ("transfer", "reference"): ["--reference", "1=NONE.png"],
    ("transfer", "segmentation"): ["--segmentation", "NONE.png"],
    ("transfer", "part_table"): ["--part-table", "NONE.json"],
    ("translate", "base"): 0,
    ("translate", "target"): 1,
    ("translate", "segmentation"): ["--segmentation", "NONE.png"],
    ("translate", "part_table"): ["--part-table", "NONE.json"],
    ("replay", "file"): 0,
    ("replay", "model"): ["--model", "NONE"],
    ("metrics", "images"): 0,
    ("metrics", "data"): ["--data", "NONE"],
    ("metrics", "classifier"): ["--classifier", "NONE.safetensors"],
    ("metrics", "discriminator"): ["--metrics", "fd_d", "--discriminator", "NONE.safetensors"],
    ("classifier train", "store"): 0,
    ("classifier train", "labels"): ["--labels", "NONE.csv"],
    ("weights add", "files"): 0,
    ("info", "file"): 0,
    ("convert", "source"): 0,
}
WRITES = {"out", "pictures", "neighbours", "html", "save_statistics"}
"""Parameters that name what is to be written."""


def commands() -> Iterator[tuple[str, Any]]:
    for row in COMMANDS:
        command = load_command(row.name)
        children = getattr(command, "commands", {})
        yield from ((f"{row.name} {name}", child) for name, child in children.items())
        if not children:
            yield row.name, command


def test_every_parameter_that_looks_like_a_path_has_a_row() -> None:
    words = ("FILE", "FOLDER", "DIR", "MODEL", "STORE", "IMAGE", "SOURCE", "PATH", "IN", "OTHER", "RUN")
    for name, command in commands():
        for parameter in command.params:
            shown = (parameter.metavar or "").replace("|", " ").replace(".", " ").split()
            if any(word in words for word in shown) and parameter.name not in WRITES:
                assert (name, parameter.name) in READS, f"sgkit {name}: give {parameter.name} a row in READS"


def argv_of(row: tuple[str, str], here: str) -> list[str]:
    command, words = row[0], [*NEEDED[row[0]]]
    given = READS[row]
    if isinstance(given, int):
        words[given] = "NONE"
    else:
        at = words.index(given[-2]) if given[-2] in words else None
        words = [*words, *given] if at is None else [*words[:at], *given, *words[at + 2 :]]
    return [*command.split(), *(here if word == "HERE" else word for word in words)]


MEASURE = """
import sys
from sgkit.cli.app import main
for line in sys.stdin.read().splitlines():
    code = main(line.split("\\t"))
    print(f"CODE {code}", *(name for name in ("torch",) if name in sys.modules), file=sys.stderr, flush=True)
"""


@pytest.fixture(scope="module")
def answers(tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, str], str]:
    """What every row answers, in one process that would keep torch once it was imported."""
    folder = tmp_path_factory.mktemp("paths")
    (folder / "here").write_bytes(b"\x00\x01\x02 of no known kind \xff\xfe" * 4)
    lines = ["\t".join(argv_of(row, "here")) for row in READS]
    ran = subprocess.run(
        [sys.executable, "-c", MEASURE],
        input="\n".join(lines),
        capture_output=True,
        text=True,
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
        check=True,
        timeout=120,
    )
    assert sorted(path.name for path in folder.iterdir()) == ["here"], "something was written"
    parts = ran.stderr.split("CODE ")
    shown = [parts[0], *(part.partition("\n")[2] for part in parts[1:])]
    codes = [part.partition("\n")[0] for part in parts[1:]]
    return {row: f"{text}CODE {code}" for row, text, code in zip(READS, shown, codes, strict=False)}


@pytest.mark.parametrize("row", READS, ids="-".join)
def test_a_wrong_path_is_named_before_torch_is_imported(
    row: tuple[str, str], answers: dict[tuple[str, str], str]
) -> None:
    text, _, code = answers[row].rpartition("CODE ")
    assert "NONE" in text
    assert code == "1", text
    assert "bug" not in text


def test_a_web_address_keeps_its_slashes(capsys: pytest.CaptureFixture[str]) -> None:
    for argv in (["info"], ["generate", "--out", "new"], ["convert", "--form", "native"]):
        words = [argv[0], "https://example.org/net.pkl", *(["new.pt"] if argv[0] == "convert" else []), *argv[1:]]
        assert main(words) == 1
        shown = capsys.readouterr().err
        assert "https://example.org/net.pkl is a web address" in shown
        assert "Download the file first" in shown


def test_names_that_are_nearly_right_are_offered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("stylegan2-ffhq.pkl").touch()
    Path("link.pkl").symlink_to("gone.pkl")
    for name, text in (
        ("stylegan2-ffqh.pkl", "There is no model stylegan2-ffqh.pkl. Did you mean stylegan2-ffhq.pkl?"),
        ("link.pkl", "It is a link to gone.pkl, which does not exist."),
        ("no/net.pkl", "There is no folder no either."),
        ("zzz", "There is no model zzz. Give a model file"),
    ):
        assert main(["generate", name, "--out", "out"]) == 1
        assert text in capsys.readouterr().err
