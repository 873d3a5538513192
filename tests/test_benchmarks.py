"""The parts of ``make bench`` that compute something; its figures are not tested."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import conv_flop

from sgkit.model import Model
from tests.benchmarks import flops, results
from tests.benchmarks.curves import Cost, Panel, svg
from tests.benchmarks.timing import compare


class Convolutions(TorchDispatchMode):
    """Counts the arithmetic of all convolutions with one group."""

    def __init__(self) -> None:
        super().__init__()
        self.flops = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        if func is torch.ops.aten.convolution.default and args[8] == 1:
            self.flops += conv_flop(*args[:9], out_val=out)
        return out


@pytest.mark.parametrize("name", ["stylegan2-f", "stylegan2-e-gresnet-dorig"])
def test_arithmetic_of_a_plan_is_that_of_its_convolutions(name: str, tiny_model: Callable[..., Model]) -> None:
    model = tiny_model(name)
    generator = model.generator.eval().requires_grad_(False)
    rgb = sum(
        flops.convolution(spec) for spec in generator.synthesis.plan if spec.kind == "rgb"
    )  # a product of matrices
    ws = generator.mapping(torch.randn(1, model.config.z_dim))
    with torch.no_grad(), Convolutions() as counted:
        generator.synthesis(ws)
    assert counted.flops == flops.forward(generator.synthesis.plan) - rgb


def found(**changes: Any) -> results.Results:
    """Results of one row."""
    row = {
        "name": "training step 64 px, batch 8",
        "group": "training-64",
        "unit": "image",
        "base": "ada fp32",
        "flops": 50e9,
        "alternatives": {
            "ada fp32": {"times": [2.0, 2.2, 9.0], "memory": 10},
            "sgkit fp32": {"times": [1.0, 1.0, 1.5], "memory": 7},
        },
        "failed": {"other": "it was not there"},
        "clock": "cpu",
        "rounds": 3,
    }
    made = {"rows": [row], "ceilings": {"fp32": {"best": 100.0, "shapes": {}}, "copy": 10.0}}
    return made | changes


def test_figures_are_medians_ratios_of_pairs_and_shares() -> None:
    (row,) = found()["rows"]
    figure = results.figures(row, found()["ceilings"])["sgkit fp32"]
    assert (figure.seconds, figure.ratio, figure.share) == (1.0, pytest.approx(2.2), pytest.approx(0.5))
    assert figure.text() == "1.00 s, 2.20x, 50%"
    table = results.partial_table(found())("training-64")
    assert table.splitlines()[-1] == "Not measured: training step 64 px, batch 8, other: it was not there."
    assert table.splitlines()[-3] == "| training step 64 px, batch 8 | 2.20 s, 23% | 1.00 s, 2.20x, 50% |"


def test_what_lost_a_tenth_of_its_share_is_told_on_any_machine() -> None:
    faster = found(ceilings={"fp32": {"best": 60.0, "shapes": {}}})  # the same times on a slower processor
    assert list(results.worse(faster, found())) == [
        "training step 64 px, batch 8, sgkit fp32: share of the ceiling 0.83 -> 0.50"
    ]
    assert not list(results.worse(found(), faster))
    assert not list(results.worse(None, found()))


def test_goals_say_what_is_reached() -> None:
    (goal,) = results.goals(found())
    assert (goal.is_reached, goal.wanted, goal.shown(goal.found)) == (True, 1.45, "2.20x")


def test_an_alternative_that_fails_is_named_and_the_others_are_timed() -> None:
    def fails() -> None:
        raise ValueError("no such engine\nand more")

    measured = compare({"good": lambda: None, "bad": fails}, rounds=2, per=2)
    assert measured["failed"] == {"bad": "ValueError: no such engine"}
    assert len(measured["alternatives"]["good"]["times"]) == 2
    assert len(compare({"slow": lambda: None}, rounds=0)["alternatives"]["slow"]["times"]) == 1


def test_the_page_is_that_of_the_results() -> None:
    stored = results.load()
    assert stored is not None
    assert results.PAGE.read_text(encoding="utf-8") == results.page(stored)


def test_the_picture_of_a_cost_has_both_panels_and_all_points() -> None:
    points = [(1.0, 3.0), (2.0, 5.0)]
    panel = Panel("ms", "batch", {"a": points, "b": points})
    drawn = svg(Cost("batch", "Batch", (panel, Panel("MiB", "batch", {"a": points}))))
    assert drawn.count("<polyline") == 3
    assert drawn.count("<circle") == 6
    assert Path(results.PAGE).name == "benchmarks.md"
