"""Pictures from seeds and latent files: one by one, as files with a manifest, or as one grid."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

from sgkit.errors import InputError, UsageError
from sgkit.latents.sources import DrawSettings, Origin, Source, draw, origin_latents, read_origins
from sgkit.latents.spaces import Latents, Space, convert, join, save_latents
from sgkit.model import Model
from sgkit.render.pictures import Pixels, arrange, grid_shape, to_pixels, write_png
from sgkit.runtime.distributed import DistributedContext
from sgkit.runtime.files import atomic_path, check_new
from sgkit.runtime.progress import OnProgress, Progress, ignore_progress

MANIFEST = "manifest.json"


class Sample(NamedTuple):
    """A picture and the seed that it came from."""

    seed: int | None
    """``None`` for a latent file."""
    image: Pixels
    """uint8 [H, W, C]."""


@dataclass(frozen=True, kw_only=True)
class GenerateResult:
    """What was written."""

    files: tuple[Path, ...]
    """Pictures, then latent files."""
    manifest: Path | None
    count: int
    """Pictures drawn, by all processes."""
    seconds: float
    model_hash: str


def generate(
    model: Model, sources: Iterable[Source], settings: DrawSettings | None = None, *, batch: int = 8
) -> Iterator[Sample]:
    """Samples, one for each seed and each latent of a file, in order; drawn ``batch`` at a time when asked for.

    ``generate(model, range(4), DrawSettings(truncation_psi=0.7))`` draws the pictures that NVIDIA's tools draw for the
    same model, seeds and psi. ``sources`` may be endless.

    Raises:
        UsageError: label, truncation or latents do not fit the model.
        InputError: a latent file cannot be read.
    """
    settings = settings or DrawSettings()
    for origin, image in _drawn(model, read_origins(sources, model, settings), settings, batch):
        yield Sample(origin.seed, image)


def generate_files(
    model: Model,
    sources: Iterable[Source],
    folder: str | Path,
    settings: DrawSettings | None = None,
    *,
    latents: Space | None = None,
    batch: int = 8,
    overwrite: bool = False,
    context: DistributedContext | None = None,
    on_progress: OnProgress = ignore_progress,
) -> GenerateResult:
    """Write one PNG for each image into ``folder``, and ``manifest.json``, which records how each was made.

    A folder may be filled by several calls: the manifest keeps the others' rows. Every PNG also holds its own row, as
    text. Several processes share the images.

    Args:
        latents: also write each image's latents, of this space, beside it.
        overwrite: replace files of the same name; otherwise they are refused before anything is written.

    Raises:
        UsageError, InputError: as :func:`generate`; or a file exists, or the folder's manifest cannot be read.
    """
    settings, folder, context = settings or DrawSettings(), Path(folder), context or DistributedContext()
    began, model_hash = time.perf_counter(), model.content_hash()
    entries = _read_manifest(folder / MANIFEST)
    named = _with_file_names(read_origins(sources, model, settings))
    for name in named:
        for suffix in (".png", *(() if latents is None else (".npz",))):
            check_new(folder / f"{name}{suffix}", overwrite=overwrite)
    context.barrier()  # nobody writes before all have looked
    mine = dict(list(named.items())[context.rank :: context.world_size])
    files, images = [], _drawn(model, mine.values(), settings, batch)
    for done, (name, (origin, image)) in enumerate(zip(mine, images, strict=True), start=1):
        with atomic_path(folder / f"{name}.png") as aside:
            write_png(image, aside, text=_text(_facts(model, origin, settings, model_hash)))
        files.append(folder / f"{name}.png")
        if latents is not None:
            save_latents(_latents(model, [origin], settings, latents, model_hash), folder / f"{name}.npz")
            files.append(folder / f"{name}.npz")
        on_progress(Progress(done=done, total=len(mine)))
    context.barrier()
    if context.is_main:
        entries |= {f"{name}.png": _facts(model, origin, settings, model_hash) for name, origin in named.items()}
        with atomic_path(folder / MANIFEST) as aside:
            aside.write_text(json.dumps({"pictures": entries}, indent=2) + "\n", encoding="utf-8")
    return GenerateResult(
        files=tuple(files),
        manifest=folder / MANIFEST,
        count=len(named),
        seconds=time.perf_counter() - began,
        model_hash=model_hash,
    )


def generate_grid(
    model: Model,
    sources: Iterable[Source],
    path: str | Path,
    settings: DrawSettings | None = None,
    *,
    shape: tuple[int, int] | None = None,
    gap: int = 0,
    latents: Space | None = None,
    batch: int = 8,
    overwrite: bool = False,
    on_progress: OnProgress = ignore_progress,
) -> GenerateResult:
    """Write one PNG with all images in a grid, row by row; how it was made is in it as text.

    Args:
        shape: (columns, rows); ``None``: about square.
        gap: pixels between neighbours.
        latents: also write all latents, of this space, to one file of the same name that ends in ``.npz``.
        overwrite: replace these files if they exist.

    Raises:
        UsageError, InputError: as :func:`generate`; or the grid is too small, or a file exists.
    """
    settings, path = settings or DrawSettings(), Path(path)
    for file in (path, *(() if latents is None else (path.with_suffix(".npz"),))):
        check_new(file, overwrite=overwrite)
    began, model_hash = time.perf_counter(), model.content_hash()
    origins = list(read_origins(sources, model, settings))
    shape = grid_shape(len(origins), shape)

    def pictures() -> Iterator[Pixels]:
        for done, (_, image) in enumerate(_drawn(model, origins, settings, batch), start=1):
            on_progress(Progress(done=done, total=len(origins)))
            yield image

    picture = arrange(pictures(), shape, gap=gap)
    rows = [_facts(model, origin, settings, model_hash) for origin in origins]
    facts = {key: _common([row[key] for row in rows]) for key in rows[0]}
    with atomic_path(path) as aside:
        write_png(picture, aside, text=_text({**facts, "grid": f"{shape[0]}x{shape[1]}"}))
    files = [path]
    if latents is not None:
        save_latents(_latents(model, origins, settings, latents, model_hash), path.with_suffix(".npz"))
        files.append(path.with_suffix(".npz"))
    return GenerateResult(
        files=tuple(files),
        manifest=None,
        count=len(origins),
        seconds=time.perf_counter() - began,
        model_hash=model_hash,
    )


# ---------------------------------------------------------------------------------------------- drawing


def _drawn(
    model: Model, origins: Iterable[Origin], settings: DrawSettings, batch: int
) -> Iterator[tuple[Origin, Pixels]]:
    if batch < 1:
        raise UsageError(f"batch is {batch}; it must be 1 or more.")
    rest = iter(origins)
    while chunk := list(islice(rest, batch)):
        yield from zip(chunk, to_pixels(draw(model, chunk, settings)), strict=True)


def _latents(model: Model, origins: Sequence[Origin], settings: DrawSettings, space: Space, model_hash: str) -> Latents:
    psi, cutoff = settings.truncation_psi, settings.truncation_cutoff
    parts = [
        convert(origin_latents(model, origin, settings), model, space, psi=psi, cutoff=cutoff) for origin in origins
    ]
    return replace(join(parts), model_hash=model_hash, names=tuple(origin.name for origin in origins))


def _with_file_names(origins: Iterable[Origin]) -> dict[str, Origin]:
    """Origins by names that are fit for files and unlike each other: latent files may bring any names."""
    named: dict[str, Origin] = {}
    for origin in origins:
        base = re.sub(r"[^\w.-]", "_", origin.name).lstrip(".") or "latent"
        name, count = base, 1
        while name in named:
            count += 1
            name = f"{base}-{count}"
        named[name] = origin
    return named


# ---------------------------------------------------------------------------------------------- records


def _facts(model: Model, origin: Origin, settings: DrawSettings, model_hash: str) -> dict[str, Any]:
    """How a picture was made, in plain values."""
    mapped = origin.space == "z"
    label = origin_latents(model, origin, settings).label if mapped else None
    return {
        "source": origin.name,
        "seed": origin.seed,
        "space": origin.space,
        "truncation_psi": settings.truncation_psi if mapped else 1.0,
        "truncation_cutoff": settings.truncation_cutoff if mapped else None,
        "label": None if label is None else label[0].tolist(),
        "noise": settings.noise,
        "precision": settings.precision,
        "model": model_hash,
    }


def _common(values: list[Any]) -> Any:
    """The value that all share, or all of them."""
    return values[0] if all(value == values[0] for value in values) else values


def _text(facts: dict[str, Any]) -> dict[str, str]:
    """PNG text for ``facts``: what is ``None`` is left out, lists are JSON."""
    plain = {key: value for key, value in facts.items() if value is not None}
    texts = {key: value if isinstance(value, str) else json.dumps(value) for key, value in plain.items()}
    return {"Software": "sgkit", **texts}


def _read_manifest(path: Path) -> dict[str, Any]:
    try:
        pictures = json.loads(path.read_text(encoding="utf-8"))["pictures"]
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except (json.JSONDecodeError, UnicodeDecodeError, KeyError, TypeError):
        pictures = None
    if not isinstance(pictures, dict):
        raise InputError(f"{path} was not written by sgkit generate. Choose a different folder, or remove that file.")
    return pictures
