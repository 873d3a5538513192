"""Path length and linear separability with and without a mapping network: StyleGAN, table 4, at a small size.

    python -m tests.benchmarks.mapping_claims --store faces64 --classifier c.safetensors --out runs --kimg 1000

Trains ``stylegan1-b`` (z goes into the convolutions), ``stylegan1-c`` (the same with a mapping network and styles) and
``stylegan1-e`` (a constant input, and noise) equally long on the same store, then measures them with the same
classifier and prints a table. Runs that exist are continued, or taken as they are. Hours to days of a GPU.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path

PRESETS = ("stylegan1-b", "stylegan1-c", "stylegan1-e")
METRICS = ("ppl_zfull_effnet", "ppl_zend_effnet", "ppl_wfull_effnet", "ppl_wend_effnet", "ls")


def sgkit(*words: str) -> str:
    """Standard output of a command."""
    return subprocess.run([sys.executable, "-m", "sgkit", *words], check=True, stdout=subprocess.PIPE, text=True).stdout


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--store", required=True)
    parser.add_argument("--classifier", required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--kimg", default="1000")
    parser.add_argument("--num-images", default="10000")
    given = parser.parse_args()
    table = {}
    for name in PRESETS:
        run = given.out / name
        words = ["--resume"] if run.exists() else ["--preset", name, "--kimg", given.kimg, "--metrics", "fd_effnet"]
        sgkit("train", given.store, "--out", str(run), *words)
        measured = sgkit(
            *("metrics", str(run), "--metrics", ",".join(METRICS), "--classifier", given.classifier),
            *("--num-images", given.num_images, "--json"),
        )
        table[name] = {one["name"]: one["value"] for one in json.loads(measured)["metrics"]}
    columns = list(next(iter(table.values())))
    print("| preset |", " | ".join(columns), "|")
    print("|---" * (len(columns) + 1) + "|")
    for name, values in table.items():
        print(f"| {name} |", " | ".join(f"{values[column]:.4g}" for column in columns), "|")


if __name__ == "__main__":
    main()
