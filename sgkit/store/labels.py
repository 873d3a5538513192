"""Where the labels of a store come from: the data themselves, or the folders that images lie in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sgkit.errors import ConfigError, InputError
from sgkit.store.header import LabelSchema
from sgkit.store.images import BadImageError
from sgkit.store.sources import Item, Label, Source

__all__ = ["Labeller", "make_labeller"]


class Labeller:
    """Says the label of an item; ``table`` maps (source, name) to labels, ``None`` takes the item's own."""

    def __init__(self, schema: LabelSchema, table: Mapping[tuple[int, str], Label] | None = None) -> None:
        self.schema = schema
        self._table = table

    def label(self, source: int, item: Item) -> Label:
        """The label, as :func:`sgkit.store.records.label_bytes` takes it.

        Raises:
            BadImageError: there is none.
        """
        if self.schema.kind == "none":
            return None
        label = item.label if self._table is None else self._table.get((source, item.name))
        if label is None:
            raise BadImageError("no label")
        return label


def make_labeller(choice: str, sources: Sequence[Source]) -> Labeller:
    """The labeller that ``--labels`` names: ``auto`` (the data's own labels, if any), ``none`` or ``folders``.

    Raises:
        ConfigError: there is no such choice.
        InputError: the sources hold no such labels.
    """
    if choice == "none":
        return Labeller(LabelSchema())
    if choice == "auto":
        return _own_labels(sources)
    if choice == "folders":
        return _folder_labels(sources)
    raise ConfigError(f"labels is {choice!r}; it must be auto, none or folders.")


def _own_labels(sources: Sequence[Source]) -> Labeller:
    schemas = {source.labels for source in sources}
    if len(schemas) > 1:
        raise InputError("The sources carry different labels. Choose --labels none or folders, or prepare each alone.")
    return Labeller(schemas.pop())


def _folder_labels(sources: Sequence[Source]) -> Labeller:
    folders = [source.folders() for source in sources]
    names = tuple(sorted({name for found in folders for name in found if name}))
    if len(names) < 2:
        given = ", ".join(source.given for source in sources)
        raise InputError(f"--labels folders needs images in two or more folders; {given} has {len(names)}.")
    number = {name: index for index, name in enumerate(names)}
    table: dict[tuple[int, str], Label] = {
        (position, source[index].name): number[folder]
        for position, (source, found) in enumerate(zip(sources, folders, strict=True))
        for index, folder in enumerate(found)
        if folder
    }
    return Labeller(LabelSchema(kind="class", names=names), table)
