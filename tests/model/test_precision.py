"""What ``--precision auto`` becomes: measured once, kept, and the same when a run is resumed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from sgkit.config import ModelConfig
from sgkit.config.presets import PRESETS, preset
from sgkit.model import precision
from sgkit.model.precision import drawing_precision, known_choices, training_precision
from sgkit.runtime import precision as runtime_precision
from sgkit.runtime.distributed import DistributedContext

CPU = torch.device("cpu")
MODEL = preset("stylegan2-32").model


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[[float], list[ModelConfig]]:
    """Make the machine one with bf16 units and an empty cache, on which bf16 takes so many times as long as fp32."""

    def make(ratio: float) -> list[ModelConfig]:
        seen: list[ModelConfig] = []

        def times(model: ModelConfig) -> Iterator[tuple[Any, float]]:
            seen.append(model)
            yield from (("fp32", 1.0), ("bf16", 5.0), ("fp32", 0.5), ("bf16", 0.5 * ratio))

        monkeypatch.setenv("SGKIT_CACHE", str(tmp_path / "cache"))
        monkeypatch.setattr(precision, "bf16_units", lambda device: "amx_bf16")
        monkeypatch.setattr(precision, "_drawing_times", times)
        monkeypatch.setattr(precision, "_training_times", times)
        return seen

    return make


@pytest.mark.parametrize(("ratio", "expected"), [(0.6, "bf16"), (0.97, "fp32"), (1.3, "fp32")])
def test_the_faster_one_is_chosen_once_for_each_use(measured: Any, ratio: float, expected: str) -> None:
    seen = measured(ratio)
    for _ in range(2):
        assert drawing_precision("auto", MODEL, CPU) == expected
        assert training_precision("auto", MODEL, DistributedContext()) == expected
    assert len(seen) == 2
    assert {(choice.use, choice.precision, choice.bf16_seconds) for choice in known_choices()} == {
        (use, expected, 0.5 * ratio) for use in ("drawing", "training")
    }
    drawing_precision("auto", preset("stylegan2-64").model, CPU)
    assert len(seen) == 3


def test_a_cache_that_cannot_be_used_costs_only_time(
    measured: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    seen = measured(0.5)
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("SGKIT_CACHE", str(tmp_path / "file" / "cache"))
    assert [drawing_precision("auto", MODEL, CPU) for _ in range(2)] == ["bf16", "bf16"]
    assert len(seen) == 2
    monkeypatch.setenv("SGKIT_CACHE", str(tmp_path / "damaged"))
    assert drawing_precision("auto", MODEL, CPU) == "bf16"
    [file] = (tmp_path / "damaged" / precision.FOLDER).iterdir()
    for text in ("{", "[]", '{"use": "drawing"}', file.read_text().replace('"bf16",', '"int8",')):
        file.write_text(text)
        assert drawing_precision("auto", MODEL, CPU) == "bf16"


def test_what_need_not_be_measured_is_not(measured: Any, monkeypatch: pytest.MonkeyPatch, tiny_config: Any) -> None:
    seen = measured(0.5)
    assert drawing_precision("auto", tiny_config(), CPU) == "fp32"  # too small for it to matter
    assert drawing_precision("fp32", MODEL, CPU) == "fp32"
    assert drawing_precision("bf16", MODEL, CPU) == "bf16"
    for module in (precision, runtime_precision):
        monkeypatch.setattr(module, "bf16_units", lambda device: None)
    assert drawing_precision("auto", MODEL, CPU) == "fp32"
    assert seen == []


@pytest.mark.parametrize("work", precision.WORK.values())
@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_has_a_small_copy_of_its_kind(name: str, work: float) -> None:
    model = PRESETS[name].model
    copy = precision._smaller(model, work)
    assert precision._multiplications(copy) <= max(2 * work, precision.TOO_SMALL)
    assert (copy.synthesis.layer, copy.synthesis.architecture) == (model.synthesis.layer, model.synthesis.architecture)


def test_both_uses_can_be_measured() -> None:
    """In earnest, with a copy that takes milliseconds."""
    model = precision._smaller(preset("stylegan2-mini", label_dim=2).model, 6e8)
    for times in (precision._drawing_times, precision._training_times):
        found = list(times(model))
        assert [name for name, _ in found] == list(precision._TURNS)
        assert all(seconds >= 0 for _, seconds in found)
