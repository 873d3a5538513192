"""What ``sgkit info`` tells of files and folders that are not models: a table by kind.

To describe a new kind of file, add its phrase and advice to :mod:`sgkit.runtime.file_kinds`, how it is told apart to
:mod:`sgkit.runtime.detect`, and a function to :data:`DESCRIBERS`.
"""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from PIL import Image, UnidentifiedImageError

from sgkit.checkpoint.deltas import read_delta_header
from sgkit.errors import SceneError, SgkitError
from sgkit.inversion.encoder_file import read_encoder_header
from sgkit.latents.direction_header import read_direction_header
from sgkit.latents.files import load_latents
from sgkit.latents.spaces import Latents
from sgkit.metrics.image_classifier import read_classifier_header
from sgkit.render.files import open_header, read_sheet, sheet_text, texts_of
from sgkit.render.scene import Sheet
from sgkit.runtime.detect import FileType
from sgkit.runtime.file_kinds import IMAGES
from sgkit.runtime.path_checks import latent_files
from sgkit.store.header import read_header as read_store_header
from sgkit.store.header import size_text
from sgkit.text import name_list, shell_word

Facts = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Description:
    """What a describer found; ``None``: as the kind of file has it."""

    facts: Facts = field(default_factory=dict)
    """What the file holds, as far as it is cheap to tell."""
    kind: str | None = None
    what: str | None = None
    advice: str | None = None


def describe(found: FileType, *, as_latents: bool = False) -> Description:
    """What is known of a file or folder; ``as_latents``: its kind can hold several things, and it holds latents."""
    describer = _latents if as_latents else DESCRIBERS.get(found.kind)
    return Description() if describer is None else describer(found)


def _latents(found: FileType) -> Description:
    path = found.path
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
        "moved and turned": None if first.place is None else "right, down, degrees: " + _places(first),
        "label": None if first.label is None else list(first.label.shape[1:]),
        "model": first.model_hash or "not recorded",
    }
    return Description(
        facts=facts,
        kind=found.kind if found.is_folder else "latents",
        what=found.phrase if found.is_folder else f"{found.phrase} with latents",
        advice=f"Generate images from it: sgkit generate MODEL --latent {shell_word(path)} --out FOLDER",
    )


def _places(latents: Latents) -> str:
    rows = [] if latents.place is None else latents.place[:4].tolist()
    return "; ".join(f"{right:.3g}, {down:.3g}, {turn:.3g}" for right, down, turn in rows)


def _directions(found: FileType) -> Description:
    header = read_direction_header(found.path)
    facts: Facts = {
        "directions": len(header.names),
        "names": name_list(header.names),
        "method": header.method,
        "space": header.space,
        "layers of w+": "all" if header.layers is None else list(header.layers),
        "settings": ", ".join(f"{name} {value}" for name, value in header.settings.items())[:200],
        "model": header.model_hash,
    }
    return Description(facts=facts)


def _delta(found: FileType) -> Description:
    header = read_delta_header(found.path)
    is_whole = header.rank is None
    facts: Facts = {
        "weights": f"{header.parameters:,} numbers",
        "rank": "full: exact" if is_whole else f"{header.rank}, relative error {header.error:.3g}",
        "settings": ", ".join(f"{name} {value}" for name, value in header.settings.items())[:400],
        "model": header.model_hash,
        "tuned model": header.tuned_hash,
    }
    return Description(facts=facts)


def _encoder(found: FileType) -> Description:
    header = read_encoder_header(found.path)
    facts: Facts = {
        "space": header.space,
        "weights": f"{header.parameters:,} numbers",
        "trained": f"{header.images / 1000:g} kimg",
        "settings": ", ".join(f"{name} {value}" for name, value in header.settings.items())[:400],
        "model": header.model_hash,
    }
    return Description(facts=facts)


def _classifier(found: FileType) -> Description:
    header = read_classifier_header(found.path)
    facts: Facts = {"features": header.network}
    for head in header.heads[:40]:
        facts[head.name] = (
            f"{len(head.classes)} classes, accuracy {head.accuracy:.3f} on {head.num_held_out:,} images (guessing: "
            f"{head.chance:.3f})"
        )
    return Description(facts=facts)


def _store(found: FileType) -> Description:
    header = read_store_header(found.path)
    labels = header.labels.kind if header.labels.kind == "none" else f"{header.labels.kind}, {header.labels.dim}"
    facts: Facts = {
        "images": header.num_images,
        "size": f"{size_text(header.image_size)}, {header.image_channels} channels",
        "encoding": header.encoding,
        "labels": labels,
        "sources": ", ".join(source.given for source in header.sources)[:200],
        "hash": header.content_hash,
    }
    return Description(facts=facts)


def _image(found: FileType) -> Description:
    facts, is_ours = _image_facts(found.path)
    return _with_scene(found, facts) if is_ours else Description(facts=facts)


def _with_scene(found: FileType, facts: Facts) -> Description:
    again = f"Make it again, or change it: sgkit replay {shell_word(found.path)}"
    return Description(facts=facts, what=f"{found.phrase} made by sgkit", advice=again if "shows" in facts else None)


def _scene_file(found: FileType) -> Description:
    """A video, or a JSON file: perhaps one with a scene."""
    try:
        facts = _scene(read_sheet(found.path))
    except SgkitError:
        return Description()
    return _with_scene(found, facts)


def _image_facts(path: Path) -> tuple[Facts, bool]:
    """What the header of an image says, and whether sgkit made it; no pixel is decoded."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with open_header(path) as image:
                facts: Facts = {"size": f"{image.width}x{image.height}", "mode": image.mode, "format": image.format}
                texts = texts_of(image)
    except (UnidentifiedImageError, Image.DecompressionBombError, OSError, SyntaxError, ValueError) as error:
        return {"header": f"cannot be read ({type(error).__name__})"}, False
    if sheet_text(texts) is None:
        if texts.pop("Software", "") != "sgkit":
            return facts, False
        old = {str(key): value[:300] for key, value in list(texts.items())[:32] if isinstance(value, str)}
        return facts | {"made by": "sgkit"} | old, True
    try:
        return facts | {"made by": "sgkit"} | _scene(read_sheet(path)), True
    except SceneError as error:
        return facts | {"made by": "sgkit", "scene": str(error)}, True


def _scene(sheet: Sheet) -> Facts:
    scenes = sheet.filled
    subjects = list(dict.fromkeys(name for scene in scenes for name in scene.main()))
    psi = sorted({str(scene.subjects[name].psi) for scene in scenes for name in scene.main()})
    models = dict.fromkeys(model for scene in scenes for model in scene.models.values())
    grid = f" in a grid of {sheet.columns}x{sheet.rows}" if len(sheet.scenes) > 1 else ""
    frames = f", {sheet.frames} frames" if sheet.frames else ""
    pan = sheet.pan
    return {
        "shows": f"{name_list(subjects)}{grid}{frames}",
        "psi": ", ".join(psi[:4]),
        **({} if pan is None else {"view": f"{pan.width}x{pan.height}, moves over the panorama"}),
        "noise": ", ".join(sorted({scene.noise.kind for scene in scenes})),
        "models": [f"{model.path or 'unnamed'} ({model.hash})" for model in models],
    }


def _deep_zoom(found: FileType) -> Description:
    again = f"{found.advice} Make it again, or change it: sgkit replay {shell_word(found.path)}"
    try:
        return Description(facts=_scene(read_sheet(found.path)), advice=again)
    except SgkitError as error:
        return Description(facts={"scene": str(error)})


def _images(found: FileType) -> Description:
    """How many files a folder has at the top and one level below, a thousand of each folder at most."""
    path = found.path
    folders = [path, *sorted(child for child in path.iterdir() if child.is_dir())[:100]]
    count = sum(len(list(itertools.islice(folder.iterdir(), 1000))) for folder in folders) - len(folders) + 1
    text = f"about {count} files in {len(folders)} folder{'s' if len(folders) > 1 else ''}"
    return Description(facts={"images": text})


DESCRIBERS: dict[str, Callable[[FileType], Description]] = {
    "classifier": _classifier,
    "deep zoom": _deep_zoom,
    "delta": _delta,
    "encoder": _encoder,
    "directions": _directions,
    "images": _images,
    "images in subfolders": _images,
    "json": _scene_file,
    "npy": _latents,
    "projection": _latents,
    "projections": _latents,
    "store": _store,
    "video": _scene_file,
    **dict.fromkeys(IMAGES, _image),
}
"""Kind, of :data:`sgkit.runtime.file_kinds.PHRASES` -> what describes it. Others are told by phrase and advice."""
