"""Pictures of any size in two dimensions, drawn window by window: a grid of styles that blend into each other.

At every layer the features and images of neighbouring styles are mixed by weights that are smooth over the picture
(feature interpolation: "StyleGAN of All Trades", section 3.2), and the next layer reads the mix. So a layer has to be
computed for a style only where the weight of that style is above 0, and of a window only what later layers read of it.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from sgkit.errors import UsageError
from sgkit.model import Canvas, Edit, Model, NoiseSource, State
from sgkit.render.blending import WholePicture, Window
from sgkit.render.strips import Strip
from sgkit.render.weaving import PlainPictures, plain_pictures
from sgkit.runtime.precision import ResolvedPrecision, autocast

TILE = 512
"""Default side of a tile in pixels."""
MOST_ANCHORS = 256
"""Styles that are kept between windows."""

StylesAt = Callable[[int, int], dict[str, Tensor]]
"""Row and column of an anchor -> its styles [1, C] by layer."""


class Plane:
    """A picture of ``height`` x ``width`` pixels of which any window can be drawn.

    A window depends on its own place and size only, not on what was drawn before. Memory depends on the window, not on
    the picture.

    Args:
        model: of any architecture.
        styles: what the anchors look like; asked for where an anchor is needed.
        rows: how anchors share the height; ``columns``: the width.
        noise: all styles see the same.
        size: height and width in pixels, where the last cell is not needed whole.
        precision: number format.
        tile: side of a tile in pixels.
        edit: what else is done between layers; it may change the canvas, so the layers up to the last one where it acts
            are drawn whole, and kept.
        last_edit: number of that layer.
    """

    def __init__(
        self,
        model: Model,
        styles: StylesAt,
        *,
        rows: Strip,
        columns: Strip,
        noise: NoiseSource,
        size: tuple[int, int] | None = None,
        precision: ResolvedPrecision = "fp32",
        tile: int | None = None,
        edit: Edit | None = None,
        last_edit: int = -1,
    ) -> None:
        self.model, self.network = model, model.generator.synthesis
        self.rows, self.columns, self.noise, self.precision = rows, columns, noise, precision
        self.channels = model.config.image_channels
        self.tile = tile or TILE
        self.whole = Canvas(rows.side, columns.side)
        self.cell = model.image_size[0] // model.config.base[0]
        self.edit, self.last_edit, self._size = edit, last_edit, size
        self.styles = styles
        self.anchor: Callable[[int, int], PlainPictures] = functools.lru_cache(maxsize=MOST_ANCHORS)(
            lambda row, column: plain_pictures(self.network, styles(row, column), noise)
        )

    @functools.cached_property
    def begun(self) -> State | None:
        """What edits leave of the whole picture, after the last layer at which they act; ``None``: there are none."""
        if self.edit is None:
            return None
        with torch.inference_mode(), autocast(self.precision, self.model.device):
            return WholePicture(self).drawn(self.edit, self.last_edit)

    @functools.cached_property
    def frames(self) -> dict[int, Canvas]:
        """The whole picture before each layer, after edits, and after the last one."""
        first, canvas = (0, self.whole) if self.begun is None else (self.last_edit + 1, self.begun.place)
        found = {first: canvas}
        for spec in self.network.plan[first:]:
            found[spec.index + 1] = canvas = canvas.after(spec)
        return found

    @functools.cached_property
    def size(self) -> tuple[int, int]:
        """Height and width in pixels."""
        last, enlarge = self.frames[len(self.network.plan)], self.network.plan[-1].enlarge
        if self.edit is None and self._size:
            return self._size
        return last.y.frame_length * enlarge, last.x.frame_length * enlarge

    @property
    def height(self) -> int:
        """Pixels from top to bottom."""
        return self.size[0]

    @property
    def width(self) -> int:
        """Pixels from left to right."""
        return self.size[1]

    def window(self, top: int, left: int, height: int, width: int) -> Tensor:
        """The image [1, C, height, width] of a window of the picture, about -1 to 1.

        Raises:
            UsageError: the window is empty, or not within the picture.
            NonFiniteImageError: the image holds NaN or infinity.
        """
        if min(top, left, height - 1, width - 1) < 0 or top + height > self.height or left + width > self.width:
            raise UsageError(
                f"A window of {width}x{height} pixels at ({left}, {top}) is not within the picture of "
                f"{self.width}x{self.height}."
            )
        with torch.inference_mode(), autocast(self.precision, self.model.device):
            return self._drawn(top, left, height, width)

    def _drawn(self, top: int, left: int, height: int, width: int) -> Tensor:
        return Window(self, top, left, height, width).image()

    def tiles(self) -> Iterator[tuple[int, int, int, int]]:
        """Windows (top, left, height, width) that make up the picture, row by row."""
        high, wide = drawn_at_once(self.size, self.tile)
        for top in range(0, self.height, high):
            for left in range(0, self.width, wide):
                yield top, left, min(high, self.height - top), min(wide, self.width - left)

    def image(self) -> Tensor:
        """The whole picture [1, C, height, width], drawn in tiles."""
        found: Tensor | None = None
        for top, left, height, width in self.tiles():
            part = self.window(top, left, height, width)
            if found is None:
                found = part.new_empty((1, self.channels, self.height, self.width))
            found[:, :, top : top + height, left : left + width] = part
        assert found is not None
        return found


def drawn_at_once(size: tuple[int, int], tile: int) -> tuple[int, int]:
    """Height and width of the windows of a picture of ``size``: a tile's, or longer where the picture is narrower.

    What neighbouring windows both compute is less that way, in the same memory.
    """
    height, width = size
    return tile * max(tile // width, 1), tile * max(tile // height, 1)
