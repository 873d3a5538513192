"""The rows of the standard benchmark, in groups; each group is measured in a separate process.

    python -m tests.benchmarks.rows '{"group": "synthesis-256", "quick": true, "threads": 1, "peers": {}}'

prints one JSON object for each row. ``python -m tests.benchmarks`` runs the groups and writes the page.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator
from contextlib import redirect_stdout
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

Row = dict[str, Any]


@dataclass(frozen=True)
class Context:
    """What a group is measured with."""

    quick: bool
    threads: int
    peers: dict[str, str]
    folder: Path

    @property
    def ada(self) -> Path | None:
        """The folder of stylegan2-ada-pytorch."""
        return Path(self.peers["ada"]) if "ada" in self.peers else None

    def rounds(self, standard: int) -> int:
        """How many rounds are timed."""
        return max(standard // 3, min(standard, 1)) if self.quick else standard


def row(name: str, measured: dict[str, Any], *, unit: str, base: str, flops: float | None = None) -> Row:
    """A row of the results.

    Args:
        name: what is measured.
        measured: what :func:`tests.benchmarks.timing.compare` returns.
        unit: of which times are given.
        base: the alternative that others are compared with.
        flops: arithmetic of the convolutions of one unit.
    """
    return {"name": name, "unit": unit, "base": base, "flops": flops, **measured}


def ceilings(context: Context) -> Iterator[Row]:
    """What the machine can do."""
    from tests.benchmarks import machine

    yield {"name": "ceilings", **machine.ceilings(quick=context.quick)}


def synthesis(size: int, channel_base: int, batches: tuple[int, ...], rounds: int, context: Context) -> Iterator[Row]:
    """Images from w+."""
    import torch

    from sgkit.runtime.precision import autocast
    from tests.benchmarks import flops
    from tests.benchmarks.bench_synthesis import their_generator
    from tests.benchmarks.contestants import checked, config_f, engines

    model = config_f(size, channel_base)
    ours = model.generator.eval().requires_grad_(False)
    theirs: Any = their_generator(context.ada, ours) if context.ada else None
    others = engines(model, context.threads)
    cpu = torch.device("cpu")

    def own(precision: Any, ws: torch.Tensor) -> torch.Tensor:
        with torch.inference_mode(), autocast(precision, cpu):
            return ours.synthesis(ws)

    def ada(ws: torch.Tensor) -> torch.Tensor:
        with torch.no_grad():
            return theirs.synthesis(ws, noise_mode="const")

    for batch in batches:
        ws = ours.mapping(torch.randn(batch, model.config.z_dim))
        expected = own("fp32", ws).clone()
        runs: dict[str, Callable[[], torch.Tensor]] = {"ada fp32": partial(ada, ws)} if theirs else {}
        runs |= {f"sgkit {precision}": partial(own, precision, ws) for precision in ("fp32", "bf16")}
        runs |= {name: partial(run, ws) for name, run in others.items()}
        functions = {name: checked(run, expected, name.split()[-1]) for name, run in runs.items()}
        yield row(
            f"synthesis {size} px, channel base {channel_base}, batch {batch}",
            compare(functions, rounds=context.rounds(rounds if batch == 1 else rounds // 3), per=batch),
            unit="image",
            base="ada fp32",
            flops=flops.forward(ours.synthesis.plan),
        )


def training(size: int, batch: int, channel_base: int, rounds: int, context: Context) -> Iterator[Row]:
    """A step of training, phase by phase, as milliseconds for each image."""
    import torch

    from sgkit.config import DiscriminatorConfig, ModelConfig, SynthesisConfig
    from sgkit.model import build
    from tests.benchmarks import bench_training as bench
    from tests.benchmarks import flops

    channels = {"channel_base": channel_base}
    config = ModelConfig(
        image_size=(size, size),
        synthesis=SynthesisConfig(**channels),
        discriminator=DiscriminatorConfig(**channels),
    )
    model = build(config, seed=1)
    assert model.discriminator is not None
    stream = bench.our_stream(context.folder, size, batch)
    reals = next(stream).images.to(torch.float32) / 127.5 - 1.0
    contestants: dict[str, bench.Phases] = {}
    if context.ada:
        theirs = bench.Theirs(context.ada, build(config, seed=1))
        bench.check(build(config, seed=1), theirs, reals)
        contestants["ada fp32"] = theirs.phases(reals, bench.their_stream(context.folder, size, batch))
    for precision in ("fp32", "bf16"):
        contestants[f"sgkit {precision}"] = bench.our_phases(build(config, seed=1), reals, stream, precision)
    steps: dict[str, list[float]] = {}
    memory: dict[str, float | None] = {}
    for phase, share in bench.SHARES.items():
        functions = {name: phases[phase] for name, phases in contestants.items()}
        found = compare(functions, rounds=context.rounds(rounds), per=batch)
        for name, one in found["alternatives"].items():
            sums = steps.setdefault(name, [0.0] * len(one["times"]))
            steps[name] = [total + share * value for total, value in zip(sums, one["times"], strict=True)]
            memory[name] = max(memory.get(name) or 0.0, one["memory"] or 0.0)
    measured = {
        "alternatives": {name: {"times": times, "memory": memory[name]} for name, times in steps.items()},
        "failed": {},
        "clock": "cpu",
        "rounds": context.rounds(rounds),
    }
    yield row(
        f"training step {size} px, batch {batch}",
        measured,
        unit="image",
        base="ada fp32",
        flops=flops.training_step(
            flops.forward(model.generator.synthesis.plan), flops.forward(model.discriminator.plan)
        ),
    )


def projection(size: int, rounds: int, steps: int, context: Context) -> Iterator[Row]:
    """A step of a search in w+, comparing pixels or features of D."""
    from tests.benchmarks import bench_project as bench
    from tests.benchmarks import flops
    from tests.benchmarks.contestants import config_f

    model = config_f(size, bench.CHANNEL_BASE)
    assert model.discriminator is not None
    target = model.synthesize(model.map(model.sample_z([5]))).clamp(-1, 1)
    g, d = flops.forward(model.generator.synthesis.plan), flops.forward(model.discriminator.plan)
    for loss, counted in (("pixels", flops.projection_step(g)), ("features", flops.projection_step(g, d))):
        searches: dict[str, bench.Search] = {}
        if context.ada:
            searches["ada fp32"] = bench.their_search(context.ada, model, loss, target)
        for precision in ("fp32", "bf16"):
            searches[f"sgkit {precision}"] = bench.our_search(model, loss, target.clone(), precision)
        with redirect_stdout(sys.stderr):
            found = bench.seconds_per_step(searches, steps=steps, rounds=context.rounds(rounds))
        alternatives = {name: {"times": times, "memory": None} for name, times in found.items()}
        shown = {"pixels": "pixels", "features": "features of D"}[loss]
        measured = {"alternatives": alternatives, "failed": {}, "clock": "cpu", "rounds": context.rounds(rounds)}
        yield row(f"projection {size} px, {shown}", measured, unit="step", base="ada fp32", flops=counted)


def panorama(context: Context) -> Iterator[Row]:
    """The panorama in tiles against the paper's way: pairs that are drawn alone, cut and pasted."""
    from tests.benchmarks import bench_panorama as bench
    from tests.benchmarks import flops

    model = bench.model_of(256, bench.CHANNEL_BASE)
    model.generator.requires_grad_(False)
    forward = flops.forward(model.generator.synthesis.plan)
    for anchors in (4,) if context.quick else (4, 20):
        for precision in ("fp32", "bf16"):
            functions = {
                f"pairs {precision}": partial(_pairs, model, anchors, precision),
                f"sgkit {precision}": partial(bench.plane, model, anchors, 1, tile=bench.TILE, precision=precision),
            }
            yield row(
                f"panorama of {anchors} anchors, {precision}",
                compare(functions, rounds=0 if anchors > 4 else context.rounds(3), per=anchors * 256**2 / 1e6),
                unit="megapixel",
                base=f"pairs {precision}",
                flops=forward * 1e6 / 256**2,
            )


def _pairs(model: Any, anchors: int, precision: Any) -> object:
    import torch

    from sgkit.runtime.precision import autocast
    from tests.benchmarks.bench_panorama import pairs

    with autocast(precision, torch.device("cpu")):
        return pairs(model, anchors)


def preparing(context: Context) -> Iterator[Row]:
    """Stores from image files, against a bare Pillow loop over the same files."""
    from sgkit.runtime.outputs import PNG_SETTINGS
    from tests.benchmarks import bench_prepare as bench

    script = context.folder / "ours.py"
    script.write_text(bench.OURS)
    sources = {
        "prepare PNG files of 256 px to 128 px": (bench.small_pngs, 300 if context.quick else 1500, 128),
        "prepare JPEG files of 12 megapixels to 256 px": (bench.large_jpegs, 3 if context.quick else 12, 256),
    }
    for name, (make, count, size) in sources.items():
        archive = context.folder / f"{size}.zip"
        make(count, archive, None)
        commands = {
            label: [sys.executable, "-c", bench.BARE, str(archive), "OUT", str(size), repr(settings)]
            for label, settings in (("bare Pillow", {}), ("bare Pillow, sgkit's PNG settings", PNG_SETTINGS))
        }
        for workers in (1, 2):
            words = [str(script), str(archive), "OUT", str(size), str(workers), "png"]
            commands[f"sgkit, {workers} worker{'s'[: workers - 1]}"] = [sys.executable, *words]
        measured = _processes(commands, context, rounds=1 if context.quick else 2, per=count)
        yield row(name, measured, unit="image", base="bare Pillow")


def _processes(commands: dict[str, list[str]], context: Context, *, rounds: int, per: float = 1.0) -> dict[str, Any]:
    """Seconds on the clock and memory of processes that run in turn, on all cores; OUT in a command is a new path."""
    import compileall

    import sgkit
    from tests.benchmarks.bench_prepare import Measured

    compileall.compile_dir(Path(sgkit.__file__).parent, quiet=2)  # as pip does where sgkit is installed
    environment = {name: value for name, value in os.environ.items() if name != "OMP_NUM_THREADS"}
    found: dict[str, dict[str, Any]] = {name: {"times": [], "memory": 0} for name in commands}
    failed: dict[str, str] = {}
    for index in range(rounds):
        for number, (name, command) in enumerate(commands.items()):
            out = str(context.folder / f"out{number}-{index}-{len(list(context.folder.iterdir()))}")
            if name in failed:
                continue
            try:
                one = Measured([word.replace("OUT", out) for word in command], environment=environment)
            except SystemExit as error:
                failed[name] = str(error).strip().splitlines()[-1][:200]
                del found[name]
                continue
            found[name]["times"].append(round(one.seconds / per, 6))
            found[name]["memory"] = max(found[name]["memory"], round(one.peak))
    return {"alternatives": found, "failed": failed, "clock": "clock", "rounds": rounds}


ADA_SAVE = """
import copy, pickle, sys
import torch
sys.path.insert(0, sys.argv[1])
from training.networks import Discriminator, Generator
size = int(sys.argv[3])
made = Generator(z_dim=512, c_dim=0, w_dim=512, img_resolution=size, img_channels=3, mapping_kwargs={"num_layers": 8})
with open(sys.argv[2], "wb") as file:
    critic = Discriminator(c_dim=0, img_resolution=size, img_channels=3)
    pickle.dump({"G": made, "D": critic, "G_ema": copy.deepcopy(made), "training_set_kwargs": None}, file)
"""
ADA_FIRST = """
import sys
sys.path.insert(0, sys.argv[1])
import numpy as np, PIL.Image, torch, legacy
with open(sys.argv[2], "rb") as file:
    network = legacy.load_network_pkl(file)["G_ema"]
z = torch.from_numpy(np.random.RandomState(0).randn(1, network.z_dim))
image = network(z, torch.zeros(1, 0), truncation_psi=0.7, noise_mode="const")
pixels = (image.permute(0, 2, 3, 1) * 127.5 + 128).clamp(0, 255).to(torch.uint8)
PIL.Image.fromarray(pixels[0].numpy()).save(sys.argv[3] + ".png")
"""
SGKIT = [sys.executable, "-m", "sgkit"]


def loading(context: Context) -> Iterator[Row]:
    """From nothing to the first image; imports."""
    import sgkit
    from tests.benchmarks.contestants import config_f

    rounds = 1 if context.quick else 3
    imports = {
        "import torch": [sys.executable, "-c", "import torch"],
        "sgkit, ready to load and draw": [
            sys.executable,
            "-c",
            "import sgkit; sgkit.load; from sgkit.render.generate import generate_files",
        ],
        "import sgkit": [sys.executable, "-c", "import sgkit"],
    }
    measured = _processes(imports, context, rounds=rounds)
    yield row("imports", measured, unit="start", base="import torch")
    size = 1024
    sgkit.save(config_f(size, 32768), context.folder / "large.safetensors")
    words = ["generate", str(context.folder / "large.safetensors"), "--seeds", "0", "--out", "OUT.png"]
    commands = {}
    if context.ada:
        pickle = str(context.folder / "large.pkl")
        _processes({"save": [sys.executable, "-c", ADA_SAVE, str(context.ada), pickle, str(size)]}, context, rounds=1)
        commands["ada"] = [sys.executable, "-W", "ignore", "-c", ADA_FIRST, str(context.ada), pickle, "OUT"]
    commands["sgkit"] = [*SGKIT, *words]
    yield row(
        f"{size} px model to the first image", _processes(commands, context, rounds=rounds), unit="image", base="ada"
    )


BARE_DRAW = """
import sys
import torch
from pathlib import Path
from PIL import Image
import sgkit
from sgkit.runtime.allocator import keep_freed_memory
if __name__ == "__main__":
    keep_freed_memory()
    model, count, out = sgkit.load("landscapes"), int(sys.argv[1]), Path(sys.argv[2])
    out.mkdir()
    labels = torch.eye(model.config.label_dim)
    for first in range(0, count, 8):
        seeds = range(first, min(first + 8, count))
        with torch.inference_mode():
            images = model.synthesize(model.map(model.sample_z(seeds), labels[[seed % 16 for seed in seeds]]))
        pixels = (images * 127.5 + 128).clamp(0, 255).byte().permute(0, 2, 3, 1).numpy()
        for seed, image in zip(seeds, pixels):
            Image.fromarray(image).save(out / f"{seed}.png")
"""


def many(context: Context) -> Iterator[Row]:
    """A folder of images from start to end, and a video."""
    count = 100 if context.quick else 1000
    words = ["generate", "landscapes", "--class", "random", "--seeds", f"0-{count - 1}", "--out", "OUT"]
    commands = {
        "a loop: draw a batch, save it with Pillow": [sys.executable, "-c", BARE_DRAW, str(count), "OUT"],
        "sgkit": [*SGKIT, *words],
    }
    measured = _processes(commands, context, rounds=1, per=count)
    yield row(f"generate {count:,} images of 128 px", measured, unit="image", base=next(iter(commands)))
    frames = 60 if context.quick else 240
    words = ["interpolate", "landscapes", "--class", "5", "--seeds", "0-3", "--frames", str(frames)]
    commands = {suffix: [*SGKIT, *words, "--out", f"OUT.{suffix}"] for suffix in ("mp4", "webp", "gif")}
    yield row(
        f"a video of {frames} frames of 128 px",
        _processes(commands, context, rounds=1, per=frames),
        unit="frame",
        base="mp4",
    )


def writing(context: Context) -> Iterator[Row]:
    """PNG files."""
    import io

    import numpy as np
    from PIL import Image

    from sgkit.render.files import png_bytes
    from sgkit.store.landscapes.sample import landscape

    for size in (256, 1024):
        pixels = np.ascontiguousarray(landscape(1, size=(size, size))[0])
        image = Image.fromarray(pixels)
        functions: dict[str, Callable[[], object]] = {
            "Pillow's own settings": lambda image=image: image.save(io.BytesIO(), "PNG"),
            "sgkit": partial(png_bytes, pixels),
        }
        measured = compare(functions, rounds=context.rounds(9))
        yield row(f"write a PNG of {size} px", measured, unit="image", base="Pillow's own settings")


def compare(*args: Any, **options: Any) -> dict[str, Any]:
    """:func:`tests.benchmarks.timing.compare`; what peers print goes to the error stream."""
    from tests.benchmarks import timing

    with redirect_stdout(sys.stderr):
        return timing.compare(*args, **options)


GROUPS: dict[str, Callable[[Context], Iterator[Row]]] = {
    "ceilings": ceilings,
    "synthesis-256": partial(synthesis, 256, 16384, (1, 4), 9),
    "synthesis-256-wide": partial(synthesis, 256, 32768, (1,), 5),
    "synthesis-1024": partial(synthesis, 1024, 32768, (1,), 3),
    "training-64": partial(training, 64, 8, 4096, 2),
    "training-256": partial(training, 256, 4, 16384, 0),
    "project-64": partial(projection, 64, 3, 6),
    "project-256": partial(projection, 256, 1, 2),
    "panorama": panorama,
    "prepare": preparing,
    "loading": loading,
    "many": many,
    "write": writing,
}
"""Name -> what measures its rows."""
NOT_QUICK = ("synthesis-256-wide", "training-256", "project-256")
"""Groups that a quick run leaves out."""


def main() -> None:
    """Measure the group that the JSON in the first argument names."""
    given = json.loads(sys.argv[1])
    warnings.filterwarnings("ignore")  # the code of others is old
    os.environ["OMP_NUM_THREADS"] = str(given["threads"])
    import torch

    from sgkit.runtime.allocator import keep_freed_memory

    torch.set_num_threads(given["threads"])
    keep_freed_memory()
    with tempfile.TemporaryDirectory() as folder:
        context = Context(given["quick"], given["threads"], given["peers"], Path(folder))
        for found in GROUPS[given["group"]](context):
            print(json.dumps(found), flush=True)


if __name__ == "__main__":
    main()
