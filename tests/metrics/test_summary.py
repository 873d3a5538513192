from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
import torch

from sgkit.metrics.summary import FeatureSummary, Statistic, Wanted, summarize
from sgkit.runtime.progress import Progress


class MeanColour:
    """Features that need no network: mean of each channel, and a few corners."""

    needs = ""
    content_id = "mean-colour"

    def __init__(self, name: str = "colour", dim: int = 3) -> None:
        self.name = name
        self.dim = dim
        self.seen = 0

    def __call__(self, images: torch.Tensor) -> torch.Tensor:
        self.seen += len(images)
        return images.float().mean(dim=(2, 3))[:, : self.dim]


BOTH: frozenset[Statistic] = frozenset(("gaussian", "bank"))
IMAGES = torch.randint(0, 256, (20, 3, 8, 8), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


def test_summary_holds_what_was_wanted() -> None:
    found = summarize(
        IMAGES.split(6),
        [
            Wanted(extractor=MeanColour("a"), statistics=BOTH),
            Wanted(extractor=MeanColour("b", 2), statistics=frozenset(("gaussian",))),
        ],
    )
    assert set(found) == {"a", "b"}
    expected = IMAGES.float().mean(dim=(2, 3)).numpy()
    np.testing.assert_allclose(found["a"].bank(), expected, rtol=1e-6)
    np.testing.assert_allclose(found["b"].gaussian().mean, expected[:, :2].mean(axis=0), rtol=1e-6)
    with pytest.raises(AssertionError, match="no bank was asked for"):
        found["b"].bank()


@pytest.mark.parametrize("batch", [1, 7, 20])
def test_summary_stops_at_its_count(batch: int) -> None:
    extractor, taken = MeanColour(), 0

    def batches() -> Iterator[torch.Tensor]:
        nonlocal taken
        for images in IMAGES.split(batch):
            taken += len(images)
            yield images

    found = summarize(batches(), [Wanted(extractor=extractor, statistics=BOTH)], num_images=8)["colour"]
    assert (found.num, extractor.seen) == (8, 8)
    assert taken == -(-8 // batch) * batch
    np.testing.assert_allclose(found.bank(), IMAGES[:8].float().mean(dim=(2, 3)).numpy(), rtol=1e-6)


def test_summary_reports_progress() -> None:
    seen: list[Progress] = []
    want = Wanted(extractor=MeanColour(), statistics=BOTH)
    summarize(IMAGES.split(8), [want], num_images=18, stage="data", on_progress=seen.append)
    assert [(progress.done, progress.total) for progress in seen] == [(8, 18), (16, 18), (18, 18)]
    assert {progress.stage for progress in seen} == {"data"}


def test_no_images_is_an_empty_summary() -> None:
    want = Wanted(extractor=MeanColour(), statistics=BOTH)
    assert summarize([], [want])["colour"].num == 0
    assert summarize(IMAGES.split(4), [want], num_images=0)["colour"].bank().shape == (0, 3)


def test_parts_merge_in_order() -> None:
    want = [Wanted(extractor=MeanColour(), statistics=BOTH)]
    whole = summarize(IMAGES.split(20), want)["colour"]
    first, second = (summarize([part], want)["colour"] for part in (IMAGES[:9], IMAGES[9:]))
    first.merge(second)
    assert first.num == 20
    np.testing.assert_array_equal(first.bank(), whole.bank())
    np.testing.assert_allclose(first.gaussian().covariance, whole.gaussian().covariance, rtol=1e-10)


def test_arrays_round_trip() -> None:
    summary = summarize([IMAGES], [Wanted(extractor=MeanColour(), statistics=BOTH)])["colour"]
    arrays = {"gaussian": summary.to_arrays("gaussian"), "bank": summary.to_arrays("bank")}
    back = FeatureSummary.from_arrays(3, arrays)  # type: ignore[arg-type]
    assert back.num == 20
    np.testing.assert_array_equal(back.bank(), summary.bank())
    np.testing.assert_allclose(back.gaussian().covariance, summary.gaussian().covariance, rtol=1e-14)
    with pytest.raises(ValueError, match="features"):
        FeatureSummary.from_arrays(4, {"bank": arrays["bank"]})
    with pytest.raises(ValueError, match=r"the statistics count \[5, 20\] images"):
        FeatureSummary.from_arrays(3, {**arrays, "bank": {"bank": summary.bank()[:5]}})  # type: ignore[dict-item]
