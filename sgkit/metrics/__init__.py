"""How good images are: features of them, statistics of features, distances between statistics."""

from sgkit.metrics.cache import StatisticsCache
from sgkit.metrics.distances import KernelDistance, frechet_distance, kernel_distance
from sgkit.metrics.features import EXTRACTORS, ExtractorRecipe, FeatureExtractor, load_extractor
from sgkit.metrics.registry import METRICS, evaluate, metric_rows, statistics_needed
from sgkit.metrics.statistics import FeatureRequest, FeatureStatistics, Gaussian, compute_statistics
from sgkit.metrics.values import MetricInputs, MetricValue, Score

__all__ = [
    "EXTRACTORS",
    "METRICS",
    "ExtractorRecipe",
    "FeatureExtractor",
    "FeatureRequest",
    "FeatureStatistics",
    "Gaussian",
    "KernelDistance",
    "MetricInputs",
    "MetricValue",
    "Score",
    "StatisticsCache",
    "compute_statistics",
    "evaluate",
    "frechet_distance",
    "kernel_distance",
    "load_extractor",
    "metric_rows",
    "statistics_needed",
]
