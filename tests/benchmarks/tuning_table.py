"""Measures pivotal tuning: reconstruction before and after, the same edit on both, other images, and ranks of the file.

    python -m tests.benchmarks.tuning_table MODEL IMAGES --count 20

Each image is projected into w, then the model is tuned to it alone; at the end, once to all images together. The edit
is the same in both models: a SeFa direction. Its effect is compared as the cosine between the changes of pixels that it
makes before and after tuning. Intervals are 95%, by bootstrap over images.
"""

from __future__ import annotations

import argparse
import platform
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

import sgkit
from sgkit.checkpoint.deltas import save_delta, with_delta
from sgkit.config.tune import TuneSettings
from sgkit.inversion import ProjectSettings, read_targets, search, target_images, tune
from sgkit.inversion.losses import distance_to, ssim
from sgkit.inversion.tune_task import _drift
from sgkit.inversion.tuning import shown
from sgkit.latents.directions import moved
from sgkit.latents.spaces import Latents
from sgkit.model import Model
from sgkit.model.labels import label_vector


def interval(values: Sequence[float]) -> str:
    """The mean with its 95% interval."""
    random = np.random.RandomState(0)
    means = [np.mean(random.choice(values, len(values))) for _ in range(2000)]
    low, high = np.percentile(means, (2.5, 97.5))
    return f"{np.mean(values):.2f} [{low:.2f}, {high:.2f}]"


def psnr(images: Tensor, targets: Tensor) -> list[float]:
    errors = (images.clamp(-1, 1) - targets).square().mean(dim=(1, 2, 3)) / 4
    return [float(-10 * error.log10()) for error in errors]


def report(name: str, model: Model, images: Tensor, targets: Tensor) -> None:
    distances = distance_to(targets, model, ProjectSettings(loss="features"))(images)
    likeness = ssim(images.clamp(-1, 1), targets).tolist()
    values = {"PSNR": psnr(images, targets), "SSIM": likeness, "features": distances.tolist()}
    print(f"{name:<34}", ", ".join(f"{key} {interval(one)}" for key, one in values.items()), flush=True)


def projected(model: Model, targets: Tensor, space: str, steps: int, label: Tensor | None) -> Latents:
    settings = ProjectSettings(space=space, steps=steps, optimize_noise=False)  # type: ignore[arg-type]
    parts = [search(model, part, settings, label=label).latents() for part in torch.split(targets, 4)]
    values = {"w": torch.cat([part.values["w"] for part in parts])}
    names = tuple(str(index) for index in range(len(targets)))
    return Latents(space=parts[0].space, values=values, names=names)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("images")
    parser.add_argument("--count", type=int, default=20)
    parser.add_argument("--project-steps", type=int, default=150)
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--strength", type=float, default=3.0)
    parser.add_argument("--label")
    args = parser.parse_args()
    model = sgkit.load(args.model)
    targets = target_images(
        [t for t, _ in zip(read_targets(args.images, model), range(args.count), strict=False)], model
    )
    label = label_vector(model, args.label)
    print(f"{len(targets)} images, {platform.machine()}, {torch.get_num_threads()} threads", flush=True)

    began = time.perf_counter()
    pivots = projected(model, targets, "w", args.project_steps, label)
    print(f"projected in {time.perf_counter() - began:.0f} s", flush=True)
    before = shown(model, pivots)
    report("w", model, before, targets)

    direction = model.directions("sefa", count=1).added(0, args.strength)
    changed_before = shown(model, moved(pivots, direction)) - before
    with tempfile.TemporaryDirectory() as folder:
        for locality in (0.1, 0.0):
            began, images, edited, drifts = time.perf_counter(), [], [], []
            ranks: dict[int | None, list[tuple[float, int, float]]] = {rank: [] for rank in (None, 1, 4, 16)}
            for row in range(len(targets)):
                one, target = pivots[row], targets[row : row + 1]
                tuned = tune(model, one, target, TuneSettings(steps=args.steps, locality=locality))
                images.append(shown(tuned, one))
                edited.append(shown(tuned, moved(one, direction)))
                drifts.append(_drift(model, tuned))
                for rank in ranks if locality else ():
                    path = Path(folder) / "d.safetensors"
                    header = save_delta(model, tuned, path, rank=rank)
                    (value,) = psnr(shown(with_delta(model, path), one), target)
                    ranks[rank].append((header.error, path.stat().st_size, value))
            after = torch.cat(images)
            name = f"tuned, locality {locality:g}"
            report(name, model, after, targets)
            changed = torch.cat(edited) - after
            cosines = torch.nn.functional.cosine_similarity(changed.flatten(1), changed_before.flatten(1)).tolist()
            print(f"{name:<34} edit: cosine {interval(cosines)}; other images {interval(drifts)} dB", flush=True)
            print(f"{name:<34} {(time.perf_counter() - began) / len(targets):.1f} s per image", flush=True)
            for rank, rows in ranks.items():
                if rows:
                    error, size, value = (float(np.mean(column)) for column in zip(*rows, strict=True))
                    print(f"rank {rank}: error {error:.3f}, {size / 2**20:.2f} MiB, PSNR {value:.2f}", flush=True)
    together = tune(model, pivots, targets, TuneSettings(steps=args.steps * 5))
    report("tuned to all together", model, shown(together, pivots), targets)
    print(f"{'tuned to all together':<34} other images {_drift(model, together):.2f} dB", flush=True)
    plus = projected(model, targets, "w+", args.project_steps, label)
    report("w+", model, shown(model, plus), targets)
    changed = shown(model, moved(plus, direction)) - shown(model, plus)
    cosines = torch.nn.functional.cosine_similarity(changed.flatten(1), changed_before.flatten(1)).tolist()
    print(f"{'w+':<34} edit: cosine {interval(cosines)}", flush=True)


if __name__ == "__main__":
    main()
