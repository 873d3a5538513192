"""Image files that claim more than they hold, or that would take the machine: refused with a reason, and cheaply."""

from __future__ import annotations

import os
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sgkit.store.bad_images import BadImageError
from sgkit.store.images import decoding, depth
from sgkit.store.images.decoding import FORMATS, decode_image, open_picture
from tests.store.containers import file_of
from tests.store.images.test_decoding import picture

MAX = 178_956_970


def png(size: tuple[int, int], rows: bytes, *, bits: int = 8, kind: int = 0, interlaced: bool = False) -> bytes:
    def chunk(name: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    header = struct.pack(">IIBBBBB", *size, bits, kind, 0, 0, interlaced)
    palette = chunk(b"PLTE", bytes(range(30))) if kind == 3 else b""
    body = chunk(b"IHDR", header) + palette + chunk(b"IDAT", zlib.compress(rows, 9)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


def reason_of(data: bytes, *, max_pixels: int = MAX) -> tuple[str, str]:
    try:
        decode_image(open_picture(data, max_pixels=max_pixels), channels=3)
    except BadImageError as error:
        return error.reason, error.detail
    return "", ""


def claiming(data: bytes, place: int, form: str, *size: int) -> bytes:
    return data[:place] + struct.pack(form, *size) + data[place + struct.calcsize(form) :]


JPEG = file_of(picture(), "JPEG")
GIF = file_of(picture().convert("P"), "GIF")


@pytest.mark.parametrize(
    ("data", "reason", "detail"),
    [
        (png((1, MAX), b"", bits=1), "truncated", "bytes cannot hold 1x178956970 pixels"),
        (png((1, MAX + 1), b"", bits=1), "decompression bomb", "1x178956971 is over 178956970 pixels"),
        (png((13000, 13000), b"", bits=16, kind=2), "truncated", "bytes cannot hold 13000x13000"),
        (claiming(JPEG, JPEG.index(b"\xff\xc0") + 5, ">HH", 13000, 13000), "truncated", "cannot hold 13000x13000"),
        (claiming(GIF, 6, "<HH", 13000, 13000), "truncated", "cannot hold 13000x13000"),
        (claiming(file_of(picture(), "BMP"), 18, "<ii", 13000, 13000), "truncated", ""),
        (b"P6 13000 13000 255\n", "truncated", ""),
        (b"P5 99999999999999999999 1 255\n", "decompression bomb|truncated", ""),
        (claiming(file_of(picture(), "TIFF"), 30, "<I", 0x7FFFFFFF), "", ""),
    ],
)
def test_a_small_file_that_claims_a_large_picture_is_refused(data: bytes, reason: str, detail: str) -> None:
    if reason:
        found = reason_of(data)
        assert found[0] in reason.split("|")
        assert detail in found[1]
    else:
        reason_of(data)


@pytest.mark.parametrize(
    ("bits", "kind", "interlaced", "whole"),
    [
        (8, 0, False, 40 * (1 + 40)),
        (1, 0, False, 40 * (1 + 5)),
        (16, 0, False, 40 * (1 + 80)),
        (8, 2, False, 40 * (1 + 120)),
        (16, 6, False, 40 * (1 + 320)),
        (8, 3, False, 40 * (1 + 40)),
        (8, 0, True, 40 * 40 + 5 + 5 + 5 + 10 + 10 + 20 + 20),
    ],
)
def test_missing_rows_of_a_png_are_noticed_though_its_stream_ends_well(
    bits: int, kind: int, interlaced: bool, whole: int
) -> None:
    black = png((40, 40), bytes(whole), bits=bits, kind=kind, interlaced=interlaced)
    assert reason_of(black) == ("", "")
    for short in (whole - 1, whole // 2, 41):
        assert reason_of(png((40, 40), bytes(short), bits=bits, kind=kind, interlaced=interlaced))[0] == "truncated"


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP", "TIFF", "BMP", "GIF", "PPM", "JPEG2000", "TGA", "ICO"])
def test_a_file_that_is_cut_short_is_truncated(form: str) -> None:
    image = Image.fromarray(np.random.RandomState(0).randint(0, 256, (64, 64, 3)).astype(np.uint8))
    data = file_of(image, form)
    assert reason_of(data) == ("", "")
    for kept in (0.9, 0.5, 0.2):
        assert reason_of(data[: int(len(data) * kept)])[0] in ("truncated", "not an image", "unsupported")


OTHERS = {
    "EPS": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n%%EndComments\nshowpage\n",
    "WMF": b"\xd7\xcd\xc6\x9a" + bytes(60),
    "ICNS": b"icns" + bytes(60),
    "Photoshop": b"8BPS\0\1" + bytes(60),
    "FITS": b"SIMPLE  =                    T" + bytes(60),
    "DDS": b"DDS " + bytes(124),
}


@pytest.mark.parametrize("form", OTHERS)
def test_formats_that_start_programs_or_are_rare_stay_closed(
    form: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "gs"
    program.write_text(f"#!/bin/sh\ntouch {tmp_path}/started\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    assert reason_of(OTHERS[form]) == (
        "unsupported",
        f"{form} files are not read here; convert them to PNG or JPEG first",
    )
    assert not (tmp_path / "started").exists()
    assert not {"EPS", "WMF", "ICNS", "PSD", "FITS", "GRIB", "HDF5", "BUFR", "MPEG"} & set(FORMATS)


def test_max_pixels_may_exceed_pillows_own_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 40)
    for form in ("PNG", "WEBP", "TIFF", "GIF", "ICO"):
        assert reason_of(file_of(picture(size=(16, 16)), form), max_pixels=1000) == ("", "")
        assert reason_of(file_of(picture(size=(16, 16)), form), max_pixels=255)[0] == "decompression bomb"
    assert Image.MAX_IMAGE_PIXELS == 40


def test_a_picture_inside_an_icon_counts() -> None:
    inner = file_of(Image.new("RGB", (100, 100)), "PNG")
    icon = struct.pack("<HHHBBBBHHII", 0, 1, 1, 16, 16, 0, 0, 1, 32, len(inner), 22) + inner
    assert reason_of(icon, max_pixels=5000)[0] == "decompression bomb"


@pytest.mark.parametrize(
    ("form", "options", "each"),
    [("JPEG", {"progressive": True}, 11), ("WEBP", {}, 17), ("JPEG2000", {}, 21), ("PNG", {}, 8), ("JPEG", {}, 8)],
)
def test_decoders_that_take_more_memory_are_given_smaller_pictures(
    form: str, options: dict[str, object], each: int
) -> None:
    data = file_of(picture(size=(80, 80)), form, **options)
    enough = -(-6400 * each // 8)
    assert reason_of(data, max_pixels=enough) == ("", "")
    reason, detail = reason_of(data, max_pixels=enough - 1)
    assert reason == "decompression bomb"
    assert each == 8 or f"Use --max-pixels {enough}" in detail


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "I;16", "CMYK", "transparent"])
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_large_pictures_are_converted_in_bands_to_the_same_pixels(
    monkeypatch: pytest.MonkeyPatch, mode: str, channels: int
) -> None:
    if mode == "I;16":
        image = Image.fromarray(np.arange(0, 60000, 625, dtype=np.uint16).reshape(8, 12))
    else:
        image = picture().convert("P" if mode == "transparent" else mode)
    exif = Image.Exif()
    exif[0x0112] = 6
    options = {"transparency": 3} if mode == "transparent" else {}
    data = file_of(image, "TIFF" if mode == "CMYK" else "PNG", exif=exif, **options)
    found = []
    for band in (1 << 20, 30):
        monkeypatch.setattr(depth, "BAND_PIXELS", band)
        found.append(np.asarray(decode_image(open_picture(data, max_pixels=MAX), channels=channels)))
    np.testing.assert_array_equal(*found)


MEASURE = """
import io, sys
import numpy as np
from PIL import Image
from sgkit.store.images.decoding import decode_image, open_picture

def memory(key):
    return next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith(key)) / 1024

side = 3000
exif = Image.Exif()
exif[0x0112] = 6
for mode in ("1", "P", "L", "RGB", "RGBA", "I;16"):
    image = Image.fromarray(np.zeros((side, side), np.uint16)) if mode == "I;16" else Image.new(mode, (side, side))
    buffer = io.BytesIO()
    image.save(buffer, "PNG", exif=exif, compress_level=1)
    del image
    open("/proc/self/clear_refs", "w").write("5")
    before = memory("VmRSS")
    decode_image(open_picture(buffer.getvalue(), max_pixels=10**8), channels=3)
    print(mode, (memory("VmHWM") - before) * 2**20 / side**2)
"""


@pytest.mark.skipif(not os.access("/proc/self/clear_refs", os.W_OK), reason="the system does not reset peak memory")
def test_decoding_takes_no_more_memory_for_each_pixel_than_is_said() -> None:
    answer = subprocess.run([sys.executable, "-c", MEASURE], capture_output=True, text=True, timeout=60, check=True)
    taken = dict(line.rsplit(" ", 1) for line in answer.stdout.splitlines())
    assert len(taken) == 6
    slack = 4  # bytes per pixel of this small picture: bands and decoders' buffers
    assert {mode: value for mode, value in taken.items() if float(value) > decoding.BYTES_PER_PIXEL + slack} == {}
