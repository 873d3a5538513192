"""``sgkit info``."""

from __future__ import annotations

import json as text
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sgkit.cli import report
from sgkit.cli.given import Given
from sgkit.cli.options import ImageSizeOption, JsonOption, parse_any

if TYPE_CHECKING:
    from sgkit.tasks.info import FileSummary, LayerSummary, ModelSummary

MOST_TEXT = 100


def info(
    context: typer.Context,
    file: Annotated[
        Path,
        typer.Argument(
            metavar="FILE",
            parser=parse_any,
            help="A model (or its name), run folder, foreign checkpoint, store, latent file, image, or any other file.",
        ),
    ],
    layers: Annotated[bool, typer.Option("--layers/--no-layers", help="List the layers of every network.")] = True,
    size: ImageSizeOption = None,
    json: JsonOption = False,
) -> None:
    """Show what a file or folder is. For a model: configuration, layers, parameters, training, provenance, hash.

    Nothing in the file is executed.
    """
    from sgkit.tasks.info import ModelSummary
    from sgkit.tasks.info import info as examine

    given, summary = Given(context), examine(file, image_size=size)
    if not isinstance(summary, ModelSummary):
        given.refuse("layers", "size", when=True, because=f"it is about models, and {summary.path} is {summary.what}")
    if isinstance(summary, ModelSummary) and not layers:
        summary = replace(summary, networks=tuple(replace(one, layers=()) for one in summary.networks))
    report.emit(summary, json=json, show=lambda found: _show(found, layers=layers))


def _show(found: ModelSummary | FileSummary, *, layers: bool) -> None:
    from sgkit.tasks.info import ModelSummary

    if isinstance(found, ModelSummary):
        _show_model(found, layers=layers)
        return
    size = {} if found.bytes is None else {"size": f"{found.bytes:,} bytes"}
    report.facts({"what": found.what, **size, **_flat(found.facts)}, title=str(found.path))
    if found.advice:
        report.note(found.advice)


def _show_model(found: ModelSummary, *, layers: bool) -> None:
    for warning in found.warnings:
        report.warning(warning)
    config = found.config
    height, width = config.image_size
    written = f"sgkit {found.sgkit_version}" if found.sgkit_version else found.kind
    report.facts(
        {
            "written by": written,
            "size": f"{found.bytes / 2**20:.1f} MiB",
            "images": f"{width}x{height}, {config.image_channels} channels",
            "latents": f"z {config.z_dim}, w {config.w_dim}, {found.num_ws} w in w+, label {config.label_dim}",
            "trained": f"{found.kimg:g} kimg" + (f", grown to lod {found.lod:g}" if found.lod else ""),
            "hash": found.content_hash,
        },
        title=str(found.path),
    )
    report.out("")
    report.facts(_flat(config.to_dict()), title="Configuration")
    if found.provenance:
        report.out("")
        report.facts(_flat(found.provenance), title="Provenance")
    for network in found.networks:
        report.out("")
        title = f"{network.name}: {network.parameters:,} parameters"
        if layers:
            columns = ["layer", "kind", "output", "weight", "parameters"]
            report.table(columns, [_row(layer) for layer in network.layers], title=title)
        else:
            report.out(title)


def _row(layer: LayerSummary) -> list[object]:
    channels, *sides = layer.output
    output = f"{channels} x {sides[1]}x{sides[0]}" if sides else str(channels)
    weight = layer.tensors.get("weight", layer.tensors.get("const", ()))
    return [layer.name, layer.kind, output, "x".join(map(str, weight)), layer.parameters]


def _flat(values: dict[str, Any], prefix: str = "") -> dict[str, object]:
    """Nested tables as dotted names; long texts are cut."""
    flat: dict[str, object] = {}
    for key, value in values.items():
        if isinstance(value, dict) and value:
            flat.update(_flat(value, f"{prefix}{key}."))
        else:
            shown = value if isinstance(value, str) else text.dumps(value)
            flat[prefix + key] = shown if len(shown) <= MOST_TEXT else shown[:MOST_TEXT] + "..."
    return flat
