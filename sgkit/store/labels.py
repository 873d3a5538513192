"""Where the labels of a store come from: the data themselves, the folders that images lie in, or a table."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from sgkit.errors import ConfigError, InputError, did_you_mean
from sgkit.store.header import LabelSchema
from sgkit.store.images import BadImageError
from sgkit.store.label_tables import read_label_table
from sgkit.store.sources import Item, Label, Source

__all__ = ["Labeller", "make_labeller"]


class Labeller:
    """Says the label of an item of a source, given by number."""

    def __init__(self, schema: LabelSchema, find: Callable[[int, Item], Label], *, digest: str = "") -> None:
        self.schema = schema
        self.digest = digest
        """Hash of the table that labels are read from, if they are."""
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
    JSONL or whitespace-separated file whose ``columns`` (all, if none are named) are read as ``kind``: ``class``,
    ``multi``, ``float``, or ``auto``, which looks at the values.

    Raises:
        ConfigError: there is no such choice or kind.
        InputError: the sources or the file hold no such labels.
    """
    if kind not in ("auto", "class", "multi", "float"):
        raise ConfigError(f"label_kind is {kind!r}. {did_you_mean(kind, ['auto', 'class', 'multi', 'float'])}")
    if choice == "none":
        return Labeller(LabelSchema(), lambda _source, _item: None)
    if choice == "auto":
        return _own_labels(sources)
    if choice == "folders":
        return _folder_labels(sources)
    if not Path(choice).is_file():
        raise ConfigError(f"labels is {choice!r}; it must be auto, none, folders, or a CSV, TSV or JSONL file.")
    table = read_label_table(Path(choice), columns=columns, kind=kind)
    return Labeller(table.schema, lambda _source, item: table.find(item.name), digest=table.digest)


def _own_labels(sources: Sequence[Source]) -> Labeller:
    schemas = {source.labels for source in sources}
    if len(schemas) > 1:
        raise InputError(
            "The sources carry different labels. Choose --labels none or folders, or prepare them one by one."
        )
    return Labeller(schemas.pop(), lambda _source, item: item.label)


def _folder_labels(sources: Sequence[Source]) -> Labeller:
    folders = [source.folders() for source in sources]
    names = tuple(sorted({name for found in folders for name in found if name}))
    if len(names) < 2:
        given = ", ".join(source.given for source in sources)
        raise InputError(f"--labels folders needs images in two or more folders; {given} has {len(names)}.")
    number = {name: index for index, name in enumerate(names)}
    table = {
        (position, source[index].name): number[folder]
        for position, (source, found) in enumerate(zip(sources, folders, strict=True))
        for index, folder in enumerate(found)
        if folder
    }
    return Labeller(LabelSchema(kind="class", names=names), lambda source, item: table.get((source, item.name)))
