from __future__ import annotations

import json
import shutil

import pytest
import torch

import sgkit
from sgkit.cli.app import main
from sgkit.runtime import precision
from sgkit.runtime.device import DeviceInfo
from sgkit.tasks import doctor


def test_json_tells_versions_devices_and_needs(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["versions"]["sgkit"] == sgkit.__version__
    assert found["versions"]["torch"] == torch.__version__
    assert found["versions"].keys() >= {"python", "numpy", "pillow", "typer"}
    assert found["devices"][0]["name"] == "cpu"
    assert found["devices"][0]["auto_precision"] == ("measured" if found["devices"][0]["bf16_units"] else "fp32")
    assert {need["name"] for need in found["needs"]} >= {"av", "torchrun"}


def test_missing_parts_say_what_for_and_what_to_do(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(shutil, "which", lambda name, path: None)
    assert main(["doctor"]) == 0
    shown = capsys.readouterr().out
    assert "missing: needed for several processes or GPUs. It comes with torch" in shown


def test_a_gpu_s_offers_are_named(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    gpu = DeviceInfo(name="cuda:0", model="NVIDIA H100", memory=80 * 2**30)
    monkeypatch.setattr(doctor, "describe_devices", lambda: (gpu,))
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (9, 0))
    monkeypatch.setattr(doctor.fir_kernel, "why_not", lambda device: "triton is not installed, or SGKIT_TRITON is 0")
    assert main(["doctor"]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert "NVIDIA H100, 80 GiB; bf16 by tensor cores; compute capability 9.0; TF32; CUDA graphs in training" in shown
    assert "no Triton kernels (triton is not installed, or SGKIT_TRITON is 0); --precision auto is bf16" in shown


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (set(), "no bf16 matrix units: bf16 works, but slowly"),
        ({"amx_bf16"}, "bf16 by amx_bf16; --precision auto is measured for each network"),
    ],
)
def test_bf16_units_are_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], flags: set[str], words: str
) -> None:
    monkeypatch.setattr(precision, "cpu_flags", lambda: frozenset(flags))
    monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: True)
    assert main(["doctor"]) == 0
    assert words in capsys.readouterr().out
