from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import sgkit
from sgkit.cli.app import main
from sgkit.config import DiscriminatorConfig, ModelConfig, SynthesisConfig
from sgkit.model import build
from sgkit.runtime.file_kinds import PHRASES
from sgkit.tasks.describe import DESCRIBERS

FIXTURES = Path(__file__).resolve().parents[1] / "fixtures"


def photo(folder: Path, name: str = "a.jpg") -> Path:
    folder.mkdir(exist_ok=True, parents=True)
    Image.new("RGB", (12, 8), "red").save(folder / name)
    return folder / name


def tiny(**changes: Any) -> ModelConfig:
    widths = {"channel_base": 32, "channel_max": 4}
    networks = {"synthesis": SynthesisConfig(**widths), "discriminator": DiscriminatorConfig(**widths)}
    return ModelConfig(image_size=(8, 8), z_dim=4, w_dim=4, **networks, **changes)


def model(folder: Path) -> Path:
    sgkit.save(build(tiny()), folder / "model.safetensors")
    return folder / "model.safetensors"


def generated(folder: Path) -> Path:
    arguments = ["--seeds", "3", "--psi", "0.7", "--out", str(folder / "a.png")]
    assert main(["generate", str(model(folder)), *arguments]) == 0
    return folder / "a.png"


def test_the_command_that_info_gives_makes_the_image_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sgkit.save(build(tiny(label_dim=3)), tmp_path / "model.safetensors")
    seeds = [*map(str, range(120, 160)), "7"]
    given = ["--seeds", ",".join(seeds), "--class", "2", "--psi", "-0.5", "--noise", "none", "--grid", "41x1"]
    assert main(["generate", str(tmp_path / "model.safetensors"), *given, "--out", str(tmp_path / "a.png")]) == 0
    capsys.readouterr()
    assert main(["info", str(tmp_path / "a.png")]) == 0
    said = capsys.readouterr()
    assert "120" in said.out
    _, _, command = said.err.partition("sgkit ")
    assert main([*command.split(), "--out", str(tmp_path / "b.png")]) == 0
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()


def store(folder: Path) -> Path:
    photo(folder / "photos")
    assert main(["prepare", str(folder / "photos"), "--out", str(folder / "store"), "--size", "8"]) == 0
    return folder / "store"


def latents(folder: Path) -> Path:
    np.savez(folder / "a.npz", w=np.zeros((2, 6, 4), np.float32))
    return folder / "a.npz"


def tensor(folder: Path) -> Path:
    torch.save(torch.zeros(1, 6, 4), folder / "a.pt")
    return folder / "a.pt"


def projection(folder: Path) -> Path:
    latents(folder).rename(folder / "latent.npz")
    return folder


def page(folder: Path) -> Path:
    (folder / "a.md").write_text("# Notes\n")
    return folder / "a.md"


IDENTIFIED: dict[str, tuple[Callable[[Path], Path], str, str, str]] = {
    "a JPEG": (photo, "a JPEG image", "12x8", "sgkit project MODEL"),
    "an image of generate": (
        generated,
        "a PNG image made by sgkit",
        "seed0003",
        "sgkit replay",
    ),
    "photos": (lambda folder: photo(folder).parent, "a folder of images", "about 1 files", "sgkit prepare"),
    "a store": (store, "an image store", "8x8, 3 channels", "sgkit train"),
    "latents": (latents, "a NumPy archive (.npz) with latents", "w+", "--latent"),
    "a tensor": (tensor, "a torch file (.pt) with latents", "w+", "--latent"),
    "a projection": (projection, "a projection", "w+", "--latent"),
    "text": (page, "a text file that begins '# Notes'", "", ""),
}


@pytest.mark.parametrize("name", IDENTIFIED)
def test_info_says_what_a_file_is_and_what_to_do_with_it(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make, what, fact, advice = IDENTIFIED[name]
    path = make(tmp_path)
    capsys.readouterr()
    assert main(["info", str(path)]) == 0
    shown = capsys.readouterr()
    assert what in shown.out
    assert fact in shown.out
    assert advice in shown.err
    assert main(["info", str(path), "--json"]) == 0
    assert what in json.loads(capsys.readouterr().out)["what"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"<html>sign in</html>", "is a web page (HTML)"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:a\nsize 1\n", "git lfs pull"),
        (b"", "an empty file"),
        (b"PK\x03\x04\x14\0\0\0\0\0" + bytes(20), "cut short"),
    ],
)
def test_info_refuses_what_nothing_can_be_read_from(
    content: bytes, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "model.pkl").write_bytes(content)
    code = main(["info", str(tmp_path / "model.pkl")])
    shown = capsys.readouterr()
    assert message in shown.err + shown.out
    assert code == (1 if not content.startswith(b"PK") else 0)


def test_info_warns_of_weights_that_are_not_finite(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made = sgkit.load(model(tmp_path))
    made.generator.synthesis.b4_input.const[0, 0, 0] = torch.nan
    sgkit.save(made, tmp_path / "broken.safetensors")
    assert main(["info", str(tmp_path / "broken.safetensors")]) == 0
    assert "The generator is damaged: NaN or infinity in 1 of its tensors (synthesis.b4_input.const)" in (
        capsys.readouterr().err
    )


@pytest.mark.parametrize("command", ["generate", "mix", "panorama", "interpolate"])
def test_images_that_are_not_finite_are_an_error_on_every_road(
    command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made = sgkit.load(model(tmp_path))
    made.generator.synthesis.b8_conv0.weight[0, 0, 0, 0] = torch.inf
    sgkit.save(made, tmp_path / "broken.safetensors")
    options = {
        "mix": ["--rows", "0", "--cols", "1", "--layers", "0-1", "--out", str(tmp_path / "a.png")],
        "interpolate": ["--seeds", "0,1", "--frames", "4", "--out", str(tmp_path / "frames")],
    }.get(command, ["--seeds", "0,1", "--out", str(tmp_path / "a.png")])
    assert main([command, str(tmp_path / "broken.safetensors"), *options]) == 1
    shown = capsys.readouterr().err
    assert "not finite (NaN or infinity)" in shown
    assert command == "panorama" or "first at layer b8_conv0" in shown
    assert "b8_conv0.weight" in shown
    assert not (tmp_path / "a.png").exists()


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.webp", "a.gif", "a.json"])
def test_whatever_carries_a_scene_is_told_with_it(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["interpolate", "--frames", "2"] if name == "a.gif" else ["generate"]
    made = tmp_path / (name if name != "a.json" else "a.png")
    assert main([command[0], str(model(tmp_path)), *command[1:], "--seeds", "3,5", "--out", str(made)]) == 0
    if name == "a.json":
        capsys.readouterr()
        assert main(["replay", str(made), "--show"]) == 0
        (tmp_path / name).write_text(capsys.readouterr().out)
    capsys.readouterr()
    assert main(["info", str(tmp_path / name)]) == 0
    said = capsys.readouterr()
    assert "made by sgkit" in said.out
    assert "psi" in said.out
    assert "sgkit replay" in said.err


def test_every_described_kind_is_one() -> None:
    assert DESCRIBERS.keys() <= PHRASES.keys()
