"""Several stores made one: records are copied as they are, classes joined by name."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from sgkit.errors import InputError
from sgkit.store.header import Header, LabelSchema, PartInfo, SourceInfo, size_text
from sgkit.store.records import PartWriter, Record, StoreReader, add_up, label_bytes, read_parts

BATCH = 256
ClassMap = Mapping[int, int] | None
"""Class of a store -> class of the merged one; ``None``: labels stay as they are."""


def combine_labels(readers: Sequence[StoreReader]) -> tuple[LabelSchema, list[ClassMap]]:
    """The labels of the merged store, and how each store's classes map to them."""
    first = readers[0].header
    for reader in readers[1:]:
        for name in ("image_size", "image_channels", "encoding", "pyramid"):
            values = getattr(first, name), getattr(reader.header, name)
            if values[0] != values[1]:
                shown = [size_text(v) if name == "image_size" else v for v in values]
                raise InputError(
                    f"{readers[0].path} and {reader.path} differ in {name}: {shown[0]} and {shown[1]}. Prepare them "
                    "alike: a store may be given to 'sgkit prepare' as a source."
                )
    schemas = [reader.header.labels for reader in readers]
    if all(schema.kind == "class" for schema in schemas):
        names = sorted({name for schema in schemas for name in schema.names}, key=_by_number)
        place = {name: number for number, name in enumerate(names)}
        maps: list[ClassMap] = [{i: place[name] for i, name in enumerate(schema.names)} for schema in schemas]
        return LabelSchema(kind="class", names=tuple(names)), maps
    if len(set(schemas)) > 1:
        raise InputError("The stores have different labels. Prepare them again with the same --labels, or with none.")
    return schemas[0], [None] * len(readers)


def _by_number(name: str) -> tuple[int, int, str]:
    return (0, int(name), name) if name.isdecimal() else (1, 0, name)


def copy_records(
    readers: Sequence[StoreReader], schema: LabelSchema, maps: Sequence[ClassMap], path: Path
) -> Iterator[int]:
    """Write the records of all stores to one LMDB file, and yield the number of images after each transaction."""
    writer = PartWriter(path)
    images = num_bytes = 0
    for source, (reader, classes) in enumerate(zip(readers, maps, strict=True)):
        for first in range(0, len(reader), BATCH):
            last = min(first + BATCH, len(reader))
            records = [_record(reader, index, source, schema, classes) for index in range(first, last)]
            num_bytes += sum(record.num_bytes for record in records)
            writer.commit(images, records, {"num_images": images + len(records), "num_bytes": num_bytes})
            images += len(records)
            yield images


def _record(reader: StoreReader, index: int, source: int, schema: LabelSchema, classes: ClassMap) -> Record:
    images = {size_text(size): bytes(reader.record(index, size=size)) for size in reader.header.sizes}
    label = reader.stored_label(index)
    if classes is not None:
        label = label_bytes(schema, classes[int(np.frombuffer(label, "<i4")[0])])
    return Record(images, label, {**reader.meta(index), "source": source})


def merged_header(readers: Sequence[StoreReader], schema: LabelSchema, folder: Path) -> Header:
    """The header of the merged store: each store is one of its sources."""
    headers = [reader.header for reader in readers]
    num_images = sum(header.num_images for header in headers)
    part = PartInfo(
        file="part-00000.mdb",
        num_images=num_images,
        num_items=num_images,
        num_bytes=sum(part.num_bytes for header in headers for part in header.parts),
        per_source=tuple((header.num_images, 0) for header in headers),
    )
    sources = [
        SourceInfo(
            given=str(reader.path),
            kind="store",
            num_items=len(reader),
            num_images=len(reader),
            fingerprint=reader.header.content_hash,
        )
        for reader in readers
    ]
    return Header(
        image_size=headers[0].image_size,
        image_channels=headers[0].image_channels,
        encoding=headers[0].encoding,
        filter=_common([header.filter for header in headers]),
        crop=_common([header.crop for header in headers]),
        pyramid=headers[0].pyramid,
        sources=tuple(sources),
        changed=add_up([header.changed for header in headers]),
        settings={"merged": [header.settings for header in headers]},
        **read_parts(folder, [part], schema),
    )


def _common(values: list[str]) -> str:
    return values[0] if len(set(values)) == 1 else "mixed"
