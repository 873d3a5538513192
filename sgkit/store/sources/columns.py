"""Columns of Parquet and Arrow files, read a few rows at a time; what they unpack to is compared with limits first."""

from __future__ import annotations

import importlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any

from sgkit.errors import InputError, MissingDependencyError, SgkitError
from sgkit.runtime.limits import check_size, open_regular, size_of
from sgkit.store.sources.arrow_messages import DICTIONARY, RECORDS, Message, messages
from sgkit.store.sources.parquet_pages import column_pages

MOST_ROWS = 1 << 27
BATCH_BYTES, BATCH_ROWS = 1 << 26, 1024
"""As many rows are read at once as come to this if each fills a page, as a dictionary's entry may be repeated."""
LEAST_RATIO = 4
"""Pages that unpack to no more than this many times their packed size may have any size: images hardly compress."""
VALUE_BYTES = 64
"""Of a Python object for each label."""


@lru_cache(maxsize=2)
def open_table(file: str) -> ParquetTable | ArrowTable:
    """The Parquet or Arrow file, by its name's ending."""
    with _errors_of(file):
        table = ParquetTable(file) if file.endswith(".parquet") else ArrowTable(file)
        total, size = sum(table.rows), Path(file).stat().st_size
        if min(table.rows, default=0) < 0 or total > min(size, MOST_ROWS):  # no images are so small
            raise InputError(f"{file} claims {total:,} rows in {size_of(size)}. It is damaged or hostile.")
        return table


def values(table: ParquetTable | ArrowTable, group: int, column: str, *, charged: bool = False) -> Iterator[Any]:
    """The values of a column in a group of rows, as Python objects.

    ``charged``: all of them are kept, and may not exceed the limit of a table.
    """
    made = 0
    with _errors_of(table.file):
        for array in table.batches(group, column):
            made += array.nbytes + VALUE_BYTES * len(array)
            if charged:
                check_size(made, name=f"Column {column!r} of {table.file}", kind="table")
            for value in array:
                yield value.as_py()


class ParquetTable:
    """A Parquet file, which is read page by page."""

    def __init__(self, file: str) -> None:
        self.file = file
        with open_regular(file) as opened:
            self._size = os.fstat(opened.fileno()).st_size
            opened.seek(max(self._size - 8, 0))
            footer = int.from_bytes(opened.read(4), "little")
        check_size(min(footer, self._size), name=f"The footer of {file}", kind="table")
        self._parquet = pyarrow("pyarrow.parquet").ParquetFile(file, memory_map=False)
        metadata = self._parquet.metadata
        self.schema = self._parquet.schema_arrow
        self.rows = [metadata.row_group(group).num_rows for group in range(metadata.num_row_groups)]

    def batches(self, group: int, column: str) -> Iterator[Any]:
        """Arrays of some rows each."""
        largest = self._largest_page(group, column)
        rows = max(min(BATCH_BYTES // max(largest, 1), BATCH_ROWS), 1)
        read = self._parquet.iter_batches(batch_size=rows, row_groups=[group], columns=[column], use_threads=False)
        for batch in read:
            yield batch.column(0)

    def _largest_page(self, group: int, column: str) -> int:
        """Bytes of the largest page of the column, when all of them are within the limits."""
        described = self._parquet.metadata.row_group(group)
        chunks = [described.column(number) for number in range(described.num_columns)]
        largest = 0
        with open_regular(self.file) as opened:
            for chunk in chunks:
                if chunk.path_in_schema.split(".")[0] != column:
                    continue
                start, length = chunk.data_page_offset, chunk.total_compressed_size
                if chunk.has_dictionary_page and chunk.dictionary_page_offset:
                    start = min(start, chunk.dictionary_page_offset)
                if not 0 <= start <= start + length <= self._size:
                    raise ValueError(f"column {column!r} leaves the file")
                pages = column_pages(opened, start, length)
                if pages.largest > LEAST_RATIO * length:
                    check_size(pages.largest, name=f"A page of column {column!r} in {self.file}", kind="image")
                if pages.num_values > max(described.num_rows, self._size):
                    raise ValueError(f"column {column!r} claims {pages.num_values:,} values")
                largest = max(largest, pages.largest)
        return largest


class ArrowTable:
    """An Arrow file or stream, whose batches are mapped into memory one at a time."""

    def __init__(self, file: str) -> None:
        self.file = file
        with open_regular(file) as opened:
            self._size = os.fstat(opened.fileno()).st_size
            found = messages(opened)
        self._records = [message for message in found if message.kind == RECORDS]
        self._arrow = pyarrow("pyarrow")
        self.schema = self._arrow.ipc.read_schema(self._message(found[0]))
        self.rows = [message.num_rows for message in self._records]
        if any(message.kind == DICTIONARY for message in found):
            raise InputError(f"{file} has dictionary-encoded columns, which are not read. Write it as Parquet instead.")

    def batches(self, group: int, column: str) -> Iterator[Any]:
        """The array of a column, checked throughout: its offsets come from the file."""
        if column not in self.schema.names:
            raise ValueError(f"it has no column {column!r}")
        message = self._records[group]
        if message.num_bytes > self._size:  # it is compressed
            check_size(message.num_bytes, name=f"A batch of {self.file}", kind="table")
        batch = self._arrow.ipc.read_record_batch(self._message(message), self.schema)
        array = batch.column(self.schema.get_field_index(column))
        array.validate(full=True)
        yield array

    def _message(self, message: Message) -> Any:
        source = self._arrow.memory_map(self.file)
        source.seek(message.place)
        return self._arrow.ipc.read_message(source)


def pyarrow(name: str) -> Any:
    """The module of pyarrow called ``name``."""
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError:
        raise MissingDependencyError(
            "Parquet and Arrow files need pyarrow. Install it with: pip install 'stylegan-sgkit[tables]'"
        ) from None


@contextmanager
def _errors_of(file: str) -> Iterator[None]:
    """Turn whatever pyarrow raises for a damaged file into one message."""
    try:
        yield
    except SgkitError:
        raise
    except Exception as error:  # pyarrow's errors have no common base but this
        raise InputError(f"{file} cannot be read: {error or type(error).__name__}. Is it complete?") from error
