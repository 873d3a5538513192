"""What people type in Python: accepted, or explained."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

import sgkit
from sgkit.config import ModelConfig
from sgkit.errors import UsageError
from sgkit.model import Model, build


@pytest.fixture
def model(tiny_config: Callable[..., ModelConfig]) -> Model:
    return build(tiny_config(label_dim=3))


def test_arrays_numbers_and_short_names_are_accepted(model: Model) -> None:
    model.info = replace(model.info, provenance={"class_names": ["rose", "tulip", "lily"]})
    z = model.sample_z([5])
    assert torch.equal(model.sample_z(5), z)
    assert torch.equal(model.sample_z(np.arange(5, 6)), z)
    assert model.sample_z([]).shape == (0, model.config.z_dim)
    ws = model.map(z, model.one_hot([1]), truncation_psi=0.7)
    for label in (1, "tulip", np.int64(1), [[0, 1, 0]], np.array([[0.0, 1.0, 0.0]])):
        assert torch.equal(model.map(z.numpy(), label, psi=0.7), ws), label
    psi = np.full(model.num_ws, 0.7)
    assert torch.equal(model.map(z, 1, psi=psi), ws)
    assert torch.equal(model.synthesize(ws.numpy()), model.synthesize(ws))
    images = model.synthesize(ws)
    assert torch.equal(
        model.discriminate(images.numpy(), model.one_hot(1)), model.discriminate(images, model.one_hot(1))
    )


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda m: m.sample_z("5"), "seeds is '5'; give a whole number, or a list"),
        (lambda m: m.sample_z([1.5]), r"seeds is \[1.5\]; give a whole number"),
        (lambda m: m.sample_z(-1), "Seed -1 is out of range"),
        (lambda m: m.map("z", 0), "z is of type str; give a tensor or an array"),
        (lambda m: m.map([[1.0], [1.0, 2.0]], 0), "z does not hold numbers in rows of the same length"),
        (lambda m: m.map(np.full((1, 12), np.nan), 0), "z holds NaN or infinity"),
        (lambda m: m.map(m.sample_z(0), 3), "Class 3 is out of range; the model has classes 0 to 2"),
        (lambda m: m.map(m.sample_z(0), "tulip"), "'tulip' is not a class of this model. Its file has no class names"),
        (lambda m: m.map(m.sample_z(0), 0, psi=float("nan")), "Truncation psi is nan; give a finite number"),
        (lambda m: m.map(m.sample_z(0), 0, psi="0.7x"), "Truncation psi is '0.7x'; give a finite number"),
        (lambda m: m.map(m.sample_z(0), 0, psi=0.5, truncation_psi=0.7), "two names for one number"),
        (lambda m: m.synthesize([1, 2]), r"needs ws of shape \[N, \d+, \d+\]; got \[2\]"),
        (lambda m: m.to("gpu"), "Unknown device 'gpu'"),
        (lambda m: m.to("xpu"), "Unknown device 'xpu'"),
    ],
)
def test_what_does_not_fit_is_explained(model: Model, call: Callable[[Model], object], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        call(model)


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has CUDA")
def test_a_device_that_is_not_here_is_no_assertion_error(model: Model, tmp_path: Path) -> None:
    sgkit.save(model, tmp_path / "model.safetensors")
    for call in (lambda: model.to("cuda"), lambda: sgkit.load(tmp_path / "model.safetensors", device="cuda")):
        with pytest.raises(UsageError, match="Device 'cuda' is not available here"):
            call()
