"""The metrics as a table, in a module that loads nothing, so that help texts can list them."""

from collections.abc import Iterable
from typing import Literal, NamedTuple

from sgkit.errors import UsageError, did_you_mean

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


def list_metrics() -> list[MetricRow]:
    """The metrics that ``sgkit metrics`` and training compute: name, features, statistic, standard number of images."""
    return list(METRIC_ROWS)


_ELSEWHERE = {
    "fid": "fid50k_full fid50k fid10k fid_full frechet_inception_distance",
    "kid": "kid50k_full kid50k kernel_inception_distance",
}
_MISSING = "pr50k3_full pr50k3 is50k ppl ppl_zfull ppl_wfull ppl_zend ppl_wend ppl2_wend eqt50k_int eqt50k_frac eqr50k"
METRIC_NAMES: dict[str, str | None] = {word: name for name, words in _ELSEWHERE.items() for word in words.split()}
METRIC_NAMES |= dict.fromkeys(_MISSING.split())
"""Metric of other tools -> its name here; ``None``: sgkit does not have it."""


def check_metrics(names: Iterable[str]) -> None:
    """Refuse names of metrics that there are not.

    Raises:
        UsageError: there is one, or none are named.
    """
    known, given = [row.name for row in METRIC_ROWS], list(names)
    if not given:
        raise UsageError(f"No metric was named. Allowed: {', '.join(known)}.")
    for name in given:
        if name in known:
            continue
        here = METRIC_NAMES.get(name.lower())
        if here is not None:
            raise UsageError(f"Unknown metric {name!r}: it is called {here!r} here. Allowed: {', '.join(known)}.")
        if name.lower() in METRIC_NAMES:
            raise UsageError(f"sgkit does not compute {name!r}. Allowed: {', '.join(known)}.")
        raise UsageError(f"Unknown metric {name!r}. {did_you_mean(name, known)}")
