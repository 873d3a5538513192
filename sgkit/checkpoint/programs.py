"""Generators as programs for other engines: ONNX files, and ``torch.export`` archives (.pt2)."""

from __future__ import annotations

import contextlib
import copy
import importlib
import importlib.util
import io
import logging
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn

from sgkit.errors import CheckpointError, MissingDependencyError, UsageError
from sgkit.model import Generator, Model
from sgkit.runtime.files import atomic_path

InputSpace = Literal["z", "w+"]
"""What a program takes: z (with the label and truncation psi), or w+."""

TOLERANCE = 1e-3
"""The largest difference allowed between an image of the program and the model's own, whose range is about -1 to 1."""
_PACKAGE = {"onnx": "onnxscript"}


class _FromZ(nn.Module):
    """z, label, psi -> image: the whole generator."""

    def __init__(self, generator: Generator) -> None:
        super().__init__()
        self.generator = generator

    def forward(self, *, psi: Tensor, z: Tensor | None = None, label: Tensor | None = None) -> Tensor:
        mapping = self.generator.mapping
        ws = mapping(z, label)
        return self.generator.synthesis(mapping.w_avg.lerp(ws, psi))  # type: ignore[no-any-return]


class _FromWs(nn.Module):
    """w+ -> image: the synthesis network."""

    def __init__(self, generator: Generator) -> None:
        super().__init__()
        self.generator = generator

    def forward(self, *, ws: Tensor) -> Tensor:
        return self.generator.synthesis(ws)  # type: ignore[no-any-return]


def program_inputs(model: Model, space: InputSpace = "z", *, batch: int = 2, seed: int = 0) -> dict[str, Tensor]:
    """Random inputs of the program that :func:`write_program` writes, by name.

    From z: ``z`` [N, z_dim], ``label`` [N, label_dim] of conditional models, ``psi`` [] (truncation: 1 changes nothing,
    0 gives the average image). From w+: ``ws`` [N, num_ws, w_dim].
    """
    config, random = model.config, torch.Generator().manual_seed(seed)
    z = torch.randn(batch, config.z_dim, generator=random) if config.z_dim else None
    label = torch.eye(config.label_dim)[torch.arange(batch) % config.label_dim] if config.label_dim else None
    if space == "w+":
        with torch.no_grad():
            return {"ws": _alone(model).mapping(z, label)}
    given = {"z": z, "label": label, "psi": torch.tensor(0.7)}
    return {name: value for name, value in given.items() if value is not None}


def check_program(form: str) -> None:
    """Refuse a form whose package is not installed.

    Raises:
        MissingDependencyError: naming the package.
    """
    package = _PACKAGE.get(form)
    if package and importlib.util.find_spec(package) is None:
        raise MissingDependencyError(
            f"Writing ONNX files needs the package {package}. Install it with: pip install 'stylegan-sgkit[onnx]'"
        )


def write_program(model: Model, path: Path, *, form: str, space: InputSpace = "z") -> dict[str, str]:
    """Write the averaged generator of ``model`` as a program: float32, any batch size, the noise stored in the model.

    Args:
        model: its generator is written; the discriminator is not.
        path: the file to make.
        form: ``onnx`` or ``pt2``.
        space: its inputs; see :func:`program_inputs`. The output is ``image`` [N, C, H, W], about -1 to 1.

    Returns:
        The shapes of inputs and output, and how far its images are from the model's own: topic -> sentence.

    Raises:
        MissingDependencyError: ONNX, and onnxscript is not installed.
        UsageError: torch cannot trace the network.
        CheckpointError: the program computes other images than the model.
    """
    check_program(form)
    network = _alone(model)
    program: nn.Module = _FromZ(network) if space == "z" else _FromWs(network)
    inputs = program_inputs(model, space)
    batch = torch.export.Dim("batch")
    shapes = {name: {0: batch} if value.ndim else None for name, value in inputs.items()}
    with torch.no_grad(), _quiet():
        expected = program(**inputs)
        try:
            traced = torch.export.export(program, (), inputs, dynamic_shapes=shapes, strict=False)
            _forget_sources(traced.graph_module)
            with atomic_path(path) as temporary:
                if form == "onnx":
                    _write_onnx(traced, temporary, list(inputs), shapes)
                else:
                    with temporary.open("wb") as file:
                        torch.export.save(traced, file)
        except (RuntimeError, torch._dynamo.exc.TorchDynamoException, torch.onnx.errors.OnnxExporterError) as error:
            raise UsageError(
                f"torch {torch.__version__} cannot export this generator as {form}: {_first_line(error)} "
                "Use .safetensors, or a newer torch."
            ) from error
        found = _images_of(path, form, traced, inputs)
    described = ", ".join(f"{name} {_shape(value)}" for name, value in inputs.items())
    notes = {"inputs": f"{described}; output: image {_shape(expected)}, about -1 to 1"}
    if found is None:
        return notes
    difference = float((found - expected).abs().max())
    if not difference <= TOLERANCE:
        path.unlink(missing_ok=True)
        raise CheckpointError(
            f"The exported program makes other images than the model (difference {difference:.2g}), so it was removed. "
            "Use .safetensors, and please report this with the model's 'sgkit info'."
        )
    return notes | {"check": f"images differ from the model's own by at most {difference:.1g}"}


def _alone(model: Model) -> Generator:
    """A copy of the generator on the CPU that is at rest."""
    return copy.deepcopy(model.generator).cpu().float().eval().requires_grad_(False)


def _forget_sources(module: nn.Module) -> None:
    """Drop the names of files of this machine that the graph's nodes carry: most of the bytes of a small model."""
    for part in module.modules():
        if isinstance(part, torch.fx.GraphModule):
            for node in part.graph.nodes:
                node.meta.pop("stack_trace", None)


def _write_onnx(traced: Any, path: Path, names: list[str], shapes: dict[str, Any]) -> None:
    program = torch.onnx.export(
        traced,
        (),
        dynamo=True,
        verbose=False,
        input_names=names,
        output_names=["image"],
        dynamic_shapes=shapes,
    )
    assert program is not None
    program.save(path, external_data=False)


def _images_of(path: Path, form: str, traced: Any, inputs: dict[str, Tensor]) -> Tensor | None:
    """Images of the written program; ``None``: nothing is installed that runs it."""
    if form == "pt2":
        return traced.module()(**inputs)  # type: ignore[no-any-return]
    if importlib.util.find_spec("onnxruntime") is None:
        return None
    session = importlib.import_module("onnxruntime").InferenceSession(str(path), providers=["CPUExecutionProvider"])
    (image,) = session.run(["image"], {name: value.numpy() for name, value in inputs.items()})
    return torch.from_numpy(image)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Nothing of what torch's exporters print and warn of; it concerns their developers."""
    level = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(level)


def _first_line(error: Exception) -> str:
    text = str(error).strip().partition("\n")[0]
    return f"{text or type(error).__name__}{'' if text.endswith('.') else '.'}"


def _shape(value: Tensor) -> str:
    return f"[{', '.join(['N', *map(str, value.shape[1:])])}]" if value.ndim else "(one number)"
