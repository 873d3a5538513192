from __future__ import annotations

import hashlib
import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

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
    arrays["G.ws"] = arrays["G.ws"][:, 1:]
    del arrays["D.scores"]
    np.savez(tmp_path / "outputs.npz", **arrays)
    report = check.check(tmp_path)
    assert [problem.rpartition(": error")[0] or problem for problem in report.problems] == [
        "G.ws: ValueError: its shape is [3, 5, 32]; sgkit computes [3, 6, 32]",
        "Gs.odd_name: not checked: no rule for this name, or no checkpoint holds its network",
        "D.scores: case.json lists it, outputs.npz has none",
        "network-final.pkl: Gs.img",
    ]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("case.json", b"{", "the case cannot be read: JSONDecodeError"),
        ("outputs.npz", b"PK", "the case cannot be read"),
        ("inputs.npz", None, "the case cannot be read: FileNotFoundError"),
        ("network-final.pkl", None, "no checkpoint found: none of its files ends in .pkl, .pt"),
        ("network-final.pkl", b"\x80\x03cut short, or another file", "Cannot read checkpoint"),
    ],
)
def test_a_damaged_case_is_a_problem_and_no_crash(
    check: ModuleType,
    tmp_path: Path,
    name: str,
    content: bytes | None,
    message: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for file in (HERE / "fixtures" / "tf_sg2_cond16").iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    if content is None:
        (tmp_path / name).unlink()
    else:
        (tmp_path / name).write_bytes(content)
    assert check.main([str(tmp_path)]) == 1
    assert f"PROBLEM {message}" in capsys.readouterr().out


def test_a_folder_without_cases_is_a_problem(
    check: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert check.main([str(tmp_path)]) == 1
    assert "PROBLEM no case.json, here or in the folders below" in capsys.readouterr().out


def test_fixtures_are_those_of_the_list() -> None:
    root = HERE / "fixtures"
    lines = (root / "SHA256SUMS").read_text().splitlines()
    listed = {name: digest for digest, _, name in (line.partition("  ") for line in lines)}
    found = {
        f"./{path.relative_to(root).as_posix()}": hashlib.sha256(path.read_bytes()).hexdigest()
        for path in root.glob("*/*")
    }
    assert found == listed
