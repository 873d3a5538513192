from __future__ import annotations

import io
import struct
import sys

import numpy as np
import pytest
from PIL import Image, features

from sgkit.store.bad_images import NEEDS_HEIF, REASONS, BadImageError
from sgkit.store.images.decoding import decode_image, jpeg_precision, open_picture
from tests.store.containers import file_of

MAX = 10_000


def picture(mode: str = "RGB", size: tuple[int, int] = (12, 8)) -> Image.Image:
    values = np.random.RandomState(0).randint(0, 256, (size[1], size[0], 4), np.uint8)
    smooth = Image.fromarray(values).resize((3, 2)).resize(size, Image.Resampling.BILINEAR)
    return smooth.convert("RGB").convert(mode) if mode != "RGBA" else smooth


def decoded(data: bytes, channels: int = 3, **options: object) -> np.ndarray:
    return np.asarray(decode_image(open_picture(data, max_pixels=MAX), channels=channels, **options))


LOSSLESS = [("PNG", {}), ("WEBP", {"lossless": True}), ("TIFF", {}), ("BMP", {})]


@pytest.mark.parametrize(("form", "options"), LOSSLESS, ids=[form for form, _ in LOSSLESS])
def test_lossless_formats_keep_every_pixel(form: str, options: dict[str, object]) -> None:
    image = picture()
    np.testing.assert_array_equal(decoded(file_of(image, form, **options)), np.asarray(image))


@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
def test_jpegs_of_any_colour_space_become_rgb(mode: str) -> None:
    image = picture().convert("L").convert(mode)
    found = decoded(file_of(image, "JPEG", quality=100, subsampling=0)).astype(int)
    assert np.abs(found - np.asarray(image.convert("RGB"))).max() <= 6


@pytest.mark.parametrize("form", ["GIF", "AVIF"])
def test_other_formats_are_read(form: str) -> None:
    if form == "AVIF" and not features.check("avif"):
        pytest.skip("this Pillow has no AVIF")
    assert decoded(file_of(Image.new("RGB", (12, 8), (200, 30, 60)), form)).mean(axis=(0, 1)) == pytest.approx(
        (200, 30, 60), abs=6
    )


def test_16_bits_are_rounded_not_cut() -> None:
    values = np.array([[0, 128, 129, 385, 65535]], np.uint16)
    found = decoded(file_of(Image.fromarray(values), "PNG"), channels=1)
    np.testing.assert_array_equal(found, [[0, 0, 1, 1, 255]])


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied(orientation: int) -> None:
    turns = {2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}  # how the camera was held: Pillow's number of the transposition
    upright = picture()
    turned = upright.transpose(Image.Transpose(turns[orientation])) if orientation > 1 else upright
    exif = Image.Exif()
    exif[0x0112] = orientation
    np.testing.assert_array_equal(decoded(file_of(turned, "PNG", exif=exif)), np.asarray(upright))


def swapping_profile() -> bytes:
    """An ICC profile of an RGB space whose red is sRGB's green and whose green is its red."""

    def fixed(*values: float) -> bytes:
        return b"".join(struct.pack(">i", round(value * 65536)) for value in values)

    red, green, blue = (0.4361, 0.2225, 0.0139), (0.3851, 0.7169, 0.0971), (0.1431, 0.0606, 0.7141)
    curve = b"curv" + bytes(4) + struct.pack(">IH", 1, round(2.2 * 256)) + bytes(2)
    name = b"swapped\0"
    text = b"desc" + bytes(4) + struct.pack(">I", len(name)) + name + bytes(78)
    tags = {b"desc": text + bytes(-len(text) % 4), b"wtpt": b"XYZ " + bytes(4) + fixed(0.9642, 1.0, 0.8249)}
    tags |= {key: b"XYZ " + bytes(4) + fixed(*xyz) for key, xyz in ((b"rXYZ", green), (b"gXYZ", red), (b"bXYZ", blue))}
    tags |= dict.fromkeys((b"rTRC", b"gTRC", b"bTRC"), curve)
    table, body, offset = struct.pack(">I", len(tags)), b"", 128 + 4 + 12 * len(tags)
    for key, data in tags.items():
        table += key + struct.pack(">II", offset + len(body), len(data))
        body += data
    head = struct.pack(">I4sI4s4s4s", offset + len(body), bytes(4), 0x02400000, b"mntr", b"RGB ", b"XYZ ")
    head += bytes(12) + b"acsp" + bytes(28) + fixed(0.9642, 1.0, 0.8249)
    return head + bytes(128 - len(head)) + table + body


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "P", "transparent P"])
def test_colour_profiles_are_converted_to_srgb(mode: str) -> None:
    alpha = mode != "RGB" and mode != "P"
    image = Image.new("RGBA" if alpha else "RGB", (4, 4), (200, 40, 90, 128)[: 4 if alpha else 3])
    options: dict[str, object] = {}
    if mode.endswith("P"):
        image = image.convert("RGB").quantize(2)
        options = {"transparency": bytes([128, 128])} if alpha else {}
    data = file_of(image, "PNG", icc_profile=swapping_profile(), **options)
    found = decoded(data, channels=4 if alpha else 3)
    assert found[0, 0, :3].tolist() == pytest.approx([40, 200, 90], abs=8)
    assert not alpha or found[0, 0, 3] == 128


def test_an_unusable_profile_is_ignored() -> None:
    image = picture()
    np.testing.assert_array_equal(decoded(file_of(image, "PNG", icc_profile=b"no profile at all")), np.asarray(image))


def test_alpha_is_kept_or_laid_on_the_background() -> None:
    data = file_of(Image.new("RGBA", (4, 4), (100, 200, 50, 51)), "PNG")
    np.testing.assert_array_equal(decoded(data, channels=4)[0, 0], [100, 200, 50, 51])
    np.testing.assert_array_equal(decoded(data, background=(255, 255, 255))[0, 0], [224, 244, 214])
    np.testing.assert_array_equal(decoded(data)[0, 0], [20, 40, 10])


def test_a_palette_may_have_a_transparent_colour() -> None:
    image = Image.new("P", (2, 1))
    image.putpalette([10, 20, 30, 200, 100, 50])
    image.putpixel((1, 0), 1)
    data = file_of(image, "PNG", transparency=0)
    np.testing.assert_array_equal(decoded(data, channels=4)[0], [[10, 20, 30, 0], [200, 100, 50, 255]])
    np.testing.assert_array_equal(decoded(data, background=(9, 9, 9))[0], [[9, 9, 9], [200, 100, 50]])


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA"])
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_every_mode_becomes_any_number_of_channels(mode: str, channels: int) -> None:
    found = decode_image(open_picture(file_of(picture().convert(mode), "PNG"), max_pixels=MAX), channels=channels)
    assert found.mode == {1: "L", 3: "RGB", 4: "RGBA"}[channels]


def test_pixels_may_be_given_instead_of_a_file() -> None:
    pixels = np.asarray(picture())
    np.testing.assert_array_equal(np.asarray(decode_image(open_picture(pixels, max_pixels=MAX), channels=3)), pixels)


def test_large_jpegs_are_scaled_while_decoding_when_asked() -> None:
    data = file_of(picture(size=(80, 48)), "JPEG")
    asked: list[tuple[int, int]] = []

    def shrink(size: tuple[int, int]) -> float:
        asked.append(size)
        return 0.25

    small = decode_image(open_picture(data, max_pixels=MAX), channels=3, shrink=shrink)
    assert (small.size, asked) == ((20, 12), [(80, 48)])


def twelve_bit_jpeg() -> bytes:
    data = bytearray(file_of(picture(), "JPEG"))
    start = data.index(b"\xff\xc0")
    data[start + 1] = 0xC1
    data[start + 4] = 12
    return bytes(data)


def animation() -> bytes:
    frames = [Image.new("RGB", (4, 4), (v, v, v)) for v in (0, 120, 250)]
    return file_of(frames[0], "GIF", save_all=True, append_images=frames[1:])


BAD = [
    (b"", "empty", ""),
    (b"these are words", "not an image", "a text file"),
    (file_of(picture(), "JPEG")[:-60], "truncated", ""),
    (file_of(picture(), "PNG")[:-30], "truncated", ""),
    (b"\x89PNG\r\n\x1a\n" + bytes(20), "truncated", ""),
    (file_of(picture(), "JPEG")[:12], "truncated", ""),
    (twelve_bit_jpeg(), "unsupported", "12"),
    (file_of(Image.new("L", (101, 100)), "PNG"), "decompression bomb", "101x100"),
    (file_of(Image.new("F", (4, 4)), "TIFF"), "unsupported", "floating"),
    (b"<!DOCTYPE html><html>404</html>", "not an image", "web page"),
]


@pytest.mark.parametrize(("data", "reason", "detail"), BAD, ids=[f"{i}-{row[1]}" for i, row in enumerate(BAD)])
def test_bad_files_say_why(data: bytes, reason: str, detail: str) -> None:
    with pytest.raises(BadImageError) as caught:
        decoded(data)
    assert caught.value.reason == reason
    assert reason in REASONS
    assert detail in caught.value.detail


def heic() -> bytes:
    heif = pytest.importorskip("pillow_heif")
    buffer = io.BytesIO()
    heif.from_pillow(Image.new("RGB", (64, 48), (200, 30, 60))).save(buffer, quality=-1)
    return buffer.getvalue()


def test_heic_is_read_with_pillow_heif_and_names_it_without(monkeypatch: pytest.MonkeyPatch) -> None:
    data = heic()
    for name in ("ID", "OPEN"):  # as they are before the plugin is registered
        known = getattr(Image, name)
        monkeypatch.setattr(Image, name, type(known)(known) if name == "ID" else dict(known))
    Image.ID[:] = [form for form in Image.ID if form != "HEIF"]
    Image.OPEN.pop("HEIF", None)
    with monkeypatch.context() as missing:
        missing.setitem(sys.modules, "pillow_heif", None)
        with pytest.raises(BadImageError, match=r"stylegan-sgkit\[heic\]") as caught:
            decoded(data)
    assert caught.value.reason == NEEDS_HEIF
    found = decoded(data)
    assert found.shape == (48, 64, 3)
    assert found.mean(axis=(0, 1)) == pytest.approx((200, 30, 60), abs=4)


def test_of_an_animation_the_first_frame_is_taken_or_all_is_refused() -> None:
    assert decoded(animation()).max() == 0
    with pytest.raises(BadImageError, match="animated"):
        open_picture(animation(), max_pixels=MAX, refuse_animated=True)


def test_precision_of_a_jpeg_is_read_from_its_frame() -> None:
    assert jpeg_precision(file_of(picture(), "JPEG")) == 8
    assert jpeg_precision(twelve_bit_jpeg()) == 12
    assert jpeg_precision(b"\xff\xd8\xff") is None
