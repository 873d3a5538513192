"""Images larger than memory: drawn tile by tile into PNG, BigTIFF or a deep-zoom folder, and resumed."""

from sgkit.render.stream.plane import Plane, PlaneOf, Tiling
from sgkit.render.stream.run import Estimate, StreamResult, stream

__all__ = ["Estimate", "Plane", "PlaneOf", "StreamResult", "Tiling", "stream"]
