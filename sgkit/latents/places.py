"""Where the image of a latent is on its canvas: moved and turned at the input of a StyleGAN3.

The features of a StyleGAN3 are functions of coordinates, so its images can be moved and turned by four numbers of the
input's style (StyleGAN3, section 3.1). A projection searches them, and its latent file records them.
"""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from sgkit.model import Model
from sgkit.model.layers import FourierInput


def fourier_input(model: Model) -> tuple[str, FourierInput] | None:
    """Name and layer of the input whose features can be moved and turned; ``None``: the model is not a StyleGAN3."""
    synthesis = model.generator.synthesis
    for spec in synthesis.plan:
        layer = synthesis.get_submodule(spec.name)
        if isinstance(layer, FourierInput):
            return spec.name, layer
    return None


def placed_styles(styles: Mapping[str, Tensor], places: Tensor, model: Model) -> dict[str, Tensor]:
    """``styles`` (layer -> [N, C]) of which the images are turned about their centre, then moved.

    Args:
        styles: of a StyleGAN3.
        places: [N, 3], to the right and down, in fractions of the image's width and height, and degrees
            counter-clockwise; gradients flow through them.
        model: whose styles they are.

    Raises:
        UsageError: its input is stretched, so that turning would distort.
    """
    found = fourier_input(model)
    assert found is not None, "only a StyleGAN3 places its images"
    name, layer = found
    base = model.config.base  # the layer's unit of length is 4 pixels of the base
    right, down = places[:, 0] * (base[1] / 4), places[:, 1] * (base[0] / 4)
    return {**styles, name: layer.turned(styles[name], places[:, 2].double().deg2rad(), right, down)}
