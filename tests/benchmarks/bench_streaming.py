"""Times panoramas that are written tile by tile against whole ones, and measures their peak memory.

    python -m tests.benchmarks.bench_streaming time --size 4096x512 --tiles 512,1024 --rounds 3
    python -m tests.benchmarks.bench_streaming memory --sizes 4000x4000,200000x4000 --format png

``time``: the packaged model landscapes, one anchor for each 128 x 128 pixels, one thread; drawn in one window and
written by Pillow, and streamed, in turn A B A B ..., so that a busy machine slows all alike. Medians of seconds on the
clock and of the processor. ``memory``: each image in a process of its own, by a network of 16 px and 8 channels that is
fast enough for large ones; the peak of its resident memory.
"""

from __future__ import annotations

import argparse
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path


def scene(width: int, height: int, *, anchor: int, tile: int, **changes: object) -> object:
    """An endless panorama with an anchor for each ``anchor`` pixels."""
    from sgkit.render.grid import Endless, Grid
    from sgkit.render.scene import Scene, Subject

    columns, rows = max(width // anchor, 1), max(height // anchor, 1)
    grid = Grid(kind="grid", of=("world",), columns=columns, rows=rows, tile=tile)
    label = changes.pop("label", None)
    subjects = {"world": Subject(source=Endless(endless=1), label=label)}
    return Scene(subjects=subjects, arrangement=grid, size=(height, width), **changes)


def measure_time(width: int, height: int, tiles: list[int], rounds: int) -> None:
    import torch

    import sgkit
    from sgkit.render.files import write_picture
    from sgkit.render.inputs import Inputs
    from sgkit.render.render import render
    from sgkit.render.scene import Sheet
    from sgkit.render.stream.scenes import stream_scene

    torch.set_num_threads(1)
    inputs = Inputs(sgkit.load("landscapes"))
    seconds: dict[int, list[tuple[float, float]]] = {side: [] for side in (0, *tiles)}
    with tempfile.TemporaryDirectory() as folder:
        for index in range(rounds):
            for side, found in seconds.items():
                path = Path(folder) / f"{index}-{side}.png"
                one = scene(width, height, anchor=128, tile=side or 1 << 14, label=5)
                clock, cpu = time.perf_counter(), time.process_time()
                if side:
                    stream_scene(Sheet(scenes=(one,)), inputs, path)
                else:
                    [drawn] = render(one, inputs)
                    write_picture(drawn.pixels, path, Sheet(scenes=(drawn.scene,)))
                found.append((time.perf_counter() - clock, time.process_time() - cpu))
    whole = [statistics.median(values) for values in zip(*seconds[0], strict=True)]
    for side, found in seconds.items():
        clock, cpu = (statistics.median(values) for values in zip(*found, strict=True))
        name = f"tiles of {side}" if side else "whole"
        print(
            f"{width}x{height} {name}: {clock:.1f} s, {cpu:.1f} processor s ({cpu / whole[1]:.2f} times whole), "
            f"{width * height / 1e6 / clock:.3f} megapixels/s",
            flush=True,
        )


def measure_memory(sizes: list[tuple[int, int]], form: str, tile: int) -> None:
    for width, height in sizes:
        command = [sys.executable, __file__, "one", "--size", f"{width}x{height}", "--format", form]
        print(subprocess.check_output([*command, "--tile", str(tile)], text=True).strip(), flush=True)


def draw_one(width: int, height: int, form: str, tile: int) -> None:
    import torch

    from sgkit.render.inputs import Inputs
    from sgkit.render.scene import Noise, Sheet
    from sgkit.render.stream.scenes import stream_scene
    from sgkit.runtime.allocator import keep_freed_memory

    keep_freed_memory()
    torch.set_num_threads(1)
    sys.path.insert(0, str(Path(__file__).parents[2]))
    from tests.builders import drawn_model

    one = scene(width, height, anchor=2000, tile=tile, noise=Noise(kind="none"))
    with tempfile.TemporaryDirectory(dir=".") as folder:
        name = "image_dzi" if form == "dzi" else f"image.{form}"
        result = stream_scene(Sheet(scenes=(one,)), Inputs(drawn_model()), Path(folder) / name)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    rate = width * height / 1e6 / result.seconds
    print(f"{width}x{height} {form}, tiles of {tile}: peak {peak:.0f} MiB, {rate:.2f} megapixels/s")


def size(text: str) -> tuple[int, int]:
    width, height = text.split("x")
    return int(width), int(height)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["time", "memory", "one"])
    parser.add_argument("--size", type=size, default=(2048, 512))
    parser.add_argument(
        "--sizes", type=lambda text: [*map(size, text.split(","))], default=[(2000, 2000), (20000, 2000)]
    )
    parser.add_argument("--format", choices=["png", "tif", "dzi"], default="png")
    parser.add_argument("--tile", type=int, default=512)
    parser.add_argument("--tiles", type=lambda text: [*map(int, text.split(","))], default=[512])
    parser.add_argument("--rounds", type=int, default=2)
    given = parser.parse_args()
    if given.what == "time":
        measure_time(*given.size, given.tiles, given.rounds)
    elif given.what == "memory":
        measure_memory(given.sizes, given.format, given.tile)
    else:
        draw_one(*given.size, given.format, given.tile)


if __name__ == "__main__":
    main()
