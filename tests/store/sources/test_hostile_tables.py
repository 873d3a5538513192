"""Parquet and Arrow files that claim or unpack to more than they are, or name files elsewhere."""

from __future__ import annotations

import io
import json
import os
import random
import struct
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from sgkit.errors import InputError, SgkitError
from sgkit.store.sources import columns, open_source
from sgkit.tasks.prepare import PrepareOptions, prepare

pa = pytest.importorskip("pyarrow")
pq = pytest.importorskip("pyarrow.parquet")

MIB = 1 << 20
BUFFER = io.BytesIO()
Image.new("RGB", (8, 8), (9, 9, 9)).save(BUFFER, "PNG")
PNG = BUFFER.getvalue()


def parquet(path: Path, images: Any, **options: Any) -> Path:
    labels = options.pop("labels", None)
    table = pa.table({"image": images} | ({} if labels is None else {"label": labels}))
    pq.write_table(table, path, **options)
    return path


def arrow(path: Path, images: Any, *, form: Any = None, compression: str | None = None) -> Path:
    table = pa.table({"image": images})
    with (form or pa.ipc.new_stream)(
        str(path), table.schema, options=pa.ipc.IpcWriteOptions(compression=compression)
    ) as writer:
        writer.write_table(table, max_chunksize=4)
    return path


def read_all(path: Path) -> list[bytes | str]:
    """What each row holds: bytes, or why it cannot be read."""
    source = open_source(str(path), size=(8, 8))
    reader, found = source.reader(), []
    for index in range(len(source)):
        try:
            found.append(reader.read(source[index]))
        except (OSError, InputError) as error:
            found.append(str(error))
    return found


IMAGES = [PNG + bytes([number]) * number for number in range(10)]


@pytest.mark.parametrize("options", [{}, {"row_group_size": 3}, {"data_page_version": "2.0", "compression": "zstd"}])
def test_rows_of_a_parquet_file_are_read_in_order_and_again(tmp_path: Path, options: dict[str, Any]) -> None:
    path = parquet(tmp_path / "a.parquet", IMAGES, **options)
    assert read_all(path) == IMAGES
    source = open_source(str(path), size=(8, 8))
    reader = source.reader()
    order = [7, 2, 3, 9, 0]
    assert [reader.read(source[index]) for index in order] == [IMAGES[index] for index in order]


@pytest.mark.parametrize("form", [pa.ipc.new_stream, pa.ipc.new_file], ids=["stream", "file"])
@pytest.mark.parametrize("compression", [None, "zstd"])
def test_rows_of_an_arrow_file_are_read(tmp_path: Path, form: Any, compression: str | None) -> None:
    assert read_all(arrow(tmp_path / "a.arrow", IMAGES, form=form, compression=compression)) == IMAGES


@pytest.mark.parametrize("name", ["/dev/zero", "/dev/stdin", "/etc/passwd", "../outside.png", "pipe.png", "link.png"])
def test_a_row_names_regular_files_of_its_own_folder_only(tmp_path: Path, name: str) -> None:
    folder = tmp_path / "set"
    folder.mkdir()
    (tmp_path / "outside.png").write_bytes(PNG)
    (folder / "inside.png").write_bytes(PNG)
    (folder / "link.png").symlink_to(tmp_path / "outside.png")
    os.mkfifo(folder / "pipe.png")
    rows = [{"bytes": None, "path": name}, {"bytes": None, "path": "inside.png"}, {"bytes": None, "path": None}]
    first, second, third = read_all(parquet(folder / "a.parquet", rows))
    assert isinstance(first, str)
    assert "outside" in first or "only regular files are read" in first
    assert second == PNG
    assert third == "it has neither bytes nor a path"


@pytest.mark.parametrize(
    ("images", "kind"),
    [(["words"], "string"), ([[1, 2]], "list"), ([{"bytes": [b"x"], "path": "x"}], "struct"), ([1.5], "double")],
)
def test_columns_that_hold_no_images_are_refused(tmp_path: Path, images: list[Any], kind: str) -> None:
    with pytest.raises(InputError, match=f"Column 'image' of .* holds {kind}.*Images must be binary"):
        open_source(str(parquet(tmp_path / "a.parquet", images)), size=(8, 8))


@pytest.mark.parametrize("compression", ["zstd", "gzip", "snappy"])
def test_a_page_that_unpacks_to_too_much_is_left_out(
    tmp_path: Path, compression: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = parquet(tmp_path / "a.parquet", [bytes(20 * MIB)], compression=compression)
    monkeypatch.setenv("SGKIT_MAX_FILE_SIZE", "1MiB")
    with pytest.raises(SgkitError, match=r"None of the 1 files could be used .*too large"):
        prepare(path, tmp_path / "store", options=PrepareOptions(size=(8, 8)))


def test_a_batch_of_an_arrow_file_that_unpacks_to_too_much_is_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = arrow(tmp_path / "a.arrow", [bytes(20 * MIB)], compression="zstd")
    monkeypatch.setenv("SGKIT_MAX_FILE_SIZE", "1MiB")
    (found,) = read_all(path)
    assert isinstance(found, str)
    assert "SGKIT_MAX_FILE_SIZE" in found


def test_one_value_that_is_repeated_is_not_unpacked_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(columns, "BATCH_BYTES", 4 * MIB)
    path = parquet(tmp_path / "a.parquet", [bytes([1]) * MIB] * 50)
    assert path.stat().st_size < 3 * MIB
    table = columns.open_table(str(path))
    assert max(array.nbytes for array in table.batches(0, "image")) <= 5 * MIB


def test_labels_that_unpack_to_too_much_are_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = parquet(tmp_path / "a.parquet", [PNG + os.urandom(100) for _ in range(500)], labels=["x" * 100_000] * 500)
    monkeypatch.setenv("SGKIT_MAX_FILE_SIZE", "8MiB")
    with pytest.raises(InputError, match=r"Column 'label' of .* SGKIT_MAX_FILE_SIZE"):
        open_source(str(path), size=(8, 8)).label_file()


def test_more_rows_than_bytes_are_refused(tmp_path: Path) -> None:
    path = parquet(tmp_path / "a.parquet", pa.nulls(3_000_000, pa.binary()))
    assert path.stat().st_size < 100_000
    with pytest.raises(InputError, match="claims 3,000,000 rows in"):
        open_source(str(path), size=(8, 8))


def test_a_footer_is_bounded(tmp_path: Path) -> None:
    with (tmp_path / "a.parquet").open("wb") as file:
        file.write(b"PAR1")
        file.truncate(5 << 30)
        file.seek(0, os.SEEK_END)
        file.write(struct.pack("<I", 4 << 29) + b"PAR1")
    with pytest.raises(InputError, match=r"footer of .* has 2.0 GiB"):
        open_source(str(tmp_path / "a.parquet"), size=(8, 8))


@pytest.mark.parametrize(
    ("state", "message"),
    [
        ({"_data_files": [{"filename": "../a.parquet"}]}, "outside"),
        ({"_data_files": [{"filename": "/dev/zero"}]}, "outside"),
        ({"_data_files": [{"filename": "missing.arrow"}]}, "cannot be read"),
        ({"_data_files": [{"filename": 3}]}, "not what datasets.save_to_disk writes"),
        ({"_data_files": [{}]}, "not what datasets.save_to_disk writes"),
        ([], "not what datasets.save_to_disk writes"),
        ("[" * 100_000, "nested too deeply|not valid JSON"),
    ],
)
def test_what_save_to_disk_lists_is_checked(tmp_path: Path, state: object, message: str) -> None:
    parquet(tmp_path / "a.parquet", IMAGES)
    folder = tmp_path / "set"
    folder.mkdir()
    (folder / "state.json").write_text(state if isinstance(state, str) else json.dumps(state))
    with pytest.raises(InputError, match=message):
        open_source(str(folder), size=(8, 8))


@pytest.mark.parametrize(
    "features", [b"[" * 100_000, b"[1]", b"\xff\xfe", b'{"info": {"features": {"label": {"names": "ab"}}}}']
)
def test_metadata_that_make_no_sense_are_ignored(tmp_path: Path, features: bytes) -> None:
    table = pa.table({"image": [PNG], "label": [0]}).replace_schema_metadata({b"huggingface": features})
    pq.write_table(table, tmp_path / "a.parquet")
    assert open_source(str(tmp_path / "a.parquet"), size=(8, 8)).class_names == ()


@pytest.mark.parametrize("kind", ["parquet", "arrow"])
def test_a_damaged_table_is_read_or_refused(tmp_path: Path, kind: str) -> None:
    path = tmp_path / f"a.{kind}"
    whole = (parquet if kind == "parquet" else arrow)(path, IMAGES).read_bytes()
    r, refused = random.Random(0), 0
    for _ in range(150):
        copy = bytearray(whole)
        if r.random() < 0.2:
            copy = copy[: r.randrange(len(copy))]
        else:
            for _ in range(r.choice([1, 4, 16])):
                copy[r.randrange(len(copy))] = r.choice([0, 0x7F, 0x80, 0xFF, r.randrange(256)])
        path.write_bytes(copy)
        columns.open_table.cache_clear()
        try:
            read_all(path)
        except SgkitError:
            refused += 1
    assert refused > 20
