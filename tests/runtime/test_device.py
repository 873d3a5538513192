from __future__ import annotations

import pytest
import torch

from sgkit.errors import UsageError
from sgkit.runtime import device


def test_auto_is_a_device_that_works() -> None:
    assert torch.zeros(1, device=device.resolve_device("auto")).item() == 0


def test_cpu_is_always_there() -> None:
    assert device.resolve_device("cpu") == torch.device("cpu")
    assert device.describe_devices()[0].name == "cpu"
    assert device.describe_devices()[0].model


@pytest.mark.parametrize("name", ["gpu", "cpu:1", "cuda:x", ""])
def test_unknown_names_are_refused_with_the_allowed_ones(name: str) -> None:
    with pytest.raises(UsageError, match=r"Unknown device .*Allowed: auto, cpu, cuda, cuda:N, mps"):
        device.resolve_device(name)


def test_a_device_that_is_not_here_is_refused_with_those_that_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(UsageError, match=r"'cuda' is not available here\. This machine has: cpu"):
        device.resolve_device("cuda")


def test_an_index_past_the_last_gpu_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(device, "_available", lambda: ["cpu", "cuda"])
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert device.resolve_device("cuda:1") == torch.device("cuda", 1)
    with pytest.raises(UsageError, match="'cuda:2' is not available here"):
        device.resolve_device("cuda:2")


def test_auto_prefers_cuda_to_mps_to_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    assert device.resolve_device().type == "mps"
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert device.resolve_device().type == "cuda"


def test_cpu_flags_come_from_the_first_processor(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        device, "_cpu_facts", lambda: [("model name", "X"), ("flags", "sse amx_bf16"), ("flags", "sse")]
    )
    assert device.cpu_flags() == {"sse", "amx_bf16"}


def test_cpu_flags_are_empty_where_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(device, "_cpu_facts", list)
    assert device.cpu_flags() == frozenset()
