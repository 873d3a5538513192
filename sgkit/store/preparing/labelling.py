"""Where the labels of a store come from: the data themselves, the folders that images are in, or a table."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path, PurePath

from sgkit.errors import ConfigError, InputError, UsageError, did_you_mean
from sgkit.runtime.limits import read_file
from sgkit.store.bad_images import BadImageError
from sgkit.store.header import LabelSchema
from sgkit.store.labels.files import parse_label_file
from sgkit.store.labels.matching import file_key, known_forms, match_names
from sgkit.store.labels.values import KINDS, LabelTable, read_values
from sgkit.store.sources import Item, Label, Source
from sgkit.text import printable

MOST_NOTED = 3
"""Names that a note shows."""


class Labeller:
    """Gives the label of an item of a source, by the source's number."""

    def __init__(
        self, schema: LabelSchema, find: Callable[[int, Item], Label], *, digest: str = "", notes: Sequence[str] = ()
    ) -> None:
        self.schema = schema
        self.digest = digest
        """Hash of the files that labels are read from, if they are."""
        self.notes = tuple(notes)
        """What a user should know about how labels were read."""
        self._find = find

    def label(self, source: int, item: Item) -> Label:
        """The label, as :func:`sgkit.store.records.label_bytes` takes it; ``None`` where the store has no labels.

        Raises:
            BadImageError: there is none.
        """
        if self.schema.kind == "none":
            return None
        label = self._find(source, item)
        if label is None:
            raise BadImageError("no label")
        return label


def make_labeller(
    choice: str, sources: Sequence[Source], *, columns: Sequence[str] = (), kind: str = "auto"
) -> Labeller:
    """The labeller that ``--labels`` names.

    ``auto``: the labels that come with the data, if any; ``none``; ``folders``: a class for each folder; or a CSV, TSV,
    JSON, JSON lines or space-separated file whose ``columns`` (all, if none are named) are read as ``kind``: ``class``,
    ``multi``, ``float``, or ``auto``, which looks at the values.
    """
    if kind not in KINDS:
        raise ConfigError(f"label_kind is {kind!r}. {did_you_mean(kind, KINDS)}")
    if choice in ("none", "folders"):
        if columns:
            raise UsageError(f"--label-columns has no effect with --labels {choice}. Give a table: --labels FILE.")
        if kind != "auto":
            raise UsageError(
                f"--label-kind has no effect with --labels {choice}. Remove it, or give a table: --labels FILE."
            )
        return _folder_labels(sources) if choice == "folders" else Labeller(LabelSchema(), _no_label)
    if choice == "auto":
        return _own_labels(sources, columns, kind)
    if not Path(choice).is_file():
        raise ConfigError(
            f"labels is {choice!r}; it must be auto, none, folders, or a CSV, TSV, JSON or JSON lines file that exists."
        )
    return _table_labels(Path(choice), sources, columns, kind)


def _no_label(_source: int, _item: Item) -> Label:
    return None


def read_label_table(
    path: Path, *, columns: Sequence[str] = (), kind: str = "auto", is_image: Callable[[str], bool] | None = None
) -> LabelTable:
    """The labels in a file by the names it gives; see :func:`make_labeller`."""
    data = read_file(path, kind="table")
    table = read_values(parse_label_file(data, where=str(path), is_image=is_image), columns=columns, kind=kind)
    return replace(table, digest=hashlib.sha256(data).hexdigest())


def label_columns(path: Path, *, is_image: Callable[[str], bool] | None = None) -> tuple[str, ...]:
    """The columns of a file of labels, without the one that names the images."""
    return parse_label_file(read_file(path, kind="table"), where=str(path), is_image=is_image).columns


def _table_labels(path: Path, sources: Sequence[Source], columns: Sequence[str], kind: str) -> Labeller:
    items = [(position, source[index].name) for position, source in enumerate(sources) for index in range(len(source))]
    several = len(sources) > 1
    names = [f"{_source_name(sources[position].given)}/{name}" if several else name for position, name in items]
    known = {form for name in names for form in known_forms(name)}
    table = read_label_table(path, columns=columns, kind=kind, is_image=lambda text: file_key(text) in known)
    if table.schema.kind == "none":
        raise InputError(f"{path} holds no labels: the values are empty. Name a column with --label-columns.")
    found, notes = _match(table, names, str(path))
    labels = {items[index]: label for index, label in found.items()}
    return Labeller(
        table.schema,
        lambda source, item: labels.get((source, item.name)),
        digest=table.digest,
        notes=(*table.notes, *notes),
    )


def _match(table: LabelTable, names: Sequence[str], where: str) -> tuple[dict[int, Label], list[str]]:
    """Label of each of ``names`` that the table has one for, by number, and what there is to say."""
    entries = list(table.labels)
    matches = match_names(entries, names)
    if not matches.found:
        raise InputError(
            f"No name in {where} matches an image: it names {entries[0]!r} ({len(entries):,} names), the images are "
            f"named {names[0]!r} ({len(names):,} images). Names are compared by path, by file name, and without "
            "extension. Correct the names, or use --labels none."
        )
    notes: list[str] = []
    if matches.ambiguous:
        entry, files = matches.ambiguous[0]
        shown = [*(repr(names[file]) for file in files[:MOST_NOTED]), "..."]
        meant = ", ".join(shown if len(files) > MOST_NOTED else shown[:-1])
        notes.append(
            f"{len(matches.ambiguous):,} names in {where} are ambiguous and were not used: {entries[entry]!r} could be "
            f"{meant}, or another row names the same image. Write paths that tell them apart."
        )
    unused = len(entries) - len(set(matches.found.values())) - len(matches.ambiguous)
    if unused:
        used = set(matches.found.values()) | {number for number, _ in matches.ambiguous}
        first = next(name for number, name in enumerate(entries) if number not in used)
        notes.append(f"{unused:,} of {len(entries):,} names in {where} match no image, for example {first!r}.")
    missing = len(names) - len(matches.found)
    if missing:
        notes.append(f"{missing:,} of {len(names):,} images have no label in {where}; they are left out.")
    return {file: table.labels[entries[entry]] for file, entry in matches.found.items()}, notes


# ------------------------------------------------------------------------------------------- own labels


def _own_labels(sources: Sequence[Source], columns: Sequence[str], kind: str) -> Labeller:
    own = [_own(source, columns, kind) for source in sources]
    digests = "".join(labeller.digest for labeller in own)
    return Labeller(
        _common_schema([labeller.schema for labeller in own], sources),
        lambda source, item: own[source].label(source, item),
        digest=hashlib.sha256(digests.encode()).hexdigest() if digests else "",
        notes=[note for labeller in own for note in labeller.notes],
    )


def _own(source: Source, columns: Sequence[str], kind: str) -> Labeller:
    file = source.label_file(columns)
    if file is None:
        if columns:
            raise UsageError(
                f"--label-columns has no effect: {source.given} has no columns. Give a table: --labels FILE."
            )
        own = source.labels.kind
        if kind != "auto" and (kind != own or own == "none"):
            carried = "no labels" if own == "none" else f"labels of kind {own}"
            raise UsageError(f"--label-kind {kind} does not fit {source.given}, which has {carried}. Remove it.")
        return Labeller(source.labels, lambda _source, item: item.label)
    table = read_values(file, columns=columns, kind=kind, names=source.class_names)
    digest = hashlib.sha256(repr(file.rows).encode("utf-8", "surrogatepass")).hexdigest()
    if table.schema.kind == "none":
        return Labeller(table.schema, _no_label, digest=digest, notes=table.notes)
    names = [source[index].name for index in range(len(source))]
    found, notes = _match(table, names, file.where)
    labels = {names[index]: label for index, label in found.items()}
    notes = [f"Labels were read from {file.where}.", *table.notes, *notes]
    return Labeller(table.schema, lambda _source, item: labels.get(item.name), digest=digest, notes=notes)


def _common_schema(schemas: list[LabelSchema], sources: Sequence[Source]) -> LabelSchema:
    """The one schema of all sources; numbered classes count as far as the longest."""
    longest = max(schemas, key=lambda schema: schema.dim)
    numbered = tuple(map(str, range(longest.dim)))
    for schema, source in zip(schemas, sources, strict=True):
        if schema != longest and not (
            schema.kind == longest.kind == "class" and schema.names == numbered[: schema.dim]
        ):
            other = sources[schemas.index(longest)]
            held, own = (f"{s.kind} labels ({s.dim})" if s.dim else "none" for s in (longest, schema))
            raise InputError(
                f"The sources have different labels: {other.given} has {held}, {source.given} has {own}. Use --labels "
                "none or folders, or a table for all of them: --labels FILE."
            )
    return longest


# --------------------------------------------------------------------------------------------- folders


def _folder_labels(sources: Sequence[Source]) -> Labeller:
    """A class for each folder; of several sources, one without two folders is one class."""
    found = [list(source.folders()) for source in sources]
    notes: list[str] = []
    for position, source in enumerate(sources):
        if len(sources) > 1 and len(set(found[position]) - {""}) < 2:
            found[position] = [_source_name(source.given)] * len(source)
        elif len(sources) > 1:
            notes.append(f"Classes of {source.given} are the folders inside it.")
    folders = sorted({name for names in found for name in names if name})
    if len(folders) < 2:
        given = ", ".join(source.given for source in sources)
        raise InputError(
            f"--labels folders needs images in two or more folders; {given} has {len(folders)}. Put each class in a "
            "folder, or give a folder for each class: sgkit prepare CATS DOGS --labels folders."
        )
    names = _unique_names(folders)
    number = {folder: index for index, folder in enumerate(folders)}
    table = {
        (position, source[index].name): number[folder]
        for position, (source, own) in enumerate(zip(sources, found, strict=True))
        for index, folder in enumerate(own)
        if folder
    }
    outside = sum(not folder for own in found for folder in own)
    if outside:
        notes.append(f"{outside:,} images are in no class folder; they are left out.")
    return Labeller(
        LabelSchema(kind="class", names=names), lambda source, item: table.get((source, item.name)), notes=notes
    )


def _source_name(given: str) -> str:
    """The class that a whole source is: its name without folders, and without the extensions of archives."""
    name = Path(given).resolve().name if given in (".", "..") else PurePath(given).name
    return name if Path(given).is_dir() else name.split(".")[0] or name


def _unique_names(names: Sequence[str]) -> tuple[str, ...]:
    """``names``, printable, and still different from each other."""
    shown: dict[str, None] = {}
    for name in names:
        text, count = printable(name), 1
        while text in shown:
            count += 1
            text = f"{printable(name)} ({count})"
        shown[text] = None
    return tuple(shown)
