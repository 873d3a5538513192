"""The claims of "StyleGAN of All Trades" on attribute transfer (section 4), in numbers where the paper asked people.

    python -m tests.benchmarks.transfer_claims MODEL --data STORE [--pairs 200] [--psi 0.7]

MODEL draws faces; STORE holds real ones of its size. For each pair of seeds a part of the face (eyes, brows, nose,
mouth, hair in turn) goes from the second image to the first, by all methods. Realism: squares around the part are cut
out of the results, and at the same places out of real images; the Fréchet distance of their EfficientNet features, on
the first principal components of the real ones, since a few hundred crops cannot fill 1,280 dimensions. Accuracy: the
squared distance of feature vectors of unit length (after block 4, one for 8x8 pixels of the enlarged image), to the
reference inside the mask and to the source outside. Intervals: 1.96 standard deviations, by bootstrap over pairs.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

import sgkit
from sgkit.errors import InputError
from sgkit.latents.sources import Origin
from sgkit.measure.inputs import StoreImages
from sgkit.metrics.distances import frechet_distance
from sgkit.metrics.effnet import EffnetExtractor
from sgkit.metrics.statistics import Gaussian
from sgkit.model import Canvas
from sgkit.render.drawing import Drawing, DrawSettings
from sgkit.render.inputs import Inputs
from sgkit.render.parts import part_shapes
from sgkit.render.render import render
from sgkit.render.shapes import mask_of
from sgkit.render.transfer import Reference, Transfer, TransferSettings, transfers

PARTS = ("eyes", "brows", "nose", "mouth", "hair")
METHODS = {
    "features, pose aligned": TransferSettings(),
    "features, not aligned": TransferSettings(align=False),
    "suzuki": TransferSettings(mode="suzuki"),
    "collins": TransferSettings(mode="collins"),
}
PLAIN = "no transfer (the source)"
COMPONENTS, RESAMPLES, REAL = 64, 400, 3
STAGE = 4
"""Blocks of EfficientNet whose features measure accuracy: 40 channels, one vector for 8x8 of 224x224 pixels."""


@dataclass(frozen=True)
class Pair:
    """One source, one reference and a part, by one method."""

    image: Tensor
    """uint8 [3, H, W]."""
    source: Tensor
    reference: Tensor
    mask: Tensor
    """[H, W]"""
    box: tuple[int, int, int]
    """Left, top and side of the square around the part, in pixels."""


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model")
    parser.add_argument("--data", required=True)
    parser.add_argument("--pairs", type=int, default=200)
    parser.add_argument("--psi", type=float, default=0.7)
    given = parser.parse_args()
    model = sgkit.load(given.model)
    on = Drawing(inputs=Inputs(model), model=model, settings=DrawSettings(truncation_psi=given.psi))
    extractor, chosen = EffnetExtractor(), usable(on, given.pairs)
    print(
        f"| method | realism (fd of crops, {COMPONENTS} components) | to the reference inside | to the source outside |"
    )
    print("| --- | --- | --- | --- |")
    crops: Crops | None = None
    for name, settings in METHODS.items():
        pairs = [drawn(on, source, references, settings) for source, references in chosen]
        if crops is None:
            crops = Crops.of(extractor, given.data, [pair.box for pair in pairs])
            print(f"| {PLAIN} | {crops.realism(extractor, [pair.source for pair in pairs])} | | |")
        inside, outside = (interval(partial(_mean, values), len(pairs)) for values in accuracy(extractor, pairs))
        realism = crops.realism(extractor, [pair.image for pair in pairs])
        print(f"| {name} | {realism} | {inside} | {outside} |", flush=True)


@dataclass(frozen=True)
class Crops:
    """Real crops, against which those of images are compared."""

    boxes: Sequence[tuple[int, int, int]]
    basis: np.ndarray
    """Their principal components [1280, COMPONENTS]."""
    gaussian: Gaussian

    @classmethod
    def of(cls, extractor: EffnetExtractor, store: str, boxes: Sequence[tuple[int, int, int]]) -> Crops:
        """Every box in REAL images of a store."""
        images = StoreImages(store, num=REAL * len(boxes))
        real = torch.cat(list(images.batches(range(REAL * len(boxes)), 64)))
        rows = features(extractor, [crop(image, boxes[i % len(boxes)]) for i, image in enumerate(real)])
        basis = np.linalg.svd(rows - rows.mean(axis=0), full_matrices=False)[2][:COMPONENTS].T
        return cls(boxes, basis, gaussian(rows @ basis))

    def realism(self, extractor: EffnetExtractor, images: Sequence[Tensor]) -> str:
        """The distance of the images' crops from the real ones."""
        cut = [crop(image, box) for image, box in zip(images, self.boxes, strict=True)]
        rows = features(extractor, cut) @ self.basis
        return interval(lambda chosen: frechet_distance(gaussian(rows[chosen]), self.gaussian), len(rows))


def gaussian(rows: np.ndarray) -> Gaussian:
    """Mean and covariance of features [N, D]."""
    return Gaussian(num=len(rows), mean=rows.mean(axis=0), covariance=np.cov(rows.T))


def _mean(values: np.ndarray, chosen: np.ndarray) -> float:
    return float(values[chosen].mean())


def usable(on: Drawing, count: int) -> list[tuple[int, list[Reference]]]:
    """Seeds of sources, and references with the outlines of a part, where a face is found in the source."""
    found: list[tuple[int, list[Reference]]] = []
    seed = 1000  # the first seeds are those of Collins' clusters
    while len(found) < count:
        part = PARTS[len(found) % len(PARTS)]
        (plain,) = render(on.scene({"a": on.subject(Origin(name="a", seed=seed))}, "a"), on.inputs)
        with suppress(InputError):
            outlines = part_shapes([part], plain.pixels, "a", softness=0.0)
            found.append((seed, [Reference(seed + 1, str(outline)) for outline in outlines]))
        seed += 2
    return found


def drawn(on: Drawing, source: int, references: Sequence[Reference], settings: TransferSettings) -> Pair:
    """The result of one method."""
    (one,) = transfers(on, source, references, settings)
    scenes = [one.result, one.source, one.references[0]]
    image, plain, other = (_bytes(found.image) for found in render(scenes, on.inputs, batch=1))
    mask = where(one, on.inputs, (image.shape[1], image.shape[2]))
    return Pair(image, plain, other, mask, square(mask))


def where(one: Transfer, inputs: Inputs, size: tuple[int, int]) -> Tensor:
    """The mask of the part, [H, W]."""
    canvas = Canvas.of_size(size)
    shapes = [shape for shapes in one.shapes for shape in shapes]
    return torch.stack([mask_of(shape, inputs.mask)(canvas).expand(size) for shape in shapes]).amax(dim=0)


def _bytes(image: Tensor) -> Tensor:
    return (image * 127.5 + 127.5).round().clamp(0, 255).byte()


def square(mask: Tensor) -> tuple[int, int, int]:
    """The square around a mask, a fifth larger, at least three eighths of the image and inside it."""
    rows, columns = torch.nonzero(mask.amax(dim=1) > 0.5).flatten(), torch.nonzero(mask.amax(dim=0) > 0.5).flatten()
    most = min(mask.shape)
    side = 1.2 * max(int(rows[-1] - rows[0]), int(columns[-1] - columns[0]), 1)
    side = min(max(round(side), most * 3 // 8), most)
    left, top = (round(float(one[0] + one[-1] + 1 - side) / 2) for one in (columns, rows))
    return min(max(left, 0), mask.shape[1] - side), min(max(top, 0), mask.shape[0] - side), side


def crop(image: Tensor, box: tuple[int, int, int]) -> Tensor:
    """The square of an image."""
    left, top, side = box
    return image[:, top : top + side, left : left + side]


def features(extractor: EffnetExtractor, images: Sequence[Tensor]) -> np.ndarray:
    """EfficientNet features [N, 1280]."""
    return torch.cat([extractor(one[None]) for one in images]).double().cpu().numpy()


@torch.inference_mode()
def accuracy(extractor: EffnetExtractor, pairs: Sequence[Pair]) -> tuple[np.ndarray, np.ndarray]:
    """For each pair the distance to the reference inside the mask, and to the source outside."""
    inside, outside = [], []
    for pair in pairs:
        maps = spatial(extractor, torch.stack([pair.image, pair.source, pair.reference]))
        weights = F.interpolate(pair.mask[None, None], maps.shape[2:], mode="area")[0, 0]
        to_source, to_reference = ((maps[0] - maps[index]).square().sum(dim=0) for index in (1, 2))
        inside.append(float((to_reference * weights).sum() / weights.sum()))
        outside.append(float((to_source * (1 - weights)).sum() / (1 - weights).sum()))
    return np.array(inside), np.array(outside)


def spatial(extractor: EffnetExtractor, images: Tensor) -> Tensor:
    """Unit feature vectors [N, C, 28, 28]."""
    network = extractor._network
    x = network.stem(extractor.prepare(images))
    for block in network.blocks[: STAGE + 1]:
        y = block(x)
        x = x + y if y.shape == x.shape else y
    return F.normalize(x, dim=1)


def interval(statistic: Callable[[np.ndarray], float], count: int) -> str:
    """The statistic of all pairs, and 1.96 standard deviations of it over bootstrap resamples of the pairs."""
    generator = np.random.default_rng(0)
    samples = [statistic(generator.integers(0, count, count)) for _ in range(RESAMPLES)]
    return f"{statistic(np.arange(count)):.3f} ± {1.96 * np.std(samples):.3f}"


if __name__ == "__main__":
    main()
