"""``sgkit replay``."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from sgkit.cli import report
from sgkit.cli.drawing import BatchOption
from sgkit.cli.groups import flatten_options
from sgkit.cli.options import FixedRunOptions, SetOption, SizeOption, overrides, parse_existing, parse_model
from sgkit.cli.streaming import MOST_PIXELS, MaxPixelsOption
from sgkit.errors import SceneError, UsageError, did_you_mean
from sgkit.runtime.model_names import find_model
from sgkit.runtime.outputs import STILLS, STREAMED
from sgkit.text import shell_word

if TYPE_CHECKING:
    from sgkit.render.replay import ReplayResult
    from sgkit.render.scene import ModelRef


class Moved(NamedTuple):
    """Where a model is, and the key under which a scene names it."""

    key: str | None
    path: Path


def parse_moved(text: str | Moved) -> Moved:
    """A model from ``MODEL`` or ``KEY=MODEL``.

    Raises:
        InputError: the model is missing.
    """
    if isinstance(text, Moved):
        return text
    match = re.fullmatch(r"([A-Za-z_]\w*)=(.+)", text, re.DOTALL)
    if match and not Path(text).exists():
        return Moved(match[1], parse_model(match[2]))
    return Moved(None, parse_model(text))


@flatten_options
def replay(
    file: Annotated[
        Path,
        typer.Argument(
            metavar="FILE", parser=parse_existing, help="An image or animation made by sgkit, or a scene as .json."
        ),
    ],
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="FILE", help="Output file.", show_default="FILE-replay with its extension"),
    ] = None,
    model: Annotated[
        list[Moved] | None,
        typer.Option(
            "--model",
            parser=parse_moved,
            metavar="[KEY=]MODEL",
            help="The model, if it is not where it was last seen. A scene with several models names each by its key, "
            "for example --model target=toon.safetensors.",
        ),
    ] = None,
    any_model: Annotated[
        bool, typer.Option("--any-model", help="Also accept a model other than the one the image was made with.")
    ] = False,
    settings: SetOption = None,
    size: SizeOption = None,
    show: Annotated[bool, typer.Option("--show", help="Print the scene as JSON and make nothing.")] = False,
    batch: BatchOption = 8,
    max_pixels: MaxPixelsOption = MOST_PIXELS,
    *,
    run: FixedRunOptions,
) -> None:
    """Make an image or animation again from the scene in its file, unchanged or with other settings.

    On the same device the result is the same to the last bit. --set psi=0.5 changes all subjects; other keys are those
    that --show prints, for example --set noise.kind=none.
    """
    from sgkit.runtime.allocator import bound_primitive_cache

    bound_primitive_cache()
    from sgkit.render.files import json_values, read_sheet
    from sgkit.render.replay import edited, models_of
    from sgkit.runtime.files import check_new

    sheet = edited(read_sheet(file), overrides(None, settings or []), size=size)
    if show:
        report.emit(json_values(sheet), json=True, show=lambda values: None)
        return
    target = out or _beside(file, animated=sheet.frames > 0)
    check_new(target, overwrite=run.force, resumable=True)
    sources = _found(models_of(sheet), model or [], file)
    import sgkit
    from sgkit.render.inputs import Inputs
    from sgkit.render.replay import replay as replayed
    from sgkit.runtime.device import resolve_device

    with report.progress_bar("Rendering") as on_progress:
        opened = {key: sgkit.load(path, device=resolve_device(run.device)) for key, path in sources.items()}
        models = next(iter(opened.values())) if len(opened) == 1 else opened
        paths = next(iter(sources.values())) if len(opened) == 1 else sources
        inputs = Inputs(models, path=paths, folder=file.parent, any_model=any_model)
        result = replayed(
            sheet,
            inputs,
            target,
            batch=batch,
            max_pixels=max_pixels,
            overwrite=run.force,
            on_progress=on_progress,
            on_note=report.note,
        )
    report.emit(result, json=run.json, show=_show)


def _beside(file: Path, *, animated: bool) -> Path:
    if file.name.endswith("_dzi"):
        return file.with_name(f"{file.name[:-4]}-replay_dzi")
    suffix = file.suffix if animated or file.suffix.lower() in (*STREAMED, *STILLS) else ".png"
    return file.with_name(f"{file.stem}-replay{suffix}")


def _found(wanted: dict[str, ModelRef], given: list[Moved], file: Path) -> dict[str, Path]:
    """A path for every key: those given, and where the others were last seen.

    Raises:
        UsageError: a key is not in the scene, or several models were given without keys.
        SceneError: a model is not there.
    """
    keys = list(wanted)
    paths: dict[str, Path] = {}
    for key, path in given:
        if key is None and len(keys) > 1:
            raise UsageError(
                f"The scene has {len(keys)} models; say which one {path} is: "
                f"{' or '.join(f'--model {one}={path}' for one in keys)}."
            )
        if key is not None and key not in keys:
            raise UsageError(f"The scene has no model called {key!r}. {did_you_mean(key, keys)}")
        paths[key or keys[0]] = path
    return {key: paths[key] if key in paths else _last_seen(ref, key, file, len(keys)) for key, ref in wanted.items()}


def _last_seen(model: ModelRef, key: str, file: Path, count: int) -> Path:
    """Where a scene's model was last seen.

    Raises:
        SceneError: it is not there.
    """
    found = find_model(model.path, file.parent) if model.path else None
    if found is not None:
        return found
    known = f" with the hash {model.hash[:12]}" if model.hash else ""
    seen = f", last seen at {model.path}" if model.path else ""
    raise SceneError(
        f"The image was made with a model{known}{seen}, which is not there. Name it: "
        f"sgkit replay {shell_word(file)} --model {f'{key}=' if count > 1 else ''}MODEL"
    )


def _show(result: ReplayResult) -> None:
    what = f"{result.frames} frames" if result.frames else f"{result.scenes} image{'s' * (result.scenes != 1)}"
    report.out(f"{what} in {result.file} ({report.duration(result.seconds)})")
