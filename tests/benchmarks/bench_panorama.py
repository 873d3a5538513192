"""Times panoramas against the construction of "StyleGAN of All Trades": pairs drawn alone, cut and pasted.

    python -m tests.benchmarks.bench_panorama [--size 256] [--anchors 4,20] [--rounds 3] [--tile 512]

Both ways draw the same seeds with the same network at the same size, without noise, in float32; they run in turn, A B A
B ..., so that a busy machine slows both alike. A pair is drawn as in the paper's code: both styles on the whole canvas
of two images, mixed after every layer.
"""

from __future__ import annotations

import argparse
import platform
from collections.abc import Callable

import torch
from torch import Tensor

from sgkit.config import DiscriminatorConfig, ModelConfig, SynthesisConfig
from sgkit.model import Model, build, noise_source
from sgkit.render.planes import TILE, Plane
from sgkit.render.strips import Strip
from sgkit.render.weaving import draw_strip, layout
from sgkit.runtime.allocator import keep_freed_memory
from sgkit.runtime.precision import ResolvedPrecision
from tests.benchmarks.timing import interleaved

CHANNEL_BASE = 16384


def model_of(size: int, channel_base: int) -> Model:
    """A StyleGAN2 of config F's shape."""
    config = ModelConfig(
        image_size=(size, size),
        synthesis=SynthesisConfig(channel_base=channel_base, channel_max=512),
        discriminator=DiscriminatorConfig(channel_base=64, channel_max=8),
    )
    return build(config, seed=1)


def plane(model: Model, columns: int, rows: int, *, tile: int, precision: ResolvedPrecision = "fp32") -> Tensor:
    """The panorama in tiles."""
    cells = model.config.base[0]
    strips = [
        Strip(length=count * cells, count=count, axis=axis, overlap=0.5, reach=0)
        for count, axis in ((rows, "y"), (columns, "x"))  # type: ignore[misc]
    ]
    styles = model.styles(model.map(model.sample_z(range(columns * rows))))

    def at(row: int, column: int) -> dict[str, Tensor]:
        index = row * columns + column
        return {name: style[index : index + 1] for name, style in styles.items()}

    noise = noise_source("none")
    return Plane(model, at, rows=strips[0], columns=strips[1], noise=noise, tile=tile, precision=precision).image()


@torch.inference_mode()
def pairs(model: Model, anchors: int) -> Tensor:
    """The paper's panorama: each pair on a canvas of two images, cut at the middles, pasted."""
    side = model.image_size[1]
    styles = model.styles(model.map(model.sample_z(range(anchors))))
    pieces = []
    for first in range(anchors - 1):
        two = {name: style[first : first + 2] for name, style in styles.items()}
        image = draw_strip(model, two, layout(model, 2, overlap=1.0), noise_source("none"))
        start = 0 if first == 0 else side // 2
        stop = 2 * side if first == anchors - 2 else side * 3 // 2
        pieces.append(image[..., start:stop])
    return torch.cat(pieces, dim=3)


def main() -> None:
    """Print a row for each number of anchors."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--channel-base", type=int, default=CHANNEL_BASE)
    parser.add_argument("--anchors", default="4,20")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--tile", type=int, default=TILE)
    options = parser.parse_args()
    keep_freed_memory()
    model = model_of(options.size, options.channel_base)
    print(f"{platform.processor() or platform.machine()}, {torch.get_num_threads()} threads, {options.size} px")
    for anchors in (int(word) for word in options.anchors.split(",")):
        ways: dict[str, Callable[[], object]] = {
            "pairs": lambda count=anchors: pairs(model, count),  # type: ignore[misc]
            "plane": lambda count=anchors: plane(model, count, 1, tile=options.tile),  # type: ignore[misc]
        }
        found = interleaved(ways, rounds=options.rounds)
        megapixels = anchors * options.size**2 / 1e6
        ratios = sorted(a / b for a, b in zip(found["pairs"].cpu, found["plane"].cpu, strict=True))
        for name, timing in found.items():
            print(f"{anchors} anchors, {name}: {megapixels / timing.cpu_median:.3f} megapixels/s of processor time")
        spread = f"{ratios[0]:.2f}-{ratios[-1]:.2f}"
        print(f"{anchors} anchors: plane is {ratios[len(ratios) // 2]:.2f} times as fast ({spread})")


if __name__ == "__main__":
    main()
