"""Every command that draws takes the latents of a projection: of w, w+ and s, with their noise maps."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

from sgkit.checkpoint import save
from sgkit.cli.app import COMMANDS, main
from sgkit.inversion import ProjectSettings, project_files
from sgkit.render.inputs import Inputs
from tests.builders import drawn_model

LINES = {
    "generate": "generate model.safetensors --latent P --out a.png",
    "mix": "mix model.safetensors --rows P --cols 1 --out a.png",
    "interpolate": "interpolate model.safetensors --seeds P,1 --frames 2 --out a",
    "panorama": "panorama model.safetensors --seeds 1 --latent P --out a.png",
    "expand": "expand model.safetensors --seeds P --out a.png",
    "blend": "blend model.safetensors --seeds P,1 --out a.png",
    "shift": "shift model.safetensors --seeds P --at 8px --copy 'box:0,0,0.5,1 by 0.5,0' --out a.png",
    "transfer": "transfer model.safetensors --source P --reference 1=box:0.2,0.2,0.9,0.9 --out a.png",
    "translate": "translate model.safetensors kin.safetensors --seeds P --out a.png",
    "edit": "edit model.safetensors --seeds P --channel b8_conv0:1=2 --out a.png",
    "drag": "drag model.safetensors --seeds P --point 4,8:7,8 --steps 1 --frames 0 --out a",
    "directions apply": "directions apply model.safetensors --seeds P --channel b8_conv0:1=2 --out a.npz",
    "replay": "replay P/projection.png --out a.png",
}
REFUSED = {
    ("interpolate", "s"): "of the space s, so it cannot be interpolated in w",
    ("drag", "s"): "is a latent of the space s; dragging moves w",
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("sources")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("SGKIT_CACHE", str(folder / "cache"))
        model = drawn_model(noise=0.2)
        save(model, "model.safetensors")
        save(drawn_model(noise=0.2, seed=1), "kin.safetensors")
        Image.new("RGB", (16, 16), "teal").save("photo.png")
        for space in ("w", "w+", "s"):
            settings = ProjectSettings(steps=1, w_samples=20, loss="pixels", space=space)  # type: ignore[arg-type]
            project_files(Inputs(model, path="model.safetensors"), "photo.png", space, settings)
        yield folder


def test_the_table_has_every_command_that_draws() -> None:
    drawing = {row.name for row in COMMANDS if row.panel == "Images"}
    assert {line.partition(" ")[0] for line in LINES} == drawing - {"project", "tune", "directions"} | {"directions"}


@pytest.mark.parametrize("space", ["w", "w+", "s"])
@pytest.mark.parametrize("name", LINES)
def test_commands_draw_what_projections_found(
    name: str, space: str, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(folder)
    words = [word.replace("P", f"{space}/photo") for word in shlex.split(LINES[name])]
    *command, out = words
    target = Path(f"{name}-{space}-{out}")
    refused = REFUSED.get((name, space))
    code = main([*command, str(target)])
    said = capsys.readouterr()
    assert (code != 0) == (refused is not None), said.err
    assert target.exists() == (refused is None)
    assert (refused or "") in said.err
    assert "Traceback" not in said.err
