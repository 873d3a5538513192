"""A contact sheet: some images of a store in one picture, to see at a glance that they are what was meant."""

from __future__ import annotations

from pathlib import Path

from PIL import Image, PngImagePlugin

from sgkit.errors import SgkitError
from sgkit.runtime.files import atomic_path
from sgkit.runtime.outputs import PNG_SETTINGS
from sgkit.store.images.decoding import MODE_OF_CHANNELS
from sgkit.store.records import StoreReader

KEY = "sgkit.contact-sheet"
"""Text entry of the PNG, by which a sheet that may be replaced is known."""
WIDTH, HEIGHT, GAP = 1024, 768, 2
MOST = 16
"""Images side by side, at most."""


def contact_sheet_file(store: Path) -> Path:
    """The sheet of the store at ``store``: beside it, ``faces.png`` for ``faces``."""
    return store.parent / f"{store.resolve().name}.png"


def write_contact_sheet(store: Path) -> Path | None:
    """Write the sheet of a finished store, of images spread over it; its path.

    ``None``: another file has its name, or the folder is not writable; nothing was written.
    """
    file, reader = contact_sheet_file(store), StoreReader(store)
    if file.exists() and not _is_sheet(file):
        return None
    height, width = reader.header.image_size
    scale = min(1.0, WIDTH / width, HEIGHT / height)
    size = max(int(width * scale), 1), max(int(height * scale), 1)
    columns = min(max(WIDTH // (size[0] + GAP), 1), MOST, len(reader))
    rows = min(max(HEIGHT // (size[1] + GAP), 1), -(-len(reader) // columns))
    count = min(columns * rows, len(reader))
    mode = MODE_OF_CHANNELS[reader.header.image_channels]
    sheet = Image.new(mode, (columns * (size[0] + GAP) - GAP, rows * (size[1] + GAP) - GAP))
    for number in range(count):
        pixels = reader.pixels(number * len(reader) // count)
        image = (
            Image.fromarray(pixels.transpose(1, 2, 0).squeeze()).convert(mode).resize(size, Image.Resampling.LANCZOS)
        )
        row, column = divmod(number, columns)
        sheet.paste(image, (column * (size[0] + GAP), row * (size[1] + GAP)))
    info = PngImagePlugin.PngInfo()
    info.add_text(KEY, str(reader.header.content_hash))
    try:
        with atomic_path(file) as temporary:
            sheet.save(temporary, "PNG", pnginfo=info, **PNG_SETTINGS)
    except SgkitError:  # a full disk, a folder that cannot be written to: the store itself is whole
        return None
    return file


def _is_sheet(file: Path) -> bool:
    try:
        with Image.open(file) as image:
            return KEY in image.info
    except (OSError, SyntaxError, ValueError):
        return False
