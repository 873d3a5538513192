"""What a metric is computed from, and what comes out."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from sgkit.config.metric_row import Better, MetricRow, Parameter
from sgkit.errors import InputError
from sgkit.metrics.features import FeatureExtractor
from sgkit.metrics.statistics import FeatureStatistics
from sgkit.model import Model
from sgkit.runtime.distributed import DistributedContext
from sgkit.runtime.progress import OnProgress, ignore_progress


@dataclass(frozen=True, kw_only=True)
class Score:
    """One number that a method returns."""

    value: float
    std: float | None = None
    """Its uncertainty; what it is the deviation of is said by ``std_of``."""
    std_of: str = ""
    """For example ``subsets``."""
    notes: tuple[str, ...] = ()
    """What must be known to read the value."""
    details: Mapping[str, Any] = field(default_factory=dict)
    """Curves and the like, as plain values for JSON."""


@dataclass(frozen=True, kw_only=True)
class MetricValue:
    """Value of a metric, with its protocol."""

    name: str
    value: float
    std: float | None = None
    """Uncertainty of the value."""
    std_of: str = ""
    """What the uncertainty is the standard deviation of, for example ``subsets``."""
    interval: tuple[float, float] | None = None
    """95% confidence interval, if one was asked for."""
    num_images: int | None = None
    """Number of measured images; ``None``: not known (a statistics file does not say)."""
    num_data: int | None = None
    """Number of reference images; ``None``: none are needed, or not known."""
    better: Better = "lower"
    unit: str = ""
    metric: str = ""
    """The metric that this is a value of: ``pr50k3_full`` for ``pr50k3_full_precision``."""
    protocol: Mapping[str, Any] = field(default_factory=dict)
    """Method, network, numbers of images and parameters."""
    notes: tuple[str, ...] = ()
    """What must be known to read the value, such as too few images for the protocol."""
    details: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class GeneratorSource:
    """A model under measurement, and how it is sampled."""

    model: Model
    labels: Callable[[int], Tensor | None]
    """float32 [count, label_dim] for the seeds 0, 1 ... (the first ones of a larger count are the same); ``None``: the
    model is unconditional."""
    truncation_psi: float = 1.0
    batch: int = 32


@dataclass(frozen=True, kw_only=True)
class MetricInputs:
    """Everything that a method may use. All processes of ``context`` call a method together, with the same inputs."""

    row: MetricRow
    measured: FeatureStatistics | None = None
    """Statistics ``row.statistics`` of the measured images' features; ``None`` if the row has none."""
    data: FeatureStatistics | None = None
    """The same of the reference images; ``None`` unless the row needs data."""
    extractor: FeatureExtractor | None = None
    """The network that made the features."""
    generator: GeneratorSource | None = None
    """Where the measured images are a model's."""
    num_images: int = 0
    """Samples to use of the generator, where a method draws its own."""
    seed: int = 0
    context: DistributedContext = field(default_factory=DistributedContext)
    options: Mapping[str, Any] = field(default_factory=dict)
    """Further choices of the user for one metric, by name."""
    on_progress: OnProgress = ignore_progress

    def of_measured(self, statistic: str) -> Any:
        """A statistic of the measured images."""
        assert self.measured is not None
        return self.measured.result(statistic)

    def of_data(self, statistic: str) -> Any:
        """A statistic of the reference images."""
        assert self.data is not None
        return self.data.result(statistic)

    def parameter(self, name: str, default: Parameter) -> Any:
        """A parameter of the protocol, or ``default`` if the row does not set it."""
        return self.row.parameters.get(name, default)

    def the_generator(self) -> GeneratorSource:
        """The model under measurement.

        Raises:
            InputError: the measured images are not a model's.
        """
        if self.generator is None:
            raise InputError(
                f"{self.row.name} measures a generator, not images. Give a model or a run, or choose another metric."
            )
        return self.generator


Method = Callable[[MetricInputs], Score | Sequence[Score]]
"""Computes the values of a metric, in the order of ``row.values``."""
