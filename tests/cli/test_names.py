"""Names with escape sequences, overrides of direction, markup, emoji codes, line breaks and bytes that are not UTF-8:
every command takes them, shows them safely, and names in ``--json``, which fits its schema, what exists."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import sgkit
from sgkit.cli.app import COMMANDS, main
from sgkit.config import DiscriminatorConfig, MappingConfig, ModelConfig, SynthesisConfig
from sgkit.latents.directions import save_directions, unit
from sgkit.latents.spaces import Latents, save_latents
from sgkit.model import build
from sgkit.model.model import ModelInfo
from tests.schemas import checked_result

N = "n\x1b[31m\x9b2J\u202e\u200b:heart:[bold]x[red] '\n\udcff"
"""One name with all of it."""
CLASSES = ("rose\x1b[2J", "tulip\u202e")

LINES = [
    ["generate", f"{N}.st", "--out", f"out{N}", "--seeds", "0-1", "--latent", f"{N}.npz", "--class", CLASSES[0]],
    ["generate", f"{N}.st", "--out", f"grid{N}.png", "--latents", "--class", "1"],
    ["mix", f"{N}.st", "--out", f"mix{N}.png", "--rows", f"{N}.npz", "--cols", "1", "--layers", "1", "--class", "1"],
    ["interpolate", f"{N}.st", "--out", f"{N}.gif", "--seeds", f"0,{N}.npz", "--frames", "2", "--class", "1"],
    ["interpolate", f"{N}.st", "--out", f"frames{N}", "--seeds", "0,1", "--frames", "2", "--class", "1"],
    ["project", f"{N}.st", f"photos{N}", "--out", f"projects{N}", "--steps", "1", "--class", "1"],
    [
        "encoder",
        "train",
        f"{N}.st",
        "--out",
        f"e{N}.safetensors",
        "--data",
        f"fit{N}",
        "--kimg",
        "0.004",
        "--batch",
        "2",
    ],
    ["classifier", "train", f"classes{N}", "--out", f"c{N}.safetensors"],
    ["tune", f"{N}.st", f"projected{N}", "--out", f"t{N}.safetensors", "--steps", "1"],
    ["panorama", f"{N}.st", "--out", f"pan{N}.png", "--seeds", "0", "--latent", f"{N}.npz", "--class", "1"],
    ["expand", f"{N}.st", "--out", f"wide{N}", "--seeds", f"0,{N}.npz", "--class", "1"],
    ["blend", f"{N}.st", "--out", f"blend{N}.png", "--seeds", f"0,{N}.npz", "--class", CLASSES[0]],
    ["shift", f"{N}.st", "--out", f"shift{N}.png", "--seeds", f"{N}.npz", "--random", "2"],
    ["directions", "find", f"{N}.st", "--out", f"d{N}.safetensors", "--samples", "20"],
    ["directions", "list", f"{N}.safetensors"],
    ["directions", "apply", f"{N}.st", "--latent", f"{N}.npz", "--move", f"{N}.safetensors=1", "--out", f"m{N}.npz"],
    ["edit", f"{N}.st", "--latent", f"{N}.npz", "--move", f"{N}.safetensors:{N[:-1]}=1", "--out", f"e{N}.png"],
    ["transfer", f"{N}.st", "--out", f"t{N}.png", "--source", f"{N}.npz", "--reference", "1=all:1", "--class", "1"],
    ["translate", f"{N}.st", f"{N}.st", "--out", f"u{N}.png", "--seeds", f"0,{N}.npz", "--class", "1"],
    [
        "drag",
        f"{N}.st",
        "--seeds",
        f"{N}.npz",
        "--point",
        "4,8:7,8",
        "--steps",
        "2",
        "--frames",
        "2",
        "--out",
        f"drag{N}",
    ],
    ["replay", f"scene{N}.png", "--out", f"again{N}.png"],
    ["info", f"{N}.st"],
    ["convert", f"{N}.st", f"{N}.npz.safetensors"],
    ["prepare", f"photos{N}", "--out", f"made{N}", "--size", "16", "--labels", "folders"],
    ["prepare", f"dirt{N}", "--out", f"made{N}", "--size", "16"],
    ["data", "info", f"store{N}", "--pictures", f"pictures{N}"],
    ["data", "verify", f"store{N}"],
    ["data", "export", f"store{N}", "--out", f"exported{N}"],
    ["data", "merge", f"store{N}", f"store{N}", "--out", f"merged{N}"],
    ["data", "diff", f"store{N}", f"store{N}"],
    ["metrics", f"photos{N}", "--data", f"store{N}", "--metrics", "kd_effnet", "--no-cache"],
    ["train", "store", "--out", f"run{N[:-1]}", "--preset", "stylegan2-mini", "--kimg", "0.016", "--batch", "8"],
]
FAILS = [
    ["generate", f"gone{N}", "--out", "x"],
    ["generate", f"{N}.st", "--out", "x", "--class", f"lily{N}"],
    ["generate", f"{N}.st", "--out", "x", "--latent", f"gone{N}.npz"],
    ["generate", f"{N}.st", "--out", f"x{N}.jpg"],
    ["generate", f"photos{N}", "--out", "x"],
    ["generate", f"broken{N}.pkl", "--out", "x"],
    ["mix", f"{N}.st", "--out", f"{N}", "--rows", "0", "--cols", "1"],
    ["mix", f"{N}.st", "--out", "x.png", "--rows", f"a{N}", "--cols", "1"],
    ["interpolate", f"{N}.st", "--out", f"x.{N}"],
    ["transfer", f"{N}.st", "--out", "x.png", "--source", "0", "--reference", f"1={N}"],
    ["transfer", f"{N}.st", "--out", "x.png", "--source", "0", "--reference", f"{N}"],
    ["translate", f"{N}.st", f"gone{N}", "--out", "x.png", "--seeds", "0"],
    ["edit", f"{N}.st", "--seeds", "0", "--out", "x.png", "--move", f"{N}.safetensors:gone{N}=1"],
    ["directions", "list", f"broken{N}.st"],
    ["project", f"{N}.st", f"broken{N}.png", "--out", "x", "--class", "1"],
    ["info", f"broken{N}.st"],
    ["convert", f"{N}.st", f"x.{N}"],
    ["convert", f"{N}.st", f"{N}.st"],
    ["prepare", f"gone{N}", "--out", "x", "--size", "16"],
    ["prepare", f"photos{N}", "--out", "x", "--size", "16", "--labels", f"gone{N}"],
    ["data", "info", f"photos{N}"],
    ["metrics", f"gone{N}", "--data", f"store{N}"],
    ["train", f"photos{N}", "--out", "x", "--preset", "stylegan2-mini"],
    ["train", f"store{N}", "--out", "x", "--preset", "stylegan2-mini"],  # config.toml is UTF-8
    ["weights", "fetch", f"gone{N}"],
    [f"generate{N}"],
    ["generate", f"--seed{N}"],
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model, a latent file, photos in two classes, a store and damaged files, all with such names."""
    folder = tmp_path_factory.mktemp("names")
    config = ModelConfig(
        image_size=(16, 16),
        z_dim=8,
        w_dim=8,
        label_dim=2,
        mapping=MappingConfig(num_layers=1),
        synthesis=SynthesisConfig(channel_base=64, channel_max=8),
        discriminator=DiscriminatorConfig(channel_base=64, channel_max=8),
    )
    model = build(config)
    model.info = ModelInfo(provenance={"class_names": list(CLASSES), f"key{N[:9]}": f"value{N[:9]}"})
    sgkit.save(model, folder / "model.safetensors")
    (folder / "model.safetensors").rename(folder / f"{N}.st")
    latents = Latents(space="w", values={"w": model.map(model.sample_z([1]), 1)[:, 0]}, names=(f"latent{N[:-1]}",))
    save_latents(latents, folder / f"{N}.npz")
    facts = {"names": (N[:-1],), "signs": (N[:-1],), "method": "test", "model_hash": model.content_hash()}
    save_directions(unit({"w": torch.randn(1, 8)}, space="w", **facts), folder / f"{N}.safetensors")
    for index in range(8):
        path = folder / f"photos{N}" / CLASSES[index % 2] / f"{index}{N}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = np.random.default_rng(index).integers(0, 256, (16, 16, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(path)
    (folder / f"dirt{N}").mkdir()
    for name in (f"good{N}.png", f"broken{N}.png"):
        (folder / f"dirt{N}" / name).write_bytes(path.read_bytes()[: 60 if "broken" in name else None])
    for name in (f"broken{N}.png", f"broken{N}.pkl", f"broken{N}.st"):
        (folder / name).write_bytes(b"\x80\x04c" + N.encode("utf-8", "surrogateescape") + b"\nx")
    assert main(["prepare", str(folder / f"photos{N}"), "--out", str(folder / f"store{N}"), "--size", "32"]) == 0
    (folder / "store").symlink_to(f"store{N}")
    assert main(["prepare", str(folder / f"photos{N}"), "--out", str(folder / f"fit{N}"), "--size", "16"]) == 0
    classes = [str(folder / f"photos{N}"), "--out", str(folder / f"classes{N}"), "--labels", "folders"]
    assert main(["prepare", *classes, "--size", "16"]) == 0
    projected = [str(path), "--out", str(folder / f"projected{N}"), "--steps", "1", "--class", "1"]
    assert main(["project", str(folder / f"{N}.st"), *projected]) == 0
    scene = ["--seeds", "0", "--class", "1", "--out", str(folder / f"scene{N}.png")]
    assert main(["generate", str(folder / f"{N}.st"), *scene]) == 0
    return folder


def check_safe(text: str) -> None:
    text.encode()
    wrong = [one for one in text if not (one.isprintable() or one == "\n")]
    assert not wrong, [ascii(one) for one in wrong]
    assert "❤" not in text
    assert "\n\\xff" not in text, "a line break of the name came through"


def texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for item in value.values():
            yield from texts(item)
    elif isinstance(value, list):
        for item in value:
            yield from texts(item)


def test_every_command_is_tried() -> None:
    tried = {line[0] for line in LINES}
    assert {row.name for row in COMMANDS} - tried == {
        "weights",
        "schema",
        "doctor",
        "demo",
        "models",
    }  # these read no names


@pytest.mark.parametrize("line", LINES, ids=lambda line: "-".join(word for word in line[:2] if word.isascii()))
@pytest.mark.parametrize("as_json", [False, True], ids=["words", "json"])
def test_names_are_shown_safely_and_json_names_what_exists(
    line: list[str],
    as_json: bool,
    folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for entry in folder.iterdir():
        (tmp_path / entry.name).symlink_to(entry)
    monkeypatch.chdir(tmp_path)
    assert main([*line, "--json"] if as_json else line) == 0, capsys.readouterr().err
    shown = capsys.readouterr()
    check_safe(shown.err)
    check_safe(shown.out)
    if as_json:
        result = checked_result(line, shown.out)
        named = [text for text in texts(result) if N in text and ": " not in text]
        ours = [text for text in named if text.startswith(tuple(line[-1:] + [word for word in line if N in word]))]
        assert all(os.path.lexists(text) for text in ours), ours
    for page in tmp_path.rglob("*.html"):
        check_safe(page.read_text(encoding="utf-8"))


@pytest.mark.parametrize("line", FAILS, ids=lambda line: "-".join(word for word in line[:2] if word.isascii()))
def test_errors_name_them_safely(
    line: list[str],
    folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for entry in folder.iterdir():
        (tmp_path / entry.name).symlink_to(entry)
    monkeypatch.chdir(tmp_path)
    assert main(line) in (1, 2)
    shown = capsys.readouterr()
    assert shown.out == ""
    assert "This is a bug" not in shown.err
    check_safe(shown.err)
