"""Feature edits: what is done between two layers of a walk. Small functions ``(spec, states) -> states``.

An edit picks its layers only by what a :class:`sgkit.model.LayerSpec` says, and returns the very list it was given
where it does nothing: that is how a walk knows that an edit fired.
"""

from sgkit.edits.canvas import crop, move, pad, resize, ring, shift, tile
from sgkit.edits.combine import blend, interpolate, swap, transfer, weave
from sgkit.edits.select import Selection, at_kind, at_resolution, between, closing, compose, everywhere, when
from sgkit.edits.shapes import Axis, Joins, Mask, box, centers, constant, joins, picture, ramp, smoothstep

__all__ = [
    "Axis",
    "Joins",
    "Mask",
    "Selection",
    "at_kind",
    "at_resolution",
    "between",
    "blend",
    "box",
    "centers",
    "closing",
    "compose",
    "constant",
    "crop",
    "everywhere",
    "interpolate",
    "joins",
    "move",
    "pad",
    "picture",
    "ramp",
    "resize",
    "ring",
    "shift",
    "smoothstep",
    "swap",
    "tile",
    "transfer",
    "weave",
    "when",
]
