"""Nobody but the rooms named here walks a network: every picture comes from :func:`sgkit.render.render.render`."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import sgkit

PACKAGE = Path(sgkit.__file__).parent
WALKERS = {
    "model": "the core, where the walk is",
    "render": "the one road from latents to pictures",
    "training": "a step needs gradients, not pictures",
    "inversion/drag.py": "motion supervision needs gradients of features, and compares them",
    "inversion/optimize.py": "the loop that searches latents",
    "inversion/tuning.py": "tuning needs gradients of weights",
    "inversion/tune_task.py": "compares images of the model before and after",
    "inversion/encoder_training.py": "training needs gradients, not pictures",
    "metrics/path_length.py": "compares images that nobody gets",
    "metrics/equivariance.py": "compares images that nobody gets",
    "metrics/generator_methods.py": "compares images that nobody gets",
    "latents/clusters.py": "reads features, and draws nothing",
    "checkpoint/rosinality_export.py": "reads noise inputs out of a walk",
    "checkpoint/programs.py": "traces a network as a program for other engines",
}


def walking(path: Path) -> list[str]:
    """What a file uses to run layers: the walk, or a network that is called."""
    found = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("sgkit.model"):
            found += [f"imports {alias.name}" for alias in node.names if alias.name in ("walk", "steps")]
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            called = ast.unparse(node.func)
            if called.endswith((".synthesize", ".synthesis", "model.generator", "self.generator", "branch.walk")):
                found.append(f"calls {called}")
    return [f"{path.relative_to(PACKAGE).as_posix()} {what}" for what in found]


def test_there_is_one_road_from_latents_to_pixels() -> None:
    others = [
        call
        for path in PACKAGE.rglob("*.py")
        if not path.relative_to(PACKAGE).as_posix().startswith(tuple(WALKERS))
        for call in walking(path)
    ]
    assert not others


@pytest.mark.parametrize("call", ["model.synthesize(ws)", "self.generator(z)", "network.synthesis(ws)"])
def test_the_rule_sees_calls(call: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert any("walk" in found for found in walking(PACKAGE / "render" / "blending.py"))
    monkeypatch.setitem(globals(), "PACKAGE", tmp_path)
    (tmp_path / "a.py").write_text(f"images = {call}\n")
    assert walking(tmp_path / "a.py") == [f"a.py calls {call.partition('(')[0]}"]
