from __future__ import annotations

import pytest

from sgkit.measure.image_info import ImageSetInfo
from sgkit.measure.tables import grid_of, latex, markdown, number_text, page
from sgkit.measure.task import MeasureResult
from sgkit.metrics.values import MetricValue


def result(path: str, *values: MetricValue, kimg: float | None = None) -> MeasureResult:
    info = ImageSetInfo(path=path, kind="model", num_images=50, image_size=(8, 8), content_hash="abc", kimg=kimg)
    return MeasureResult(
        metrics=values,
        images=info,
        data=ImageSetInfo(path="da_ta", kind="store", num_images=100, image_size=(8, 8), content_hash="def"),
        extractors={"effnet": "colours"},
        warnings=("Look out.",),
        data_from_cache=False,
        versions={"sgkit": "1.0"},
    )


def value(name: str = "fid", at: float = 12.345678, **options: object) -> MetricValue:
    return MetricValue(name=name, value=at, **{"num_images": 50, "num_data": 100, **options})  # type: ignore[arg-type]


RESULTS = [
    result("a", value(), value("is", 3.2, std=0.0411, better="higher"), kimg=1.0),
    result("b", value(at=9.0, num_images=40, notes=("40 of 50 images",)), kimg=2.0),
]


def test_values_of_other_numbers_of_images_are_marked() -> None:
    grid = grid_of(RESULTS)
    assert grid.columns == ("images", "fid ↓", "is ↑")
    assert grid.rows == [("a, 1 kimg", "12.35", "3.2 ± 0.041"), ("b, 2 kimg", "9 *", "-")]
    assert grid.notes == ["* 40 of 50 images; 40 images against 100"]


def test_values_of_other_protocols_are_marked() -> None:
    grid = grid_of([result("a", value(protocol={"ddof": 1})), result("b", value(protocol={"ddof": 0}))])
    assert [row[1] for row in grid.rows] == ["12.35", "12.35 *"]
    assert grid.notes == ["* protocol {'ddof': 0}"]


@pytest.mark.parametrize(
    ("number", "std", "text"),
    [
        (12.3456, None, "12.35"),
        (12.3456, 0.2, "12.35 ± 0.2"),
        (1e-7, 2e-8, "1e-07 ± 2e-08"),
        (0.5, 0.25, "0.5 ± 0.25"),
    ],
)
def test_numbers(number: float, std: float | None, text: str) -> None:
    assert number_text(value(at=number, std=std)) == text


def test_markdown() -> None:
    assert markdown(RESULTS) == (
        "| images | fid ↓ | is ↑ |\n| --- | ---: | ---: |\n"
        "| a, 1 kimg | 12.35 | 3.2 ± 0.041 |\n| b, 2 kimg | 9 * | - |\n\n"
        "* 40 of 50 images; 40 images against 100  \nAgainst da_ta (100 images); sgkit 1.0.  \n"
    )
    assert r"a\|b" in markdown([result("a|b", value())])


def test_latex() -> None:
    text = latex(RESULTS)
    assert r"images & fid $\downarrow$ & is $\uparrow$ \\" in text
    assert r"a, 1 kimg & 12.35 & 3.2 $\pm$ 0.041 \\" in text
    assert r"Against da\_ta (100 images)" in text


def test_page_draws_curves_that_values_come_with() -> None:
    curve = value("prd_effnet_f8", metric="prd_effnet", details={"recall": [0.0, 1.0], "precision": [1.0, 0.2]})
    fewer = value("fid_inf", metric="fid_inf", details={"counts": [10, 20], "values": [5.0, 3.0]})
    text = page([result("a", curve, fewer)])
    assert "Curves" in text
    assert text.count("<svg") == 2


def test_page() -> None:
    text = page(RESULTS)
    for words in ("12.35", "40 of 50 images", "Look out.", "<svg", "colours", "abc", "def"):
        assert words in text
    assert "<svg" not in page(RESULTS[:1])
    assert "&lt;b&gt;" in page([result("<b>", value())])
