"""What is compared with: stylegan2-ada-pytorch from its own folder, and engines that run an exported network."""

from __future__ import annotations

import importlib
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from sgkit.checkpoint.programs import write_program
from sgkit.config import DiscriminatorConfig, ModelConfig, SynthesisConfig
from sgkit.model import Model, build

CHANNEL_MAX = 512
TOLERANCE = {"fp32": 1e-4, "bf16": 5e-2}  # of the largest magnitude in the image
Run = Callable[[], Tensor]


def config_f(size: int, channel_base: int) -> Model:
    """StyleGAN2's config F with its biases and noise strengths moved off zero, so that nothing is free."""
    channels = {"channel_base": channel_base, "channel_max": CHANNEL_MAX}
    config = ModelConfig(
        image_size=(size, size),
        synthesis=SynthesisConfig(**channels),
        discriminator=DiscriminatorConfig(**channels),
    )
    model = build(config, seed=1)
    torch.manual_seed(2)
    with torch.no_grad():
        for name, parameter in model.generator.named_parameters():
            if name.endswith(("noise_strength", ".bias")) and ".affine." not in name and "mapping" not in name:
                parameter.copy_(torch.randn_like(parameter) * 0.1)
    return model


def engines(model: Model, threads: int) -> dict[str, Callable[[Tensor], Tensor]]:
    """Functions w+ -> images of the network exported to ONNX, by engine; those that are not installed are left out."""
    found: dict[str, Callable[[Tensor], Tensor]] = {}
    if not importlib.util.find_spec("onnxscript"):
        return found
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "synthesis.onnx"
        write_program(model, path, form="onnx", space="w+")
        if importlib.util.find_spec("onnxruntime"):
            found["onnxruntime fp32"] = _onnxruntime(path, threads)
        if importlib.util.find_spec("openvino"):
            for precision in ("fp32", "bf16"):
                found[f"openvino {precision}"] = _openvino(path, threads, precision)
    return found


def _onnxruntime(path: Path, threads: int) -> Callable[[Tensor], Tensor]:
    runtime: Any = importlib.import_module("onnxruntime")
    options = runtime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    session = runtime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    return lambda ws: torch.from_numpy(session.run(None, {"ws": ws.numpy()})[0])


def _openvino(path: Path, threads: int, precision: str) -> Callable[[Tensor], Tensor]:
    openvino: Any = importlib.import_module("openvino")
    core = openvino.Core()
    settings = {
        "INFERENCE_NUM_THREADS": threads,
        "INFERENCE_PRECISION_HINT": {"fp32": "f32", "bf16": "bf16"}[precision],
        "PERFORMANCE_HINT": "LATENCY",
    }
    compiled = core.compile_model(core.read_model(path), "CPU", settings)
    return lambda ws: torch.from_numpy(compiled([ws.numpy()])[0].copy())


def checked(run: Run, expected: Tensor, precision: str) -> Run:
    """``run``, whose first image must agree with ``expected``: timing another image would mean nothing."""
    is_checked = False

    def call() -> Tensor:
        nonlocal is_checked
        images = run()
        if not is_checked:
            difference = float((images.float() - expected).abs().max() / expected.abs().max())
            if not difference <= TOLERANCE[precision]:
                raise ValueError(f"its images differ by {difference:.1e} of the largest value, in {precision}")
            is_checked = True
        return images

    return call
