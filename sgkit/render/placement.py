"""Moving and turning the whole picture of a StyleGAN3, whose features are functions of coordinates."""

from __future__ import annotations

from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

from sgkit.errors import UsageError
from sgkit.latents.places import fourier_input, placed_styles
from sgkit.model import Model
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
    return fourier_input(model) is not None


def placed(styles: dict[str, Tensor], placement: Placement, model: Model) -> dict[str, Tensor]:
    """``styles`` of which the pictures are placed so.

    Raises:
        UsageError: the model is not a StyleGAN3, or its input is stretched, so that turning would distort.
    """
    if fourier_input(model) is None:
        raise UsageError(
            "Only a StyleGAN3 can be moved and turned at its input, because its features are functions of coordinates. "
            "For this model, leave --translate and --rotate out."
        )
    place = torch.tensor([[*placement.translate, placement.rotate]], dtype=torch.float64)
    return placed_styles(styles, place, model)
