"""Feature edits: what is done between two layers of a walk, at the layers that a selection picks.

An edit is ``(spec, states) -> states``, or made of one by :func:`when`, which says where it acts. It reads positions
from the canvas of a state, so one edit serves every architecture, size and window.
"""

from sgkit.edits.combine import Weights, blend, interpolate, swap, transfer, weave, weighted_sum
from sgkit.edits.geometry import crop, move, pad, repeat, resize, ring, shift, tile
from sgkit.edits.patches import Patch, paste
from sgkit.edits.select import (
    Selection,
    at_index,
    at_kind,
    at_styles,
    between,
    closing,
    compose,
    everywhere,
    from_pixels,
    matching,
    parse_layers,
    to_pixels,
    when,
)
from sgkit.edits.shapes import (
    Joins,
    Mask,
    box,
    constant,
    ellipse,
    inverse,
    joins,
    picture,
    polygon,
    quarters,
    radial,
    ramp,
)

__all__ = [
    "Joins",
    "Mask",
    "Patch",
    "Selection",
    "Weights",
    "at_index",
    "at_kind",
    "at_styles",
    "between",
    "blend",
    "box",
    "closing",
    "compose",
    "constant",
    "crop",
    "ellipse",
    "everywhere",
    "from_pixels",
    "interpolate",
    "inverse",
    "joins",
    "matching",
    "move",
    "pad",
    "parse_layers",
    "paste",
    "picture",
    "polygon",
    "quarters",
    "radial",
    "ramp",
    "repeat",
    "resize",
    "ring",
    "shift",
    "swap",
    "tile",
    "to_pixels",
    "transfer",
    "weave",
    "weighted_sum",
    "when",
]
