"""Images from seeds and latent files: one by one, as files with a manifest, or as one grid."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from sgkit.errors import InputError
from sgkit.latents.sources import Origin, Source
from sgkit.latents.spaces import Space, convert, join, save_latents
from sgkit.model import Model
from sgkit.render.compile import Compiler
from sgkit.render.drawing import Drawing, DrawSettings, drawing, file_name, unlike
from sgkit.render.files import write_picture, write_pictures
from sgkit.render.inputs import Inputs
from sgkit.render.pictures import ImageFormat, Pixels, check_picture, grid_shape
from sgkit.render.render import Rendered, render
from sgkit.render.scene import Scene, Sheet
from sgkit.render.sheets import still_of
from sgkit.runtime.distributed import DistributedContext
from sgkit.runtime.files import atomic_path, check_new
from sgkit.runtime.progress import OnProgress, Progress, ignore_progress

MANIFEST = "manifest.json"


@dataclass(frozen=True, kw_only=True)
class GenerateResult:
    """What was written."""

    files: tuple[Path, ...]
    """Images, then latent files."""
    manifest: Path | None
    count: int
    """Images generated, by all processes."""
    seconds: float
    model_hash: str


def generate(
    model: Model | Inputs,
    sources: Source | Iterable[Source],
    settings: DrawSettings | None = None,
    *,
    batch: int = 8,
) -> Iterator[Rendered]:
    """Images, one for each seed and each latent of a file, in order; drawn ``batch`` at a time when asked for.

    ``generate(model, range(4), DrawSettings(truncation_psi=0.7))`` gives the images that NVIDIA's tools give for the
    same model, seeds and psi. ``sources`` may be endless.

    Raises:
        UsageError: label, truncation or latents do not fit the model.
        InputError: a latent file cannot be read.
    """
    on = drawing(model, settings)
    return render((_scene(on, origin) for origin in on.origins(sources)), on.inputs, batch=batch)


def _scene(on: Drawing, origin: Origin) -> Scene:
    return on.scene({origin.name: on.subject(origin)}, origin.name, seed=origin.seed)


def generate_files(
    model: Model | Inputs,
    sources: Source | Iterable[Source],
    folder: str | Path,
    settings: DrawSettings | None = None,
    *,
    image_format: ImageFormat = "png",
    latents: Space | None = None,
    batch: int = 8,
    overwrite: bool = False,
    context: DistributedContext | None = None,
    on_progress: OnProgress = ignore_progress,
) -> GenerateResult:
    """Write one file for each image into ``folder``, and ``manifest.json``, which records how each was made.

    A folder may be filled by several calls: the manifest keeps the others' rows. Several processes share the images.

    Args:
        image_format: ``png``, ``jpg`` or ``webp``.
        latents: also write each image's latents, of this space, beside it.
        overwrite: replace files of the same name; otherwise they are refused before anything is written.

    Raises:
        UsageError, InputError: as :func:`generate`; or a file exists, or the folder's manifest cannot be read.
    """
    began, on = time.perf_counter(), drawing(model, settings)
    folder, context = Path(folder), context or DistributedContext()
    entries = _read_manifest(folder / MANIFEST)
    origins = list(on.origins(sources))
    suffix = f".{image_format}"
    named = dict(zip(unlike(file_name(origin) for origin in origins), origins, strict=True))
    for name in named:
        for ending in (suffix, *(() if latents is None else (".npz",))):
            check_new(folder / f"{name}{ending}", overwrite=overwrite)
    context.barrier()  # nobody writes before all have looked
    mine = dict(list(named.items())[context.rank :: context.world_size])
    compiler, files = Compiler(on.inputs), []
    drawn = render((_scene(on, origin) for origin in mine.values()), on.inputs, batch=batch)

    def pictures() -> Iterator[tuple[Path, Pixels, Sheet]]:
        for name, one in zip(mine, drawn, strict=True):
            files.append(folder / f"{name}{suffix}")
            yield files[-1], one.pixels, Sheet(scenes=(one.scene,))
            if latents is not None:
                files.append(folder / f"{name}.npz")
                _save_latents(compiler, [one.scene], latents, files[-1])

    for done, _ in enumerate(write_pictures(pictures()), start=1):
        on_progress(Progress(done=done, total=len(mine)))
    context.barrier()
    if context.is_main:
        entries |= {f"{name}{suffix}": _facts(compiler, _scene(on, origin)) for name, origin in named.items()}
        with atomic_path(folder / MANIFEST) as temporary:
            temporary.write_text(json.dumps({"pictures": entries}, indent=2) + "\n", encoding="utf-8")
    return GenerateResult(
        files=tuple(files),
        manifest=folder / MANIFEST,
        count=len(named),
        seconds=time.perf_counter() - began,
        model_hash=on.inputs.model_hash(on.model),
    )


def generate_grid(
    model: Model | Inputs,
    sources: Source | Iterable[Source],
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
    """Write one PNG, JPEG or WebP, by the extension of ``path``, with all images in a grid, row by row.

    Args:
        shape: (columns, rows); ``None``: about square, or one row for each image in several classes or truncations.
        gap: pixels between neighbours.
        latents: also write all latents, of this space, to one file of the same name that ends in ``.npz``.
        overwrite: replace these files if they exist.

    Raises:
        UsageError, InputError: as :func:`generate`; or the grid is too small, or a file exists.
    """
    began, on, path = time.perf_counter(), drawing(model, settings), Path(path)
    check_picture(path)
    files = [path, *([] if latents is None else [path.with_suffix(".npz")])]
    for file in files:
        check_new(file, overwrite=overwrite)
    scenes = [_scene(on, origin) for origin in on.origins(sources)]
    lines = (on.variants, -(-len(scenes) // on.variants)) if on.variants > 1 else None
    columns, rows = grid_shape(len(scenes), shape or lines)
    sheet = Sheet(scenes=tuple(scenes), columns=columns, rows=rows, gap=gap)
    picture, drawn = still_of(sheet, on.inputs, batch=batch, on_progress=on_progress)
    write_picture(picture, path, drawn)
    if latents is not None:
        _save_latents(Compiler(on.inputs), scenes, latents, files[1])
    return GenerateResult(
        files=tuple(files),
        manifest=None,
        count=len(scenes),
        seconds=time.perf_counter() - began,
        model_hash=on.inputs.model_hash(on.model),
    )


def _save_latents(compiler: Compiler, scenes: Iterable[Scene], space: Space, path: Path) -> None:
    """Write the latents of scenes of one subject each."""
    parts, names = [], []
    for scene in scenes:
        (name,) = scene.main()
        subject = scene.subjects[name]
        model = compiler.inputs.model(scene, subject.model)
        parts.append(convert(compiler.latents(scene, name), model, space, psi=subject.psi, cutoff=subject.cutoff))
        names.append(name)
    save_latents(replace(join(parts), model_hash=compiler.inputs.model_hash(model), names=tuple(names)), path)


def _facts(compiler: Compiler, scene: Scene) -> dict[str, Any]:
    """How an image was made, in plain values: a row of the manifest."""
    (name,) = scene.main()
    subject, label = scene.subjects[name], compiler.label(scene, name)
    return {
        "source": name,
        "seed": getattr(subject.source, "seed", None),
        "space": compiler.space(scene, name),
        "truncation_psi": subject.psi,
        "truncation_cutoff": subject.cutoff,
        "label": None if label is None else label[0].tolist(),
        "noise": scene.noise.kind,
        "precision": scene.precision,
        "model": scene.models[subject.model].hash,
    }


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
