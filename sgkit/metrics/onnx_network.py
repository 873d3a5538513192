"""Any network in an ONNX file as a feature network, run by onnxruntime (extra ``onnx``).

An ONNX file is a graph of known operators, so running one executes no code of its author; TorchScript files hold
programs and are refused. The file's metadata may say how pixels are scaled (``sgkit.range``) and the side of images
where the graph leaves it open (``sgkit.size``).
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from sgkit.errors import CheckpointError, InputError, MissingDependencyError, UsageError, did_you_mean
from sgkit.metrics.networks import to_rgb

RANGES: dict[str, tuple[tuple[float, ...], tuple[float, ...]]] = {
    "imagenet": ((123.675, 116.28, 103.53), (58.395, 57.12, 57.375)),
    "unit": ((0.0, 0.0, 0.0), (255.0, 255.0, 255.0)),
    "signed": ((127.5, 127.5, 127.5), (127.5, 127.5, 127.5)),
    "bytes": ((0.0, 0.0, 0.0), (1.0, 1.0, 1.0)),
}
"""What is taken from pixels of 0 to 255, and what that is divided by."""
USUAL_SIZE, MOST_SIZE = 224, 4096


class OnnxExtractor:
    """The first output of an ONNX file; features of places [N, C, H, W], or of tokens [N, tokens, C], are averaged.

    Args:
        path: the file. Its first input must be images [N, 3, H, W], float32 or uint8.
        device: features are given there; the network itself runs on the CPU.
        range: a key of :data:`RANGES`; ``None``: as the file's metadata say, else ``imagenet`` (``bytes`` for uint8).
        size: side of images where the graph leaves it open; ``None``: as the metadata say, else 224.

    Raises:
        InputError: the file is missing.
        MissingDependencyError: onnxruntime is not installed.
        CheckpointError: the file is damaged, or its input is something else.
        UsageError: the range is unknown.
    """

    def __init__(
        self, path: str | Path, device: torch.device | str = "cpu", *, range: str | None = None, size: int | None = None
    ) -> None:
        self.path, self.name, self.device = Path(path), str(path), torch.device(device)
        if not self.path.is_file():
            raise InputError(f"There is no file {path}. Give an ONNX file, for example fd_network.onnx.")
        data = self.path.read_bytes()
        self._session = _session(self.path, data)
        given = self._session.get_inputs()[0]
        said = self._session.get_modelmeta().custom_metadata_map
        self._input, self._type = given.name, {"tensor(float)": np.float32, "tensor(uint8)": np.uint8}.get(given.type)
        if self._type is None or len(given.shape) != 4 or given.shape[1] not in (3, "c", "channels"):
            raise CheckpointError(
                f"{path} reads {given.type} {list(given.shape)}; a feature network reads images [N, 3, H, W] as "
                "float32 or uint8."
            )
        usual = "bytes" if self._type is np.uint8 else "imagenet"
        self.range = range or said.get("sgkit.range", usual)
        if self.range not in RANGES:
            raise UsageError(f"Unknown range {self.range!r} of {path}. {did_you_mean(self.range, RANGES)}")
        open_size = size or _size_of(said.get("sgkit.size", str(USUAL_SIZE)), self.path)
        self.size = tuple(side if isinstance(side, int) else open_size for side in given.shape[2:])
        digest = hashlib.sha256(data).hexdigest()[:16]
        by = f"onnxruntime-{importlib.import_module('onnxruntime').__version__}"
        how = f"rgb-over-black/bicubic-antialias-{self.size[0]}x{self.size[1]}/{self.range}"
        self.content_id = f"onnx/{digest}/{how}/{by}"
        self.dim = int(self(torch.zeros(1, 3, *self.size, dtype=torch.uint8)).shape[1])

    def __call__(self, images: Tensor) -> Tensor:
        """Features float32 [N, dim] of ``images`` uint8 [N, C, H, W] with 1, 3 or 4 channels."""
        x = self.prepare(images.cpu()).numpy()
        rows = [self._run(row) for row in (np.split(x, len(x)) if self._one_at_a_time else [x])]
        found = torch.cat(rows)
        if found.ndim < 2 or len(found) != len(images):
            raise CheckpointError(
                f"{self.path} gives {list(found.shape)} for {len(images)} images; the first output of a feature "
                "network must be [N, C], [N, tokens, C] or [N, C, H, W]."
            )
        if found.ndim == 3:
            return found.mean(dim=1).to(self.device)
        return found.flatten(2).mean(dim=2).to(self.device) if found.ndim > 3 else found.to(self.device)

    def _run(self, images: NDArray[Any]) -> Tensor:
        try:
            return torch.from_numpy(np.asarray(self._session.run(None, {self._input: images})[0], np.float32))
        except Exception as error:  # onnxruntime's own kinds
            said = " ".join(str(error).split())[:200]
            raise CheckpointError(f"{self.path} cannot be run on images {list(images.shape)}: {said}") from error

    @property
    def _one_at_a_time(self) -> bool:
        return bool(self._session.get_inputs()[0].shape[0] == 1)

    def prepare(self, images: Tensor) -> Tensor:
        """The whole image at the network's size by antialiased bicubic, clamped, in its range and type."""
        x = to_rgb(images)
        if x.shape[2:] != self.size:
            x = F.interpolate(x, self.size, mode="bicubic", align_corners=False, antialias=True).clamp(0, 255)
        if self._type is np.uint8:
            return x.round().to(torch.uint8)
        less, over = (x.new_tensor(values)[:, None, None] for values in RANGES[self.range])
        return (x - less) / over


def _size_of(text: str, path: Path) -> int:
    """The side of images that a file's metadata give."""
    if not text.isdecimal() or not 0 < int(text[:9]) <= MOST_SIZE:
        raise CheckpointError(f"The metadata sgkit.size of {path} is {text[:40]!r}; allowed: 1 to {MOST_SIZE} pixels.")
    return int(text[:9])


def _session(path: Path, data: bytes) -> Any:
    if importlib.util.find_spec("onnxruntime") is None:
        raise MissingDependencyError(
            "Feature networks in ONNX files need onnxruntime, which is not installed. Install it with: "
            "pip install 'stylegan-sgkit[onnx]'"
        )
    runtime = importlib.import_module("onnxruntime")
    options = runtime.SessionOptions()
    options.log_severity_level = 4
    try:  # from memory, so that the file cannot name others to be read
        return runtime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    except Exception as error:
        said = " ".join(str(error).split())[:200]
        raise CheckpointError(f"{path} is not an ONNX file that can be run: {said}") from error
