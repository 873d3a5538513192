"""What each metric measures and needs, in words, for ``sgkit metrics list``. Loads nothing heavy."""

from __future__ import annotations

from dataclasses import dataclass

from sgkit.config.metric_row import Better, MetricRow, Needs
from sgkit.config.metrics import METRIC_ROWS
from sgkit.config.networks import NETWORKS

MEASURES = {
    "frechet": "distance of the features' means and covariances",
    "kernel": "kernel distance of the features; unbiased, for few images",
    "precision_recall": "precision (quality) and recall (variety), by nearest neighbours",
    "precision_recall_curve": "F8 (recall) and F1/8 (precision) of a curve, by clusters",
    "density_coverage": "coverage (variety) and density (quality), by nearest neighbours",
    "cmmd": "maximum mean discrepancy with a Gaussian kernel",
    "frechet_infinity": "Fréchet distance, extrapolated to infinitely many images",
    "duplicates": "share of the images that nearly repeat another one",
    "inception_score": "how certain and how varied the classes of the images are",
    "sliced_wasserstein": "sliced Wasserstein distance of patches, by scale",
    "ms_ssim": "similarity of pairs of images; high where variety is lost",
    "path_length": "perceptual path length: how much images change along a path",
    "linear_separability": "linear separability: how well a plane tells attributes apart",
    "equivariance": "how exactly the image of a StyleGAN3 follows its moved input",
    "pair_distance": "distance between the face of an image and that of its reference",
    "mean_distance": "mean distance between the faces of all pairs of images",
}
"""Method -> what its metrics measure."""
_NEEDS_OF_METHOD = {"linear_separability": "a classifier: --classifier FILE"}
_DISTANCES = {"lpips_vgg": "vgg", "effnet": "effnet"}
"""Distance of path lengths -> its network."""
_MOVEMENTS = {"int": "by whole pixels", "frac": "by any distance", "rotation": "by rotation"}


@dataclass(frozen=True, kw_only=True)
class CatalogRow:
    """One metric, as ``sgkit metrics list`` shows it."""

    name: str
    method: str
    measures: str
    variant: str
    """What tells it from others of the method that use the same features."""
    values: tuple[str, ...]
    """Names of its values."""
    better: Better
    """Whether lower or higher values are better."""
    features: str
    """The network whose features are compared; empty: none."""
    needs: tuple[str, ...]
    """What must be installed, downloaded or given first."""
    compares: Needs
    """``data``: with reference images; ``pairs``: each image with its own one; ``images``: with nothing; ``generator``:
    a model by itself."""
    protocol: str
    """Whose definition it follows."""
    num_images: int
    """Images that a model generates by default."""
    num_data: int | None
    """Most reference images; ``None``: all."""
    paper: str


def list_catalog() -> list[CatalogRow]:
    """Every metric, in the order of the table."""
    return [_row(row) for row in METRIC_ROWS]


def _row(row: MetricRow) -> CatalogRow:
    network = _DISTANCES.get(str(row.parameters.get("distance")), row.network)
    return CatalogRow(
        name=row.name,
        method=row.method,
        measures=MEASURES[row.method],
        variant=_variant(row),
        values=row.value_names,
        better=row.better,
        features=network,
        needs=tuple(_needs(row, network)),
        compares=row.needs,
        protocol=row.protocol or "sgkit",
        num_images=row.num_images,
        num_data=row.num_data,
        paper=row.paper,
    )


def _variant(row: MetricRow) -> str:
    if row.method == "path_length":
        where = "anywhere" if row.parameters["sampling"] == "full" else "from its start"
        return f"{row.parameters['space']}, {where}, crop {row.parameters['crop']}"
    if row.method == "equivariance":
        return _MOVEMENTS[str(row.parameters["movement"])]
    return ""


def _needs(row: MetricRow, network: str) -> list[str]:
    if row.method in _NEEDS_OF_METHOD:
        return [_NEEDS_OF_METHOD[row.method]]
    if network == "d":
        return ["a model with a discriminator"]
    known = NETWORKS.get(network) or NETWORKS.get(network.partition("-")[0])
    if known is None:
        return []
    extra = [f"pip install 'stylegan-sgkit[{known.extra}]'"] if known.extra else []
    return [*extra, *(f"sgkit weights fetch {name}" for name in known.weights)]
