"""Whatever shapes and edits a scene combines, there is a finite image or a refusal, never another error."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest

from sgkit.config import DiscriminatorConfig, MappingConfig, ModelConfig, SynthesisConfig
from sgkit.errors import SgkitError
from sgkit.model import Model, build
from sgkit.render.parsing import parse_sheet
from sgkit.render.render import render

SCENES = 300


@pytest.fixture(scope="module")
def model() -> Model:
    small = {"channel_base": 16, "channel_max": 4}
    return build(
        ModelConfig(
            image_size=(8, 8),
            z_dim=8,
            w_dim=8,
            mapping=MappingConfig(num_layers=1),
            synthesis=SynthesisConfig(**small),
            discriminator=DiscriminatorConfig(**small),
        )
    )


def number(chance: Random) -> float:
    return chance.choice([0, 1, -1, 0.5, 2, -0.001, 1e-9, 0.999, 4, -4, chance.uniform(-2, 2), chance.random()])


def shape(chance: Random) -> str:
    def numbers(*counts: int) -> str:
        values = (chance.choice([0, 1, 0.5, -0.5, 1.5, 1e-8, *(chance.random() for _ in range(5))]) for _ in range(9))
        return ",".join(str(value) for value in list(values)[: chance.choice(counts)])

    return chance.choice(
        [
            f"box:{numbers(4, 5)}",
            f"not:ellipse:{numbers(4, 5)}",
            f"polygon:{numbers(6, 7, 8, 9)}",
            f"radial:{numbers(4)}",
            f"ramp:{chance.choice('xy')}{chance.choice(['', ',0.1,0.6', ',0.4,0.4'])}",
            f"all:{numbers(1)}",
            f"soat:{chance.choice('xy')}",
        ]
    )


def edit(chance: Random) -> dict[str, Any]:
    mode = chance.choice(["reflect", "circular", "constant", "replicate"])
    patch = {
        "shape": shape(chance),
        "right": number(chance),
        "down": number(chance),
        "mirror": chance.choice(["none", "x", "y", "both"]),
        "fill": chance.random() < 0.3,
        "back": chance.random() < 0.3,
        "from": chance.choice(["a", "b"]),
    }
    kinds: dict[str, dict[str, Any]] = {
        "repeat": {
            "box": [number(chance) for _ in range(4)],
            "times": chance.choice([1, 2, 30]),
            "axis": chance.choice("xy"),
            "softness": chance.choice([0, 0.3, 1]),
            "mirror": chance.random() < 0.5,
        },
        "paste": {"patches": [patch] * chance.randint(1, 3), "image": chance.random() < 0.7},
        "pad": {"left": chance.choice([0, 1, 40]), "top": chance.choice([0, 3, 17]), "mode": mode},
        "crop": {"left": chance.choice([0, 1, 2, 3])},
        "shift": {"x": chance.choice([0, 1, -9, 50]), "mode": mode},
        "resize": {"width_factor": chance.choice([0.01, 0.3, 1, 2.5]), "height_factor": chance.choice([0.5, 1, 3])},
        "tile": {"length": chance.choice([1, 3, 50]), "axis": chance.choice("xy")},
    }
    kind = chance.choice(list(kinds))
    return {"kind": kind, "at": chance.choice(["4px", "8px"]), **kinds[kind]}


def scene(chance: Random) -> dict[str, Any]:
    masks = {
        "kind": "masks",
        "of": "a",
        "mode": chance.choice(["blend", "collage"]),
        "layers": chance.choice(["all", "to 4px", "at 8px", "0-1", "b8_conv1"]),
        "over": [{"subject": chance.choice("ab"), "shape": shape(chance)} for _ in range(chance.randint(1, 3))],
    }
    return {
        "scene": 1,
        "subjects": {"a": {"from": {"seed": 1}}, "b": {"from": {"seed": 2}}},
        "arrangement": chance.choice([{"of": "a"}, masks]),
        "edits": [edit(chance) for _ in range(chance.randint(0, 2))],
        "noise": {"kind": chance.choice(["const", "random", "none"])},
    }


def test_every_combination_is_drawn_or_refused(model: Model) -> None:
    drawn = 0
    for seed in range(SCENES):
        values = scene(Random(seed))
        try:
            (one,) = render(parse_sheet(values, name="test").filled, model)
        except SgkitError:
            continue
        assert one.image.isfinite().all(), values
        drawn += 1
    assert drawn > SCENES / 3
