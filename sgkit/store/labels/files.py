"""Files of labels as rows: CSV in the shapes that spreadsheets write, columns separated by spaces, JSON, JSON lines.

Only the form is read here; what the values mean is decided in :mod:`sgkit.store.labels.values`.
"""

from __future__ import annotations

import csv
import json
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, NamedTuple

from sgkit.errors import InputError
from sgkit.runtime.limits import check_memory, parse_json
from sgkit.store.names import has_image_suffix

NAME_COLUMNS = ("file", "filename", "file_name", "name", "image", "image_id", "img", "path", "id")
DELIMITERS = ("\t", ";", ",")
DATASET_JSON = "dataset.json"
NEEDED = "A label file needs a line of headings, then a row for each image."
HEAD_LINES = 50
"""Lines that decide how columns are separated."""
AT_ONCE = 1 << 20
"""Characters that are split into lines at once."""
MOST_SHARED = 10_000
"""Different cells of which one copy is kept."""
MOST_LABEL_FILES = 10_000
ROW_BYTES, CELL_BYTES = 400, 16
"""Memory that a row takes until it is a label, and each of its cells."""

IsImage = Callable[[str], bool]


class LabelRow(NamedTuple):
    """What a file says about one image."""

    kind: str
    """``row`` or ``entry``."""
    number: int
    where: str
    name: str
    """The image, as the file names it."""
    values: Mapping[str, Any]
    """Column -> value: text, or whatever JSON holds."""

    @property
    def place(self) -> str:
        """``row 3 of labels.csv``, for messages."""
        return f"{self.kind} {self.number} of {self.where}"


class _Cells(Mapping[str, Any]):
    """The cells of a row by column: a third of the memory of a dictionary, as all rows share the columns."""

    __slots__ = ("_cells", "_places")

    def __init__(self, places: Mapping[str, int], cells: tuple[str, ...]) -> None:
        self._places, self._cells = places, cells

    def __getitem__(self, column: str) -> str:
        return self._cells[self._places[column]]

    def __iter__(self) -> Iterator[str]:
        return iter(self._places)

    def __len__(self) -> int:
        return len(self._places)

    def __repr__(self) -> str:
        return repr(dict(self))


@dataclass(frozen=True)
class LabelFile:
    """The rows of one or more files."""

    where: str
    columns: tuple[str, ...]
    """Without the one that names the images."""
    rows: tuple[LabelRow, ...]
    notes: tuple[str, ...] = ()
    """What a user should know about how it was read."""
    decimal_comma: bool = field(default=False, kw_only=True)
    """Numbers may be written as 0,5."""


def parse_label_file(data: bytes, *, where: str, is_image: IsImage | None = None) -> LabelFile:
    """The rows of a file with the content ``data``: JSON, JSON lines, or a table with or without headings.

    ``is_image`` tells whether a text names one of the images; a first row with such a text is not a heading. Without
    it, names with an image's extension are looked for.
    """
    text, notes = decode_text(data, where)
    if not text.strip():
        raise InputError(f"{where} is empty. {NEEDED}")
    if text.lstrip()[0] in "{[":
        return _json(text, where)
    try:
        lines, delimiter = _dialect(text)
        _check_memory(text, delimiter, where)
        if delimiter is None:
            cells = [(number, line.split()) for number, line in enumerate(lines, 1) if line.strip()]
        else:
            reader = csv.reader((f"{line}\n" for line in lines), delimiter=delimiter, strict=False)
            shared: dict[str, str] = {}
            cells = [(reader.line_num, _shared(row, shared)) for row in reader if any(cell.strip() for cell in row)]
    except (csv.Error, TypeError, ValueError) as error:  # the last two: Excel's first line names no usable separator
        raise InputError(f"{where} cannot be read as a table: {error}.") from None
    if not cells:
        raise InputError(f"{where} has no rows. {NEEDED}")
    if delimiter is None:
        cells = _without_count(cells)
    return _table(cells, where, is_image or has_image_suffix, notes, decimal_comma=delimiter in ("\t", ";"))


# ------------------------------------------------------------------------------------------------- text


def decode_text(data: bytes, where: str) -> tuple[str, list[str]]:
    """The text of a file in UTF-8, UTF-16 or Windows-1252, and what there is to say about it."""
    encoding = ""
    for mark, marked in ((b"\xef\xbb\xbf", "utf-8-sig"), (b"\xff\xfe", "utf-16"), (b"\xfe\xff", "utf-16")):
        encoding = marked if data.startswith(mark) else encoding
    if not encoding and data[:2].count(0) == 1 and data[:64].count(0) >= len(data[:64]) // 3:
        encoding = "utf-16-be" if data[0] == 0 else "utf-16-le"
    try:
        if not encoding and b"\0" in data[:4096]:
            raise InputError(f"{where} is not a text file. Give a CSV, TSV, JSON or JSON lines file.")
        return data.decode(encoding or "utf-8"), []
    except UnicodeDecodeError as error:
        if encoding:
            reason = f"{error.reason} at byte {error.start}"
            raise InputError(f"{where} is not valid {encoding.upper()}: {reason}.") from None
        text = "".join(_line(line) for line in data.splitlines(keepends=True))
        return text, [f"{where} is not UTF-8; it was read as Windows-1252."]


def _line(line: bytes) -> str:
    """Lines are decoded one by one: names of files of mixed origin are written by their bytes."""
    for encoding in ("utf-8", "cp1252"):
        try:
            return line.decode(encoding)
        except UnicodeDecodeError:
            continue
    return line.decode("latin-1")


# ------------------------------------------------------------------------------------------------ tables


def _lines(text: str) -> Iterator[str]:
    """``text.splitlines()``, a part at a time: a list of short lines takes ten times the text."""
    start = 0
    while start < len(text):
        end = text.find("\n", start + AT_ONCE) + 1 or len(text)
        yield from text[start:end].splitlines()
        start = end


def _shared(row: list[str], known: dict[str, str]) -> list[str]:
    """The row with one copy of each of the cells that are seen often."""
    return [known.setdefault(cell, cell) if len(known) < MOST_SHARED else known.get(cell, cell) for cell in row]


def _check_memory(text: str, delimiter: str | None, where: str) -> None:
    """Refuse a table whose rows would take more memory than twice the bound of a table."""
    rows = text.count("\n") + 1
    cells = text.count(delimiter) if delimiter else 0
    needed = len(text) + ROW_BYTES * rows + CELL_BYTES * cells
    check_memory(needed, what=f"{rows:,} rows", name=where, kind="table")


def _dialect(text: str) -> tuple[Iterator[str], str | None]:
    """(lines, what separates their columns): the delimiter that gives the most columns in the same number in most
    lines; ``None`` for spaces. Excel's first line ``sep=;`` is obeyed and removed.
    """
    lines = _lines(text)
    if match := re.fullmatch(r"sep=(.)", next(_lines(text), "").strip()):
        next(lines)
        return lines, match[1]
    head = list(islice((line for line in _lines(text) if line.strip()), HEAD_LINES))
    best: tuple[float, str | None] = (0.0, None)
    for delimiter in DELIMITERS:
        counts = Counter(len(row) for row in csv.reader(head, delimiter=delimiter))
        width, share = max(counts.items(), key=lambda found: (found[1], found[0]))
        if width > 1 and share > best[0] and share >= min(2, len(head)):
            best = (share, delimiter)
    return lines, best[1]


def _without_count(cells: list[tuple[int, list[str]]]) -> list[tuple[int, list[str]]]:
    """CelebA's files begin with the number of rows; names may lack a heading."""
    if len(cells) > 1 and len(cells[0][1]) == 1 and cells[0][1][0].isdecimal():
        cells = cells[1:]
    if len(cells) > 1 and len(cells[0][1]) + 1 == len(cells[1][1]):
        cells[0] = (cells[0][0], ["name", *cells[0][1]])
    return cells


def _table(
    cells: list[tuple[int, list[str]]], where: str, is_image: IsImage, notes: list[str], *, decimal_comma: bool
) -> LabelFile:
    heading = [cell.strip() for cell in cells[0][1]]
    names = [bool(cell) and (has_image_suffix(cell) or is_image(cell)) for cell in heading]
    if any(names) and not any(cell.lower() in NAME_COLUMNS for cell in heading):  # an image may be called label.png
        place = names.index(True)
        heading = [str(number) for number in range(1, len(heading) + 1)]
        notes = [*notes, f"{where} has no line of headings; its first row was read as data, its columns are numbered."]
    else:
        cells = cells[1:]
        place = _name_column(heading)
    if not cells or len(heading) < 2:
        what = "no row" if not cells else "no column beside the names"
        raise InputError(f"{where} has {what}. {NEEDED}")
    repeated = [name for name, count in Counter(heading).items() if count > 1 and name]
    if repeated:
        raise InputError(f"{where} has {heading.count(repeated[0])} columns named {repeated[0]!r}. Rename all but one.")
    others = [name for number, name in enumerate(heading) if number != place]
    numbered = [name for name in others if name and not name.startswith("Unnamed: ")]  # not the indices of pandas
    columns = numbered or others
    rows = tuple(_rows(cells, heading, place, columns, where))
    return LabelFile(where, tuple(columns), rows, tuple(notes), decimal_comma=decimal_comma)


def _name_column(heading: Sequence[str]) -> int:
    lower = [name.lower() for name in heading]
    return next((lower.index(name) for name in NAME_COLUMNS if name in lower), 0)


def _rows(
    cells: Iterable[tuple[int, list[str]]], heading: list[str], place: int, columns: list[str], where: str
) -> Iterable[LabelRow]:
    places = {name: number for number, name in enumerate(columns)}
    indices = [heading.index(name) for name in columns]
    for number, row in cells:
        if len(row) > len(heading) and any(cell.strip() for cell in row[len(heading) :]):
            raise InputError(
                f"Row {number} of {where} has {len(row)} cells, but there are {len(heading)} columns. Put quotes "
                "around text that holds the separator."
            )
        if not (len(row) > place and row[place].strip()):
            raise InputError(f"Row {number} of {where} names no image: its column {heading[place]!r} is empty.")
        found = tuple([row[index] if index < len(row) else "" for index in indices])
        yield LabelRow("row", number, where, row[place].strip(), _Cells(places, found))


# -------------------------------------------------------------------------------------------------- JSON


def read_dataset_json(names: Iterable[str], read: Callable[[str], bytes], *, where: str) -> LabelFile | None:
    """The rows of every ``dataset.json`` of a source, or of the one at its root alone; ``None`` where there is none.

    Names are relative to the folder of their file.
    """
    found = sorted(names)
    chosen = [DATASET_JSON] if DATASET_JSON in found else found[:MOST_LABEL_FILES]
    files = []
    for name in chosen:
        folder, place = name[: -len(DATASET_JSON)], f"{name} in {where}"
        file = parse_labels_json(parse_json(read(name), name=place), place)
        rows = [row._replace(name=folder + row.name.lstrip("/")) if folder else row for row in file.rows]
        files.append(LabelFile(place, file.columns, tuple(rows)))
    if len(files) <= 1:
        return files[0] if files else None
    columns = max((file.columns for file in files), key=len)
    rows = [row for file in files for row in file.rows]
    return LabelFile(f"{len(files)} files {DATASET_JSON} in {where}", columns, tuple(rows))


def _json(text: str, where: str) -> LabelFile:
    """JSON lines where every line is an object, one JSON value otherwise."""
    lines = [(number, line) for number, line in enumerate(text.splitlines(), 1) if line.strip()]
    if len(lines) > 1 and all(line.lstrip().startswith("{") and line.rstrip().endswith("}") for _, line in lines):
        records = [(n, parse_json(line.encode(), name=f"Row {n} of {where}")) for n, line in lines]
        return _records("row", records, where)
    value = parse_json(text.encode(), name=where)
    if isinstance(value, dict) and any(key.lower() in NAME_COLUMNS for key in value):
        return _records("row", [(1, value)], where)
    if isinstance(value, dict):
        _refuse_repeated_names(text, where)
    return parse_labels_json(value, where)


def _refuse_repeated_names(text: str, where: str) -> None:
    """Of repeated keys of an object, JSON keeps the last and says nothing."""

    def check(pairs: list[tuple[str, Any]]) -> None:
        values: dict[str, Any] = {}
        for name, value in pairs:
            if name in values and values[name] != value:
                raise InputError(f"{where} has two labels for {name!r}: {values[name]!r} and {value!r}. Remove one.")
            values[name] = value

    json.loads(text, object_pairs_hook=check)


def parse_labels_json(value: Any, where: str) -> LabelFile:
    """The rows of a JSON value: ``{"labels": [[name, label], ...]}`` as NVIDIA's tools write it, the same without the
    object around it, an object with a label for each name, or a list of objects.
    """
    if isinstance(value, dict) and "labels" in value:
        value = value["labels"]
    if isinstance(value, dict):
        value = [[name, label] for name, label in value.items()]
    if value is None:
        value = []
    if not isinstance(value, list):
        raise InputError(f'{where} has no list of labels. Write {{"labels": [["a.png", 0], ["b.png", 1]]}}.')
    if value and all(isinstance(entry, dict) for entry in value):
        return _records("entry", list(enumerate(value, 1)), where)
    rows = []
    for number, entry in enumerate(value, 1):
        if not (isinstance(entry, list) and len(entry) == 2 and isinstance(entry[0], str)):
            raise InputError(
                f"Entry {number} of the labels in {where} is {str(entry)[:80]}; each entry must be a file name and its "
                'label, such as ["a.png", 0].'
            )
        rows.append(LabelRow("entry", number, where, entry[0].strip(), {"label": entry[1]}))
    return LabelFile(where, ("label",), tuple(rows))


def _records(kind: str, records: Sequence[tuple[int, Any]], where: str) -> LabelFile:
    first = records[0][1]
    if not isinstance(first, dict) or not first:
        raise InputError(f"{where} must hold an object with a name and labels in every line.")
    keys = list(first)
    name_key = keys[_name_column(keys)]
    columns = tuple(key for key in keys if key != name_key)
    if not columns:
        raise InputError(f"{where} has no column beside the names ({name_key!r}). Add one with the labels.")
    rows = []
    for number, record in records:
        if not isinstance(record, dict) or not isinstance(record.get(name_key), (str, int)):
            raise InputError(f"{kind.capitalize()} {number} of {where} names no image: it has no {name_key!r}.")
        rows.append(LabelRow(kind, number, where, str(record[name_key]).strip(), record))
    return LabelFile(where, columns, tuple(rows))
