"""Slips in shapes, parts, layers and resolutions are answered before torch is loaded."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

LINES = {
    # what is typed: a piece of the answer
    "expand landscapes --out x.png --seeds 0 --at middle": "Not a resolution: 'middle'",
    "expand landscapes --out x.png --seeds 0 --factor wide": "Not a factor: 'wide'",
    "expand landscapes --out x.png --seeds 0 --repeat box:0.5,0,0.2,1": "is empty",
    "expand landscapes --out x.png --seeds 0 --mode resize --left 16": "--left has no effect here",
    "blend landscapes --out x.png --seeds 0,1 --shape circle:1": "Unknown shape 'circle:1'",
    "blend landscapes --out x.png --seeds 0,1 --shape box:64,64,96,96": "is outside the picture",
    "blend landscapes --out x.png --seeds 0,1 --shape 1=all:0.5": "is for image 1",
    "blend landscapes --out x.png --seeds 0,1 --shape no.png": "There is no mask no.png",
    "blend landscapes --out x.png --seeds 0,1 --shape notes.txt.png": "Not a mask: notes.txt.png is",
    "blend landscapes --out x.png --seeds 0,1 --shape all:0.5@corse": "Unknown layers 'corse'",
    "blend landscapes --out x.png --seeds 0,1 --layers 32px": "Unknown layers '32px'",
    "blend landscapes --out x.png --seeds 0,1 --mode soat": "'blend', 'suzuki'",
    "blend landscapes --out x.png --seeds 0,1 --shape ramp:x --direction radial": "--direction has no effect here",
    "shift landscapes --out x.png --seeds 0": "Nothing would be moved",
    "shift landscapes --out x.png --random 3": "No image was given",
    "shift landscapes --out x.png --seeds 0 --copy box:0,0,1,1": "Not a part to copy",
    "shift landscapes --out x.png --seeds 0 --copy 'box:0,0,1,1 by 0.5'": "Not a part to copy",
    "shift landscapes --out x.png --seeds 0 --swap 'mask.png to 0.5,0'": "has no left and top edge",
    "shift landscapes --out x.png --seeds 0 --mirror 'box:0,0,1,1 z'": "Not a shape",
    "shift landscapes --out x.png --seeds 0 --random 2 --steps 5": "--steps has no effect here",
}
RUN = """
import contextlib, io, json, shlex, sys
from sgkit.cli.app import main
answers = []
for line in json.load(sys.stdin):
    said = io.StringIO()
    with contextlib.redirect_stderr(said):
        code = main(shlex.split(line))
    answers.append((code, said.getvalue(), "torch" in sys.modules))
print(json.dumps(answers))
"""


@pytest.fixture(scope="module")
def answers(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[int, str, bool]]:
    """Exit code, message and whether torch was loaded by then, of every line in one process."""
    folder = tmp_path_factory.mktemp("shapes")
    Image.new("L", (8, 8), 255).save(folder / "mask.png")
    (folder / "notes.txt.png").write_text("<!DOCTYPE html><html></html>")
    ran = subprocess.run(
        [sys.executable, "-c", RUN],
        input=json.dumps(list(LINES)),
        capture_output=True,
        text=True,
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
        check=True,
        timeout=120,
    )
    return {line: tuple(answer) for line, answer in zip(LINES, json.loads(ran.stdout), strict=True)}  # type: ignore[misc]


@pytest.mark.parametrize("line", LINES)
def test_a_slip_is_answered_before_torch_is_loaded(line: str, answers: dict[str, tuple[int, str, bool]]) -> None:
    code, said, loaded = answers[line]
    assert LINES[line] in said
    assert code == (1 if " mask" in LINES[line] else 2)
    assert not loaded
