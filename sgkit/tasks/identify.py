"""What a file or folder is that is not a model: stores, latents, images, archives and everything else."""

from __future__ import annotations

import itertools
import re
import warnings
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from PIL import Image, UnidentifiedImageError

from sgkit.errors import InputError
from sgkit.latents.files import load_latents
from sgkit.runtime.detect import FileType
from sgkit.runtime.file_kinds import IMAGES
from sgkit.runtime.limits import parse_json
from sgkit.runtime.path_checks import latent_files
from sgkit.store.header import read_header, size_text
from sgkit.text import shell_word

Facts = dict[str, Any]
OPTIONS = {
    "truncation_psi": "--psi",
    "truncation_cutoff": "--psi-cutoff",
    "noise": "--noise",
    "precision": "--precision",
    "grid": "--grid",
}
"""Text in images that sgkit generated -> the option that makes it again."""
OMITTED = {"truncation_psi": "1.0", "noise": "const", "precision": "fp32", "grid": "1x1"}


@dataclass(frozen=True, kw_only=True)
class FileSummary:
    """What is known about a file or folder that is not a model."""

    path: Path
    kind: str
    """A key of :data:`sgkit.runtime.file_kinds.PHRASES`, or ``latents``."""
    what: str
    """In words: ``a JPEG image``."""
    bytes: int | None
    """Size of a file; ``None``: a folder."""
    facts: Facts = field(default_factory=dict)
    """What it holds, as far as it is cheap to tell."""
    advice: str = ""
    """What to do with it."""


def identified(found: FileType, *, as_latents: bool = False) -> FileSummary:
    """What is at a path.

    Args:
        found: what its first bytes or entries say.
        as_latents: it is a file of arrays that is not a model, so it is read as latents.

    Raises:
        SgkitError: it is damaged.
    """
    facts: Facts = {}
    kind, what, hint = found.kind, found.phrase, found.advice
    if as_latents or kind in ("projection", "projections"):
        kind = kind if found.is_folder else "latents"
        what = found.phrase if found.is_folder else f"{found.phrase} with latents"
        facts, hint = _latents(found.path)
    elif kind == "store":
        facts = _store(found.path)
    elif kind in IMAGES:
        facts, texts = _image(found.path)
        if texts is not None:
            what, hint = f"{found.phrase} made by sgkit", _again(texts) or hint
    elif kind in ("images", "images in subfolders"):
        facts = {"images": _images(found.path)}
    return FileSummary(
        path=found.path,
        kind=kind,
        what=what,
        bytes=None if found.is_folder else found.path.stat().st_size,
        facts=facts,
        advice=hint,
    )


def _latents(path: Path) -> tuple[Facts, str]:
    files = latent_files(path)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        read = [load_latents(file) for file in files[:16]]
    first = read[0]
    values = {name: list(value.shape[1:]) for name, value in first.values.items()}
    shape = values if first.space == "s" else next(iter(values.values()))
    facts: Facts = {
        "latents": sum(len(one) for one in read) if len(read) == len(files) else f"{len(files)} files",
        "space": first.space,
        "shape of each": shape,
        "names": ", ".join(name for one in read for name in one.names[:16])[:200],
        "noise maps": len(first.noise),
        "label": None if first.label is None else list(first.label.shape[1:]),
        "model": first.model_hash or "not recorded",
    }
    return facts, f"Generate images from it: sgkit generate MODEL --latent {shell_word(path)} --out FOLDER"


def _store(path: Path) -> Facts:
    header = read_header(path)
    labels = header.labels.kind if header.labels.kind == "none" else f"{header.labels.kind}, {header.labels.dim}"
    return {
        "images": header.num_images,
        "size": f"{size_text(header.image_size)}, {header.image_channels} channels",
        "encoding": header.encoding,
        "labels": labels,
        "sources": ", ".join(source.given for source in header.sources)[:200],
        "hash": header.content_hash,
    }


def _image(path: Path) -> tuple[Facts, dict[str, str] | None]:
    """Size and format from the header of an image, and what sgkit wrote into it, if it did; no pixel is decoded."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(path) as image:
                facts: Facts = {"size": f"{image.width}x{image.height}", "mode": image.mode, "format": image.format}
                texts = {str(key): value for key, value in image.info.items() if isinstance(value, str)}
    except (UnidentifiedImageError, Image.DecompressionBombError, OSError, SyntaxError, ValueError) as error:
        return {"header": f"cannot be read ({type(error).__name__})"}, None
    if texts.pop("Software", "") != "sgkit":
        return facts, None
    return facts | {"made by": "sgkit"} | {key: value[:300] for key, value in list(texts.items())[:32]}, texts


def _again(texts: dict[str, str]) -> str:
    """The command that makes an image of ``sgkit generate`` again; empty where the image's texts do not tell it."""
    seeds, label = (_parsed(texts.get(key, "null")) for key in ("seed", "label"))
    seeds = seeds if isinstance(seeds, list) else [seeds]
    if not all(type(seed) is int and seed >= 0 for seed in seeds) or not (label is None or _is_vector(label)):
        return ""
    options = [f"--seeds {_ranges(seeds)}"]
    if label is not None:
        is_class = sorted(label)[-2:] in ([0, 1], [1]) and sum(label) == 1
        options.append(f"--class {label.index(1) if is_class else ','.join(map(repr, label))}")
    for key, option in OPTIONS.items():
        value = texts.get(key, OMITTED.get(key, ""))
        if re.fullmatch(r"[\w.]{1,20}|-[\d.]{1,20}", value) and value != OMITTED.get(key, ""):
            options.append(f"{option} {value}")
    return f"Make it again with the model of that hash: sgkit generate MODEL {' '.join(options)} --out image.png"


def _parsed(text: str) -> Any:
    try:
        return parse_json(text.encode(), name="the text of an image")
    except (InputError, UnicodeError):
        return text


def _is_vector(value: object) -> bool:
    return isinstance(value, list) and len(value) > 0 and all(type(number) is float for number in value)


def _ranges(seeds: list[int]) -> str:
    """Seeds as the command line takes them: ``0-3,7``."""
    runs: list[list[int]] = []
    for seed in seeds:
        if runs and seed == runs[-1][1] + 1:
            runs[-1][1] = seed
        else:
            runs.append([seed, seed])
    return ",".join(str(first) if first == last else f"{first}-{last}" for first, last in runs)


def _images(path: Path) -> str:
    """How many files a folder has at the top and one level below, a thousand of each folder at most."""
    folders = [path, *sorted(child for child in path.iterdir() if child.is_dir())[:100]]
    count = sum(len(list(itertools.islice(folder.iterdir(), 1000))) for folder in folders) - len(folders) + 1
    return f"about {count} files in {len(folders)} folder{'s' if len(folders) > 1 else ''}"
