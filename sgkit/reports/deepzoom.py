"""The page of a deep-zoom folder."""

from __future__ import annotations

import json

from sgkit.reports.pages import environment


def render_deep_zoom(*, width: int, height: int, tile: int, levels: int) -> str:
    """The page that shows ``image_files`` beside it with ``openseadragon.min.js``; it loads nothing from elsewhere.

    Args:
        width: pixels of the image.
        height: pixels of the image.
        tile: side of the pyramid's tiles.
        levels: number of levels of the pyramid.
    """
    source = {"width": width, "height": height, "tileSize": tile, "tileOverlap": 0, "maxLevel": levels - 1}
    template = environment().get_template("deepzoom.html")
    return template.render(width=width, height=height, source=json.dumps(source))
