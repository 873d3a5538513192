"""Moving and turning the whole picture of a StyleGAN3, whose features are functions of coordinates."""

from __future__ import annotations

from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

from sgkit.errors import UsageError
from sgkit.model import Model
from sgkit.model.layers import FourierInput
from sgkit.render.records import Record

MOST_TRANSLATION, MOST_ROTATION = 64, 3600
"""Widths or heights; degrees."""
Distance = Annotated[float, Field(ge=-MOST_TRANSLATION, le=MOST_TRANSLATION)]


class Placement(Record):
    """Where a picture is on its canvas: turned about its centre, then moved."""

    translate: tuple[Distance, Distance] = (0.0, 0.0)
    """To the right and down, in fractions of the picture's width and height."""
    rotate: Annotated[float, Field(ge=-MOST_ROTATION, le=MOST_ROTATION)] = 0.0
    """Degrees, counter-clockwise."""


def takes_placement(model: Model) -> bool:
    """Whether the model's pictures can be placed: whether it is a StyleGAN3."""
    return _input_of(model) is not None


def placed(styles: dict[str, Tensor], placement: Placement, model: Model) -> dict[str, Tensor]:
    """``styles`` of which the pictures are placed so.

    Raises:
        UsageError: the model is not a StyleGAN3, or its input is stretched, so that turning would distort.
    """
    found = _input_of(model)
    if found is None:
        raise UsageError(
            "Only a StyleGAN3 can be moved and turned at its input, because its features are functions of coordinates. "
            "For this model, leave --translate and --rotate out."
        )
    name, layer = found
    base = model.config.base  # the layer's unit of length is 4 pixels of the base
    right, down = placement.translate[0] * base[1] / 4, placement.translate[1] * base[0] / 4
    turned = layer.turned(styles[name], torch.tensor(placement.rotate, dtype=torch.float64).deg2rad(), right, down)
    return {**styles, name: turned}


def _input_of(model: Model) -> tuple[str, FourierInput] | None:
    synthesis = model.generator.synthesis
    for spec in synthesis.plan:
        layer = synthesis.get_submodule(spec.name)
        if isinstance(layer, FourierInput):
            return spec.name, layer
    return None
