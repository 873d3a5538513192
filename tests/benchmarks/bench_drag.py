"""Measures how close dragged points come to their targets, by detectors that the search does not know.

    python -m tests.benchmarks.bench_drag                           # landscapes: points found again by their pixels
    python -m tests.benchmarks.bench_drag --model RUN --landmarks   # faces: points found again by dlib's landmarks

The search claims distances by its own tracking in feature space. Beside them stand distances of points that are found
again independently in the finished image:

- by pixels: the place whose patch has the highest normalised cross-correlation with the patch around the handle before;
- by landmarks: eyes and corners of the mouth, as dlib finds them; handles are those of one face, targets those of
  another (the protocol of Pan et al. 2023, section 4.2, with four points), or with --aside the same further right.
  Faces where dlib finds none are left out.

Means are in pixels, with 95% confidence intervals by bootstrap over images.
"""

from __future__ import annotations

import argparse
import platform
import time
from typing import Any

import numpy as np
import torch
from PIL import Image

import sgkit
from sgkit.inversion import DragSettings, drag
from sgkit.model import Model
from sgkit.render.pictures import to_pixels
from sgkit.store.images.faces import DlibLandmarker

Points = np.ndarray
ENLARGED = 256
"""Height at which landmarks are looked for."""


def cross_correlation(before: np.ndarray, after: np.ndarray, handle: Points, *, half: int, reach: int) -> Points:
    """Where in ``after`` [H, W, C] the patch around ``handle`` in ``before`` is most alike."""
    height, width = before.shape[:2]
    x, y = (round(float(one)) for one in handle)
    wanted = patch_of(before, x, y, half)
    best, found = -2.0, (x, y)
    for row in range(max(y - reach, 0), min(y + reach, height - 1) + 1):
        for column in range(max(x - reach, 0), min(x + reach, width - 1) + 1):
            score = float((wanted * patch_of(after, column, row, half)).sum())
            if score > best:
                best, found = score, (column, row)
    return np.array(found, float)


def patch_of(image: np.ndarray, x: int, y: int, half: int) -> np.ndarray:
    """The patch around a pixel, without its mean and of length 1; edges are repeated."""
    padded = np.pad(image.astype(float), ((half, half), (half, half), (0, 0)), mode="edge")
    patch = padded[y : y + 2 * half + 1, x : x + 2 * half + 1]
    patch = patch - patch.mean(axis=(0, 1))
    return patch / max(np.sqrt((patch**2).sum()), 1e-9)


def landmarks(image: np.ndarray, landmarker: DlibLandmarker) -> Points | None:
    """Eyes and corners of the mouth [4, 2] of the one face of ``image``, in its pixels; ``None``: none was found."""
    scale = ENLARGED / image.shape[0]
    large = Image.fromarray(image).resize((round(image.shape[1] * scale), ENLARGED), Image.Resampling.BICUBIC)
    faces = landmarker.find("", large)
    if not faces:
        return None
    face = faces[0]
    points = np.array([face.left_eye, face.right_eye, face.left_mouth, face.right_mouth])
    return (points + 0.5) / scale - 0.5


def textured_point(image: np.ndarray, random: np.random.RandomState, margin: int) -> Points:
    """A point of strong gradients, away from the edges."""
    grey = image.astype(float).mean(axis=2)
    gradient = np.hypot(*np.gradient(grey))[margin:-margin, margin:-margin]
    best = np.argsort(gradient, axis=None)[-gradient.size // 50 :]
    row, column = np.unravel_index(random.choice(best), gradient.shape)
    return np.array([column + margin, row + margin], float)


def interval(values: list[float]) -> str:
    """``2.10 [1.90, 2.35]``: mean and 95% interval by bootstrap."""
    data = np.array(values)
    means = np.random.RandomState(0).choice(data, (10_000, len(data))).mean(axis=1)
    low, high = np.percentile(means, [2.5, 97.5])
    return f"{data.mean():.2f} [{low:.2f}, {high:.2f}]"


def picture(model: Model, ws: torch.Tensor) -> np.ndarray:
    with torch.inference_mode():
        return to_pixels(model.synthesize(ws))[0]


def cases(model: Model, args: argparse.Namespace) -> Any:
    """Pairs of w and points: (w+, handles, targets), endless."""
    landmarker = DlibLandmarker() if args.landmarks else None
    label = "random" if model.config.label_dim else None
    height, width = model.image_size
    seed = 0
    while True:
        random = np.random.RandomState(seed)
        name = None if label is None else int(random.randint(model.config.label_dim))
        ws = [model.map(model.sample_z([one]), name, psi=args.psi) for one in (2 * seed, 2 * seed + 1)]
        seed += 1
        if landmarker is None:
            reach = args.share * min(height, width)
            handle = textured_point(picture(model, ws[0]), random, int(1.5 * reach))
            angle = random.uniform(0, 2 * np.pi)
            yield ws[0], handle[None], handle[None] + reach * np.array([[np.cos(angle), np.sin(angle)]])
            continue
        found = [landmarks(picture(model, one), landmarker) for one in ws]
        if found[0] is None or found[1] is None:
            yield None
            continue
        yield ws[0], found[0], found[0] + [args.aside, 0] if args.aside else found[1]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="landscapes")
    parser.add_argument("--landmarks", action="store_true", help="faces: handles and targets are dlib's landmarks")
    parser.add_argument("--count", type=int, default=20, help="images that are dragged")
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--psi", type=float, default=0.8)
    parser.add_argument("--share", type=float, default=0.1, help="how far, as a share of the image's side (by pixels)")
    parser.add_argument("--aside", type=float, default=0.0, help="landmarks: targets are so many pixels to the right")
    parser.add_argument("--space", default="w+")
    parser.add_argument("--layer")
    parser.add_argument("--radius", type=float)
    parser.add_argument("--window", type=float)
    parser.add_argument("--lr", type=float, default=2e-3)
    args = parser.parse_args()
    torch.set_num_threads(1)
    model = sgkit.load(args.model)
    settings = DragSettings(
        steps=args.steps, space=args.space, layer=args.layer, radius=args.radius, window=args.window, lr=args.lr
    )
    columns: dict[str, list[float]] = {"before": [], "as tracked": [], "found again": [], "own error": []}
    tried = lost = arrived = 0
    began = time.perf_counter()
    for case in cases(model, args):
        tried += 1
        if case is None:
            lost += 1
            if tried > 20 * args.count:
                break
            continue
        ws, handles, targets = case
        before = picture(model, ws)
        result = drag(model, ws, handles.tolist(), targets.tolist(), settings)
        after = picture(model, result.ws)
        found = again(before, after, handles, args)
        moved = np.pad(before, ((1, 0), (2, 0), (0, 0)), mode="edge")[:-1, :-2]
        still = again(before, moved, handles, args)
        if found is None or still is None:
            lost += 1
            continue
        columns["before"].append(float(np.linalg.norm(handles - targets, axis=1).mean()))
        columns["as tracked"].append(float(result.distances[-1].mean()))
        columns["found again"].append(float(np.linalg.norm(found - targets, axis=1).mean()))
        columns["own error"].append(float(np.linalg.norm(still - handles - [2, 1], axis=1).mean()))
        arrived += result.arrived
        if len(columns["before"]) == args.count:
            break
    count = len(columns["before"])
    height, width = model.image_size
    print(
        f"{args.model}, {width}x{height}: {count} images, {len(handles)} points each, at most {args.steps} steps, "
        f"features of {result.layer}, {settings.space}; {platform.processor() or platform.machine()}"
    )
    print(f"by {'dlib landmarks' if args.landmarks else 'cross-correlation of pixels'}; {lost} of {tried} not found")
    print(f"distance to target before:      {interval(columns['before'])} px")
    print(f"after, as the search tracks it: {interval(columns['as tracked'])} px ({arrived} of {count} arrived)")
    print(f"after, found again:             {interval(columns['found again'])} px")
    print(f"the detector's own error:       {interval(columns['own error'])} px (image moved by 2, 1 px instead)")
    print(f"{(time.perf_counter() - began) / max(tried, 1):.1f} s for each")


def again(before: np.ndarray, after: np.ndarray, handles: Points, args: argparse.Namespace) -> Points | None:
    """The handles of ``before`` found in ``after``, not by the search."""
    if args.landmarks:
        return landmarks(after, DlibLandmarker())
    side = min(before.shape[:2])
    half, reach = max(side // 20, 3), int(2.5 * args.share * side)
    return np.stack([cross_correlation(before, after, one, half=half, reach=reach) for one in handles])


if __name__ == "__main__":
    main()
