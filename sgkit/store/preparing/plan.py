"""What a store is going to be made from: options checked, sources opened, labels found, files chosen."""

from __future__ import annotations

import json
import shlex
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field

import sgkit
from sgkit.config.base import Count, Text
from sgkit.config.messages import LARGEST
from sgkit.config.sizes import base_size_of
from sgkit.errors import ConfigError, InputError, StoreError, did_you_mean
from sgkit.store.bad_images import NEEDS_HEIF
from sgkit.store.header import Header, PartInfo, SourceInfo
from sgkit.store.images.process import ImageOptions
from sgkit.store.preparing.labelling import Labeller, make_labeller
from sgkit.store.preparing.selection import Candidates, choose, parse_split
from sgkit.store.records import add_up, read_parts
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
    """How a store is made. The same options and sources give the same bytes."""

    labels: Text = "auto"
    """``auto``: those that come with the data; ``none``; ``folders``: a class for each folder; or a table's path."""
    label_columns: tuple[Text, ...] = ()
    """Columns of the table; none: all."""
    label_kind: Literal["auto", "class", "multi", "float"] = "auto"
    limit: Annotated[int, Field(ge=1, le=LARGEST)] | None = None
    """Most files to look at (after the shuffle)."""
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
        """The options with everything filled in that depends on the data."""
        return replace(self.options, bits=self.sample_range.bits)

    def report_unused(self) -> str:
        """Lines of the report for files that were not looked at."""
        lines = (
            {"source": source.given, "name": file.name, "reason": file.reason, "detail": file.detail}
            for source in self.sources
            for file in source.unused
        )
        return "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)

    def describe(self, out: Path, num_parts: int) -> dict[str, Any]:
        """Plain values that two runs must share to be the same preparation, and the command to repeat."""
        return {
            "sgkit": sgkit.__version__,
            "command": self._command(out.parent if self.options.subset else out, num_parts),
            "options": self.options.to_dict(),
            "sources": [info.to_dict() for info in self._source_infos()],
            "labels": self.labeller.schema.to_dict(),
            "label_table": self.labeller.digest,
            "num_candidates": len(self.candidates),
            "num_parts": num_parts,
        }

    def _command(self, out: Path, num_parts: int) -> str:
        given = [*self.given[:MOST_SHOWN], "..."] if len(self.given) > MOST_SHOWN else self.given
        words = ["sgkit", "prepare", *given, "--out", str(out)]
        for field in fields(self.options):
            value, option = getattr(self.options, field.name), field.name.replace("_", "-")
            if field.name == "size":
                words += ["--size", f"{value[1]}x{value[0]}"]
            elif value == field.default or field.name == "subset":
                continue
            elif isinstance(value, bool):
                words.append(f"--{'' if value else 'no-'}{option}")
            else:
                words += [f"--{option}", ",".join(map(str, value)) if isinstance(value, tuple) else str(value)]
        try:
            base_size_of(self.options.image_size)
        except ConfigError:
            words.append("--any-size")
        return shlex.join(words + (["--part", f"K/{num_parts}"] if num_parts > 1 else []))

    def _source_infos(self, parts: Sequence[PartInfo] = ()) -> list[SourceInfo]:
        return [
            SourceInfo(
                given=source.given,
                kind=source.kind,
                num_items=len(source),
                fingerprint=source.fingerprint(),
                num_images=sum(part.per_source[position][0] for part in parts),
                num_skipped=sum(part.per_source[position][1] for part in parts),
            )
            for position, source in enumerate(self.sources)
        ]

    def join(self, folder: Path, parts: Sequence[PartInfo]) -> Header:
        """The header over finished parts."""
        skipped = add_up([part.skipped for part in parts])
        hints = [HEIF_HINT.format(skipped[NEEDS_HEIF])] if NEEDS_HEIF in skipped else []
        if not any(part.num_images for part in parts):
            reasons = ", ".join(f"{count} {reason}" for reason, count in skipped.items())
            what = " ".join([*hints, f"Remove {folder} and try again with other files or options."])
            raise StoreError(
                f"None of the {sum(part.num_items for part in parts)} files could be used ({reasons}). "
                f"{_first_reported(folder)}{what}"
            )
        range_note = [self.sample_range.note] if self.sample_range.note else []
        notes = [*(note for source in self.sources for note in source.notes), *range_note, *self.labeller.notes]
        return Header(
            image_size=self.options.image_size,
            image_channels=self.options.channels,
            encoding=self.options.encoding,
            filter=self.options.filter,
            crop=self.options.crop,
            pyramid=self.options.pyramid,
            sources=tuple(self._source_infos(parts)),
            skipped=skipped,
            unused=dict(sorted(Counter(file.reason for source in self.sources for file in source.unused).items())),
            changed=add_up([part.changed for part in parts]),
            notes=tuple(map(printable, (*notes, *self._label_hints(), *hints))),
            settings=self.options.to_dict(),
            **read_parts(folder, parts, self.labeller.schema),
        )

    def _label_hints(self) -> Iterator[str]:
        """What could have been labels."""
        if self.options.labels != "auto" or self.labeller.schema.dim:
            return
        named = [source for source in self.sources if source.kind in ("folder", "zip", "tar", "files", "list")]
        folders = sorted({folder for source in named for folder in source.folders() if folder})
        if len(folders) > 1:
            shown = ", ".join(folders[:3]) + (", ..." if len(folders) > 3 else "")
            yield f"{len(folders):,} folders of images were found ({shown}). Add --labels folders to make them classes."
        elif len(self.sources) > 1:
            yield "Add --labels folders to make each source a class."
        for source in named:
            for name in tables_among(source.unused):
                where = str(Path(source.given, name)) if source.kind == "folder" else "FILE after unpacking it"
                yield f"{name} in {source.given} may hold labels. To use it, add --labels {where}."


def make_plan(given: Sequence[str], options: PrepareOptions) -> PreparePlan:
    """Open the sources, find the labels and choose the files."""
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
    """A table of labels inside a folder of images is not an unused file."""
    for source in sources:
        for number, file in enumerate(source.unused):
            if file.reason == "not an image" and Path(source.given, file.name).absolute() == Path(labels).absolute():
                source.unused[number] = replace(file, reason="label file", detail="")


def _first_reported(folder: Path) -> str:
    """The first file that was skipped, with its reason in full."""
    for file in sorted(folder.glob("part-*.jsonl")):
        for line in file.read_text(encoding="utf-8", errors="surrogateescape").splitlines():
            entry = json.loads(line)
            why = ", ".join(filter(None, (entry["reason"], entry["detail"])))
            return f"The first one: {entry['name']}: {why}. "
    return ""
