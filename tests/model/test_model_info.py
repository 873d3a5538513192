from __future__ import annotations

from typing import Any

import pytest

from sgkit.model import ModelInfo


@pytest.mark.parametrize(
    ("provenance", "p"),
    [
        ({"augment_pipe": {"p": 0.25}}, 0.25),
        ({"augment_pipe": {"p": [0.5]}}, 0.5),
        ({"ada_aug_p": 0.125}, 0.125),
        ({"augment_pipe": {"p": float("nan")}}, None),
        ({"augment_pipe": {"p": 7}}, None),
        ({"augment_pipe": {"p": True}}, None),
        ({"augment_pipe": "bgc"}, None),
        ({}, None),
    ],
)
def test_the_probability_of_augmentation_is_read_from_every_record(provenance: dict[str, Any], p: float | None) -> None:
    assert ModelInfo(provenance=provenance).augment_p == p
