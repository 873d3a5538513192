"""Features on the way to pictures: what directions are found from."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from sgkit.edits import closing
from sgkit.errors import UsageError, did_you_mean
from sgkit.model import Branch, LayerSpec, Model, noise_source, walk


def feature_layer(model: Model, text: str) -> LayerSpec:
    """The layer that a user names: by its name, or ``16px``, the last one of the first resolution of at least that.

    Raises:
        UsageError: the model has none.
    """
    plan = model.generator.synthesis.plan
    named = {spec.name: spec for spec in plan if spec.kind != "rgb"}
    if text in named:
        return named[text]
    number = text.strip().lower().removesuffix("px")
    if not number.isdigit():
        raise UsageError(
            f"Unknown layer {text!r}. {did_you_mean(text, named)} Or use a resolution such as 16px, which means the "
            "last layer of that resolution."
        )
    last = max(closing(int(number)).layers(plan))
    found = [spec for spec in plan[: last + 1] if spec.kind != "rgb"]
    return found[-1]


def features_at(model: Model, ws: Tensor, layer: LayerSpec, *, batch: int = 16) -> Iterator[Tensor]:
    """Features [n, C, h, w] after ``layer`` for ``ws`` [N, num_ws, w_dim], in batches, without noise and margins."""
    for first in range(0, len(ws), batch):
        part = ws[first : first + batch]
        with torch.inference_mode():
            branch = Branch(model.generator.synthesis, model.styles(part), noise_source("none"))
            (state,) = walk([branch], stop=layer.index + 1)
            x = state.features
            margin = layer.margin
            x = x[:, :, margin : x.shape[2] - margin, margin : x.shape[3] - margin]
            yield x.expand(len(part), -1, -1, -1).float()
