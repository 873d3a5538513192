"""Which image or label makes a loss infinite or NaN."""

from __future__ import annotations

import numpy as np
import torch

from sgkit.errors import StoreError
from sgkit.store import StoreDataset
from sgkit.store.loading import indices_at
from sgkit.training.state import TrainState

LARGEST_LABEL = 1e15
"""The networks square labels; the squares of larger numbers overflow in float32."""


def check_labels(dataset: StoreDataset) -> None:
    """Refuse labels that make every loss infinite or NaN.

    Raises:
        StoreError: names the first image that has one.
    """
    if dataset.label_dim == 0 or dataset.header.labels.kind != "float":
        return
    for index in range(len(dataset)):
        label = dataset.reader.label(index)
        wrong = label[~(np.abs(label) <= LARGEST_LABEL)]
        if len(wrong):
            raise StoreError(
                f"The label of {_name(dataset, index)} holds {wrong[0]:g}; no network can be trained with that. Labels "
                "are best between -1 and 1. Correct it in the table of labels, and prepare the store again."
            )


def culprit(dataset: StoreDataset, state: TrainState, *, seed: int, positions: range) -> str | None:
    """A sentence that names the image at fault among those of a step; ``None``: none of them alone is.

    ``positions`` are those of its images in the run, and ``state`` is as the failed update left it: finite.
    """
    indices = indices_at(len(dataset), seed=seed, positions=positions)
    broken = [index for index in indices if not _is_finite(dataset, state, index)]
    if not broken or len(broken) == len(indices):  # all: the networks themselves are broken
        return None
    return (
        f"D's output for {_name(dataset, broken[0])} alone is not finite. Look at this image; if it is not meant to be "
        "there, prepare the store without it."
    )


def _name(dataset: StoreDataset, index: int) -> str:
    return f"image {index} ({dataset.reader.meta(index).get('name', '?')})"


@torch.no_grad()
def _is_finite(dataset: StoreDataset, state: TrainState, index: int) -> bool:
    image, label = dataset[index]
    device = state.pl_mean.device
    labels = label[None].to(device) if dataset.label_dim else None
    logits = state.discriminator((image[None].to(device).float() / 127.5 - 1), labels)
    return bool(torch.isfinite(logits).all())
