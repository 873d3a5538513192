"""What may make the values of metrics misleading, in sentences."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from sgkit.config.metric_row import MetricRow
from sgkit.measure.image_info import ImageSetInfo
from sgkit.metrics.features import EXTRACTORS
from sgkit.metrics.registry import METRICS


def cautions(rows: Sequence[MetricRow], sides: Sequence[ImageSetInfo]) -> Iterator[str]:
    """Warnings about the measured images and, if there are any, the reference images."""
    for row in rows:
        known = EXTRACTORS.get(row.network)
        dim = known.dim if known is not None and row.method == "frechet" else 0
        few = [info for info in sides if 0 < info.num_images <= dim]
        if few:
            counts = " and ".join(f"{info.num_images} images of {info.path}" for info in few)
            yield (
                f"{row.name}: {counts} are too few for the covariance of {dim} features (at least {dim + 1}), so "
                "the value is too high. Compare it only with values computed on the same number of images, or use "
                f"{_kernel_metric(row)}, which has no such bias."
            )
    for info in sides:
        if info.num_sizes > 1:
            yield (
                f"{info.path} has images of {info.size_text} (WxH). They are scaled to one size, so their sharpness "
                "differs. For comparable values, make a store of one size with: sgkit prepare"
            )
        if info.sample_bits < 16:
            yield (
                f"16-bit images of {info.path} use {info.sample_bits} bits and were scaled accordingly. To choose the "
                "number of bits, make a store with: sgkit prepare --bits"
            )
    if len(sides) < 2:
        return
    images, data = sides
    if images.content_hash and (images.kind, images.content_hash) == (data.kind, data.content_hash):
        yield (
            f"Both sides are images of the same {data.kind}, so they have images in common and distances are too low. "
            "Compare with other images."
        )
    for info in sides:
        if info.kind == "statistics" and info.content_hash is None and info.image_size == (0, 0):
            yield (
                f"{info.path} does not say of which network and preprocessing its statistics are: the value is right "
                "only if they are those of the metric."
            )
    if (0, 0) in (images.image_size, data.image_size):
        return
    if max(images.num_sizes, data.num_sizes) == 1 and images.image_size != data.image_size:
        sizes = [f"{width}x{height}" for height, width in (images.image_size, data.image_size)]
        yield f"The images are {sizes[0]}, the data {sizes[1]} (WxH), so one side is sharper, which affects the values."
    filters = (images.resize_filter, data.resize_filter)
    if None not in filters and filters[0] != filters[1]:
        yield f"The stores were resized by different filters, {filters[0]} and {filters[1]}, which affects the values."


def _kernel_metric(row: MetricRow) -> str:
    """The metric of the same features that works with few images; of those without one, Inception's."""
    same = (name for name, one in METRICS.items() if one.network == row.network and one.method == "kernel")
    return next(same, "kid")
