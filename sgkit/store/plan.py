"""What a store is going to be made from, and the joining of its parts: everything about a preparation but the doing."""

from __future__ import annotations

import hashlib
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Literal

import sgkit
from sgkit.errors import ConfigError, InputError, StoreError, did_you_mean
from sgkit.store.header import Header, PartInfo, SourceInfo
from sgkit.store.labels import Labeller, make_labeller
from sgkit.store.process import ImageOptions
from sgkit.store.records import PartWriter
from sgkit.store.selection import Candidates, choose, parse_split
from sgkit.store.sources import Source, open_source

__all__ = ["PrepareOptions", "PreparePlan", "check_same", "content_hash", "make_plan"]


@dataclass(frozen=True, kw_only=True)
class PrepareOptions(ImageOptions):
    """What a store is made like. The same options and sources give the same bytes."""

    labels: str = "auto"
    """``auto``: those that come with the data; ``none``; ``folders``: a class for each folder; or a table's path."""
    label_columns: tuple[str, ...] = ()
    """Columns of the table; none: all."""
    label_kind: Literal["auto", "class", "multi", "float"] = "auto"
    limit: int | None = None
    """Look at the first so many files only (after the shuffle)."""
    shuffle_seed: int | None = None
    """Shuffle the files; ``None``: sorted order."""
    split: str = ""
    """``train=0.9,val=0.1``: a store for each name, by a hash of the files' names."""
    subset: str = ""
    """The name of the split that this store is."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.limit is not None and self.limit < 1:
            raise ConfigError(f"limit is {self.limit}; it must be 1 or more.")
        if self.split:
            names = parse_split(self.split)
            if self.subset and self.subset not in names:
                raise ConfigError(f"Split {self.split!r} has no {self.subset!r}. {did_you_mean(self.subset, names)}")


@dataclass(frozen=True, kw_only=True)
class PreparePlan:
    """Sources opened, labels found, files chosen."""

    options: PrepareOptions
    sources: tuple[Source, ...]
    labeller: Labeller
    candidates: Candidates

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
        words = ["sgkit", "prepare", *(source.given for source in self.sources), "--out", str(out)]
        for field in fields(self.options):
            value = getattr(self.options, field.name)
            if field.name == "size":
                words += ["--size", f"{value[1]}x{value[0]}"]
            elif value == field.default or field.name == "subset":
                continue
            elif value is True:
                words.append(f"--{field.name.replace('_', '-')}")
            else:
                text = ",".join(map(str, value)) if isinstance(value, tuple) else str(value)
                words += [f"--{field.name.replace('_', '-')}", text]
        if num_parts > 1:
            words += ["--part", f"K/{num_parts}"]
        return shlex.join(words)

    def join(self, folder: Path, parts: Sequence[PartInfo]) -> Header:
        """The header over finished parts.

        Raises:
            StoreError: no image is left.
        """
        num_images = sum(part.num_images for part in parts)
        skipped = _add_up([part.skipped for part in parts])
        if num_images == 0:
            reasons = ", ".join(f"{count} {reason}" for reason, count in skipped.items())
            raise StoreError(
                f"None of the {sum(part.num_items for part in parts)} files could be used ({reasons}). "
                f"Remove {folder} and try again with other files or options."
            )
        return Header(
            num_images=num_images,
            image_size=self.options.image_size,
            image_channels=self.options.channels,
            encoding=self.options.encoding,
            filter=self.options.filter,
            crop=self.options.crop,
            content_hash=content_hash(folder, parts),
            pyramid=self.options.pyramid,
            labels=self.labeller.schema,
            sources=tuple(self._counted_sources(parts)),
            parts=tuple(parts),
            skipped=skipped,
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
    sources = tuple(open_source(name, size=options.size) for name in given)
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
    return PreparePlan(options=options, sources=sources, labeller=labeller, candidates=candidates)


def content_hash(folder: Path, parts: Sequence[PartInfo]) -> str:
    """SHA-256 over the pixel hashes and labels of all images, in order, whatever the parts."""
    digest = hashlib.sha256()
    for part in parts:
        for meta, label in PartWriter(folder / part.file).read_metas():
            digest.update(meta["pixels"].encode() + label)
    return digest.hexdigest()


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


def _add_up(counts: Sequence[dict[str, int]]) -> dict[str, int]:
    names = sorted({name for count in counts for name in count})
    return {name: sum(count.get(name, 0) for count in counts) for name in names}
