"""Images per second of FID features and statistics, against torch-fidelity and pytorch-fid, and peak memory.

    python -m tests.benchmarks.bench_features speed [--count 64] [--size 256] [--rounds 3] [--threads 2]
    python -m tests.benchmarks.bench_features memory [--counts 64,256]

All read the same folder of PNG files with the same random Inception weights, in turn, in one process, from file to mean
and covariance. The other projects come with the extra ``compare``; without it, sgkit is timed alone.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from sgkit.measure.inputs import FileImages
from sgkit.metrics import networks
from sgkit.metrics.distances import frechet_distance
from sgkit.metrics.inception import InceptionExtractor
from sgkit.metrics.statistics import FeatureRequest, Gaussian, compute_statistics
from tests.metrics.random_networks import inception_state

BATCH = 32


def write_images(folder: Path, count: int, size: int, *, seed: int = 0, gain: float = 1.0) -> Path:
    """Smooth random images, as PNG files."""
    folder.mkdir()
    draw = np.random.default_rng(seed)
    for index in range(count):
        small = Image.fromarray((draw.random((16, 16, 3)) * 255 * gain).astype(np.uint8))
        small.resize((size, size), Image.Resampling.BICUBIC).save(folder / f"{index:05}.png")
    return folder


def extractor(state: dict[str, torch.Tensor]) -> InceptionExtractor:
    """sgkit's, with these weights."""
    arrays = {name: tensor.numpy() for name, tensor in state.items()}
    networks.load_tensors = lambda _: arrays  # type: ignore[assignment]
    return InceptionExtractor(path=Path("random"))


def sgkit_statistics(folder: Path, made: InceptionExtractor) -> Gaussian:
    images = FileImages(str(folder))
    request = FeatureRequest(extractor=made, statistics=frozenset(("gaussian",)))
    return compute_statistics(images.batches(range(images.num), BATCH), [request])[0].gaussian()


def others(state: dict[str, torch.Tensor]) -> dict[str, Callable[[Path], Any]]:
    """Name -> statistics of a folder, of the projects that are installed."""
    from tests.compare import installed, other

    found: dict[str, Callable[[Path], Any]] = {}
    if installed("torch_fidelity"):
        utils, fid = other("torch_fidelity.utils"), other("torch_fidelity.metric_fid")
        load, torch.load = torch.load, lambda *_, **__: state
        options: dict[str, Any] = {"cuda": False, "verbose": False, "batch_size": BATCH, "cache": False}
        features = utils.create_feature_extractor(
            "inception-v3-compat", ["2048"], feature_extractor_weights_path="random", **options
        )
        torch.load = load

        def of_torch_fidelity(folder: Path) -> Any:
            made = utils.extract_featuresdict_from_input_id(1, features, input1=str(folder), **options)
            return fid.fid_features_to_statistics(made["2048"])

        found["torch-fidelity"] = of_torch_fidelity
    if installed("pytorch_fid"):
        inception, score = other("pytorch_fid.inception"), other("pytorch_fid.fid_score")
        inception.load_state_dict_from_url = lambda *_, **__: state
        model = inception.InceptionV3([3])
        found["pytorch-fid"] = lambda folder: score.compute_statistics_of_path(
            str(folder), model, BATCH, 2048, "cpu", 1
        )
    return found


def speed(count: int, size: int, rounds: int, threads: int) -> None:
    """Print images per second of each, the best of ``rounds``, and their ratios."""
    torch.set_num_threads(threads)
    state = inception_state()
    fp32, bf16 = extractor(state), extractor(state).in_bf16()
    with tempfile.TemporaryDirectory() as path:
        folder = write_images(Path(path) / "images", count, size)
        other_folder = write_images(Path(path) / "others", count, size, seed=1, gain=0.9)
        ways = {
            "sgkit fp32": lambda one: sgkit_statistics(one, fp32),
            "sgkit bf16": lambda one: sgkit_statistics(one, bf16),
            **others(state),
        }
        best: dict[str, float] = {}
        for _ in range(rounds):
            for name, way in ways.items():
                began = time.perf_counter()
                way(folder)
                best[name] = min(best.get(name, np.inf), time.perf_counter() - began)
        for name, seconds in best.items():
            ratios = ", ".join(f"{best[one] / seconds:.2f}x {one}" for one in best if one != name)
            print(f"{name}: {count / seconds:.2f} images/s ({ratios})")
        distances = [
            frechet_distance(*(sgkit_statistics(one, made) for one in (folder, other_folder))) for made in (fp32, bf16)
        ]
        print(
            f"Frechet distance fp32 {distances[0]:.6g}, bf16 {distances[1]:.6g}: {distances[1] / distances[0] - 1:+.2%}"
        )


def memory(counts: list[int], size: int) -> None:
    """Print the peak memory of processes that read different numbers of images."""
    for count in counts:
        subprocess.run([sys.executable, __file__, "one", "--count", str(count), "--size", str(size)], check=True)


def one(count: int, size: int) -> None:
    """Print the peak memory of this process after ``count`` images."""
    made = extractor(inception_state())
    with tempfile.TemporaryDirectory() as path:
        sgkit_statistics(write_images(Path(path) / "images", count, size), made)
    print(
        f"{count} images: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20:.2f} GiB at the peak", flush=True
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("speed", "memory", "one"))
    parser.add_argument("--count", type=int, default=64)
    parser.add_argument("--counts", default="64,256")
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    given = parser.parse_args()
    warnings.simplefilter("ignore")
    if given.what == "speed":
        speed(given.count, given.size, given.rounds, given.threads)
    elif given.what == "memory":
        memory([int(count) for count in given.counts.split(",")], given.size)
    else:
        one(given.count, given.size)


if __name__ == "__main__":
    main()
