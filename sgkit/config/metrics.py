"""The metrics as a table, in a module that loads nothing, so that help texts can list them.

How a metric is added is described in :mod:`sgkit.metrics.registry`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from sgkit.config.metric_row import Better
from sgkit.config.metric_row import MetricRow as MetricRow
from sgkit.config.metric_row import Statistic as Statistic
from sgkit.errors import UsageError, did_you_mean

_FRECHET = {"method": "frechet", "statistics": ("gaussian",), "paper": "Heusel et al., 2017"}
_KERNEL = {
    "method": "kernel",
    "statistics": ("bank",),
    "parameters": {"num_subsets": 100, "subset_size": 1000},
    "paper": "Bińkowski et al., 2018",
}
_PRECISION_RECALL = {
    "method": "precision_recall",
    "statistics": ("bank",),
    "parameters": {"neighbours": 3},
    "values": ("precision", "recall"),
    "better": "higher",
    "paper": "Kynkäänniemi et al., 2019",
}
_DENSITY_COVERAGE = {
    "method": "density_coverage",
    "statistics": ("bank",),
    "parameters": {"neighbours": 5},
    "values": ("coverage", "density"),
    "better": "higher",
    "paper": "Naeem et al., 2020",
}
_CMMD = {
    "method": "cmmd",
    "statistics": ("bank",),
    "parameters": {"sigma": 10.0},
    "paper": "Jayasumana et al., 2023",
}
_FRECHET_INFINITY = {
    "method": "frechet_infinity",
    "statistics": ("bank",),
    "data_statistics": ("gaussian",),
    "parameters": {"num_points": 15},
    "paper": "Chong and Forsyth, 2020",
}
_CURVE = {
    "method": "precision_recall_curve",
    "statistics": ("bank",),
    "parameters": {"num_clusters": 20, "num_runs": 10},
    "values": ("f8", "f1_8"),
    "better": "higher",
    "paper": "Sajjadi et al., 2018",
}
_DUPLICATES = {
    "method": "duplicates",
    "statistics": ("bank",),
    "parameters": {"quantile": 0.01},
    "paper": "sgkit",
}
_SCORE = {
    "method": "inception_score",
    "network": "inception",
    "statistics": ("bank",),
    "needs": "images",
    "parameters": {"num_splits": 10},
    "better": "higher",
    "paper": "Salimans et al., 2016",
}


_OF_EVERY_NETWORK: dict[str, dict[str, Any]] = {
    "fd": _FRECHET,
    "kd": _KERNEL,
    "pr": _PRECISION_RECALL,
    "dc": _DENSITY_COVERAGE,
    "cmmd": _CMMD,
    "fd_inf": _FRECHET_INFINITY,
    "prd": _CURVE,
    "dup": _DUPLICATES,
}
NETWORK_FILE = ".onnx"
"""Ends the names of files that are feature networks: ``fd_network.onnx`` is the Fréchet distance of its features."""


def _rows_of(network: str, *, num_images: int) -> Iterator[MetricRow]:
    """The distances that every feature network has."""
    for start, options in _OF_EVERY_NETWORK.items():
        yield _row(f"{start}_{network}", options, network=network, num_images=num_images)


def _row(name: str, options: dict[str, Any], **more: Any) -> MetricRow:
    parameters = {**options.get("parameters", {}), **more.pop("parameters", {})}
    return MetricRow(name=name, **{**options, **more, "parameters": parameters})


def _path_lengths() -> Iterator[MetricRow]:
    """Perceptual path lengths: in z and w, anywhere on a path and at its start.

    By EfficientNet; as StyleGAN2-ADA measures them; and as the original does (``_tf``), which crops portraits before it
    reduces them. ``ppl2_wend`` crops nothing.
    """
    options = {"method": "path_length", "needs": "generator", "paper": "Karras et al., 2019"}
    nvidia = {**options, "protocol": "NVIDIA"}
    for space in ("z", "w"):
        for sampling in ("full", "end"):
            path = {"space": space, "sampling": sampling, "epsilon": 1e-4}
            ada, tf = ({**path, "crop": crop, "distance": "lpips_vgg"} for crop in ("ada", "tf"))
            name, effnet = f"ppl_{space}{sampling}", {**path, "crop": "none", "distance": "effnet"}
            yield _row(f"{name}_effnet", options, num_images=10_000, parameters=effnet)
            yield _row(name, nvidia, num_images=50_000, parameters=ada)
            yield _row(f"{name}_tf", nvidia, num_images=100_000, parameters=tf)
    uncropped = {"space": "w", "sampling": "end", "epsilon": 1e-4, "crop": "none", "distance": "lpips_vgg"}
    yield _row("ppl2_wend", nvidia, num_images=50_000, parameters=uncropped)


def _equivariances() -> Iterator[MetricRow]:
    """Peak signal-to-noise ratios of moved inputs of StyleGAN3."""
    for name, movement in (("eqt50k_int", "int"), ("eqt50k_frac", "frac"), ("eqr50k", "rotation")):
        yield MetricRow(
            name=name,
            method="equivariance",
            needs="generator",
            num_images=50_000,
            parameters={"movement": movement, "translate_max": 0.125, "rotate_max": 1.0},
            better="higher",
            unit="dB",
            protocol="NVIDIA",
            paper="Karras et al., 2021",
        )


_PATCHES = {
    "method": "sliced_wasserstein",
    "network": "pixels",
    "statistics": ("patches",),
    "protocol": "ProGAN",
    "paper": "Karras et al., 2018",
}
_PAIRS = {
    "method": "ms_ssim",
    "network": "pixels",
    "statistics": ("pairs",),
    "needs": "images",
    "protocol": "ProGAN",
    "paper": "Odena et al., 2017",
}
_IDENTITY: dict[str, Any] = {"network": "identity", "statistics": ("bank",), "num_images": 100, "paper": "King, 2017"}
_NVIDIA: dict[str, Any] = {"network": "inception", "num_images": 50_000, "protocol": "NVIDIA"}
_INCEPTION: dict[str, Any] = {"network": "inception", "num_images": 50_000}
METRIC_ROWS: tuple[MetricRow, ...] = (
    *_rows_of("effnet", num_images=10_000),
    *_rows_of("clip", num_images=10_000),
    *_rows_of("dinov2", num_images=10_000),
    *_rows_of("d", num_images=10_000),
    _row("fid", _FRECHET, **_INCEPTION),
    _row("kid", _KERNEL, **_INCEPTION),
    _row("fid_clean", _FRECHET, network="inception-clean", num_images=50_000, protocol="clean-fid"),
    _row("kid_clean", _KERNEL, network="inception-clean", num_images=50_000, protocol="clean-fid"),
    _row("fid_pytorch", _FRECHET, network="inception-pytorch", num_images=50_000, protocol="pytorch-fid"),
    _row("fid_inf", _FRECHET_INFINITY, **_INCEPTION),
    _row("pr_inception", _PRECISION_RECALL, **_INCEPTION),
    _row("prd_inception", _CURVE, **_INCEPTION),
    _row("is", _SCORE, num_images=50_000, parameters={"shuffle_seed": 2020}),
    _row("is_effnet", _SCORE, network="effnet", num_images=10_000, parameters={"shuffle_seed": 2020}),
    # NVIDIA's names and parameters (stylegan2-ada-pytorch, stylegan3): covariances are divided by N
    _row("fid50k_full", _FRECHET, **_NVIDIA, parameters={"ddof": 0}),
    _row("fid50k", _FRECHET, **_NVIDIA, num_data=50_000, parameters={"ddof": 0}),
    _row("kid50k_full", _KERNEL, **_NVIDIA, num_data=1_000_000),
    _row("kid50k", _KERNEL, **_NVIDIA, num_data=50_000),
    _row(
        "pr50k3_full",
        _PRECISION_RECALL,
        **{**_NVIDIA, "network": "vgg16"},
        num_data=200_000,
        parameters={"dtype": "float16"},
    ),
    _row("is50k", _SCORE, num_images=50_000, protocol="NVIDIA"),
    _row("swd", _PATCHES, num_images=16_384, num_data=16_384),
    _row("ms_ssim", _PAIRS, num_images=20_000),
    MetricRow(name="identity", method="pair_distance", needs="pairs", **_IDENTITY),
    MetricRow(name="identity_within", method="mean_distance", needs="images", better="higher", **_IDENTITY),
    *_path_lengths(),
    MetricRow(
        name="ls",
        method="linear_separability",
        needs="generator",
        num_images=200_000,
        parameters={"keep": 0.5},
        values=("z", "w"),
        protocol="StyleGAN",
        paper="Karras et al., 2019",
    ),
    *_equivariances(),
)


def list_metrics() -> list[MetricRow]:
    """The metrics that ``sgkit metrics`` and training compute: what each needs, its protocol and its paper."""
    return list(METRIC_ROWS)


_ELSEWHERE = {
    "fid50k_full": "fid50k3_full",
    "fid": "fid10k fid_full frechet_inception_distance fd_inception",
    "kid": "kernel_inception_distance kd_inception",
    "is": "inception_score isc",
    "pr_inception": "prc precision recall precision_recall",
    "dc_effnet": "prdc density coverage density_coverage",
    "ms_ssim": "ms-ssim msssim",
    "pr50k3_full": "pr50k3",
    "ppl2_wend": "ppl ppl2 perceptual_path_length",
    "cmmd_clip": "cmmd",
    "fd_dinov2": "fdd fd_dino",
    "swd": "swd16k sliced_wasserstein sliced_wasserstein_distance",
    "eqt50k_int": "eqt eq_t",
    "eqr50k": "eqr eq_r",
    "ls": "linear_separability",
    "identity": "id identity_distance",
}
METRIC_NAMES: dict[str, str | None] = {word: name for name, words in _ELSEWHERE.items() for word in words.split()}
METRIC_NAMES = {name: here for name, here in METRIC_NAMES.items() if name not in {row.name for row in METRIC_ROWS}}
"""Metric of other tools -> its name here; ``None``: sgkit does not have it."""


_LIST = "List all metrics with: sgkit metrics list"


def _of_file(name: str) -> MetricRow | None:
    """The metric of a feature network in a file; ``None``: this is the name of none."""
    if not name.lower().endswith(NETWORK_FILE):
        return None
    starts = [start for start in _OF_EVERY_NETWORK if name.startswith(f"{start}_")]
    if not starts:
        return None
    start = max(starts, key=len)
    return _row(name, _OF_EVERY_NETWORK[start], network=name[len(start) + 1 :], num_images=10_000)


def metric_named(name: str) -> MetricRow:
    """The metric called ``name``.

    Raises:
        UsageError: there is none.
    """
    check_metrics([name])
    return _of_file(name) or next(row for row in METRIC_ROWS if name == row.name)


def ranking(name: str) -> tuple[str, Better]:
    """Name of the value that ranks snapshots by the metric ``name``, and which values are better.

    A name that this version does not know, of an older run, is taken for that of a distance.
    """
    row = next((row for row in METRIC_ROWS if name in (row.name, *row.value_names)), None)
    if row is None:
        return name, "lower"
    return (name if name in row.value_names else row.value_names[0]), row.better


def check_metrics(names: Iterable[str]) -> None:
    """Refuse names of metrics that there are not.

    Raises:
        UsageError: there is one, or none are named.
    """
    known, given = [row.name for row in METRIC_ROWS], list(names)
    if not given:
        raise UsageError(f"No metric was named. Name one or more, for example fd_effnet. {_LIST}")
    for name in given:
        if name in known or _of_file(name) is not None:
            continue
        if name.lower().endswith((".pt", ".pth", ".pkl")):
            raise UsageError(
                f"Unknown metric {name!r}. TorchScript and pickled files hold programs, which are not run. Export the "
                f"network with torch.onnx.export, then name {name.rpartition('.')[0]}{NETWORK_FILE}."
            )
        here = METRIC_NAMES.get(name.lower())
        if here is not None:
            raise UsageError(f"Unknown metric {name!r}: it is called {here!r} here. {_LIST}")
        if name.lower() in METRIC_NAMES:
            raise UsageError(f"sgkit does not compute {name!r}. {_LIST}")
        near = did_you_mean(name, known)
        raise UsageError(f"Unknown metric {name!r}. {near if near.startswith('Did') else _LIST}")
