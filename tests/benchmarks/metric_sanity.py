"""What metrics see: real images against real images that were blurred, made noisy, compressed, or robbed of modes.

    python -m tests.benchmarks.metric_sanity --faces STORE --others STORE --num 400 --out docs/images
        [--discriminator MODEL] [--metrics NAMES]

One half of the faces is the reference. Measured are the other half (the floor), other images (what is far), and the
other half after each change at three strengths. Draws one figure for each metric and prints all values as JSON.
The discriminator is that of a model of such faces, for metrics that end in _d.
"""

from __future__ import annotations

import argparse
import io
import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor
from torch.nn import functional as F

import sgkit
from sgkit.measure.faces import FaceExtractor
from sgkit.metrics.discriminator import DiscriminatorExtractor
from sgkit.metrics.features import FeatureExtractor, load_extractor
from sgkit.metrics.registry import METRICS, evaluate
from sgkit.metrics.statistics import FeatureStatistics
from sgkit.metrics.values import MetricInputs
from sgkit.store.dataset import StoreDataset

NAMES = (
    *("fd_effnet", "kd_effnet", "pr_effnet", "dc_effnet", "cmmd_effnet", "fd_inf_effnet", "prd_effnet", "dup_effnet"),
    *("fd_d", "swd", "ms_ssim", "identity", "identity_within"),
)
STATISTICS = {
    "effnet": ("bank", "gaussian"),
    "d": ("bank", "gaussian"),
    "identity": ("bank",),
    "pixels": ("pairs", "patches"),
}
Statistics = dict[str, FeatureStatistics]
Values = dict[str, float]


def blurred(images: Tensor, sigma: float) -> Tensor:
    reach = max(round(3 * sigma), 1)
    taps = torch.exp(-(torch.arange(-reach, reach + 1).float() ** 2) / (2 * sigma**2))
    taps = (taps / taps.sum()).reshape(1, 1, -1, 1).expand(3, 1, -1, 1)
    x = F.pad(images.float(), (reach,) * 4, mode="reflect")
    x = F.conv2d(F.conv2d(x, taps, groups=3), taps.transpose(2, 3), groups=3)
    return x.round().clamp(0, 255).byte()


def noisy(images: Tensor, deviation: float) -> Tensor:
    draw = torch.Generator().manual_seed(0)
    return (images + deviation * torch.randn(images.shape, generator=draw)).round().clamp(0, 255).byte()


def compressed(images: Tensor, quality: float) -> Tensor:
    found = []
    for image in images:
        file = io.BytesIO()
        Image.fromarray(image.permute(1, 2, 0).numpy()).save(file, "JPEG", quality=int(quality))
        found.append(torch.from_numpy(np.array(Image.open(file))).permute(2, 0, 1))
    return torch.stack(found)


def modes_kept(pool: Tensor, share: float, num: int) -> Tensor:
    """``num`` different images of ``pool``, of that share of its 10 clusters of colour and layout, the largest ones."""
    small = F.adaptive_avg_pool2d(pool.float(), 8).flatten(1)
    draw = torch.Generator().manual_seed(0)
    centres = small[torch.randperm(len(small), generator=draw)[:10]]
    for _ in range(20):
        cluster = torch.cdist(small, centres).argmin(dim=1)
        centres = torch.stack(
            [small[cluster == n].mean(dim=0) if (cluster == n).any() else centres[n] for n in range(10)]
        )
    order = torch.bincount(cluster, minlength=10).argsort(descending=True)
    kept = torch.isin(cluster, order[: max(round(10 * share), 1)])
    chosen = torch.nonzero(kept)[:, 0]
    return pool[chosen[torch.randperm(len(chosen), generator=draw)[:num]]]


def repeated(images: Tensor, share: float) -> Tensor:
    """As many images, but only that share of them different."""
    draw = torch.Generator().manual_seed(0)
    return images[torch.randint(0, max(round(share * len(images)), 1), (len(images),), generator=draw)]


CHANGES: dict[str, tuple[str, tuple[float, ...], Callable[[Tensor, float], Tensor]]] = {
    "blur": ("sigma, pixels", (0.5, 1.0, 2.0), blurred),
    "noise": ("deviation, of 255", (5.0, 15.0, 45.0), noisy),
    "JPEG": ("quality", (75.0, 30.0, 10.0), compressed),
}
MODES = ("of 10 clusters kept", (0.5, 0.2, 0.1))
"""Clusters of colour and layout."""
REPEATS = ("of images, repeated", (0.5, 0.1, 0.02))


def read(store: str, numbers: np.ndarray) -> Tensor:
    data = StoreDataset(store)
    return torch.stack([data[int(number)][0] for number in numbers])


def extractors(names: Sequence[str], discriminator: str | None) -> dict[str, FeatureExtractor]:
    """The networks that the metrics ``names`` need."""
    found: dict[str, FeatureExtractor] = {}
    for network in {METRICS[name].network for name in names}:
        if network == "d":
            assert discriminator is not None, "name a model with --discriminator"
            found[network] = DiscriminatorExtractor(sgkit.load(discriminator))
        else:
            found[network] = FaceExtractor() if network == "identity" else load_extractor(network)
    return found


def statistics_of(images: Tensor, networks: dict[str, FeatureExtractor]) -> Statistics:
    found = {}
    for network, extractor in networks.items():
        found[network] = FeatureStatistics(extractor.dim, STATISTICS[network])
        for part in images.split(50):
            found[network].update(extractor(part))
    return found


def measured(names: Sequence[str], own: Statistics, reference: Statistics, originals: Statistics | None) -> Values:
    """The values of metrics; ``originals`` are what each image was made from, for metrics of pairs."""
    found = Values()
    for name in names:
        row = METRICS[name]
        data = {"data": reference, "pairs": originals, "images": {}}[row.needs]
        if data is not None:
            inputs = MetricInputs(row=row, measured=own[row.network], data=data.get(row.network))
            found |= {one.name: one.value for one in evaluate(inputs)}
    return found


def sets(faces: str, others: str, num: int) -> Iterator[tuple[str, Tensor]]:
    """Name and images: the reference first."""
    order = np.random.RandomState(0).permutation(len(StoreDataset(faces)))
    pool = read(faces, order[num : num + 10 * num])
    half = pool[:num]
    yield "reference", read(faces, order[:num])
    yield "floor", half
    yield "others", read(others, np.random.RandomState(0).permutation(len(StoreDataset(others)))[:num])
    for name, (_, strengths, change) in CHANGES.items():
        for strength in strengths:
            yield f"{name} {strength:g}", change(half, strength)
    for share in MODES[1]:
        yield f"modes {share:g}", modes_kept(pool, share, num)
    for share in REPEATS[1]:
        yield f"repeats {share:g}", repeated(half, share)


# ------------------------------------------------------------------------------------------------ figures

WIDTH, HEIGHT, LEFT, TOP, BOTTOM = 1000, 250, 66, 34, 46
COLOURS = ((31, 119, 180), (214, 90, 20))


def figure(metric: str, values: dict[str, Values], path: Path) -> None:
    """Five panels over one axis: the value after each change, from none to strong; other images as lines.

    Of metrics of pairs there are no values where images have no originals.
    """
    names = METRICS[metric].value_names
    top = max(one[name] for one in values.values() for name in names if name in one) * 1.06
    image = Image.new("RGB", (WIDTH, HEIGHT), "white")
    pen, font, small = ImageDraw.Draw(image), ImageFont.load_default(15), ImageFont.load_default(12)
    y = lambda value: TOP + (HEIGHT - TOP - BOTTOM) * (1 - max(value, 0) / top)  # noqa: E731
    panels = [(name, what, [f"{s:g}" for s in strengths]) for name, (what, strengths, _) in CHANGES.items()]
    for name, (what, shares) in (("modes", MODES), ("repeats", REPEATS)):
        panels.append((name, what, [f"{share:g}" for share in shares]))
    wide = (WIDTH - LEFT - 10) / len(panels)
    for tick in np.linspace(0, top / 1.06, 5):
        pen.line([(LEFT, y(tick)), (WIDTH - 10, y(tick))], fill=(232, 232, 232))
        pen.text((LEFT - 6, y(tick)), f"{tick:.3g}", fill="black", font=small, anchor="rm")
    for number, (name, what, strengths) in enumerate(panels):
        known = [one for one in strengths if names[0] in values[f"{name} {one}"]]
        start = LEFT + number * wide
        places = [start + wide * (0.14 + 0.24 * step) for step in range(4)]
        pen.text(
            (start + wide / 2, HEIGHT - 12),
            f"{name}: {what}" if number < 3 else what,
            fill="black",
            font=small,
            anchor="mm",
        )
        for place, text in zip(places, ["none", *strengths], strict=True):
            pen.text((place, HEIGHT - BOTTOM + 12), text, fill="black", font=small, anchor="mm")
        pen.line([(start, TOP), (start, HEIGHT - BOTTOM)], fill=(180, 180, 180))
        for colour, key in zip(COLOURS, names, strict=False):
            for x in range(int(start) + 4, int(start + wide) - 4, 8) if key in values["others"] else ():
                pen.line([(x, y(values["others"][key])), (x + 3, y(values["others"][key]))], fill=colour)
            found = [values["floor"], *(values[f"{name} {text}"] for text in known)] if known else []
            line = [(place, y(one[key])) for place, one in zip(places, found, strict=False)]
            pen.line(line, fill=colour, width=3)
            for x, height in line:
                pen.ellipse([x - 4, height - 4, x + 4, height + 4], fill=colour)
    at = LEFT
    for colour, key in zip(COLOURS, names, strict=False):
        pen.text((at, 10), key, fill=colour, font=font)
        at += pen.textlength(key, font=font) + 24
    pen.text((WIDTH - 10, 10), "dotted: other images (flowers)", fill=(90, 90, 90), font=small, anchor="ra")
    image.save(path, quality=80, method=6)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--faces", required=True)
    parser.add_argument("--others", required=True)
    parser.add_argument("--num", type=int, default=400)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--discriminator")
    parser.add_argument("--metrics", type=lambda text: text.split(","), default=NAMES)
    given = parser.parse_args()
    networks = extractors(given.metrics, given.discriminator)
    values: dict[str, Values] = {}
    reference: Statistics = {}
    floor: Statistics = {}
    for name, images in sets(given.faces, given.others, given.num):
        own = statistics_of(images, networks)
        floor = own if name == "floor" else floor
        if name == "reference":
            reference = own
            continue
        is_changed = name == "floor" or name.partition(" ")[0] in CHANGES
        values[name] = measured(given.metrics, own, reference, floor if is_changed else None)
        print(name, json.dumps(values[name]), flush=True)
    for metric in given.metrics:
        figure(metric, values, given.out / f"sees_{metric}.webp")
    print(json.dumps(values))


if __name__ == "__main__":
    main()
