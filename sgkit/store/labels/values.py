"""What the values in a label file mean: classes, several labels at once, or numbers. One set of rules for all files.

Every value is checked: numbers are finite and kept exact, and what cannot be decided is refused, naming the row.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple

from sgkit.errors import ConfigError, InputError, did_you_mean
from sgkit.store.header import LabelSchema
from sgkit.store.labels.files import LabelFile, LabelRow
from sgkit.store.labels.matching import file_key
from sgkit.store.labels.numbers import as_number, is_number, is_rounded, parse_number, require_finite

Label = int | tuple[float, ...]
KINDS = ("auto", "class", "multi", "float")
MAX_CLASSES = 100_000
"""Most classes, and most numbers in a label: every image gets a vector of this length."""
PADDED = re.compile(r"[+-]?0[0-9]")
"""Whole numbers with leading zeros."""
COMMAS = re.compile(r"[+-]?[0-9]+(,[0-9]+)+(\.[0-9]+)?")
"""Numbers with commas."""
MISSING_WORDS = ("nan", "none", "null", "n/a", "na", "?")


@dataclass(frozen=True)
class LabelTable:
    """Labels by the names that a file gives to images."""

    schema: LabelSchema
    labels: Mapping[str, Label]
    notes: tuple[str, ...] = ()
    """What a user should know about how values were read."""
    digest: str = ""
    """Hash of the file."""
    columns: tuple[str, ...] = ()
    """Columns that labels were read from."""


_Labels = list[tuple[LabelRow, Label]]
_Vectors = list[tuple[LabelRow, tuple[float, ...]]]


class _Value(NamedTuple):
    row: LabelRow
    value: Any
    """An int, float, text (stripped, not empty), list or mapping."""

    def __str__(self) -> str:
        return f"{self.row.place} has {str(self.value)[:60]!r}"


def read_values(
    file: LabelFile, *, columns: Sequence[str] = (), kind: str = "auto", names: Sequence[str] = ()
) -> LabelTable:
    """The labels in ``columns`` of a file (all, if none are given), read as ``kind``.

    Whole numbers and words are classes, fractions are floats, lists are vectors or tags; several columns are a vector,
    or labels of their own if all are 0 and 1. ``names`` are the classes, if these are known; numbers count from 0.
    """
    for column in columns:
        if column not in file.columns:
            raise ConfigError(f"{file.where} has no column {column!r}. {did_you_mean(column, file.columns)}")
    chosen = tuple(columns) or file.columns
    reader = _Reader(file, chosen, kind, tuple(names))
    schema, labels = reader.one_column() if len(chosen) == 1 else reader.several_columns()
    merged = _one_per_file(labels, reader.notes)
    return LabelTable(schema, merged, (*file.notes, *reader.notes), columns=chosen)


def class_number(value: int, place: str, *, count: int = MAX_CLASSES) -> int:
    """``value``, a class number below ``count``."""
    if 0 <= value < count:
        return value
    shown = str(value) if abs(value) < 10**20 else f"with {len(str(abs(value)))} digits"
    if count < MAX_CLASSES:
        raise InputError(
            f"Class number {shown} in {place}: there are {count} classes, so numbers go from 0 to {count - 1}. "
            "Correct the row; -1 means that an image has no label."
        )
    raise InputError(
        f"Class number {shown} in {place}; class numbers go from 0 to {MAX_CLASSES - 1:,}, because class N needs N + 1 "
        "classes. Number the classes from 0, write them as words, or store quantities with --label-kind float."
    )


class _Reader:
    """Turns the values of a file into labels."""

    def __init__(self, file: LabelFile, columns: tuple[str, ...], kind: str, names: tuple[str, ...]) -> None:
        self.file = file
        self.columns = columns
        self.kind = kind
        self.names = names
        self.notes: list[str] = []
        self._stripped = 0
        self._parsed = lru_cache(MAX_CLASSES)(self._parse)
        self._rounded = False

    def _value(self, row: LabelRow, column: str) -> Any:
        """A value as int, float, text or whatever JSON holds; empty text where there is none."""
        value = row.values.get(column)
        if value is None or value == "":
            return ""
        if isinstance(value, bool):
            return str(value).lower()
        if not isinstance(value, str):
            return value
        parsed, stripped = self._parsed(value)
        self._stripped += stripped
        return parsed

    def _parse(self, value: str) -> tuple[Any, bool]:
        """What a text means, and whether spaces around it were removed."""
        text = unicodedata.normalize("NFC", value.strip())
        stripped = text != "" and text != value and text != unicodedata.normalize("NFC", value)
        number = parse_number(text, decimal_comma=self.file.decimal_comma)
        if isinstance(number, int) and PADDED.match(text) and self.kind in ("auto", "class") and len(self.columns) == 1:
            return text, stripped  # 007 is a name
        return (text if number is None else number), stripped

    # ---------------------------------------------------------------------------------------- one column

    def one_column(self) -> tuple[LabelSchema, _Labels]:
        values = [_Value(row, value) for row in self.file.rows if (value := self._value(row, self.columns[0])) != ""]
        if self._stripped:
            self.notes.append(f"Spaces around {self._stripped:,} labels in {self.file.where} were removed.")
        if not values:
            return LabelSchema(), []
        are_lists = isinstance(values[0].value, list)
        for number, found in enumerate(values):
            if isinstance(found.value, dict):
                raise InputError(f"{found}. A label is a number, a word, or a list of these. Correct the file.")
            if isinstance(found.value, list) != are_lists:
                raise InputError(
                    f"{self.file.where} mixes labels of different kinds: {found}, but {values[0]}. Give every image a "
                    "label of the same kind."
                )
            if are_lists and any(isinstance(value, bool) for value in found.value):
                values[number] = found._replace(value=list(map(as_number, found.value)))
        return self._lists(values) if are_lists else self._scalars(values)

    def _scalars(self, values: list[_Value]) -> tuple[LabelSchema, _Labels]:
        words = [found for found in values if isinstance(found.value, str)]
        numbers = [found for found in values if not isinstance(found.value, str)]
        floats = [found for found in numbers if isinstance(found.value, float)]
        for found in floats:
            require_finite(found.value, found.row.place)
        fractions = [found for found in floats if not found.value.is_integer()]
        if words and all(COMMAS.fullmatch(found.value) for found in words) and self.kind != "class":
            raise InputError(
                f"{words[0]}, where the comma may divide thousands or begin a fraction. Write a point, or without a "
                "comma."
            )
        if self.kind in ("float", "multi") or (not words and self._are_quantities(fractions, floats, numbers)):
            if words:
                raise ConfigError(
                    f"{words[0]}, which is not a number. Leave cells without a value empty, or use --label-kind "
                    "class to make a class of every different value."
                )
            return self._one_number(numbers)
        if words and fractions and self.kind == "auto":
            raise InputError(
                f"{self.file.where} mixes words and fractions: {words[0]}, but {fractions[0]}. Leave cells without a "
                "value empty, or use --label-kind class to make a class of every different value."
            )
        if words or fractions:
            return self._words(values)
        return self._class_numbers([found._replace(value=int(found.value)) for found in numbers])

    def _are_quantities(self, fractions: list[_Value], floats: list[_Value], numbers: list[_Value]) -> bool:
        """Whether numbers are quantities: one is a fraction, or all are written as 23.0 and are not gapless classes."""
        if self.kind != "auto" or not floats:
            return False
        if fractions:
            return True
        distinct = {int(found.value) for found in numbers} - {-1}
        gapless = bool(distinct) and min(distinct) in (0, 1) and len(distinct) == max(distinct) - min(distinct) + 1
        written = f"Labels in {self.file.where} are written as {floats[0].value!s}"
        self.notes.append(
            f"{written}, but number the classes without gaps: they were read as classes. Use --label-kind float to "
            "keep them as numbers."
            if gapless
            else f"{written} and do not number classes without gaps: they were read as numbers. Use --label-kind class "
            "for classes."
        )
        return not gapless

    def _one_number(self, values: list[_Value]) -> tuple[LabelSchema, _Labels]:
        for found in values:
            require_finite(found.value, found.row.place)
        self._note_rounding([found.value for found in values])
        return self._vectors([(found.row, (float(found.value),)) for found in values], self.columns)

    def _class_numbers(self, values: list[_Value]) -> tuple[LabelSchema, _Labels]:
        if {found.value for found in values} == {-1, 1} and not self.names:
            self.notes.append(f"Labels in {self.file.where} are -1 and 1: they were read as two classes.")
            return LabelSchema(kind="class", names=("-1", "1")), [(v.row, int(v.value > 0)) for v in values]
        kept = [found for found in values if found.value != -1]
        if len(kept) < len(values):
            self.notes.append(
                f"{len(values) - len(kept):,} labels in {self.file.where} are -1: these images have no label."
            )
        if not kept:
            return LabelSchema(), []
        count = len(self.names) or MAX_CLASSES
        labels: _Labels = [(found.row, class_number(found.value, found.row.place, count=count)) for found in kept]
        names = self.names or tuple(map(str, range(max(found.value for found in kept) + 1)))
        return LabelSchema(kind="class", names=names), labels

    def _words(self, values: list[_Value]) -> tuple[LabelSchema, _Labels]:
        texts = [str(found.value) for found in values]
        names = self.names or tuple(sorted(set(texts)))
        if len(names) > MAX_CLASSES:
            raise InputError(
                f"{self.file.where} has {len(names):,} different labels; at most {MAX_CLASSES:,} classes are allowed. "
                "Choose another column with --label-columns."
            )
        number = {name: index for index, name in enumerate(names)}
        for found, text in zip(values, texts, strict=True):
            if text not in number:
                raise InputError(f"{found}, which is not the name of a class. {did_you_mean(text, names)}")
        self._note_odd_names(names)
        return LabelSchema(kind="class", names=names), [(v.row, number[t]) for v, t in zip(values, texts, strict=True)]

    def _note_odd_names(self, names: Sequence[str]) -> None:
        folded: dict[str, str] = {}
        for name in names:
            if (other := folded.setdefault(name.casefold(), name)) is not name:
                self.notes.append(f"Classes {other!r} and {name!r} differ only in upper and lower case.")
                break
        missing = [name for name in names if name.casefold() in MISSING_WORDS]
        if missing:
            self.notes.append(
                f"A class is named {missing[0]!r}. If it means that there is no label, leave the cells empty."
            )

    def _lists(self, values: list[_Value]) -> tuple[LabelSchema, _Labels]:
        """Lists of words are tags, lists of numbers vectors."""
        if all(isinstance(word, str) for found in values for word in found.value):
            return self._tags(values)
        vectors: _Vectors = []
        for found in values:
            if len(found.value) != len(values[0].value) or not all(is_number(v) for v in found.value):
                raise InputError(
                    f"{self.file.where} holds lists of different lengths, or not of numbers only: {found}, but "
                    f"{values[0]}."
                )
            for value in found.value:
                require_finite(value, found.row.place)
            vectors.append((found.row, tuple(float(v) for v in found.value)))
        names = tuple(str(position) for position in range(len(values[0].value)))
        one_hot = all(sorted(set(vector)) in ([0.0, 1.0], [1.0]) and sum(vector) == 1 for _, vector in vectors)
        single = len(names) == 1 and all(isinstance(found.value[0], int) for found in values)
        if self.kind == "class" and single:
            return self._class_numbers([found._replace(value=found.value[0]) for found in values])
        if self.kind == "class" and not one_hot:
            raise ConfigError(
                f"{self.file.where} holds vectors that are not one-hot: they name no class. Use --label-kind float."
            )
        if self.kind == "class":
            return LabelSchema(kind="class", names=names), [(row, vector.index(1.0)) for row, vector in vectors]
        if one_hot and len(names) > 1 and self.kind == "auto":
            self.notes.append(
                f"Every label in {self.file.where} is a one-hot vector, kept as {len(names)} numbers. With "
                "--label-kind class they become classes, which can be named and counted."
            )
        if single and self.kind == "auto":
            self.notes.append(
                f"Labels in {self.file.where} are lists of one number: floats. For classes use --label-kind class."
            )
        return self._vectors(vectors, names, binary_is_multi=False)

    def _tags(self, values: list[_Value]) -> tuple[LabelSchema, _Labels]:
        tags = [{word.strip() for word in found.value} for found in values]
        names = tuple(sorted(set().union(*tags)))
        if names and self.kind in ("class", "float"):
            raise ConfigError(
                f"{self.file.where} holds lists of words, which --label-kind {self.kind} cannot read. Use multi."
            )
        if not names:
            return LabelSchema(), []
        labels: _Labels = [
            (found.row, tuple(float(name in own) for name in names)) for found, own in zip(values, tags, strict=True)
        ]
        return LabelSchema(kind="multi", names=names), labels

    # ------------------------------------------------------------------------------------ several columns

    def several_columns(self) -> tuple[LabelSchema, _Labels]:
        where, columns = self.file.where, ", ".join(self.columns)
        if self.kind == "class":
            raise ConfigError(
                f"--label-kind class needs one column; {where} has {columns}. Name one with --label-columns."
            )
        vectors: _Vectors = []
        incomplete = 0
        floats: dict[int, float] = {}
        for row in self.file.rows:
            values = [as_number(self._value(row, column)) for column in self.columns]
            for column, value in zip(self.columns, values, strict=True):
                if value == "":
                    continue
                if not is_number(value):
                    raise ConfigError(
                        f"The columns {columns} of {where} do not hold numbers in every row: {value!r} in column "
                        f"{column!r}, {row.place}. Name the right ones with --label-columns, or one column with "
                        "--label-kind class."
                    )
                require_finite(value, row.place)
            if "" in values:
                incomplete += any(value != "" for value in values)
                continue
            self._note_rounding(values)
            vectors.append((row, tuple([floats.setdefault(v, float(v)) if type(v) is int else v for v in values])))
        if incomplete:
            self.notes.append(f"{incomplete:,} rows of {where} lack some of the values; they give no label.")
        return self._vectors(vectors, self.columns) if vectors else (LabelSchema(), [])

    def _vectors(
        self, rows: _Vectors, names: Sequence[str], *, binary_is_multi: bool = True
    ) -> tuple[LabelSchema, _Labels]:
        if len(names) > MAX_CLASSES:
            raise InputError(
                f"{self.file.where} has labels of {len(names):,} numbers; at most {MAX_CLASSES:,} are allowed."
            )
        other = next(((row, v) for row, vector in rows for v in vector if v not in (-1.0, 0.0, 1.0)), None)
        if self.kind == "multi" and other:
            raise ConfigError(
                f"Multi-labels are 0 or 1, or -1 or 1; {other[0].place} holds {other[1]:g}. Use --label-kind float."
            )
        if self.kind == "multi" or (self.kind == "auto" and not other and binary_is_multi and len(names) > 1):
            return LabelSchema(kind="multi", names=tuple(names)), [
                (row, tuple([1.0 if v > 0 else 0.0 for v in vector])) for row, vector in rows
            ]
        return LabelSchema(kind="float", names=tuple(names)), list(rows)

    def _note_rounding(self, values: Sequence[Any]) -> None:
        if not self._rounded and (inexact := next(filter(is_rounded, values), None)) is not None:
            self._rounded = True
            self.notes.append(f"Large whole numbers in {self.file.where} are rounded to 32 bits, such as {inexact}.")


def _one_per_file(labels: _Labels, notes: list[str]) -> dict[str, Label]:
    """Labels by name; several rows for one file must agree."""
    merged: dict[str, Label] = {}
    first: dict[str, LabelRow] = {}
    repeated = 0
    for row, label in labels:
        earlier = first.setdefault(file_key(row.name), row)
        if earlier is row:
            merged[row.name] = label
        elif merged[earlier.name] != label:
            raise InputError(
                f"{row.name!r} has two different labels: {earlier.place} and {row.place}. Keep one row for each image."
            )
        else:
            repeated += 1
    if repeated:
        notes.append(f"{repeated:,} rows repeat the label of an image that an earlier row names.")
    return merged
