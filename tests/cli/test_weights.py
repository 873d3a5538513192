from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from unittest.mock import patch

import pytest

from sgkit.cli.app import main
from sgkit.weights import WEIGHTS, Weights, fetching

CONTENT = b"weights of a small network"


@pytest.fixture(autouse=True)
def _one_entry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    entry = Weights(
        name="net",
        summary="A test",
        url="http://127.0.0.1:1/net.pth",
        sha256=hashlib.sha256(CONTENT).hexdigest(),
        licence="Apache-2.0",
        homepage="http://127.0.0.1:1",
        used_by=("fid",),
    )
    monkeypatch.setattr(fetching.time, "sleep", lambda seconds: None)
    monkeypatch.setenv("SGKIT_CACHE", str(tmp_path / "cache"))
    (tmp_path / "file").write_bytes(CONTENT)
    with patch.dict(WEIGHTS, {"net": entry}, clear=True):  # gives the table back in its own order
        yield


def test_list(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main(["weights", "list"]) == 0
    out = capsys.readouterr().out
    assert out.splitlines()[1].split() == ["net", "fid", "Apache-2.0", "missing", "-"]
    assert str(tmp_path / "cache" / "weights" / "net.pth") in out


def test_add_path_and_verify(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main(["weights", "add", str(tmp_path / "file")]) == 0
    assert capsys.readouterr().out.strip() == str(tmp_path / "cache" / "weights" / "net.pth")
    assert main(["weights", "path", "net"]) == 0
    path = Path(capsys.readouterr().out.strip())
    assert path.read_bytes() == CONTENT
    assert main(["weights", "verify", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)[0]["state"] == "good"
    path.write_bytes(b"damaged")
    assert main(["weights", "verify"]) == 1
    assert "net.pth is damaged" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["net", "fid"])
def test_fetch_without_connection(capsys: pytest.CaptureFixture[str], name: str) -> None:
    assert main(["weights", "fetch", name]) == 1
    err = capsys.readouterr().err
    assert "under the licence Apache-2.0" in err
    assert "Could not get http://127.0.0.1:1/net.pth" in err
    assert "sgkit weights add FILE" in err


def test_fetch_from_a_folder(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "file").rename(tmp_path / "net.pth")
    assert main(["weights", "fetch", "net", "--mirror", str(tmp_path), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)[0]["state"] == "good"


def test_unknown_name(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["weights", "fetch", "nets"]) == 2
    assert "Unknown weights 'nets'. Did you mean 'net'?" in capsys.readouterr().err
