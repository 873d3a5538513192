"""Does training in bf16 reach what fp32 reaches? ``fd_effnet`` over images shown, three seeds; a table and a picture.

    python -m tests.benchmarks.bf16_training --store faces32 --out runs

``stylegan2-mini``, 60 kimg, the same seeds in both formats. Runs that exist are continued, or taken as they are. About
an hour on one core of a processor without bf16 units.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from pathlib import Path
from statistics import mean

from tests.benchmarks.curves import IMAGES, Cost, Panel, Points, svg
from tests.benchmarks.paper_claims import sgkit

FORMATS = ("fp32", "bf16")
PICTURE = IMAGES / "bf16-training.svg"


def curve(given: argparse.Namespace, precision: str, seed: int) -> Points:
    """(kimg, ``fd_effnet``) of each snapshot of a run, which is trained if it is not yet."""
    run: Path = given.out / f"{precision}_{seed}"
    words = ["--resume"] if run.exists() else ["--preset", "stylegan2-mini", "--mirror", "--seed", str(seed)]
    if not run.exists():
        words += ["--precision", precision, "--kimg", given.kimg, "--set", "train.snapshot_kimg=20"]
    sgkit("train", given.store, "--out", str(run), *words)
    points = []
    for snapshot in sorted((run / "snapshots").iterdir())[1:]:  # the first is untrained
        words = ["--data", given.store, "--metrics", "fd_effnet", "--num-images", given.num_images, "--json"]
        found = json.loads(sgkit("metrics", str(snapshot / "model.safetensors"), *words))
        points.append((float(snapshot.name), float(found["metrics"][0]["value"])))
    return points


def table(found: dict[str, list[Points]]) -> Iterator[str]:
    """A line for each format: the values of all seeds, and their mean, at each kimg."""
    steps = [round(kimg) for kimg, _ in found["fp32"][0]]
    yield "| kimg | " + " | ".join(map(str, steps)) + " |"
    yield "|---" * (len(steps) + 1) + "|"
    for precision, curves in found.items():
        columns = zip(*[[value for _, value in points] for points in curves], strict=True)
        cells = [f"{', '.join(f'{value:.1f}' for value in column)} (mean {mean(column):.1f})" for column in columns]
        yield f"| {precision} | " + " | ".join(cells) + " |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--store", required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--kimg", default="60")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--num-images", default="2000")
    given = parser.parse_args()
    found = {name: [curve(given, name, seed) for seed in range(given.seeds)] for name in FORMATS}
    print("\n".join(table(found)))
    panels = tuple(
        Panel(f"fd_effnet, seed {seed}", "kimg", {name: found[name][seed] for name in FORMATS})
        for seed in range(given.seeds)
    )
    PICTURE.write_text(svg(Cost("bf16", "Training in bf16 and in fp32", panels)), encoding="utf-8")


if __name__ == "__main__":
    main()
