"""Images in the columns of Parquet and Arrow files, as Hugging Face ``datasets`` keeps them. Needs pyarrow."""

from __future__ import annotations

import importlib
import json
from collections.abc import Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from sgkit.errors import ConfigError, InputError, MissingDependencyError, did_you_mean
from sgkit.store.label_files import LabelFile, LabelRow
from sgkit.store.sources.base import Item, Reader, Source

__all__ = ["TableSource", "table_files"]

IMAGE_COLUMNS = ("image", "img", "jpg", "png", "picture")
_ARROW_ERRORS = (ValueError, NotImplementedError, LookupError, TypeError)
"""What pyarrow's own errors for damaged files are derived from."""
LABEL_COLUMNS = ("label", "labels", "class", "fine_label")


def table_files(path: Path) -> list[Path]:
    """The Parquet or Arrow files at ``path``, in order; none when it is something else.

    Of a data set with several splits, the training split is taken.
    """
    if path.is_file():
        return [path] if path.suffix in (".parquet", ".arrow") else []
    state = path / "state.json"
    if state.is_file():  # written by Dataset.save_to_disk
        try:
            return [path / entry["filename"] for entry in json.loads(state.read_text())["_data_files"]]
        except (ValueError, KeyError, TypeError) as error:
            raise InputError(f"{state} is not what datasets.save_to_disk writes: {error!r}") from error
    if (path / "dataset_dict.json").is_file() and (path / "train").is_dir():
        return table_files(path / "train")
    for pattern in ("*.parquet", "data/*.parquet", "*.arrow"):
        found = sorted(path.glob(pattern))
        training = [file for file in found if file.name.startswith("train")]
        if found:
            return training or found
    return []


class TableSource(Source):
    """The rows of Parquet or Arrow files, in order."""

    kind = "table"

    def __init__(self, given: str, files: list[Path]) -> None:
        super().__init__(given)
        self._groups = [group for file in files for group in _row_groups(str(file))]
        self._starts = np.cumsum([0, *(rows for _, _, rows in self._groups)])
        schema = self._schema = _schema(str(files[0]))
        self._names = list(schema.names)
        self._image = _column(schema.names, IMAGE_COLUMNS)
        if self._image is None:
            raise InputError(f"{given} has no column of images, only {', '.join(schema.names)}. Name it 'image'.")
        self._label = _column(schema.names, LABEL_COLUMNS)

    def label_file(self, columns: Sequence[str] = ()) -> LabelFile | None:
        """The column of labels, or ``columns``."""
        others = [name for name in self._names if name not in (self._image, self._label)]
        wanted = tuple(columns) or ((self._label,) if self._label else ())
        if others and not columns:
            self.notes.append(
                f"Columns that are not used: {', '.join(others)} of {self.given}. To use them as labels, add "
                "--label-columns."
            )
        if not wanted:
            return None
        for name in wanted:
            if name not in self._names:
                raise ConfigError(f"{self.given} has no column {name!r}. {did_you_mean(name, self._names)}")
        self.class_names = _class_names(self._schema, wanted[0]) if len(wanted) == 1 else ()
        try:
            return LabelFile(f"{_listed(wanted)} of {self.given}", wanted, tuple(self._label_rows(wanted)))
        except OSError as error:
            raise InputError(f"The labels of {self.given} cannot be read: {error}. Use --labels none.") from error

    def _label_rows(self, wanted: tuple[str, ...]) -> Iterator[LabelRow]:
        number = 0
        for file, group, _ in self._groups:
            for values in zip(*(_rows(file, group, wanted)[name] for name in wanted), strict=True):
                place = f"row {number + 1} of {self.given}"
                yield LabelRow(place, _row_name(number), dict(zip(wanted, values, strict=True)))
                number += 1

    def __len__(self) -> int:
        return int(self._starts[-1])

    def __getitem__(self, index: int) -> Item:
        group = int(np.searchsorted(self._starts, index, side="right")) - 1
        file, number, _ = self._groups[group]
        return Item(_row_name(index), (file, number, index - int(self._starts[group]), self._image))

    def reader(self) -> Reader:
        """Reads rows, one group at a time."""
        return _TableReader(self.given)


def _listed(columns: tuple[str, ...]) -> str:
    return f"column{'s' if len(columns) > 1 else ''} {', '.join(map(repr, columns))}"


def _row_name(index: int) -> str:
    return f"row-{index:08d}"


class _TableReader:
    def __init__(self, path: str) -> None:
        self.path = path

    def read(self, item: Item) -> bytes:
        file, group, row, column = item.locator
        value = _rows(file, group, (column,))[column][row]
        if isinstance(value, dict):
            value = value.get("bytes") or Path(value["path"]).read_bytes()
        if not isinstance(value, bytes):
            raise OSError(f"column {column!r} holds {type(value).__name__}, not the bytes of an image file")
        return value


def _pyarrow(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError:
        raise MissingDependencyError(
            "Parquet and Arrow files need pyarrow. Install it with: pip install 'stylegan-sgkit[tables]'"
        ) from None


def _column(names: list[str], wanted: tuple[str, ...]) -> str | None:
    return next((name for name in wanted if name in names), None)


def _class_names(schema: Any, column: str) -> tuple[str, ...]:
    """Class names from the metadata that Hugging Face's library writes."""
    try:
        features = json.loads((schema.metadata or {})[b"huggingface"])["info"]["features"]
        return tuple(features[column]["names"])
    except (KeyError, ValueError, TypeError):
        return ()


def _schema(file: str) -> Any:
    if file.endswith(".parquet"):
        return _pyarrow("pyarrow.parquet").read_schema(file)
    return _arrow_table(file).schema


def _row_groups(file: str) -> list[tuple[str, int, int]]:
    """(file, group, rows) of each group of rows that is read at once."""
    try:
        if file.endswith(".parquet"):
            metadata = _pyarrow("pyarrow.parquet").ParquetFile(file).metadata
            return [(file, group, metadata.row_group(group).num_rows) for group in range(metadata.num_row_groups)]
        batches = _arrow_table(file).to_batches()
        return [(file, group, batch.num_rows) for group, batch in enumerate(batches)]
    except (OSError, *_ARROW_ERRORS) as error:
        raise InputError(f"{file} cannot be read: {error}") from error


@lru_cache(maxsize=2)
def _arrow_table(file: str) -> Any:
    arrow = _pyarrow("pyarrow")
    source = arrow.memory_map(file)
    try:
        return arrow.ipc.open_stream(source).read_all()
    except arrow.ArrowInvalid:
        return arrow.ipc.open_file(source).read_all()


@lru_cache(maxsize=2)
def _rows(file: str, group: int, columns: tuple[str, ...]) -> dict[str, list[Any]]:
    try:
        if file.endswith(".parquet"):
            parquet = _pyarrow("pyarrow.parquet").ParquetFile(file)
            return dict(parquet.read_row_group(group, columns=list(columns)).to_pydict())
        return dict(_arrow_table(file).to_batches()[group].select(list(columns)).to_pydict())
    except _ARROW_ERRORS as error:
        raise OSError(f"group {group} of {file} is damaged: {error}") from error
