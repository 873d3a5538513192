from __future__ import annotations

import hashlib
import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest
import torch

HERE = Path(__file__).resolve().parents[1]
CASES = sorted(path.parent for path in (HERE / "fixtures").glob("*/case.json"))


@pytest.fixture(scope="module")
def check() -> ModuleType:
    spec = importlib.util.spec_from_file_location("parity_check", HERE / "parity" / "check.py")
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules[spec.name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_golden_case_agrees_and_leaves_no_trace(
    check: ModuleType, case: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    with torch.no_grad():
        report = check.check(case)
    assert not report.problems
    assert report.errors or report.notes
    assert not list(tmp_path.iterdir())


def test_a_differing_array_is_found(check: ModuleType, tmp_path: Path) -> None:
    import numpy as np

    source = HERE / "fixtures" / "tf_sg2_cond16"
    for file in source.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    with np.load(source / "outputs.npz") as file:
        arrays = {name: file[name] for name in file.files}
    arrays["Gs.img"] = arrays["Gs.img"] * 1.0001
    arrays["Gs.odd_name"] = arrays["Gs.ws"]
    np.savez(tmp_path / "outputs.npz", **arrays)
    with torch.no_grad():
        report = check.check(tmp_path)
    assert [problem.split(":")[0] for problem in report.problems] == ["Gs.odd_name", "network-final.pkl"]


def test_fixtures_are_those_of_the_list() -> None:
    root = HERE / "fixtures"
    lines = (root / "SHA256SUMS").read_text().splitlines()
    listed = {name: digest for digest, _, name in (line.partition("  ") for line in lines)}
    found = {
        f"./{path.relative_to(root).as_posix()}": hashlib.sha256(path.read_bytes()).hexdigest()
        for path in root.glob("*/*")
    }
    assert found == listed
