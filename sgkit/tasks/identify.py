"""What a file or folder is that is not a model: stores, latents, images, archives and everything else."""

from __future__ import annotations

import itertools
import warnings
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from PIL import Image, UnidentifiedImageError

from sgkit.checkpoint.latent_files import load_latents
from sgkit.runtime.mistaken import advice, described, latent_files
from sgkit.runtime.sniff import IMAGES, Sniffed
from sgkit.store.header import read_header, size_text
from sgkit.text import shell_word

__all__ = ["FileSummary", "identified"]

Facts = dict[str, Any]
COMMANDS = {"seed": "--seeds", "truncation_psi": "--psi", "truncation_cutoff": "--psi-cutoff", "noise": "--noise"}
"""Text in images that sgkit generated -> the option that makes it again."""
OMITTED = {"truncation_psi": "1.0", "noise": "const"}


@dataclass(frozen=True, kw_only=True)
class FileSummary:
    """What is known about a file or folder that is not a model."""

    path: Path
    kind: str
    """A key of :data:`sgkit.runtime.sniff.KINDS`, or ``latents``."""
    what: str
    """In words: ``a JPEG image``."""
    bytes: int | None
    """Size of a file; ``None``: a folder."""
    facts: Facts = field(default_factory=dict)
    """What it holds, as far as it is cheap to tell."""
    advice: str = ""
    """What to do with it."""


def identified(found: Sniffed, *, as_latents: bool = False) -> FileSummary:
    """What is at a path.

    Args:
        found: what its first bytes or entries say.
        as_latents: it is a file of arrays that is not a model, so it is read as latents.

    Raises:
        SgkitError: it is damaged.
    """
    facts: Facts = {}
    kind, what, hint = found.kind, described(found), advice(found)
    if as_latents or kind in ("projection", "projections"):
        kind = kind if found.is_folder else "latents"
        what = found.phrase if found.is_folder else f"{found.phrase} with latents"
        facts, hint = _latents(found.path)
    elif kind == "store":
        facts = _store(found.path)
    elif kind in IMAGES:
        facts = _image(found.path)
        if facts.get("made by", "") == "sgkit":
            what, hint = f"{found.phrase} made by sgkit", _again(facts) or hint
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


def _image(path: Path) -> Facts:
    """Size and format from the header of an image, and what sgkit wrote into it; no pixel is decoded."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(path) as image:
                facts: Facts = {"size": f"{image.width}x{image.height}", "mode": image.mode, "format": image.format}
                texts = {str(key): value for key, value in image.info.items() if isinstance(value, str)}
    except (UnidentifiedImageError, Image.DecompressionBombError, OSError, SyntaxError, ValueError) as error:
        return {"header": f"cannot be read ({type(error).__name__})"}
    if texts.pop("Software", "") != "sgkit":
        return facts
    return facts | {"made by": "sgkit"} | {key: value[:300] for key, value in list(texts.items())[:32]}


def _again(facts: Facts) -> str:
    """The command that makes an image of ``sgkit generate`` again; empty for others."""
    if "seed" not in facts:
        return ""
    options = [
        f"{option} {facts[key]}"
        for key, option in COMMANDS.items()
        if key in facts
        and facts[key] != OMITTED.get(key)
        and str(facts[key]).replace(".", "", 1).replace("-", "").isalnum()
    ]
    return f"Make it again with the model of that hash: sgkit generate MODEL {' '.join(options)} --out image.png"


def _images(path: Path) -> str:
    """How many files a folder has at the top and one level below, a thousand of each folder at most."""
    folders = [path, *sorted(child for child in path.iterdir() if child.is_dir())[:100]]
    count = sum(len(list(itertools.islice(folder.iterdir(), 1000))) for folder in folders) - len(folders) + 1
    return f"about {count} files in {len(folders)} folder{'s' if len(folders) > 1 else ''}"
