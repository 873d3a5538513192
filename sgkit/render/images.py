"""What the Python interface gives: several images, or an animation, that save and show themselves."""

from __future__ import annotations

import base64
import html
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, SupportsIndex, overload

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from sgkit.errors import UsageError
from sgkit.render.files import png_bytes, write_picture
from sgkit.render.inputs import Inputs
from sgkit.render.interpolate import write_frames
from sgkit.render.pictures import Pixels, arrange, grid_shape, pixels_of, to_picture, write_pixels
from sgkit.render.render import Rendered
from sgkit.render.scene import Sheet
from sgkit.render.sheets import frames_of
from sgkit.text import name_list


class Images(list[Rendered]):
    """Images with the scenes that make them again: a list that saves itself, and shows itself in a notebook."""

    def numpy(self) -> Pixels:
        """uint8 [N, H, W, C]."""
        return np.stack([one.pixels for one in self])

    def tensor(self) -> Tensor:
        """[N, C, H, W], about -1 to 1."""
        return torch.stack([one.image for one in self])

    def pil(self) -> list[Image.Image]:
        """Pillow images."""
        return [one.pil() for one in self]

    def grid(self, *, columns: int | None = None, gap: int = 0) -> Image.Image:
        """All images in one, row by row; about square, or of this many ``columns``."""
        return to_picture(arrange((one.pixels for one in self), self._shape(columns), gap=gap))

    def save(self, path: str | Path, *, columns: int | None = None, gap: int = 0) -> Path:
        """Write the image, or a grid of all, as .png, .jpg or .webp; without an extension, a folder with a PNG of each.

        The files carry their scenes for ``sgkit replay``. Older files are replaced.

        Raises:
            UsageError: there are no images, or the extension is another one.
        """
        path, shape = Path(path), self._shape(columns)
        if not path.suffix:
            for one in self:
                one.save(path / f"{one.name}.png")
            return path
        sheet = Sheet(scenes=tuple(one.scene for one in self), columns=shape[0], rows=shape[1], gap=gap)
        write_picture(arrange((one.pixels for one in self), shape, gap=gap), path, sheet)
        return path

    def show(self) -> None:
        """Show the grid with the machine's own viewer."""
        self.grid(gap=2).show()

    def _shape(self, columns: int | None) -> tuple[int, int]:
        if not self:
            raise UsageError("There are no images. Give at least one seed or latent.")
        return grid_shape(len(self), (columns, -(-len(self) // columns)) if columns else None)

    @overload
    def __getitem__(self, index: SupportsIndex, /) -> Rendered: ...
    @overload
    def __getitem__(self, index: slice, /) -> Images: ...
    def __getitem__(self, index: Any, /) -> Rendered | Images:
        found = super().__getitem__(index)
        return Images(found) if isinstance(index, slice) else found

    def __add__(self, other: Iterable[Rendered], /) -> Images:  # type: ignore[override]
        return Images([*self, *other])

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return np.asarray(self.numpy(), dtype=dtype)

    def __repr__(self) -> str:
        if not self:
            return "<sgkit.Images: none>"
        height, width = self[0].image.shape[1:]
        return f"<sgkit.Images: {len(self)} of {width}x{height}: {name_list(one.name for one in self)}>"

    def _repr_png_(self) -> bytes | None:
        return png_bytes(arrange((one.pixels for one in self), grid_shape(len(self)), gap=2)) if self else None


class Film:
    """An animation: frames that are drawn as they are asked for; it saves itself, and shows itself in a notebook."""

    def __init__(self, sheet: Sheet, inputs: Inputs) -> None:
        self.sheet, self._inputs = sheet, inputs

    def __iter__(self) -> Iterator[Pixels]:
        return (frame.pixels for frame in frames_of(self.sheet, self._inputs))

    def __len__(self) -> int:
        return self.sheet.frames

    def save(self, path: str | Path, *, fps: float = 30.0) -> Path:
        """Write .gif, .webp or .mp4, or a folder of PNG frames, with the scene for ``sgkit replay``; an older one is
        replaced.
        """
        sheet = self.sheet.changed(fps=float(fps))
        write_frames(sheet, self._inputs, Path(path), fps=fps, overwrite=True)
        return Path(path)

    def __repr__(self) -> str:
        names = [name for scene in self.sheet.filled for name in scene.subjects if name != "frame"]
        return f"<sgkit.Film: {len(self)} frames through {name_list(names)}>"

    def _repr_html_(self) -> str:
        with tempfile.TemporaryDirectory() as folder:
            data = self.save(Path(folder) / "film.webp").read_bytes()
        source = f"data:image/webp;base64,{base64.b64encode(data).decode()}"
        return f'<img alt="{html.escape(repr(self)[1:-1])}" src="{source}">'


def save_image(images: Any, path: str | Path, *, gap: int = 0) -> Path:
    """Write one image, or a grid of several, to ``path``: .png, .jpg or .webp. An older file is replaced.

    Args:
        images: what :meth:`sgkit.Model.generate` gives, which carries its scene; a tensor [C, H, W] or [N, C, H, W]
            from -1 to 1; pixels, uint8 [H, W, C] or [N, H, W, C]; or a Pillow image.
        path: the file to write.
        gap: pixels between the images of a grid.

    Raises:
        UsageError: the images are of another shape or type, or not finite; or the extension is not supported.
    """
    if isinstance(images, Rendered):
        return images.save(path)
    if isinstance(images, (list, tuple)) and images and all(isinstance(one, Rendered) for one in images):
        return Images(images).save(path, gap=gap)
    pixels = pixels_of(images)
    return write_pixels(arrange(pixels, grid_shape(len(pixels)), gap=gap), Path(path))
