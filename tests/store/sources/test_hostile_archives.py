"""Archives that unpack to much more than they are, or hold what is not a file: refused or left out, and cheaply."""

from __future__ import annotations

import bz2
import io
import lzma
import random
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest

from sgkit.errors import InputError
from sgkit.runtime.limits import TooLargeError
from sgkit.store.sources import open_source, tars, zips
from sgkit.tasks.prepare import PrepareOptions, prepare
from tests.store.containers import flat, header_of, tar_of

MIB = 1 << 20
PNG = flat(9, size=(8, 8))


@pytest.fixture(autouse=True)
def _limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SGKIT_MAX_FILE_SIZE", "1MiB")


def outcome(path: Path, tmp_path: Path) -> tuple[int, dict[str, int]]:
    """Images that are prepared, and what is left out."""
    header = header_of(prepare(path, tmp_path / "store", options=PrepareOptions(size=(8, 8))))
    return header.num_images, dict(header.skipped)


def zip_of(path: Path, members: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return path


METHODS = {
    "stored": zipfile.ZIP_STORED,
    "deflate": zipfile.ZIP_DEFLATED,
    "bzip2": zipfile.ZIP_BZIP2,
    "lzma": zipfile.ZIP_LZMA,
}


@pytest.mark.parametrize("method", METHODS)
def test_a_member_of_a_zip_beyond_the_limit_is_left_out(tmp_path: Path, method: str) -> None:
    path = zip_of(tmp_path / "a.zip", {"a.png": bytes(9 * MIB), "b.png": PNG}, METHODS[method])
    assert outcome(path, tmp_path) == (1, {"too large": 1})


def raw_zip(path: Path, data: bytes, *, size: int, method: int, flags: int = 0, count: int = 1) -> Path:
    """A zip file of ``count`` members that are all the same bytes of the file."""
    name, crc = b"a.png", zlib.crc32(PNG)
    local = struct.pack("<4s5H3I2H", b"PK\3\4", 20, flags, method, 0, 0, crc, len(data), size, 5, 0) + name + data
    entry = struct.pack("<4s6H3I5H2I", b"PK\1\2", 20, 20, flags, method, 0, 0, crc, len(data), size, 5, *[0] * 6) + name
    end = struct.pack("<4s4H2IH", b"PK\5\6", 0, 0, count, count, len(entry) * count, len(local), 0)
    path.write_bytes(local + entry * count + end)
    return path


def lzma_member(data: bytes, *, dictionary: int = 1 << 16) -> bytes:
    filters = [{"id": lzma.FILTER_LZMA1, "dict_size": 1 << 16}]
    packed = lzma.compress(data, format=lzma.FORMAT_RAW, filters=filters)
    return b"\x09\x14\x05\0" + bytes([93]) + dictionary.to_bytes(4, "little") + packed


def deflated(data: bytes) -> bytes:
    return zlib.compress(data, 9)[2:-4]


@pytest.mark.parametrize(
    ("data", "method", "flags", "message"),
    [
        (deflated(bytes(64 * MIB)), 8, 0, "differ from their checksum|CRC|BadZipFile"),
        (bz2.compress(bytes(64 * MIB)), 12, 0, "differ from their checksum"),
        (lzma_member(bytes(64 * MIB)), 14, 0, "differ from their checksum"),
        (lzma_member(PNG, dictionary=2**32 - 1), 14, 0, "LZMA asks for 4.0 GiB"),
        (b"\x09\x14\xff\xff", 14, 0, "properties of LZMA"),
        (b"", 9, 0, "compression .method 9. is not read"),
        (b"", 93, 0, "compression .method 93. is not read"),
        (PNG, 0, 1, "is encrypted"),
        (PNG[:-8], 0, 0, "checksum|CRC|EOF|BadZipFile"),
    ],
)
def test_a_member_that_lies_or_cannot_be_read_is_named(
    tmp_path: Path, data: bytes, method: int, flags: int, message: str
) -> None:
    path = raw_zip(tmp_path / "a.zip", data, size=len(PNG), method=method, flags=flags)
    source = open_source(str(path), size=(8, 8))
    with pytest.raises(OSError, match=message):
        source.reader().read(source[0])


@pytest.mark.parametrize("name", ["bzip2", "lzma"])
def test_rare_compressions_of_zip_files_are_read(tmp_path: Path, name: str) -> None:
    source = open_source(str(zip_of(tmp_path / "a.zip", {"a.png": PNG}, METHODS[name])), size=(8, 8))
    assert source.reader().read(source[0]) == PNG


def test_members_of_a_zip_that_overlap_are_refused(tmp_path: Path) -> None:
    path = raw_zip(tmp_path / "a.zip", deflated(bytes(MIB // 2)), size=MIB // 2, method=8, count=200)
    with pytest.raises(InputError, match=r"200 members claim .* decompression bomb of overlapping members"):
        open_source(str(path), size=(8, 8))


def test_a_list_of_members_that_is_most_of_a_large_zip_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(zips, "MOST_FOR_LITTLE", 1 << 16)
    path = zip_of(tmp_path / "a.zip", {f"{number:04d}.png": b"" for number in range(2000)})
    with pytest.raises(InputError, match=r"list of members claims .*; 64.0 KiB are allowed here"):
        open_source(str(path), size=(8, 8))


@pytest.mark.parametrize("content", [bytes(9 * MIB), b"[" + b"[]," * 300_000 + b"[]]", b"[" * 200_000])
def test_a_dataset_json_that_is_a_bomb_is_an_error(tmp_path: Path, content: bytes) -> None:
    path = zip_of(tmp_path / "a.zip", {"a.png": PNG, "dataset.json": content})
    with pytest.raises(InputError, match=r"dataset.json in .*(SGKIT_MAX_FILE_SIZE|nested too deeply)"):
        outcome(path, tmp_path)


# ------------------------------------------------------------------------------------------------------- tar


FILE = tarfile.REGTYPE


@pytest.mark.parametrize("ending", ["tar", "tar.gz", "tar.bz2", "tar.xz"])
def test_a_member_of_a_tar_beyond_the_limit_is_left_out(tmp_path: Path, ending: str) -> None:
    path = tar_of(tmp_path / f"a.{ending}", [("a.png", FILE, bytes(9 * MIB)), ("b.png", FILE, PNG)])
    assert outcome(path, tmp_path) == (1, {"too large": 1})


@pytest.mark.parametrize("ending", ["tar.gz", "tar.bz2", "tar.xz"])
@pytest.mark.parametrize("name", ["a.png", "a.bin"])
def test_a_tar_that_unpacks_to_many_times_its_size_is_refused(
    tmp_path: Path, ending: str, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tars, "BOMB_BYTES", 4 * MIB)
    path = tar_of(tmp_path / f"a.{ending}", [(name, FILE, bytes(9 * MIB)), ("b.png", FILE, PNG)])
    with pytest.raises(TooLargeError, match="unpacks to more than 100 times its size"):
        open_source(str(path), size=(8, 8))


@pytest.mark.parametrize(("count", "data"), [(90, b""), (90, b"x" * 31), (90, bytes(2000))])
def test_a_tar_with_more_members_than_images_could_be_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, count: int, data: bytes
) -> None:
    monkeypatch.setattr(tars, "FEW_MEMBERS", 50)
    monkeypatch.setattr(tars, "LEAST_PACKED", 40)
    path = tar_of_many(tmp_path / "a.tar.gz", count, data)
    with pytest.raises(TooLargeError, match=r"has more than 50 members in .* unpack it yourself and give the folder"):
        open_source(str(path), size=(8, 8))


def test_a_zip_with_many_files_and_nothing_in_them_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(zips, "FEW_MEMBERS", 50)
    path = zip_of(tmp_path / "a.zip", {f"{number}.png": b"" for number in range(90)})
    with pytest.raises(InputError, match=r"its 90 files hold 0 bytes together.*unpack it yourself"):
        open_source(str(path), size=(8, 8))


@pytest.mark.parametrize("name", ["a.tar", "a.tar.gz", "a.zip"])
def test_many_tiny_images_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setattr(tars, "FEW_MEMBERS", 50)
    monkeypatch.setattr(zips, "FEW_MEMBERS", 50)
    path = tmp_path / name
    zip_of(path, {f"{n}.png": PNG for n in range(90)}) if name == "a.zip" else tar_of_many(path, 90, PNG)
    assert len(open_source(str(path), size=(8, 8))) == 90


def tar_of_many(path: Path, count: int, data: bytes) -> Path:
    with tarfile.open(path, "w:gz" if path.suffix == ".gz" else "w") as archive:
        for number in range(count):
            member = tarfile.TarInfo(f"{number}.png")
            content = data + random.Random(number).randbytes(20) * (data == PNG)  # equal images pack to almost nothing
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return path


@pytest.mark.parametrize("kind", [b"L", b"K", b"x", b"g"], ids=["name", "link", "pax", "global pax"])
@pytest.mark.parametrize("ending", ["tar", "tar.gz"])
def test_a_header_of_a_tar_is_bounded(
    tmp_path: Path, kind: bytes, ending: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tars, "MOST_AT_ONCE", 4 * MIB)
    path = tar_of(tmp_path / f"a.{ending}", [("a.png", kind, bytes(9 * MIB)), ("b.png", FILE, PNG)])
    with pytest.raises(InputError, match="a header in it claims 9437184 bytes"):
        open_source(str(path), size=(8, 8))


def sparse_map_that_never_ends() -> bytes:
    records = b"".join(
        b"%d %s\n" % (len(text) + 4, text)
        for text in (b"GNU.sparse.major=1", b"GNU.sparse.minor=0", b"GNU.sparse.realsize=9")
    )
    pax, member = tarfile.TarInfo("p"), tarfile.TarInfo("a.png")
    pax.type, pax.size, member.size = b"x", len(records), 512
    return pax.tobuf() + records.ljust(512, b"\0") + member.tobuf() + (b"9" * 400 + b"\n").rjust(512, b"1")


def nested_headers() -> bytes:
    pax = tarfile.TarInfo("p")
    pax.type = b"x"
    return pax.tobuf() * 5000


@pytest.mark.parametrize("content", [sparse_map_that_never_ends, nested_headers, lambda: b"x" * 5000, lambda: b""])
def test_a_damaged_tar_is_an_error(tmp_path: Path, content: Callable[[], bytes]) -> None:
    (tmp_path / "a.tar").write_bytes(content())
    with pytest.raises(InputError, match=r"cannot be read as a tar file|holds no images"):
        open_source(str(tmp_path / "a.tar"), size=(8, 8))


def test_a_tar_packed_with_zstd_says_how_to_unpack_it(tmp_path: Path) -> None:
    (tmp_path / "a.tar.zst").write_bytes(b"\x28\xb5\x2f\xfd" + bytes(100))
    with pytest.raises(InputError, match=r"compressed with zstd, which is not read. Unpack it first: zstd -d"):
        open_source(str(tmp_path / "a.tar.zst"), size=(8, 8))
