"""Labels from a table: CSV, TSV, JSON lines, or columns parted by spaces, as CelebA's attributes are."""

from __future__ import annotations

import csv
import hashlib
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, TypeVar

from sgkit.errors import ConfigError, InputError, did_you_mean
from sgkit.store.header import LabelSchema
from sgkit.store.sources import Label

__all__ = ["LabelTable", "find_by_name", "read_label_table", "read_rows"]

NAME_COLUMNS = ("file", "filename", "file_name", "name", "image", "image_id", "img", "path", "id")
T = TypeVar("T")
Rows = dict[str, dict[str, Any]]


@dataclass(frozen=True)
class LabelTable:
    """Labels by file name."""

    schema: LabelSchema
    labels: dict[str, Label]
    digest: str
    """Hash of the file."""

    def find(self, name: str) -> Label:
        """The label of an item: by its whole name, else by its file name, else by that without ending."""
        return find_by_name(self.labels, name)


def find_by_name(table: Mapping[str, T], name: str) -> T | None:
    """The entry for an item: by its whole name, else its last part, else that without ending."""
    path = PurePosixPath(name)
    return next((table[key] for key in (name, path.name, path.stem) if key in table), None)


def read_label_table(path: Path, *, columns: Sequence[str] = (), kind: str = "auto") -> LabelTable:
    """The labels in a file; see :func:`sgkit.store.labels.make_labeller`.

    Raises:
        InputError: the file is empty or has no such form.
        ConfigError: a column does not exist, or its values are not of the ``kind`` asked for.
    """
    rows = read_rows(path)
    known = list(next(iter(rows.values())))
    for column in columns:
        if column not in known:
            raise ConfigError(f"{path} has no column {column!r}. {did_you_mean(column, known)}")
    chosen = list(columns) or known
    schema, labels = _to_labels(path, rows, chosen, kind)
    return LabelTable(schema, labels, hashlib.sha256(path.read_bytes()).hexdigest())


def read_rows(path: Path) -> Rows:
    """The rows of a table by the file that each one names; the first column of a usual name, or the first, names it.

    Raises:
        InputError: the file is empty or has no such form.
    """
    text = path.read_text(encoding="utf-8-sig")
    try:
        if path.suffix.lower() in (".jsonl", ".ndjson"):
            records = [json.loads(line) for line in text.splitlines() if line.strip()]
        elif path.suffix.lower() in (".csv", ".tsv"):
            records = list(csv.DictReader(io.StringIO(text), delimiter="\t" if path.suffix.lower() == ".tsv" else ","))
        else:
            records = _spaced(text)
        name_column = next((c for c in NAME_COLUMNS if c in records[0]), next(iter(records[0])))
        rows = {str(record[name_column]): {k: v for k, v in record.items() if k != name_column} for record in records}
        if not next(iter(rows.values())):
            raise ValueError("it has no column beside the names")
    except (ValueError, KeyError, IndexError, StopIteration, AttributeError, TypeError) as error:
        raise InputError(
            f"{path} cannot be read as a table of labels: {error!r}. It needs a line of headings."
        ) from error
    return rows


def _spaced(text: str) -> list[dict[str, str]]:
    """Columns parted by spaces; a first line with the number of rows is left out, and names may lack a heading."""
    lines = [line.split() for line in text.splitlines() if line.strip()]
    if len(lines[0]) == 1 and lines[0][0].isdecimal():
        lines = lines[1:]
    heading = lines[0] if len(lines[0]) == len(lines[1]) else ["name", *lines[0]]
    return [dict(zip(heading, line, strict=True)) for line in lines[1:]]


def _to_labels(path: Path, rows: Rows, columns: list[str], kind: str) -> tuple[LabelSchema, dict[str, Label]]:
    if len(columns) == 1:
        values = {name: row[columns[0]] for name, row in rows.items() if row.get(columns[0]) not in (None, "")}
        if values and all(isinstance(value, list) for value in values.values()):
            return _from_lists(path, values, kind)
        if kind == "class" or (kind == "auto" and not _all_fractions(values.values())):
            return _classes(values)
    return _vectors(path, rows, columns, kind)


def _all_fractions(values: Any) -> bool:
    """Whether all values are numbers and one at least is no whole number."""
    numbers = [_number(value) for value in values]
    return None not in numbers and any(number is not None and number != int(number) for number in numbers)


def _number(value: Any) -> float | None:
    try:
        return float(value)
    except (TypeError, ValueError):
        return None


def _classes(values: dict[str, Any]) -> tuple[LabelSchema, dict[str, Label]]:
    """Classes in sorted order: by number where all are numbers."""
    texts = {str(value) for value in values.values()}
    whole = all(text.lstrip("-").isdecimal() for text in texts)
    names = sorted(texts, key=int) if whole else sorted(texts)
    if whole and int(names[0]) >= 0:
        names = [str(number) for number in range(int(names[-1]) + 1)]  # class 3 stays class 3, even if 2 is missing
    index = {name: position for position, name in enumerate(names)}
    return LabelSchema(kind="class", names=tuple(names)), {key: index[str(v)] for key, v in values.items()}


def _from_lists(path: Path, values: dict[str, Any], kind: str) -> tuple[LabelSchema, dict[str, Label]]:
    """Lists of words are tags, lists of numbers vectors."""
    if all(isinstance(word, str) for value in values.values() for word in value):
        tags = sorted({word for value in values.values() for word in value})
        vectors: dict[str, Label] = {k: tuple(float(tag in value) for tag in tags) for k, value in values.items()}
        return LabelSchema(kind="multi", names=tuple(tags)), vectors
    lengths = {len(value) for value in values.values()}
    numbers = {key: [_number(v) for v in value] for key, value in values.items()}
    if len(lengths) != 1 or any(None in row for row in numbers.values()):
        raise InputError(f"{path} holds lists of different lengths, or not of numbers only.")
    names = tuple(str(position) for position in range(lengths.pop()))
    schema = LabelSchema(kind="multi" if kind == "multi" else "float", names=names)
    return schema, {key: tuple(v for v in row if v is not None) for key, row in numbers.items()}


def _vectors(path: Path, rows: Rows, columns: list[str], kind: str) -> tuple[LabelSchema, dict[str, Label]]:
    numbers = {name: [_number(row.get(column)) for column in columns] for name, row in rows.items()}
    complete = {name: [v for v in row if v is not None] for name, row in numbers.items() if None not in row}
    if not complete:
        raise ConfigError(
            f"The columns {', '.join(columns)} of {path} do not hold numbers in every row. Name the right ones with "
            "--label-columns, or one column with --label-kind class."
        )
    values = {value for row in complete.values() for value in row}
    if kind == "multi" and not values <= {-1.0, 0.0, 1.0}:
        raise ConfigError(f"Multi-labels are 0 or 1 (or -1 or 1); {path} holds {sorted(values - {-1, 0, 1})[0]:g}.")
    if kind == "multi" or (kind == "auto" and values <= {-1.0, 0.0, 1.0} and len(columns) > 1):
        labels: dict[str, Label] = {name: tuple(float(v > 0) for v in row) for name, row in complete.items()}
        return LabelSchema(kind="multi", names=tuple(columns)), labels
    return LabelSchema(kind="float", names=tuple(columns)), {name: tuple(row) for name, row in complete.items()}
