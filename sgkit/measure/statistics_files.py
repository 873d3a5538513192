"""Statistics of features in files: written for later comparisons, and read from other projects.

A file holds ``mu`` and ``sigma``, as pytorch-fid's and clean-fid's do, so that these read it too; ``feats`` are all
features (clean-fid's name). What they are statistics of is text under ``sgkit``. NVIDIA's pickles are read by the one
restricted reader; nothing in a file is executed.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from sgkit.config.metric_row import Statistic
from sgkit.errors import CheckpointError, InputError
from sgkit.measure.image_info import ImageSetInfo
from sgkit.measure.inputs import ImageSet
from sgkit.metrics.features import FeatureExtractor
from sgkit.metrics.statistics import FeatureBank, FeatureStatistics, Gaussian, KnownGaussian
from sgkit.runtime.files import atomic_path
from sgkit.unpickle import load
from sgkit.unpickle.arrays import as_array
from sgkit.unpickle.npz import read_npz

FORMAT = 1
ASYMMETRY = 1e-4
"""By which part of its largest number a covariance may differ from its transpose, or fall below 0: rounding."""
_PICKLE_STARTS = (b"capture_mean_cov", b"numpy")
_HEAD = 256


def is_statistics_file(path: Path) -> bool:
    """Whether the first bytes of a file are those of saved statistics, and not of a model or images."""
    if not path.is_file():
        return False
    with path.open("rb") as file:
        head = file.read(_HEAD)
    if head.startswith(b"PK"):
        try:
            return bool({"mu", "feats"} & set(read_npz(path, verify=False)))
        except (CheckpointError, OSError):
            return False
    is_pickle = path.suffix == ".pkl" and head[:1] == b"\x80"
    return is_pickle and any(word in head for word in _PICKLE_STARTS) and b"persistence" not in head


class SavedStatistics(ImageSet):
    """Statistics from a file, in place of the images that they were computed from."""

    def __init__(self, path: str) -> None:
        self.path = path
        try:
            self._gaussian, self._bank, self.origin = _read(Path(path))
        except (CheckpointError, KeyError, ValueError, TypeError, AttributeError, OverflowError) as error:
            said = f"it has no {error}" if isinstance(error, KeyError) else str(error).rstrip(".")
            raise InputError(f"The statistics in {path} cannot be read: {said}. {_AGAIN}") from error
        self.num = self._gaussian.num if self._gaussian else len(self._bank if self._bank is not None else ())

    def subset(self, num: int) -> SavedStatistics:
        """The same: the images are not there to choose from."""
        return self

    def known(self, extractor: FeatureExtractor, statistics: frozenset[Statistic]) -> FeatureStatistics:
        """The statistics in the file.

        Raises:
            InputError: the file does not have them, or they are of another network or preprocessing.
        """
        content_id = self.origin.get("extractor")
        if content_id not in (None, extractor.content_id):
            raise InputError(
                f"The statistics in {self.path} are of {content_id}; this metric needs {extractor.content_id}. {_AGAIN}"
            )
        dim = self._gaussian.mean.size if self._gaussian else 0 if self._bank is None else self._bank.shape[1]
        if dim != extractor.dim:
            raise InputError(
                f"The statistics in {self.path} have {dim} features; {extractor.name} has {extractor.dim}. They are of "
                "another network."
            )
        parts: dict[Statistic, Any] = {}
        if "gaussian" in statistics and self._gaussian is not None:
            parts["gaussian"] = KnownGaussian(self._gaussian)
        if "bank" in statistics and self._bank is not None:
            parts["bank"] = FeatureBank(dim)
            parts["bank"].restore({"bank": self._bank})
        lacking = sorted(statistics - set(parts))
        if lacking:
            raise InputError(
                f"{self.path} has no {_WORDS.get(lacking[0], lacking[0])}, which this metric needs; it has "
                f"{'mean and covariance' if self._gaussian else 'all features'}. Give the images instead."
            )
        return FeatureStatistics.of_parts(dim, parts)

    def batches(self, part: range, batch: int) -> Iterator[Tensor]:
        """Refuse: there are no images.

        Raises:
            InputError: always.
        """
        raise InputError(f"{self.path} has statistics of images, not images, which this metric needs.")

    def content(self) -> dict[str, Any]:
        """As :class:`ImageSet`; unused, as nothing is computed."""
        return {"statistics": str(self.path)}

    def info(self) -> ImageSetInfo:
        """As :class:`ImageSet`, as far as the file says."""
        known = self.origin.get("images", {})
        height, width = known.get("image_size", (0, 0))
        return ImageSetInfo(
            path=self.path,
            kind="statistics",
            num_images=self.num,
            image_size=(int(height), int(width)),
            content_hash=known.get("content_hash"),
            resize_filter=known.get("resize_filter"),
            truncation_psi=known.get("truncation_psi"),
            labels=known.get("labels"),
            kimg=known.get("kimg"),
        )


_AGAIN = "Save them again with: sgkit metrics IMAGES --metrics NAME --save-statistics FILE.npz"
_WORDS = {"gaussian": "mean and covariance", "bank": "features of single images"}


def save_statistics(
    path: str | Path, found: FeatureStatistics, extractor: FeatureExtractor, info: ImageSetInfo, **more: Any
) -> Path:
    """Write statistics to ``path``, an ``.npz``, with what they are of; ``more`` is added to that."""
    arrays: dict[str, Any] = {"num": np.array(found.num)}
    if "gaussian" in found.statistics:
        arrays |= {"mu": found.gaussian().mean, "sigma": found.gaussian().covariance}
    if "bank" in found.statistics:
        arrays["feats"] = found.bank()
    origin = {
        "format": FORMAT,
        "network": extractor.name,
        "extractor": extractor.content_id,
        "images": asdict(info),
        **more,
    }
    path = Path(path)
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        np.savez(file, sgkit=np.array(json.dumps(origin)), **arrays)
    return path


def _read(path: Path) -> tuple[Gaussian | None, np.ndarray[Any, Any] | None, dict[str, Any]]:
    """(mean and covariance, all features, what they are of), as far as the file has them."""
    with path.open("rb") as file:
        is_zip = file.read(2) == b"PK"
    found: Any = read_npz(path) if is_zip else _arrays(load(path))
    if not isinstance(found, Mapping):  # StyleGAN's and StyleGAN2's: a pair
        mean, covariance = found
        return _gaussian(mean, covariance, 0), None, {}
    if "capture_mean_cov" in found:
        return _nvidias(found)
    origin = _origin(str(found["sgkit"])) if "sgkit" in found else {}
    num = int(found["num"]) if "num" in found else 0
    bank = _bank([found["feats"]]) if "feats" in found else None
    gaussian = _gaussian(found["mu"], found["sigma"], num) if "mu" in found else None
    if bank is not None and gaussian is None:
        statistics = FeatureStatistics(bank.shape[1], ["gaussian"])
        statistics.update(torch.from_numpy(bank))
        gaussian = statistics.gaussian()
    return gaussian, bank, origin


def _arrays(value: Any) -> Any:
    """``value`` with the records of the restricted reader as arrays."""
    if isinstance(value, dict):
        return {key: _arrays(one) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [_arrays(one) for one in value]
    array = as_array(value)
    return value if array is None else array


def _nvidias(found: Mapping[str, Any]) -> tuple[Gaussian | None, np.ndarray[Any, Any] | None, dict[str, Any]]:
    """Of stylegan2-ada-pytorch and stylegan3: sums over the images, or all features."""
    num = int(found["num_items"])
    if num < 2:
        raise ValueError(f"they are of {num} images, and a covariance needs at least 2")
    bank = _bank(found["all_features"] or ()) if found["capture_all"] else None
    if not found["capture_mean_cov"]:
        return None, bank, {}
    mean = np.asarray(found["raw_mean"], np.float64) / num
    covariance = np.asarray(found["raw_cov"], np.float64) / num - np.outer(mean, mean)
    return _gaussian(mean, covariance * (num / (num - 1)), num), bank, {}


def _origin(text: str) -> dict[str, Any]:
    """What the statistics are of, as :func:`save_statistics` wrote it."""
    origin: Any = None
    with suppress(ValueError):
        origin = json.loads(text)
    images = origin.get("images", {}) if isinstance(origin, dict) else None
    known = images if isinstance(images, dict) else {"image_size": ()}
    numbers = [known.get("truncation_psi"), known.get("kimg"), *known.get("image_size", (0, 0))]
    if len(numbers) != 4 or not all(number is None or isinstance(number, (int, float)) for number in numbers):
        raise ValueError("its entry 'sgkit', which says what they are of, is damaged")
    return dict(origin)


def _bank(parts: Iterable[Any]) -> np.ndarray[Any, Any]:
    """Features float32 [N, dim], given in several parts."""
    arrays = [np.asarray(part, np.float32) for part in parts]
    if not arrays or any(array.ndim != 2 or array.shape[1] != arrays[0].shape[-1] for array in arrays):
        raise ValueError(
            f"features have shape {[list(array.shape) for array in arrays[:3]]} instead of [images, numbers]"
        )
    return np.concatenate(arrays)


def _gaussian(mean: Any, covariance: Any, num: int) -> Gaussian:
    mean, covariance = np.array(mean, np.float64), np.array(covariance, np.float64)
    if mean.ndim != 1 or covariance.shape != (mean.size, mean.size):
        raise ValueError(f"mean {list(mean.shape)} and covariance {list(covariance.shape)} do not belong together")
    if not (np.isfinite(mean).all() and np.isfinite(covariance).all()):
        raise ValueError("they contain NaN or infinity")
    largest = np.abs(covariance).max(initial=0.0)
    if np.abs(covariance - covariance.T).max(initial=0.0) > ASYMMETRY * largest:
        raise ValueError("the covariance is not symmetric")
    if (np.diagonal(covariance) < -ASYMMETRY * largest).any():
        raise ValueError("the covariance has negative variances")
    if num < 0:
        raise ValueError(f"the number of images is {num}")
    return Gaussian(num=num, mean=mean, covariance=covariance)
