from __future__ import annotations

import gc
import sys

import pytest

from sgkit.__main__ import collect_later, main


def test_garbage_is_searched_again_soon_after_the_start() -> None:
    try:
        timer = collect_later(0.2)
        assert not gc.isenabled()
        timer.join(timeout=60)
        assert gc.isenabled()
    finally:
        gc.enable()
        gc.unfreeze()


def test_nothing_is_searched_at_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sgkit.__main__.collect_later", lambda: None)
    monkeypatch.setattr(sys, "argv", ["sgkit", "--version"])
    gc.unfreeze()
    try:
        assert main() == 0
        assert gc.get_freeze_count() > 1000
    finally:
        gc.unfreeze()
