"""What a store is going to be made from, and the joining of its parts: everything about a preparation but the doing."""

from __future__ import annotations

import hashlib
import json
import shlex
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import Field

import sgkit
from sgkit.config.base import Count, Text
from sgkit.config.messages import LARGEST
from sgkit.config.sizes import base_size_of
from sgkit.errors import ConfigError, InputError, StoreError, did_you_mean
from sgkit.store.bad_images import NEEDS_HEIF
from sgkit.store.header import Header, LabelSchema, PartInfo, SourceInfo
from sgkit.store.images.process import ImageOptions
from sgkit.store.preparing.labelling import Labeller, make_labeller
from sgkit.store.preparing.selection import Candidates, choose, parse_split
from sgkit.store.records import PartWriter
from sgkit.store.sources import Source, open_sources
from sgkit.store.sources.bit_depth import SampleRange, find_range
from sgkit.store.sources.listing import tables_among
from sgkit.text import printable

HEIF_HINT = (
    "{:,} HEIC images were left out. To read them, install pillow-heif with: pip install 'stylegan-sgkit[heic]', and "
    "prepare again."
)
MOST_SHOWN = 20
"""Sources that the command of an unfinished store names."""


class PrepareOptions(ImageOptions):
    """What a store is made like. The same options and sources give the same bytes."""

    labels: Text = "auto"
    """``auto``: those that come with the data; ``none``; ``folders``: a class for each folder; or a table's path."""
    label_columns: tuple[Text, ...] = ()
    """Columns of the table; none: all."""
    label_kind: Literal["auto", "class", "multi", "float"] = "auto"
    limit: Annotated[int, Field(ge=1, le=LARGEST)] | None = None
    """Look at the first so many files only (after the shuffle)."""
    shuffle_seed: Count | None = None
    """Shuffle the files; ``None``: sorted order."""
    split: Text = ""
    """``train=0.9,val=0.1``: a store for each name, by a hash of the files' names."""
    subset: Text = ""
    """The name of the split that this store is."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.split:
            names = parse_split(self.split)
            if self.subset and self.subset not in names:
                raise ConfigError(f"Split {self.split!r} has no {self.subset!r}. {did_you_mean(self.subset, names)}")


@dataclass(frozen=True, kw_only=True)
class PreparePlan:
    """Sources opened, labels found, files chosen."""

    options: PrepareOptions
    given: tuple[str, ...]
    """The sources as they were named."""
    sources: tuple[Source, ...]
    labeller: Labeller
    candidates: Candidates
    sample_range: SampleRange
    """The range of images with 16 bits a channel."""

    @property
    def image_options(self) -> PrepareOptions:
        """The options with everything found that the data decide."""
        return replace(self.options, bits=self.sample_range.bits)

    @property
    def notes(self) -> tuple[str, ...]:
        """What a user should know about how sources and labels were read."""
        own = [note for source in self.sources for note in source.notes]
        own += [self.sample_range.note] if self.sample_range.note else []
        return (*own, *self.labeller.notes, *_hints(self.options, self.sources, self.labeller))

    def report_unused(self) -> str:
        """Lines of the report for files that were not looked at."""
        lines = (
            {"source": source.given, "name": file.name, "reason": file.reason, "detail": file.detail}
            for source in self.sources
            for file in source.unused
        )
        return "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)

    def source_infos(self) -> list[SourceInfo]:
        """Facts on the sources that are known before anything is read."""
        return [
            SourceInfo(given=s.given, kind=s.kind, num_items=len(s), fingerprint=s.fingerprint()) for s in self.sources
        ]

    def describe(self, out: Path, num_parts: int) -> dict[str, Any]:
        """Plain values that two runs must share to be the same preparation, and the command to repeat."""
        return {
            "sgkit": sgkit.__version__,
            "command": self._command(out.parent if self.options.subset else out, num_parts),
            "options": self.options.to_dict(),
            "sources": [info.to_dict() for info in self.source_infos()],
            "labels": self.labeller.schema.to_dict(),
            "label_table": self.labeller.digest,
            "num_candidates": len(self.candidates),
            "num_parts": num_parts,
        }

    def _command(self, out: Path, num_parts: int) -> str:
        given = [*self.given[:MOST_SHOWN], "..."] if len(self.given) > MOST_SHOWN else self.given
        words = ["sgkit", "prepare", *given, "--out", str(out)]
        for field in fields(self.options):
            value = getattr(self.options, field.name)
            if field.name == "size":
                words += ["--size", f"{value[1]}x{value[0]}"]
            elif value == field.default or field.name == "subset":
                continue
            elif isinstance(value, bool):
                words.append(f"--{'' if value else 'no-'}{field.name.replace('_', '-')}")
            else:
                text = ",".join(map(str, value)) if isinstance(value, tuple) else str(value)
                words += [f"--{field.name.replace('_', '-')}", text]
        try:
            base_size_of(self.options.image_size)
        except ConfigError:
            words.append("--any-size")
        if num_parts > 1:
            words += ["--part", f"K/{num_parts}"]
        return shlex.join(words)

    def join(self, folder: Path, parts: Sequence[PartInfo]) -> Header:
        """The header over finished parts.

        Raises:
            StoreError: no image is left.
        """
        num_images = sum(part.num_images for part in parts)
        skipped = add_up([part.skipped for part in parts])
        hints = [HEIF_HINT.format(skipped[NEEDS_HEIF])] if NEEDS_HEIF in skipped else []
        if num_images == 0:
            reasons = ", ".join(f"{count} {reason}" for reason, count in skipped.items())
            what = " ".join([*hints, f"Remove {folder} and try again with other files or options."])
            raise StoreError(
                f"None of the {sum(part.num_items for part in parts)} files could be used ({reasons}). "
                f"{_first_reported(folder)}{what}"
            )
        contents = read_parts(folder, parts, self.labeller.schema)
        return Header(
            num_images=num_images,
            image_size=self.options.image_size,
            image_channels=self.options.channels,
            encoding=self.options.encoding,
            filter=self.options.filter,
            crop=self.options.crop,
            content_hash=contents.digest,
            pyramid=self.options.pyramid,
            labels=self.labeller.schema,
            sources=tuple(self._counted_sources(parts)),
            parts=tuple(parts),
            skipped=skipped,
            unused=dict(sorted(Counter(file.reason for source in self.sources for file in source.unused).items())),
            changed=add_up([part.changed for part in parts]),
            repeated=contents.repeated,
            label_counts=contents.label_counts,
            notes=tuple(map(printable, (*self.notes, *hints))),
            settings=self.options.to_dict(),
            sgkit=sgkit.__version__,
        )

    def _counted_sources(self, parts: Sequence[PartInfo]) -> Iterator[SourceInfo]:
        for position, info in enumerate(self.source_infos()):
            images, skipped = (sum(part.per_source[position][i] for part in parts) for i in (0, 1))
            yield SourceInfo.from_dict({**info.to_dict(), "num_images": images, "num_skipped": skipped})


def make_plan(given: Sequence[str], options: PrepareOptions) -> PreparePlan:
    """Open the sources, find the labels and choose the files.

    Raises:
        InputError: a source is missing or empty, or lacks the labels asked for.
    """
    sources = open_sources(given, size=options.size)
    candidates = choose(
        sources,
        limit=options.limit,
        shuffle_seed=options.shuffle_seed,
        split=options.split,
        subset=options.subset,
        seed=options.seed,
    )
    if not len(candidates):
        raise InputError(
            f"No file falls to {options.subset!r} of split {options.split!r}. Give more files or a larger share."
        )
    labeller = make_labeller(options.labels, sources, columns=options.label_columns, kind=options.label_kind)
    _mark_labels(sources, options.labels)
    found = SampleRange(options.bits) if options.bits else find_range(sources, max_pixels=options.max_pixels)
    return PreparePlan(
        options=options,
        given=tuple(given),
        sources=sources,
        labeller=labeller,
        candidates=candidates,
        sample_range=found,
    )


def _mark_labels(sources: Sequence[Source], labels: str) -> None:
    """A table of labels inside a folder of images is used, too."""
    for source in sources:
        for number, file in enumerate(source.unused):
            if file.reason == "not an image" and Path(source.given, file.name).absolute() == Path(labels).absolute():
                source.unused[number] = replace(file, reason="label file", detail="")


def _hints(options: PrepareOptions, sources: Sequence[Source], labeller: Labeller) -> Iterator[str]:
    """What could have been labels."""
    if options.labels != "auto" or labeller.schema.dim:
        return
    named = [source for source in sources if source.kind in ("folder", "zip", "tar", "files", "list")]
    folders = sorted({folder for source in named for folder in source.folders() if folder})
    if len(folders) > 1:
        shown = ", ".join(folders[:3]) + (", ..." if len(folders) > 3 else "")
        yield f"{len(folders):,} folders of images were found ({shown}). Add --labels folders to make them classes."
    elif len(sources) > 1:
        yield "Add --labels folders to make each source a class."
    for source in named:
        for name in tables_among(source.unused):
            where = str(Path(source.given, name)) if source.kind == "folder" else "FILE after unpacking it"
            yield f"{name} in {source.given} may hold labels. To use it, add --labels {where}."


@dataclass(frozen=True)
class Contents:
    """What the finished parts of a store hold."""

    digest: str
    """SHA-256 over the pixel hashes and labels of all images, in order, whatever the parts."""
    repeated: int
    """Images with the same pixels as an earlier one."""
    label_counts: tuple[int, ...]
    """Images with each of the labels; empty without classes or multi-labels."""


def read_parts(folder: Path, parts: Sequence[PartInfo], schema: LabelSchema) -> Contents:
    """What is in ``parts``, by one pass over their records."""
    digest = hashlib.sha256()
    counted = schema.kind in ("class", "multi")
    counts: np.ndarray = np.zeros(schema.dim if counted else 0, np.int64)
    seen: set[bytes] = set()
    for part in parts:
        for meta, label in PartWriter(folder / part.file).read_metas():
            digest.update(meta["pixels"].encode() + label)
            seen.add(bytes.fromhex(meta["pixels"]))
            if schema.kind == "class":
                counts[int(np.frombuffer(label, "<i4")[0])] += 1
            elif counted:
                counts += np.frombuffer(label, "<f4") > 0
    total = sum(part.num_images for part in parts)
    return Contents(digest.hexdigest(), total - len(seen), tuple(counts.tolist()))


def check_same(planned: dict[str, Any], found: dict[str, Any], folder: Path) -> None:
    """Refuse to go on with a preparation that differs from the one that was started.

    Raises:
        StoreError: something differs; it is named.
    """
    for key in ("options", "sources", "labels", "label_table", "num_candidates", "num_parts", "sgkit"):
        if planned[key] == found.get(key):
            continue
        what = _difference(key, planned[key], found.get(key))
        raise StoreError(
            f"{folder} holds an unfinished store made differently: {what}. Remove the folder to start "
            f"again, or repeat the command that started it: {found.get('command', '?')}"
        )


def _difference(key: str, planned: Any, found: Any) -> str:
    if key == "options" and isinstance(found, dict):
        names = [name for name in planned if planned[name] != found.get(name)]
        return "; ".join(f"{name} was {found.get(name)!r} and is now {planned[name]!r}" for name in names)
    if key == "sources" and isinstance(found, list):
        old, new = [s["given"] for s in found], [s["given"] for s in planned]
        return f"sources were {old} and are now {new}" if old != new else "files of a source have changed since"
    return f"{key} was {found!r} and is now {planned!r}"


def _first_reported(folder: Path) -> str:
    """The first file that was left out, with its reason in full."""
    for file in sorted(folder.glob("part-*.jsonl")):
        for line in file.read_text(encoding="utf-8", errors="surrogateescape").splitlines():
            entry = json.loads(line)
            why = ", ".join(filter(None, (entry["reason"], entry["detail"])))
            return f"The first one: {entry['name']}: {why}. "
    return ""


def add_up(counts: Sequence[dict[str, int]]) -> dict[str, int]:
    """Name -> sum over all ``counts``."""
    names = sorted({name for count in counts for name in count})
    return {name: sum(count.get(name, 0) for count in counts) for name in names}
