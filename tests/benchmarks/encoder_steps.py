"""Measures what a start from an encoder saves: the distance after so many steps, with and without.

    sgkit encoder train MODEL --out ENCODER.safetensors --kimg 5 --batch 8
    python -m tests.benchmarks.encoder_steps MODEL ENCODER.safetensors IMAGES --count 12

Every number of steps is a search with its own schedule of the learning rate. Intervals are 95%, by bootstrap over
images.
"""

from __future__ import annotations

import argparse
import time

import torch

import sgkit
from sgkit.inversion import ProjectSettings, load_encoder, read_targets, search, target_images
from sgkit.inversion.encoder_file import encoded
from sgkit.model.labels import label_vector
from tests.benchmarks.tuning_table import interval, psnr


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("encoder")
    parser.add_argument("images")
    parser.add_argument("--count", type=int, default=12)
    parser.add_argument("--steps", default="0,12,25,50,100,200")
    parser.add_argument("--space", default="w")
    parser.add_argument("--lr", type=float, default=0.1)
    parser.add_argument("--label")
    args = parser.parse_args()
    model = sgkit.load(args.model)
    encoder, label = load_encoder(args.encoder, model), label_vector(model, args.label)
    chosen = [target for target, _ in zip(read_targets(args.images, model), range(args.count), strict=False)]
    targets = target_images(chosen, model)
    print(f"{len(targets)} images, space {args.space}, {torch.get_num_threads()} threads", flush=True)
    for steps in map(int, args.steps.split(",")):
        settings = ProjectSettings(space=args.space, steps=steps, lr=args.lr, optimize_noise=False)
        for name, start in (("mean", None), ("encoder", encoder)):
            began, distances, quality = time.process_time(), [], []
            for part in torch.split(targets, 4):
                found = search(model, part, settings, start=encoded(start, part), label=label)
                distances += found.distances.tolist()
                quality += psnr(found.images, part)
            seconds = (time.process_time() - began) / len(targets)
            print(
                f"{steps:>4} steps from the {name:<8} distance {interval(distances)}, PSNR {interval(quality)}, "
                f"{seconds:.1f} s of processor time per image",
                flush=True,
            )


if __name__ == "__main__":
    main()
