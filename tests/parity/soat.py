"""The operations of the code of "StyleGAN of All Trades" as scenes, compared with its outputs.

A case is a folder of the kind of tests/fixtures/soat_256. Each array of its outputs.npz is drawn from the scene that
the command of the operation makes; ``check.py`` compares them.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch

from sgkit.checkpoint import load
from sgkit.errors import CheckpointWarning
from sgkit.latents.spaces import Latents
from sgkit.model import Model
from sgkit.render.blend import BlendSettings, blend_scene
from sgkit.render.drawing import Drawing, DrawSettings
from sgkit.render.expand import ExpandSettings, expand_scenes
from sgkit.render.inputs import Inputs
from sgkit.render.panorama_scene import PanoramaSettings, panorama_scene
from sgkit.render.render import render
from sgkit.render.scene import Scene
from sgkit.render.shift import ShiftSettings, shift_scenes
from sgkit.render.transfer import Reference, TransferSettings, transfers
from sgkit.render.translate import BASE, TARGET, TranslateSettings, translations

TOLERANCE = 1e-5
"""Largest difference of a value from -1 to 1."""
PSI = 0.7


@dataclass(frozen=True)
class Case:
    """A folder with the networks, latents and outputs of the paper's code."""

    folder: Path

    @cached_property
    def model(self) -> Model:
        """The first network."""
        return _load(self.folder / "model.pt")

    @cached_property
    def other(self) -> Model:
        """The network that was fine-tuned from it."""
        return _load(self.folder / "model2.pt")

    @cached_property
    def given(self) -> dict[str, torch.Tensor]:
        """z, w and the mean w."""
        with np.load(self.folder / "inputs.npz", allow_pickle=False) as file:
            return {name: torch.from_numpy(file[name]) for name in file.files}

    @cached_property
    def outputs(self) -> dict[str, np.ndarray]:
        """Every second pixel of both axes, clamped to -1..1."""
        with np.load(self.folder / "outputs.npz", allow_pickle=False) as file:
            return {name: file[name] for name in file.files}

    def drawing(self, *, noise: str = "const") -> Drawing:
        """What commands make scenes with."""
        settings = DrawSettings(noise=noise)  # type: ignore[arg-type]
        return Drawing(inputs=Inputs(self.model), model=self.model, settings=settings)

    def latents(self, *indices: int, psi: float = PSI) -> list[Latents]:
        """One w for each index, truncated towards the mean that the case brings."""
        mean = self.given["mean_w"]
        ws = [mean + psi * (self.given["w"][index] - mean) for index in indices]
        return [Latents(space="w", values={"w": w[None]}, names=(f"w{i}",)) for i, w in zip(indices, ws, strict=True)]


def _load(path: Path) -> Model:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", CheckpointWarning)
        return load(path)


Operation = Callable[[Case], tuple[Scene, Inputs]]
"""A case -> the scene of one of its outputs, and what the scene names."""
OPERATIONS: dict[str, Operation] = {}


def _blend(direction: Literal["horizontal", "vertical"]) -> Operation:
    def make(case: Case) -> tuple[Scene, Inputs]:
        on = case.drawing()
        return blend_scene(on, case.latents(0, 1), BlendSettings(direction=direction, blend="soat")), on.inputs

    return make


def _single(**expansion: Any) -> Operation:
    def make(case: Case) -> tuple[Scene, Inputs]:
        on = case.drawing(noise="none")
        (scene,) = expand_scenes(on, case.latents(2), ExpandSettings(at="8px", **expansion)).values()
        return scene, on.inputs

    return make


def _patch_swap(case: Case) -> tuple[Scene, Inputs]:
    on = case.drawing()
    here, there, size = (32 / 256, 64 / 256), (128 / 256, 128 / 256), (96 / 256, 64 / 256)
    box = f"box:{here[0]},{here[1]},{here[0] + size[0]},{here[1] + size[1]}"
    shifting = ShiftSettings(swaps=(f"{box} to {there[0]},{there[1]}",), softness=0, at="16px", image=False)
    own, other = case.latents(0, 1)
    (scene,) = shift_scenes(on, own, shifting, parts_of=other).values()
    return scene, on.inputs


def _bbox(x: int, y: int, width: int, height: int, **settings: Any) -> Operation:
    box = "box:" + ",".join(str(side / 256) for side in (x, y, x + width, y + height))

    def make(case: Case) -> tuple[Scene, Inputs]:
        on = case.drawing()
        own, other = case.latents(0, 1)
        (found,) = transfers(on, own, [Reference(other, box)], TransferSettings(blend="soat", **settings))
        return found.result, on.inputs

    return make


def _translate(case: Case) -> tuple[Scene, Inputs]:
    inputs = Inputs({BASE: case.model, TARGET: case.other})
    z = [Latents(space="z", values={"z": case.given["z"][i : i + 1]}, names=(f"z{i}",)) for i in (0, 1)]
    # The code counts its list of styles: from the sixth on, all layers with w 4 and later.
    settings = TranslateSettings(alphas=(0.7,), layers="4-13", style_layers="all")
    (found,) = translations(inputs, z[0], settings, styles=z[1])
    return found.results[0], inputs


def _pair(case: Case) -> tuple[Scene, Inputs]:
    on = case.drawing(noise="none")
    return panorama_scene(on, case.latents(3, 4), PanoramaSettings(mode="pairs", blend="soat")), on.inputs


OPERATIONS |= {
    "bbox_face_9": _bbox(40, 90, 120, 60, align=True, layers="0-6"),  # up to the ninth of its list of styles
    "bbox_other_99": _bbox(100, 30, 64, 100, align=False),
    "translate_6_0.7": _translate,
    "blend_horizontal": _blend("horizontal"),
    "blend_vertical": _blend("vertical"),
    "patch_swap": _patch_swap,
    "merge_extension": _pair,
    "single_reflect": _single(factor=(2, 1), mode="reflect"),
    "single_replicate": _single(factor=(2, 1), mode="replicate"),
    "single_circular": _single(factor=(2, 1), mode="circular"),
    "single_horizontal": _single(factor=(2, 1), mode="resize"),
    "single_vertical": _single(factor=(1, 2), mode="resize"),
}


def difference(case: Case, name: str) -> float:
    """The largest difference of the output ``name``.

    Raises:
        KeyError: there is no scene for it.
    """
    scene, inputs = OPERATIONS[name](case)
    (one,) = render(scene, inputs)
    image = one.image.clamp(-1, 1)[:, ::2, ::2].numpy()
    expected = case.outputs[name][0]
    return float(np.abs(image - expected).max()) if image.shape == expected.shape else float("inf")
