"""Spaces, priors and losses of ``sgkit project`` against each other: how close, and how fit for editing.

    python -m tests.benchmarks.inversion_table MODEL --data IMAGES [--count 200] [--steps 100] [--rows w,s:gaussian]

IMAGES are photographs that MODEL was not trained with. A row is SPACE[:PRIOR[:LOSS[:WEIGHT of the prior]]]. Noise maps
are the stored ones and are not searched. Recovery: the model's own images are the targets, whose w are known; the
cosine of what is found to that w, both from the mean of w. Reconstruction: PSNR, and the squared distance of
EfficientNet's unit feature vectors (after block 4), which stands for LPIPS where its weights are not at hand. Editing:
the same five directions, the first principal components of w at two deviations, are added to the styles of every
result; the Fréchet distance of these images' EfficientNet features to those of the model's own samples edited in the
same way, on the latter's first 64 principal components. Intervals: 1.96 standard deviations by bootstrap over images.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import islice

import numpy as np
import torch
from torch import Tensor

import sgkit
from sgkit.config.project import ProjectSettings
from sgkit.inversion.distributions import LatentDistribution
from sgkit.inversion.optimize import Projection, search
from sgkit.inversion.targets import read_targets, target_images
from sgkit.metrics.distances import frechet_distance
from sgkit.metrics.effnet import EffnetExtractor
from sgkit.model import Branch, Model, noise_source, walk
from tests.benchmarks.transfer_claims import gaussian, interval, spatial

ROWS = (
    *("z", "w", "w:mean", "p", "p:p"),
    *("w+", "w+:mean", "w+:delta", "w+:p", "w+:gaussian", "p+", "p+:p"),
    *("s", "s:gaussian", "s:gaussian-layers", "s:gaussian-joint"),
    *("w+:none:pixels", "w+:none:features", "s:gaussian:pixels", "s:gaussian:features"),
)
COMPONENTS, DIRECTIONS, DEVIATIONS, BATCH = 64, 5, 2.0, 20
KNOWN = 40
"""Images of the model whose w is recovered."""


@dataclass(frozen=True)
class Bench:
    """The model, the targets, and what results are measured with."""

    model: Model
    photos: Tensor
    steps: int

    @cached_property
    def extractor(self) -> EffnetExtractor:
        return EffnetExtractor()

    @cached_property
    def distribution(self) -> LatentDistribution:
        return LatentDistribution(model=self.model)

    @cached_property
    def known(self) -> tuple[Tensor, Tensor]:
        """w of the model's own samples, and their images."""
        w = self.model.map(self.model.sample_z(range(KNOWN)))
        return w[:, 0], self.draw(self.model.styles(w)).clamp(-1, 1)

    @cached_property
    def directions(self) -> list[Mapping[str, Tensor]]:
        """What each direction adds to the styles."""
        middle, (axes, variances) = self.distribution.w.mean, self.distribution.w.axes
        moves = (axes * variances.sqrt() * DEVIATIONS).t()[:DIRECTIONS].float()
        plain, moved = self.styles_of(middle[None]), self.styles_of(middle + moves)
        return [{name: moved[name][index] - plain[name][0] for name in plain} for index in range(DIRECTIONS)]

    @torch.no_grad()
    def styles_of(self, w: Tensor) -> Mapping[str, Tensor]:
        """Styles of w [N, w_dim] or w+."""
        return self.model.styles(w if w.ndim == 3 else w[:, None].expand(-1, self.model.num_ws, -1))

    def samples(self, seeds: range) -> Mapping[str, Tensor]:
        """Styles of the model's own samples."""
        return self.styles_of(self.model.map(self.model.sample_z(seeds)))

    @torch.no_grad()
    def draw(self, styles: Mapping[str, Tensor]) -> Tensor:
        """Images [N, C, H, W] with the stored noise."""
        synthesis, count = self.model.generator.synthesis, len(next(iter(styles.values())))
        found = []
        for start in range(0, count, BATCH):
            part = {name: style[start : start + BATCH] for name, style in styles.items()}
            found.append(walk([Branch(synthesis, part, noise_source("const"))])[0].image.float())
        return torch.cat(found)

    # -------------------------------------------------------------------------------------------- measures

    def edited(self, styles: Mapping[str, Tensor]) -> np.ndarray:
        """Features of the images with each direction: [N, directions, 1280]."""
        moved = [{name: style + move[name] for name, style in styles.items()} for move in self.directions]
        return np.stack([self.features(self.draw(one)) for one in moved], axis=1)

    @cached_property
    def own(self) -> np.ndarray:
        """Those of the model's own samples."""
        return self.edited(self.samples(range(1000, 1600)))

    @cached_property
    def basis(self) -> np.ndarray:
        rows = self.own.reshape(-1, self.own.shape[-1])
        return np.linalg.svd(rows - rows.mean(axis=0), full_matrices=False)[2][:COMPONENTS].T

    def editability(self, rows: np.ndarray) -> str:
        """The Fréchet distance of edited results [N, directions, 1280] to the model's own."""
        own, rows = gaussian((self.own @ self.basis).reshape(-1, COMPONENTS)), rows @ self.basis
        return interval(lambda chosen: frechet_distance(gaussian(rows[chosen].reshape(-1, COMPONENTS)), own), len(rows))

    def features(self, images: Tensor) -> np.ndarray:
        """EfficientNet features [N, 1280]."""
        return torch.cat([self.extractor(part) for part in pixels(images).split(BATCH)]).double().cpu().numpy()

    @torch.inference_mode()
    def perceived(self, images: Tensor, targets: Tensor) -> np.ndarray:
        """Squared distances of feature maps, [N]."""
        found = []
        for pair in zip(images.split(BATCH), targets.split(BATCH), strict=True):
            one, other = (spatial(self.extractor, pixels(part)) for part in pair)
            found.append((one - other).square().sum(dim=1).mean(dim=(1, 2)).numpy())
        return np.concatenate(found)

    # ---------------------------------------------------------------------------------------------- search

    def row(self, name: str) -> str:
        """One row of the table."""
        space, prior, loss, weight = (*name.split(":"), *("w", "none", "both", "")[name.count(":") + 1 :])
        settings = ProjectSettings(
            space=space,  # type: ignore[arg-type]
            prior=prior,  # type: ignore[arg-type]
            prior_weight=float(weight) if weight else None,
            loss=loss,
            steps=self.steps,
            optimize_noise=False,
        )
        began = time.process_time()
        parts = self.searched(settings, self.photos)
        seconds = (time.process_time() - began) / len(self.photos)
        images = torch.cat([part.images for part in parts]).clamp(-1, 1)
        psnr = 10 * torch.log10(4 / (images - self.photos).square().mean(dim=(1, 2, 3))).numpy()
        found = [self._styles(part) for part in parts]
        styles = {name: torch.cat([one[name] for one in found]) for name in found[0]}
        near, edits = mean(self.perceived(images, self.photos)), self.editability(self.edited(styles))
        cells = (
            space,
            f"{prior} {weight}".strip(),
            loss,
            self.recovered(settings),
            mean(psnr),
            near,
            edits,
            f"{seconds:.2f}",
        )
        return f"| {' | '.join(cells)} |"

    def searched(self, settings: ProjectSettings, targets: Tensor) -> list[Projection]:
        """What is found for the targets, in batches."""
        return [search(self.model, part, settings) for part in targets.split(BATCH)]

    def _styles(self, part: Projection) -> Mapping[str, Tensor]:
        return part.values if part.space == "s" else self.styles_of(self._w(part))

    @torch.no_grad()
    def _w(self, part: Projection) -> Tensor:
        return self.model.map(part.values["z"]) if part.space == "z" else part.w

    def recovered(self, settings: ProjectSettings) -> str:
        """The cosine to the true w of the model's own images."""
        if settings.space == "s":
            return ""
        w, images = self.known
        found = [self._w(part) for part in self.searched(settings, images)]
        found = [one.mean(dim=1) if one.ndim == 3 else one for one in found]
        middle = self.distribution.w.mean
        return mean(torch.cosine_similarity(torch.cat(found).detach() - middle, w - middle).numpy())


def pixels(images: Tensor) -> Tensor:
    """uint8 images."""
    return (images * 127.5 + 127.5).round().clamp(0, 255).byte()


def mean(values: np.ndarray) -> str:
    """Mean and interval."""
    return interval(lambda chosen: float(values[chosen].mean()), len(values))


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model")
    parser.add_argument("--data", required=True)
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--rows", default=",".join(ROWS))
    given = parser.parse_args()
    model = sgkit.load(given.model)
    photos = target_images(list(islice(read_targets([given.data], model), given.count)), model)
    bench = Bench(model, photos, given.steps)
    print("| space | prior | loss | cosine to true w | PSNR | feature distance | editing (fd) | CPU s per image |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- |")
    own = bench.edited(bench.samples(range(2000, 2000 + given.count)))
    print(f"| the model's other samples | | | | | | {bench.editability(own)} | |", flush=True)
    for name in given.rows.split(","):
        print(bench.row(name), flush=True)


if __name__ == "__main__":
    main()
