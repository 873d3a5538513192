"""What a metric is, as data: one row of the table in :mod:`sgkit.config.metrics`. Loads nothing heavy."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

Statistic = str
"""What is kept of features or images; a key of :data:`sgkit.metrics.statistics.STATISTICS`. ``gaussian``: their mean
and covariance; ``bank``: all of them."""
Needs = Literal["data", "images", "generator", "pairs"]
Better = Literal["lower", "higher"]
Parameter = int | float | str | bool


@dataclass(frozen=True, kw_only=True)
class MetricRow:
    """One metric: what it needs, its protocol, and how to read its value."""

    name: str
    method: str
    """A key of :data:`sgkit.metrics.registry.METHODS`."""
    network: str = ""
    """A key of :data:`sgkit.metrics.features.EXTRACTORS`; empty: no statistics of images are needed."""
    statistics: tuple[Statistic, ...] = ()
    """Statistics of the network's features that the method needs, of each side."""
    data_statistics: tuple[Statistic, ...] | None = None
    """Statistics of the reference images, where they are other ones; ``None``: the same."""
    needs: Needs = "data"
    """``data``: two sets of images; ``images``: the measured images alone; ``generator``: a model; ``pairs``: two sets
    whose images belong together one by one."""
    num_images: int
    """Images (or samples) of a model in the protocol."""
    num_data: int | None = None
    """Reference images in the protocol, at most; ``None``: all."""
    parameters: Mapping[str, Parameter] = field(default_factory=dict)
    """The rest of the protocol, by name."""
    values: tuple[str, ...] = ("",)
    """Endings of the names of its values, if it has several; the first one ranks snapshots."""
    better: Better = "lower"
    unit: str = ""
    protocol: str = ""
    """Whose definition this is, such as ``NVIDIA``; metrics of the same name elsewhere can be compared with it."""
    paper: str = ""

    @property
    def value_names(self) -> tuple[str, ...]:
        """Names of its values, such as ``pr50k3_full_precision``."""
        return tuple(f"{self.name}_{ending}" if ending else self.name for ending in self.values)
