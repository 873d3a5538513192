"""The commands themselves, typed as the documentation says, give the images of the paper's code: to a grey level."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

sys.path.insert(0, str(Path(__file__).resolve().parent))
from soat import Case

from sgkit.cli.app import main
from sgkit.latents.spaces import save_latents

CASE = Case(Path(__file__).resolve().parents[1] / "fixtures" / "soat_256")
LINES = {
    "blend_horizontal": "blend MODEL --seeds w0.npz,w1.npz --blend soat",
    "blend_vertical": "blend MODEL --seeds w0.npz,w1.npz --blend soat --direction vertical",
    "patch_swap": "shift MODEL --seeds w0.npz --parts-of w1.npz --at 16px --softness 0 --features-only "
    "--swap 'box:0.125,0.25,0.5,0.5 to 0.5,0.5'",
    "single_reflect": "expand MODEL --seeds w2.npz --at 8px --factor 2x1 --mode reflect --noise none",
    "single_circular": "expand MODEL --seeds w2.npz --at 8px --left 128 --right 128 --mode circular --noise none",
    "single_vertical": "expand MODEL --seeds w2.npz --at 8px --factor 1x2 --mode resize --noise none",
    "bbox_other_99": "transfer MODEL --source w0.npz --reference w1.npz=box:0.390625,0.1171875,0.640625,0.5078125 "
    "--blend soat --no-align",
    "merge_extension": "panorama MODEL --latent w3.npz --latent w4.npz --mode pairs --blend soat --noise none",
}


@pytest.mark.parametrize("name", LINES)
def test_a_command_gives_the_image_of_the_papers_code(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for index in range(5):
        save_latents(CASE.latents(index)[0], Path(f"w{index}.npz"))
    words = shlex.split(LINES[name].replace("MODEL", str(CASE.folder / "model.pt")))
    assert main([*words, "--precision", "fp32", "--out", "out.png"]) == 0
    with Image.open("out.png") as image:
        pixels = np.asarray(image).astype(float)[::2, ::2].transpose(2, 0, 1)
    expected = CASE.outputs[name][0] * 127.5 + 127.5
    assert pixels.shape == expected.shape
    assert np.abs(pixels - expected).max() < 0.51
