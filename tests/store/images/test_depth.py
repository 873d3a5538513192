"""Images of 9 to 16 bits a channel: no bit is lost, and one range holds for a whole set."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sgkit.store import StoreReader, open_images
from sgkit.store.bad_images import BadImageError
from sgkit.store.images.decoding import decode_image, open_picture
from sgkit.store.sources import open_source
from sgkit.store.sources.bit_depth import find_range
from sgkit.tasks.prepare import PrepareOptions, prepare
from tests.store.containers import container, file_of, header_of

Pixels = np.ndarray
COLOUR_TYPES = {1: 0, 2: 4, 3: 2, 4: 6}


def png16(pixels: Pixels, exif: bytes = b"") -> bytes:
    """A PNG file of 16 bits a channel; Pillow writes none with colours."""
    height, width, channels = pixels.shape

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    head = struct.pack(">IIBBBBB", width, height, 16, COLOUR_TYPES[channels], 0, 0, 0)
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in pixels)
    marks = chunk(b"eXIf", exif) if exif else b""
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + marks + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    )


def tiff16(pixels: Pixels, *, order: str, packed: bool) -> bytes:
    """A TIFF file of 16-bit colours."""
    height, width, channels = pixels.shape
    data = pixels.astype(f"{order}u2").tobytes()
    data = zlib.compress(data) if packed else data
    end = 8 + 2 + 12 * 9 + 4
    short = {256: width, 257: height, 259: 8 if packed else 1, 262: 2, 277: channels, 278: height}
    entries = {key: struct.pack(f"{order}HHIHH", key, 3, 1, value, 0) for key, value in short.items()}
    entries[258] = struct.pack(f"{order}HHII", 258, 3, channels, end)
    entries[273] = struct.pack(f"{order}HHII", 273, 4, 1, end + 2 * channels)
    entries[279] = struct.pack(f"{order}HHII", 279, 4, 1, len(data))
    head = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(f"{order}IH", 8, len(entries))
    bits = struct.pack(f"{order}{channels}H", *[16] * channels)
    return head + b"".join(entries[key] for key in sorted(entries)) + bytes(4) + bits + data


def values(channels: int, largest: int = 65535, seed: int = 0) -> Pixels:
    found = np.random.RandomState(seed).randint(0, largest + 1, (6, 9, channels)).astype(np.uint16)
    found[0, 0, 0] = largest
    return found


def rounded(pixels: Pixels, bits: int = 16) -> Pixels:
    return np.rint(pixels.astype(np.float64) * 255 / (2**bits - 1)).astype(np.uint8)


def decoded(data: bytes, channels: int, bits: int = 16) -> Pixels:
    found = np.asarray(decode_image(open_picture(data, max_pixels=10_000), channels=channels, bits=bits))
    return found[..., None] if found.ndim == 2 else found


@pytest.mark.parametrize("bits", [8, 10, 12, 14, 16])
def test_every_bit_of_every_kind_of_file_is_read(bits: int) -> None:
    grey, colour = values(1, 2**bits - 1), values(3, 2**bits - 1)
    assert (decoded(png16(grey), 1, bits) == rounded(grey, bits)).all()
    assert (decoded(png16(colour), 3, bits) == rounded(colour, bits)).all()
    for order in "<>":
        for packed in (False, True):
            assert (decoded(tiff16(colour, order=order, packed=packed), 3, bits) == rounded(colour, bits)).all()
    assert (decoded(file_of(Image.fromarray(grey[..., 0]), "TIFF"), 1, bits) == rounded(grey, bits)).all()


def test_alpha_has_16_bits_whatever_the_colours_have() -> None:
    for channels, colour in ((2, values(1, 4095)), (4, values(3, 4095))):
        pixels = np.concatenate([colour, values(1, 65535, seed=1)], axis=2)
        found = decoded(png16(pixels), 4, bits=12)
        assert (found[..., 3] == rounded(pixels[..., channels - 1])).all()
        assert (found[..., 0] == rounded(pixels[..., 0], 12)).all()


def test_deep_colours_are_turned_upright() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    pixels = values(3)
    found = decoded(png16(pixels, exif.tobytes().removeprefix(b"Exif\0\0")), 3)
    assert (found == np.rot90(rounded(pixels), -1)).all()


def test_values_beyond_the_range_are_refused() -> None:
    with pytest.raises(BadImageError, match="out of range") as caught:
        decoded(png16(values(3, 5000)), 3, bits=12)
    assert "holds 5000" in caught.value.detail


def folder_of(root: Path, largest: dict[str, int]) -> Path:
    (root / "in").mkdir()
    for seed, (name, value) in enumerate(largest.items()):
        (root / "in" / name).write_bytes(png16(values(3 if seed % 2 else 1, value, seed)))
    Image.new("RGB", (9, 6), (250, 250, 250)).save(root / "in" / "z.png")  # 8 bits: its range is its own
    return root / "in"


@pytest.mark.parametrize(
    ("largest", "bits"),
    [([1000, 700], 10), ([4095, 40], 12), ([300, 9000, 16383], 14), ([255, 3], 8), ([65535, 4095], 16), ([0, 0], 16)],
)
def test_a_set_has_one_range(tmp_path: Path, largest: list[int], bits: int) -> None:
    folder = folder_of(tmp_path, {f"{number}.png": value for number, value in enumerate(largest)})
    header = header_of(prepare(folder, tmp_path / "store", options=PrepareOptions(size=(6, 9), channels=1)))
    assert (f"read as {bits}-bit data" in " ".join(header.notes)) == (bits < 16)
    reader = StoreReader(tmp_path / "store")
    assert (reader.pixels(0)[0] == rounded(values(1, largest[0], 0), bits)[..., 0]).all()
    assert int(reader.pixels(len(largest))[0, 0, 0]) == 250
    full = header_of(prepare(folder, tmp_path / "full", options=PrepareOptions(size=(6, 9), channels=1, bits=16)))
    assert not full.notes
    assert (StoreReader(tmp_path / "full").pixels(0)[0] == rounded(values(1, largest[0], 0))[..., 0]).all()
    assert open_images(folder).image_size == (6, 9)


@pytest.mark.parametrize("kind", ["folder", "zip", "tar", "tgz", "txt"])
def test_the_range_is_found_in_every_kind_of_source(tmp_path: Path, kind: str) -> None:
    folder = folder_of(tmp_path, {"a.png": 4000, "b": 3000})
    path = folder
    if kind == "txt":
        path = tmp_path / "in.txt"
        path.write_text("".join(f"in/{file.name}\n" for file in sorted(folder.iterdir())))
    elif kind != "folder":
        path = container(tmp_path, {file.name: file.read_bytes() for file in folder.iterdir()}, kind)
    found = find_range([open_source(str(path), size=(8, 8))])
    assert (found.bits, found.largest) == (12, 4000)
