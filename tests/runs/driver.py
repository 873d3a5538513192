"""``sgkit train`` as tests run it: through ``main(argv)``, on a tiny store, with a look at what it left."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from sgkit.cli.app import main
from sgkit.runs.folder import RunFolder


@dataclass(frozen=True)
class Cli:
    """``sgkit train`` on the tiny store, and what it left."""

    store: Path
    tiny: list[str]
    capfd: pytest.CaptureFixture[str]

    def train(self, run: Path, *options: str, store: Path | None = None) -> int:
        """Train as the options say, on another store if one is given; the exit code."""
        return main(["train", str(store or self.store), "--out", str(run), "--device", "cpu", *options])

    def new(self, run: Path, *options: str, store: Path | None = None) -> int:
        """Start a tiny run with further options."""
        return self.train(run, *self.tiny, *options, store=store)

    def resume(self, run: Path, *options: str) -> int:
        """Resume a run."""
        return self.train(run, "--resume", *options)

    def said(self) -> str:
        """Messages since the last call."""
        return self.capfd.readouterr().err

    @staticmethod
    def log(run: Path, *, event: str | None = None, key: str | None = None) -> list[dict[str, Any]]:
        """Lines of a run's log; on request only those of an event, or with a key."""
        lines = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
        return [line for line in lines if event in (None, line.get("event")) and (key is None or key in line)]

    @staticmethod
    def tensors(run: Path) -> dict[str, torch.Tensor]:
        """All tensors of a run's last snapshot."""
        last = RunFolder(run).snapshots()[-1]
        loaded = load_file(last.model) | load_file(last.state)
        return {name: tensor.clone() for name, tensor in loaded.items()}  # not mapped: tests change the files

    @classmethod
    def same(cls, run: Path, other: Path) -> bool:
        """Whether the last snapshots of two runs are equal, bit for bit."""
        one, two = cls.tensors(run), cls.tensors(other)
        return one.keys() == two.keys() and all(torch.equal(one[name], two[name]) for name in one)

    @staticmethod
    def names(run: Path) -> list[str]:
        """Names of a run's snapshots."""
        return [snapshot.folder.name for snapshot in RunFolder(run).snapshots()]


def files(folder: Path) -> dict[Path, bytes]:
    """The files of a folder, with what is in them."""
    return {path: path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}
