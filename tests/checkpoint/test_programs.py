from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor

from sgkit.checkpoint import programs
from sgkit.checkpoint.export import export
from sgkit.checkpoint.programs import program_inputs
from sgkit.errors import CheckpointError, MissingDependencyError, UsageError
from sgkit.model import Model
from sgkit.runtime.detect import detect

SMALL = {"size": (8, 8), "synthesis.channel_max": 4}
needs_onnx = pytest.mark.skipif(
    not all(importlib.util.find_spec(name) for name in ("onnxscript", "onnxruntime")), reason="needs the extra 'onnx'"
)


def ran(path: Path, inputs: dict[str, Tensor]) -> Tensor:
    """The images that the program makes of ``inputs``, without sgkit."""
    if path.suffix == ".pt2":
        return torch.export.load(path).module()(**inputs)  # type: ignore[no-any-return]
    import onnxruntime

    session = onnxruntime.InferenceSession(str(path))
    (images,) = session.run(["image"], {name: value.numpy() for name, value in inputs.items()})
    return torch.from_numpy(images)


@pytest.mark.parametrize(
    ("name", "file", "space", "options"),
    [
        pytest.param("stylegan2-f", "a.pt2", "z", {"label_dim": 3}, id="StyleGAN2, pt2"),
        pytest.param("stylegan2-f", "a.onnx", "w+", {}, id="StyleGAN2, ONNX", marks=needs_onnx),
        pytest.param(
            "stylegan3-t",
            "a.onnx",
            "z",
            {"size": (16, 16), "synthesis.alias_free.num_layers": 3},
            id="StyleGAN3, ONNX",
            marks=needs_onnx,
        ),
    ],
)
def test_a_program_makes_the_models_images_for_any_batch(
    name: str, file: str, space: str, options: dict[str, object], tiny_model: Callable[..., Model], tmp_path: Path
) -> None:
    model = tiny_model(name, **{**SMALL, **options})
    notes = export(model, tmp_path / file, space=space).notes  # type: ignore[arg-type]
    given = program_inputs(model, space, batch=3, seed=5)  # type: ignore[arg-type]
    assert all(f"{key} " in notes["inputs"] for key in given)
    with torch.no_grad():
        psi = float(given.get("psi", torch.tensor(1.0)))
        ws = given.get("ws")
        if ws is None:
            ws = model.generator.mapping(given["z"], given.get("label"), truncation_psi=psi)
        expected = model.generator.synthesis(ws)
    torch.testing.assert_close(ran(tmp_path / file, given), expected, atol=2e-5, rtol=0)
    assert str(Path(programs.__file__).parents[2]).encode() not in (tmp_path / file).read_bytes()


def test_a_program_is_known_when_it_is_given_as_a_model(tmp_path: Path) -> None:
    class Twice(torch.nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return 2 * x

    torch.export.save(torch.export.export(Twice(), (torch.ones(2),)), tmp_path / "a.pt2")
    assert detect(tmp_path / "a.pt2").kind == "torch program"


@pytest.mark.parametrize(
    ("file", "options", "error", "message"),
    [
        ("a.npz", {"space": "w+"}, UsageError, r"--space chooses the inputs.*a\.npz is not one.*Remove --space"),
        ("a.pt2", {"half": True}, UsageError, r"--half has no effect here\. Remove --half"),
        ("a.pt2", {"label": 0}, UsageError, r"--class has no effect here\. Remove --class"),
    ],
)
def test_options_that_do_not_concern_a_form_are_refused(
    file: str, options: dict[str, object], error: type, message: str, tiny_model: Callable[..., Model], tmp_path: Path
) -> None:
    with pytest.raises(error, match=message):
        export(tiny_model(**SMALL), tmp_path / file, **options)  # type: ignore[arg-type]


def test_a_missing_package_is_named_before_the_model_is_read(
    monkeypatch: pytest.MonkeyPatch, tiny_model: Callable[..., Model], tmp_path: Path
) -> None:
    monkeypatch.setattr(programs.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(MissingDependencyError, match=r"needs the package onnxscript.*stylegan-sgkit\[onnx\]"):
        export(tiny_model(**SMALL), tmp_path / "a.onnx")


def test_what_torch_cannot_trace_or_traces_wrongly_leaves_no_file(
    monkeypatch: pytest.MonkeyPatch, tiny_model: Callable[..., Model], tmp_path: Path
) -> None:
    def fails(*args: object, **options: object) -> None:
        raise RuntimeError("unknown operator\nand a long story")

    monkeypatch.setattr(torch.export, "export", fails)
    with pytest.raises(UsageError, match=r"cannot export this generator as pt2: unknown operator\. Use \.safetensors"):
        export(tiny_model(**SMALL), tmp_path / "a.pt2")
    monkeypatch.undo()
    monkeypatch.setattr(programs, "_images_of", lambda path, form, traced, inputs: torch.zeros(2, 3, 8, 8))
    with pytest.raises(CheckpointError, match=r"makes other images than the model .*so it was removed"):
        export(tiny_model(**SMALL), tmp_path / "a.pt2")
    assert not any(tmp_path.iterdir())
