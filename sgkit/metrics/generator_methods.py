"""The metrics that sample a generator, or look at its images without a feature network."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
import torch

from sgkit.errors import UsageError
from sgkit.metrics import coverage
from sgkit.metrics.equivariance import Movement, equivariance, squared_errors
from sgkit.metrics.image_distances import load_distance
from sgkit.metrics.path_length import EPSILON, Floats, PathLengthSpec, cropped, path_distances
from sgkit.metrics.path_length import path_length as length_of
from sgkit.metrics.separability import NUM_KEPT, NUM_SAMPLES, Separability, separability
from sgkit.metrics.values import MetricInputs, Score
from sgkit.metrics.wasserstein import sliced_wasserstein
from sgkit.model.noise import SeededNoise
from sgkit.runtime.progress import Progress


def path_length(inputs: MetricInputs) -> Score:
    """Perceptual path length; ``space``, ``sampling``, ``crop``, ``epsilon`` and ``distance`` are its protocol."""
    source = inputs.the_generator()
    distance = load_distance(
        str(inputs.parameter("distance", "lpips_vgg")), inputs.context.device, on_progress=inputs.on_progress
    )
    spec = PathLengthSpec(
        space=inputs.parameter("space", "w"),
        sampling=inputs.parameter("sampling", "end"),
        crop=inputs.parameter("crop", "none"),
        epsilon=float(inputs.parameter("epsilon", EPSILON)),
    )
    parts = path_distances(
        source.model,
        distance,
        spec,
        own_part(inputs),
        batch=max(source.batch // 2, 1),  # two images for each path
        labels=source.labels(inputs.num_images),
        psi=source.truncation_psi,
        seed=inputs.seed,
    )
    found = length_of(gathered(inputs, parts))
    return Score(
        value=found.mean,
        std=found.standard_error,
        std_of="mean",
        details={"paths": found.num, "paths_outside_percentiles_1_to_99": found.num_rejected},
    )


def equivariance_ratio(inputs: MetricInputs) -> Score:
    """Peak signal-to-noise ratio of one ``movement`` of a StyleGAN3's input."""
    source = inputs.the_generator()
    movement: Movement = inputs.parameter("movement", "int")
    parts = squared_errors(
        source.model,
        (movement,),
        own_part(inputs),
        batch=source.batch,
        labels=source.labels(inputs.num_images),
        psi=source.truncation_psi,
        seed=inputs.seed,
    )
    errors = gathered(inputs, (part[movement] for part in parts))
    found = equivariance(errors)
    by_image = 20 * np.log10(2) - 10 * np.log10(np.maximum(errors[:, 0] / np.maximum(errors[:, 1], 1), 1e-12))
    error = float(by_image.std(ddof=1) / np.sqrt(len(errors))) if len(errors) > 1 else None
    return Score(value=found.psnr, std=error, std_of="mean", details={"mean_squared_error": found.mean_squared_error})


def own_part(inputs: MetricInputs) -> range:
    """Numbers of the samples that this process makes."""
    rank, world = inputs.context.rank, inputs.context.world_size
    return range(inputs.num_images * rank // world, inputs.num_images * (rank + 1) // world)


def gathered(inputs: MetricInputs, parts: Iterator[Floats]) -> Floats:
    """The arrays of all processes, one after another in the order of the samples; tells the progress of this one."""
    own, done, total = [], 0, len(own_part(inputs))
    for part in parts:
        own.append(part)
        done += len(part)
        inputs.on_progress(Progress(done=done, total=total, stage=inputs.row.name))
    everywhere = inputs.context.gather_objects(own)
    return np.concatenate([part for process in everywhere for part in process])


def density_coverage(inputs: MetricInputs) -> tuple[Score, Score]:
    """Coverage and density by the k nearest neighbours of the data (Naeem et al., 2020)."""
    found = coverage.density_coverage(
        inputs.of_measured("bank"), inputs.of_data("bank"), k=int(inputs.parameter("neighbours", coverage.NEAREST))
    )
    return Score(value=found.coverage), Score(value=found.density)


def cmmd(inputs: MetricInputs) -> Score:
    """The maximum mean discrepancy with a Gaussian kernel (Jayasumana et al., 2023)."""
    sigma = float(inputs.parameter("sigma", coverage.CMMD_SIGMA))
    return Score(value=coverage.cmmd(inputs.of_measured("bank"), inputs.of_data("bank"), sigma=sigma))


def patch_distance(inputs: MetricInputs) -> tuple[Score, ...]:
    """The sliced Wasserstein distance of patches; where one side has more images, as many are used as the other has."""
    measured, data = inputs.of_measured("patches"), inputs.of_data("patches")
    used = min(measured.num, data.num)
    sides = [bank if bank.num == used else bank.chosen(used) for bank in (measured, data)]
    found = sliced_wasserstein(*sides, seed=inputs.seed)
    notes = () if used >= inputs.row.num_images else (f"{used:,} of {inputs.row.num_images:,} images on each side",)
    sizes = {str(size): value for size, value in found.by_size.items()}
    return (Score(value=found.mean, notes=notes, details={"by_size": sizes}),)


def pair_similarity(inputs: MetricInputs) -> Score:
    """MS-SSIM over the pairs (0, 1), (2, 3) ... of the images."""
    values = inputs.of_measured("pairs")
    error = float(values.std(ddof=1) / np.sqrt(len(values))) if len(values) > 1 else None
    return Score(value=float(values.mean()), std=error, std_of="mean", details={"pairs": len(values)})


def linear_separability(inputs: MetricInputs) -> tuple[Score, ...]:
    """Linear separability in z and in w, of the attributes that the option ``classifier`` tells of."""
    source, classifier = inputs.the_generator(), inputs.options.get("classifier")
    if classifier is None:
        raise UsageError(
            f"{inputs.row.name} needs a classifier of images: --classifier FILE. Train one on a store with labels: "
            "sgkit classifier train STORE --out FILE"
        )
    labels, spaces, answers = source.labels(inputs.num_images), ("z", "w"), list[dict[str, Floats]]()
    latents: dict[str, list[Floats]] = {space: [] for space in spaces}
    part = own_part(inputs)
    for start in range(part.start, part.stop, source.batch):
        seeds = range(start, min(start + source.batch, part.stop))
        with torch.no_grad():
            z = source.model.sample_z(seeds)
            label = None if labels is None else labels[seeds.start : seeds.stop].to(z.device)
            ws = source.model.map(z, label, psi=source.truncation_psi)
            images = cropped(source.model.synthesize(ws, noise=SeededNoise(seeds=list(seeds))), "none")
        latents["z"].append(z.cpu().numpy())
        latents["w"].append(ws[:, -1].float().cpu().numpy())
        answers.append(classifier((images.float() * 127.5 + 127.5).round().clamp(0, 255).byte()))
        inputs.on_progress(Progress(done=seeds.stop - part.start, total=len(part), stage=inputs.row.name))
    everywhere = inputs.context.gather_objects((latents, answers))
    joined = {space: np.concatenate([one for own, _ in everywhere for one in own[space]]) for space in spaces}
    names: dict[str, Floats] = next((own[0] for _, own in everywhere if own), {})
    told = {name: np.concatenate([one[name] for _, own in everywhere for one in own]) for name in names}
    share = float(inputs.parameter("keep", NUM_KEPT / NUM_SAMPLES))
    found = separability(joined, told, keep=max(round(inputs.num_images * share), 2))
    return _separability_scores(found, {space: values.shape[1] for space, values in joined.items()})


def _separability_scores(found: Mapping[str, Separability], dims: Mapping[str, int]) -> tuple[Score, ...]:
    """A score for each latent space, with what makes it meaningless."""
    notes: dict[str, list[str]] = {space: [] for space in found}
    for space, result in found.items():
        kept = sum(result.attributes[0].counts)
        if kept <= 2 * (dims[space] + 1):  # Cover, 1965: a plane separates most labellings of so few points
            notes[space].append(f"too few samples: a plane in {dims[space]} dimensions separates nearly any {kept:,}")
        same = [one.name for one in result.attributes if sum(count > 0 for count in one.counts) < 2]
        if same:
            notes[space].append(f"all samples that were kept are of one class: {', '.join(same)}")
    return tuple(
        Score(
            value=result.score,
            notes=tuple(notes[space]),
            details={
                one.name: {"entropy": one.entropy, "accuracy": one.accuracy, "counts": list(one.counts)}
                for one in result.attributes
            },
        )
        for space, result in found.items()
    )
