from __future__ import annotations

import pytest
import torch

from sgkit.errors import UsageError
from sgkit.runtime import precision

CPU = torch.device("cpu")


@pytest.mark.parametrize(
    ("flags", "units"),
    [
        ({"avx2"}, None),
        ({"avx512_bf16"}, "avx512_bf16"),
        ({"amx_bf16", "avx512_bf16"}, "amx_bf16"),
        ({"asimd", "bf16"}, "bf16"),
    ],
)
def test_auto_on_a_cpu_is_bf16_only_with_matrix_units(
    monkeypatch: pytest.MonkeyPatch, flags: set[str], units: str | None
) -> None:
    monkeypatch.setattr(precision, "cpu_flags", lambda: frozenset(flags))
    monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: True)
    assert precision.bf16_units(CPU) == units
    assert precision.resolve_precision("auto", CPU) == ("bf16" if units else "fp32")


def test_units_that_torch_cannot_use_do_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(precision, "cpu_flags", lambda: frozenset({"amx_bf16"}))
    monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: False)
    assert precision.bf16_units(CPU) is None


@pytest.mark.parametrize(("capability", "expected"), [((7, 5), "fp32"), ((8, 0), "bf16"), ((9, 0), "bf16")])
def test_auto_on_cuda_is_bf16_from_ampere_on(
    monkeypatch: pytest.MonkeyPatch, capability: tuple[int, int], expected: str
) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: capability)
    assert precision.resolve_precision("auto", torch.device("cuda", 0)) == expected


def test_auto_on_mps_is_fp32() -> None:
    assert precision.resolve_precision("auto", torch.device("mps")) == "fp32"


def test_fp16_is_for_gpus() -> None:
    assert precision.resolve_precision("fp16", torch.device("cuda", 0)) == "fp16"
    with pytest.raises(UsageError, match=r"'fp16' needs a GPU.*use bf16 or fp32"):
        precision.resolve_precision("fp16", CPU)


def test_unknown_precision_names_the_nearest() -> None:
    with pytest.raises(UsageError, match=r"Unknown precision 'fp23'\. Did you mean 'fp32'\?"):
        precision.resolve_precision("fp23", CPU)


def test_autocast_computes_in_the_precision_asked_for() -> None:
    x = torch.ones(2, 2)
    with precision.autocast("bf16", CPU):
        assert (x @ x).dtype == torch.bfloat16
        with precision.autocast("fp32", CPU):
            assert (x @ x).dtype == torch.float32
    assert (x @ x).dtype == torch.float32


@pytest.mark.parametrize(("name", "allowed"), [("fp32", False), ("bf16", True), ("fp16", True)])
def test_tf32_is_for_what_is_left_beside_lower_precisions(name: precision.ResolvedPrecision, allowed: bool) -> None:
    backends = (torch.backends.cuda.matmul, torch.backends.cudnn)
    before = [backend.allow_tf32 for backend in backends]
    try:
        torch.backends.cudnn.allow_tf32 = not allowed
        precision.set_tf32(name, CPU)
        assert torch.backends.cudnn.allow_tf32 is not allowed
        precision.set_tf32(name, torch.device("cuda"))
        assert [backend.allow_tf32 for backend in backends] == [allowed, allowed]
    finally:
        for backend, value in zip(backends, before, strict=True):
            backend.allow_tf32 = value
