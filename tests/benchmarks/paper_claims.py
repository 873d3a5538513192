"""What two papers found of the generator, at a small size and with three seeds; prints a table with means and ranges.

    python -m tests.benchmarks.paper_claims mapping --store faces32 --classifier c.safetensors --out runs
    python -m tests.benchmarks.paper_claims self-modulation --store flowers32 --out runs

``mapping`` (Karras et al. 2019, tables 3 and 4): StyleGAN's config D with 8 mapping layers and with none, and config B,
where z goes into the convolutions; path lengths and linear separability in z and w. ``self-modulation`` (Chen et al.
2019, table 1): batch normalisation scaled and shifted by z, and by learned constants. All are trained equally long on
the same images. Runs that exist are continued, or taken as they are. About four minutes of a CPU core for each run.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import mean

SMALL = (
    *("model.image_size=32,32", "model.z_dim=64", "model.w_dim=64"),
    *("model.synthesis.channel_base=512", "model.synthesis.channel_max=64"),
    *("model.discriminator.channel_base=512", "model.discriminator.channel_max=64"),
    *("train.ema_kimg=5", "train.ema_rampup=0.05", "train.snapshot_kimg=10"),
)
NOT_GROWN = (
    *("train.growth.start_resolution=32", "train.growth.batches=16", "train.r1_gamma=0.3"),
    *("train.g_lr=0.002", "train.d_lr=0.002", "train.d_reg_interval=16"),
)
MODULATED = ("train.batch=16", "train.r1_gamma=0.1")
PATHS = ("ppl_zfull_effnet", "ppl_wfull_effnet")


@dataclass(frozen=True)
class Row:
    """One way to build the generator."""

    label: str
    name: str
    """Of its runs."""
    preset: str
    settings: tuple[str, ...]


@dataclass(frozen=True)
class Claim:
    """Rows that a paper compares, and by which metrics."""

    rows: tuple[Row, ...]
    metrics: dict[tuple[str, ...], int]
    """Metrics -> images (or paths) of each."""


CLAIMS = {
    "mapping": Claim(
        rows=(
            Row("config D, 8 mapping layers", "d8", "stylegan1-d", NOT_GROWN),
            Row("config D, none", "d0", "stylegan1-d", (*NOT_GROWN, "model.mapping.num_layers=0")),
            Row("config B, none", "b", "stylegan1-b", NOT_GROWN),
        ),
        metrics={("fd_effnet",): 2000, PATHS: 300, ("ls",): 3000},
    ),
    "self-modulation": Claim(
        rows=(
            Row("self-modulated", "self", "self-modulated", MODULATED),
            Row("batch normalisation", "bn", "batch-norm", MODULATED),
        ),
        metrics={("fd_effnet", "is_effnet"): 4000},
    ),
}


def sgkit(*words: str) -> str:
    """Standard output of a command."""
    return subprocess.run([sys.executable, "-m", "sgkit", *words], check=True, stdout=subprocess.PIPE, text=True).stdout


def trained(row: Row, seed: int, given: argparse.Namespace) -> Path:
    """The run of ``row`` with ``seed``, trained if it is not yet."""
    run: Path = given.out / f"{row.name}_{seed}"
    words = ["--resume"]
    if not run.exists():
        words = ["--preset", row.preset, "--kimg", given.kimg, "--seed", str(seed), "--mirror", "--precision", "fp32"]
        words += [word for setting in (*SMALL, *row.settings) for word in ("--set", setting)]
    sgkit("train", given.store, "--out", str(run), *words)
    return run


def values(claim: Claim, run: Path, given: argparse.Namespace) -> dict[str, float]:
    """Name -> value, of the last snapshot of ``run``."""
    found: dict[str, float] = {}
    for metrics, number in claim.metrics.items():
        words = ["--metrics", ",".join(metrics), "--num-images", str(number), "--json"]
        words += ["--classifier", given.classifier] if "ls" in metrics else []
        words += ["--data", given.store] if "fd_effnet" in metrics else []
        found |= {one["name"]: one["value"] for one in json.loads(sgkit("metrics", str(run), *words))["metrics"]}
    return found


def table(claim: Claim, given: argparse.Namespace) -> Iterator[str]:
    """The lines of the table: mean, and lowest to highest of the seeds."""
    for row in claim.rows:
        runs = [values(claim, trained(row, seed, given), given) for seed in range(given.seeds)]
        if row is claim.rows[0]:
            yield f"| | {' | '.join(f'`{name}`' for name in runs[0])} |"
            yield "|---" * (len(runs[0]) + 1) + "|"
        columns = ([one[name] for one in runs] for name in runs[0])
        yield f"| {row.label} | {' | '.join(shown(column) for column in columns)} |"


def shown(column: list[float]) -> str:
    """``mean (lowest to highest)``, with four digits."""
    return f"{mean(column):.4g} ({min(column):.4g} to {max(column):.4g})"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("claim", choices=CLAIMS)
    parser.add_argument("--store", required=True)
    parser.add_argument("--classifier", help="for mapping: a file that sgkit classifier train wrote")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--kimg", default="30")
    parser.add_argument("--seeds", type=int, default=3)
    given = parser.parse_args()
    for line in table(CLAIMS[given.claim], given):
        print(line, flush=True)


if __name__ == "__main__":
    main()
