"""Options that name shapes and layers; what is wrong with them is said before torch is loaded."""

from __future__ import annotations

from sgkit.config.shapes import PICTURE, check_distance, check_layers


def parse_shape(text: str) -> str:
    """A shape such as ``box:0.2,0.3,0.8,0.6`` or ``mask.png``, checked.

    Raises:
        UsageError: it is not a shape, or is outside the picture.
        InputError: its image file is not there, or is not an image.
    """
    shape = check_distance(text)
    if shape.kind == PICTURE:
        from sgkit.runtime.path_checks import check_mask

        check_mask(shape.file)
    return text.strip()


def parse_layer_names(text: str) -> str:
    """Layers such as ``coarse``, ``0-3``, ``to 32px`` or ``b16_conv1``, checked as far as any model may have them.

    Raises:
        UsageError: no model has such layers.
    """
    return check_layers(text)
