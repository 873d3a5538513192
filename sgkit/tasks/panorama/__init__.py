"""Panoramas: many styles woven into one picture of any length, in a single walk."""

from sgkit.tasks.panorama.strips import Strip, reach
from sgkit.tasks.panorama.task import Panorama, PanoramaResult, WeaveSettings, panorama, panorama_file
from sgkit.tasks.panorama.weaving import RingNoise, Seams, layout, measure_seams, weave_styles

__all__ = [
    "Panorama",
    "PanoramaResult",
    "RingNoise",
    "Seams",
    "Strip",
    "WeaveSettings",
    "layout",
    "measure_seams",
    "panorama",
    "panorama_file",
    "reach",
    "weave_styles",
]
