"""Vision transformers of CLIP and DINOv2, by the package timm (extra ``vit``); their weights are read as tensors.

CLIP (Radford et al. 2021), ViT-L/14 at 336 pixels: image embeddings of length 1, as CMMD uses them (Jayasumana et al.
2023). DINOv2 (Oquab et al. 2023), ViT-L/14 at 224 pixels: the class token after the last normalisation, as Stein et al.
2023 recommend it for Fréchet distances.
"""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from sgkit.errors import CheckpointError, MissingDependencyError
from sgkit.metrics.networks import read_state, to_rgb
from sgkit.runtime.progress import OnProgress, ignore_progress
from sgkit.unpickle import load_script_tensors, load_tensors
from sgkit.weights import WEIGHTS, fetch_weights


@dataclass(frozen=True, kw_only=True)
class VitRow:
    """A vision transformer, and what is taken of it."""

    name: str
    architecture: str
    """Of timm."""
    weights: str
    read: Callable[[Path], Mapping[str, Any]]
    """Reads the file as tensors."""
    size: int
    mean: tuple[float, float, float]
    deviation: tuple[float, float, float]
    dim: int
    projected: bool
    """Features are the class token times a matrix, of length 1; otherwise the class token."""
    options: Mapping[str, Any] = field(default_factory=dict)
    """Of the architecture, where they are not timm's."""


VITS: dict[str, VitRow] = {
    row.name: row
    for row in (
        VitRow(
            name="clip",
            architecture="vit_large_patch14_clip_quickgelu_336",
            weights="clip-vit-l-14-336",
            read=load_script_tensors,
            size=336,
            mean=(0.48145466, 0.4578275, 0.40821073),
            deviation=(0.26862954, 0.26130258, 0.27577711),
            dim=768,
            projected=True,
        ),
        VitRow(
            name="dinov2",
            architecture="vit_large_patch14_dinov2",
            weights="dinov2-vit-l-14",
            read=load_tensors,
            size=224,
            mean=(0.485, 0.456, 0.406),
            deviation=(0.229, 0.224, 0.225),
            dim=1024,
            projected=False,
        ),
    )
}


class VitExtractor:
    """The features of one of :data:`VITS`."""

    def __init__(
        self,
        row: VitRow,
        device: torch.device | str = "cpu",
        *,
        path: Path | None = None,
        on_progress: OnProgress = ignore_progress,
    ) -> None:
        self.row, self.name, self.dim = row, row.name, row.dim
        self.device = torch.device(device)
        timm = _timm()
        digest = WEIGHTS[row.weights].sha256[:16]
        self.content_id = f"{row.weights}/{digest}/rgb-over-black/bicubic-{row.size}/timm-{timm.__version__}"
        self._network = _loaded(timm, row, path or fetch_weights(row.weights, on_progress=on_progress)).to(self.device)

    @torch.inference_mode()
    def __call__(self, images: Tensor) -> Tensor:
        """Features float32 [N, dim] of ``images`` uint8 [N, C, H, W] with 1, 3 or 4 channels."""
        found: Tensor = self._network(self.prepare(images.to(self.device))).float()
        return F.normalize(found, dim=1) if self.row.projected else found

    def prepare(self, images: Tensor) -> Tensor:
        """The whole image at the network's size by antialiased bicubic, clamped, normalised."""
        x, size = to_rgb(images), (self.row.size, self.row.size)
        if x.shape[2:] != size:
            x = F.interpolate(x, size, mode="bicubic", align_corners=False, antialias=True).clamp(0, 255)
        mean, deviation = (x.new_tensor(values)[:, None, None] for values in (self.row.mean, self.row.deviation))
        return (x / 255 - mean) / deviation


def _timm() -> Any:
    if importlib.util.find_spec("timm") is None:
        raise MissingDependencyError(
            "Metrics by CLIP and DINOv2 need the package timm, which is not installed. Install it with: "
            "pip install 'stylegan-sgkit[vit]'; or use the metrics of effnet (pip install 'stylegan-sgkit[offline]')."
        )
    return importlib.import_module("timm")


def _loaded(timm: Any, row: VitRow, path: Path) -> torch.nn.Module:
    """The network with the weights in ``path``, which are laid out as their publishers do it."""
    state = {name: tensor.float() for name, tensor in read_state(path, row.read).items()}
    classes = row.dim if row.projected else 0
    network: torch.nn.Module = timm.create_model(
        row.architecture, pretrained=False, img_size=row.size, num_classes=classes, **row.options
    )
    layout = importlib.import_module("timm.models.vision_transformer")
    try:
        network.load_state_dict(layout.checkpoint_filter_fn(state, network))
    except (RuntimeError, KeyError, AttributeError) as error:
        said = " ".join(str(error).split())[:200]
        raise CheckpointError(f"{path} is not the weights file of {row.name}: {said}") from error
    return network.eval()
