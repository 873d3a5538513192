"""Times a step of a projection (StyleGAN2 config F) against stylegan2-ada-pytorch's, with the same loss network.

    python -m tests.benchmarks.bench_project --ada PATH/TO/stylegan2-ada-pytorch --sizes 64,256
    python -m tests.benchmarks.bench_project --batches 1,8 --sizes 64      # no other project

Both search in turn, A B A B ..., on one thread. A round is a long call less a short one, so that what comes before the
first step does not count; the figures are processor time. Theirs compares images by the network that ours does: the
features of the discriminator, or the pixels. Their code stays where it is and is imported from there.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import io
import statistics
import sys
import time
import types
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from sgkit.inversion import ProjectSettings, feature_layers, search
from sgkit.model import Model
from sgkit.runtime.allocator import keep_freed_memory
from sgkit.runtime.precision import ResolvedPrecision
from tests.benchmarks.bench_synthesis import CHANNEL_BASE, their_generator
from tests.benchmarks.contestants import config_f

SHORT = 2
Search = Callable[[int], object]
"""Number of steps -> whatever is found."""


class LossNetwork(torch.nn.Module):
    """In the place of their VGG16: what our loss of the same name compares, as one vector for each image."""

    def __init__(self, model: Model, loss: str) -> None:
        super().__init__()
        assert model.discriminator is not None
        self.discriminator, self.loss = model.discriminator, loss
        self.names = feature_layers(model.discriminator)
        self.stop = max(spec.index for spec in model.discriminator.plan if spec.name in self.names) + 1

    def forward(self, images: Tensor, **options: Any) -> Tensor:
        """Images [N, C, H, W] of 0 to 255 -> [N, D]."""
        images = images / 127.5 - 1
        if self.loss == "pixels":
            return images.flatten(1)
        found = self.discriminator.features(images, stop=self.stop)
        return torch.cat([found[name].flatten(1) / found[name][0].numel() ** 0.5 for name in self.names], dim=1)


def their_search(folder: Path, model: Model, loss: str, target: Tensor) -> Search:
    """Their ``project``, on our weights, without the download of VGG16."""
    theirs = their_generator(folder, model.generator)
    for name in ("imageio", "click", "requests", "legacy"):
        with contextlib.suppress(ImportError):
            importlib.import_module(name)
        sys.modules.setdefault(name, types.ModuleType(name))
    projector = importlib.import_module("projector")
    network = LossNetwork(model, loss)
    projector.dnnlib.util.open_url = lambda url: io.BytesIO()
    torch.jit.load = lambda file: network  # type: ignore[assignment, misc]
    pixels = (target[0] + 1) * 127.5

    def run(steps: int) -> object:
        return projector.project(theirs, pixels, num_steps=steps, w_avg_samples=100, device=torch.device("cpu"))

    return run


def our_search(model: Model, loss: str, targets: Tensor, precision: ResolvedPrecision) -> Search:
    """Ours, for all ``targets`` at once."""
    return lambda steps: search(
        model, targets, ProjectSettings(steps=steps, loss=loss, w_samples=100), precision=precision
    )


def seconds_per_step(searches: dict[str, Search], *, steps: int, rounds: int) -> dict[str, list[float]]:
    """Processor seconds of a step, one number for each round; one round before them does not count."""
    found: dict[str, list[float]] = {name: [] for name in searches}
    for index in range(rounds + 1):
        for name, run in searches.items():
            times = []
            for count in (SHORT, SHORT + steps):
                began = time.process_time()
                run(count)
                times.append(time.process_time() - began)
            if index:
                found[name].append((times[1] - times[0]) / steps)
    return found


def show(title: str, found: dict[str, list[float]], *, images: dict[str, int]) -> None:
    """A row for each search; the first is what the others are compared with."""
    print(title)
    base = next(iter(found))
    for name, seconds in found.items():
        ratios = [a / images[base] / (b / images[name]) for a, b in zip(found[base], seconds, strict=True)]
        per_image = statistics.median(seconds) / images[name]
        spread = f"{min(ratios):.2f}-{max(ratios):.2f}"
        ratio = f"{statistics.median(ratios):.2f}x ({spread})"
        print(f"  {name:<14}{1000 * per_image:9.1f} ms/step/image  {ratio}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ada", type=Path, help="checkout of stylegan2-ada-pytorch")
    parser.add_argument("--sizes", default="64", help="sides of the images")
    parser.add_argument("--losses", default="features,pixels")
    parser.add_argument("--precisions", default="fp32", help="of ours")
    parser.add_argument("--batches", default="1", help="images that ours searches together")
    parser.add_argument("--steps", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    torch.set_num_threads(1)
    keep_freed_memory()
    warnings.filterwarnings("ignore")
    for size in map(int, options.sizes.split(",")):
        model = config_f(size, CHANNEL_BASE)
        for loss in options.losses.split(","):
            target = model.synthesize(model.map(model.sample_z([5]))).clamp(-1, 1)
            searches, images = {}, {}
            if options.ada:
                searches["theirs, fp32"], images["theirs, fp32"] = their_search(options.ada, model, loss, target), 1
            for precision in options.precisions.split(","):
                for batch in map(int, options.batches.split(",")):
                    name = f"ours, {precision}" + (f" x{batch}" if batch > 1 else "")
                    targets = target.expand(batch, -1, -1, -1).clone()
                    searches[name], images[name] = our_search(model, loss, targets, precision), batch
            found = seconds_per_step(searches, steps=options.steps, rounds=options.rounds)
            show(f"{size} px, {loss}", found, images=images)


if __name__ == "__main__":
    main()
