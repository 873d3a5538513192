"""Images in the columns of Parquet and Arrow files, as Hugging Face ``datasets`` keeps them. Needs pyarrow."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from sgkit.errors import ConfigError, InputError, did_you_mean
from sgkit.runtime.limits import NotAFileError, TooLargeError, parse_json, read_file, resolve_inside
from sgkit.store.labels.files import LabelFile, LabelRow
from sgkit.store.sources.base import Item, Reader, Source
from sgkit.store.sources.columns import open_table, pyarrow, values

IMAGE_COLUMNS = ("image", "img", "jpg", "png", "picture")
LABEL_COLUMNS = ("label", "labels", "class", "fine_label")


def table_files(path: Path) -> list[Path]:
    """The Parquet or Arrow files at ``path``, in order; none when it is something else.

    Of a data set with several splits, the training split is taken.
    """
    if path.is_file():
        return [path] if path.suffix in (".parquet", ".arrow") else []
    state = path / "state.json"
    if state.is_file():  # written by Dataset.save_to_disk
        listed = parse_json(read_file(state, kind="JSON"), name=str(state))
        try:
            return [resolve_inside(path, entry["filename"]) for entry in listed["_data_files"]]
        except NotAFileError as error:
            raise InputError(f"{state} cannot be used: {error}.") from error
        except (KeyError, TypeError) as error:
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
        super().__init__(given, TableReader(given))
        self._groups = [
            (str(file), group, rows) for file in files for group, rows in enumerate(open_table(str(file)).rows)
        ]
        self._starts = np.cumsum([0, *(rows for _, _, rows in self._groups)])
        schema = self._schema = open_table(str(files[0])).schema
        self._columns = list(schema.names)
        self._image = _column(schema.names, IMAGE_COLUMNS)
        if self._image is None:
            raise InputError(f"{given} has no column of images, only {', '.join(schema.names)}. Name it 'image'.")
        kind = schema.field(self._image).type
        if not _holds_images(kind):
            raise InputError(
                f"Column {self._image!r} of {given} holds {kind}. Images must be binary (the bytes of image files), "
                "or a struct of 'bytes' and 'path'."
            )
        self._label = _column(schema.names, LABEL_COLUMNS)

    def label_file(self, columns: Sequence[str] = ()) -> LabelFile | None:
        """The column of labels, or ``columns``."""
        others = [name for name in self._columns if name not in (self._image, self._label)]
        wanted = tuple(columns) or ((self._label,) if self._label else ())
        if others and not columns:
            self.notes.append(
                f"Columns that are not used: {', '.join(others)} of {self.given}. To use them as labels, add "
                "--label-columns."
            )
        if not wanted:
            return None
        for name in wanted:
            if name not in self._columns:
                raise ConfigError(f"{self.given} has no column {name!r}. {did_you_mean(name, self._columns)}")
        self.class_names = _class_names(self._schema, wanted[0]) if len(wanted) == 1 else ()
        listed = f"column{'s' if len(wanted) > 1 else ''} {', '.join(map(repr, wanted))}"
        try:
            return LabelFile(f"{listed} of {self.given}", wanted, tuple(self._label_rows(wanted)))
        except TooLargeError:
            raise
        except InputError as error:
            raise InputError(f"The labels of {self.given} cannot be read. {error} Or use --labels none.") from error

    def _label_rows(self, wanted: tuple[str, ...]) -> Iterator[LabelRow]:
        number = 0
        for file, group, _ in self._groups:
            labels = (values(open_table(file), group, name, charged=True) for name in wanted)
            for row in zip(*labels, strict=True):
                number += 1
                yield LabelRow("row", number, self.given, _row_name(number - 1), dict(zip(wanted, row, strict=True)))

    def __len__(self) -> int:
        return int(self._starts[-1])

    def __getitem__(self, index: int) -> Item:
        group = int(np.searchsorted(self._starts, index, side="right")) - 1
        file, number, _ = self._groups[group]
        return Item(_row_name(index), (file, number, index - int(self._starts[group]), self._image))


def _row_name(index: int) -> str:
    return f"row-{index:08d}"


class TableReader(Reader):
    """Reads rows, those of a group in order. A path in a row must lead to a file in the data set's folder."""

    def read(self, item: Item) -> bytes:
        """The bytes of the image file in the row, or that it names."""
        file, group, row, column = item.locator
        try:
            value = self.opened(_Rows).value(file, group, row, column)
        except TooLargeError:
            raise
        except InputError as error:
            raise OSError(str(error)) from error
        if isinstance(value, dict):
            value = value.get("bytes") or self._file_of(value.get("path"))
        if not isinstance(value, bytes):
            raise OSError(f"column {column!r} holds {type(value).__name__}, not the bytes of an image file")
        return value

    def _file_of(self, name: object) -> bytes:
        if not isinstance(name, str) or not name:
            raise OSError("it has neither bytes nor a path")
        folder = self.path if Path(self.path).is_dir() else Path(self.path).parent
        return read_file(resolve_inside(folder, name), kind="image", name=name)


class _Rows:
    """Values of a column by their row; cheap where rows are asked for in order."""

    def __init__(self, _: str) -> None:
        self._rows: Iterator[Any] = iter(())
        self._next: tuple[str, int, int] | None = None

    def value(self, file: str, group: int, row: int, column: str) -> Any:
        if self._next is None or self._next[:2] != (file, group) or self._next[2] > row:
            self._rows, self._next = values(open_table(file), group, column), (file, group, 0)
        for _ in range(row - self._next[2]):
            next(self._rows, None)
        self._next = (file, group, row + 1)
        return next(self._rows, None)


def _holds_images(kind: Any) -> bool:
    """Whether a column's type is one of bytes, or a struct of bytes and a path, as Hugging Face ``datasets`` has it."""
    types = pyarrow("pyarrow").types
    if types.is_struct(kind):
        names = {kind.field(number).name: kind.field(number).type for number in range(kind.num_fields)}
        return names.keys() <= {"bytes", "path"} and all(not types.is_nested(own) for own in names.values())
    if types.is_dictionary(kind):
        return _holds_images(kind.value_type)
    views = getattr(types, "is_binary_view", lambda _: False)
    return bool(types.is_binary(kind) or types.is_large_binary(kind) or types.is_fixed_size_binary(kind) or views(kind))


def _column(names: list[str], wanted: tuple[str, ...]) -> str | None:
    return next((name for name in wanted if name in names), None)


def _class_names(schema: Any, column: str) -> tuple[str, ...]:
    """Class names from the metadata that Hugging Face's library writes."""
    try:
        described = parse_json((schema.metadata or {})[b"huggingface"], name="The metadata of the table")
        names = described["info"]["features"][column]["names"]
    except (KeyError, TypeError, InputError):
        return ()
    return tuple(names) if isinstance(names, list) and all(isinstance(name, str) for name in names) else ()
