"""The metrics as a table, in a module that loads nothing, so that help texts can list them."""

from typing import Literal, NamedTuple

Statistic = Literal["gaussian", "bank"]
"""What is kept of features: ``gaussian``, their mean and covariance; ``bank``, all of them."""


class MetricRow(NamedTuple):
    """One metric."""

    name: str
    extractor: str
    """A key of :data:`sgkit.metrics.features.EXTRACTORS`."""
    statistic: Statistic
    """``gaussian``: the Fréchet distance; ``bank``: the kernel distance."""
    num_images: int
    """Images that a model generates for it by default."""


METRIC_ROWS = (
    MetricRow("fd_effnet", "effnet", "gaussian", 10_000),
    MetricRow("kd_effnet", "effnet", "bank", 10_000),
    MetricRow("fid", "inception", "gaussian", 50_000),  # Heusel et al., 2017
    MetricRow("kid", "inception", "bank", 50_000),  # Bińkowski et al., 2018
)
