from __future__ import annotations

import gc

from sgkit.__main__ import collect_later


def test_garbage_is_searched_again_soon_after_the_start() -> None:
    try:
        timer = collect_later(0.2)
        assert not gc.isenabled()
        timer.join(timeout=60)
        assert gc.isenabled()
    finally:
        gc.enable()
        gc.unfreeze()
