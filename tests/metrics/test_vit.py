"""CLIP and DINOv2 through timm: equal to open_clip and timm on small made-up networks; files that do not fit."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from sgkit.errors import CheckpointError, MissingDependencyError
from sgkit.metrics import vit
from sgkit.metrics.vit import VITS, VitExtractor
from tests.compare import other
from tests.metrics.random_networks import filled, pictures

SMALL = {"embed_dim": 64, "depth": 2, "num_heads": 1}


def small(name: str, state: Mapping[str, Tensor], **options: Any) -> VitExtractor:
    other("timm")  # torchvision, which timm imports, may need help
    arrays = {key: tensor.numpy() for key, tensor in state.items()}
    row = replace(VITS[name], size=28, options=SMALL, read=lambda path: arrays, **options)
    return VitExtractor(row, path=Path("made-up"))


def images() -> Tensor:
    return ((pictures(2, 28) + 1) * 127.5).round().byte()


def test_clip_equals_open_clip() -> None:
    model = other("open_clip.model")
    vision = model.CLIPVisionCfg(layers=2, width=64, head_width=64, patch_size=14, image_size=28)
    text = model.CLIPTextCfg(context_length=4, vocab_size=10, width=64, heads=1, layers=1)
    theirs = model.CLIP(16, vision, text, quick_gelu=True).eval()
    state = {key: tensor.float() for key, tensor in theirs.state_dict().items() if key != "attn_mask"}
    state |= filled({key: tuple(tensor.shape) for key, tensor in state.items() if "visual" in key})
    theirs.load_state_dict(state)
    ours = small("clip", state, dim=16)
    found = ours(images())
    with torch.no_grad():
        expected = theirs.encode_image(ours.prepare(images()), normalize=True)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(found.square().sum(dim=1), torch.ones(2))


def test_dinov2_is_the_class_token() -> None:
    timm = other("timm")
    theirs = timm.create_model("vit_large_patch14_dinov2", img_size=28, num_classes=0, **SMALL).eval()
    state = filled({key: tuple(tensor.shape) for key, tensor in theirs.state_dict().items()})
    theirs.load_state_dict(state)
    ours = small("dinov2", {**state, "mask_token": torch.zeros(1, 64)}, dim=64)
    with torch.no_grad():
        expected = theirs.forward_features(ours.prepare(images()))[:, 0]
    torch.testing.assert_close(ours(images()), expected, rtol=1e-4, atol=1e-5)


def test_another_network_s_file_is_refused() -> None:
    with pytest.raises(CheckpointError, match="made-up is not the weights file of dinov2"):
        small("dinov2", {"mask_token": torch.zeros(1, 64), "a": torch.zeros(2)}, dim=64)


def test_files_cut_short_are_refused(tmp_path: Path) -> None:
    other("timm")
    torch.save({"cls_token": torch.zeros(1, 1, 64)}, tmp_path / "net.pth")
    data = (tmp_path / "net.pth").read_bytes()
    (tmp_path / "net.pth").write_bytes(data[: len(data) // 2])
    for row in VITS.values():
        with pytest.raises(CheckpointError, match=r"Cannot read the weights in .*net.pth"):
            VitExtractor(row, path=tmp_path / "net.pth")


def test_without_timm_it_is_said_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(MissingDependencyError, match=r"pip install 'stylegan-sgkit\[vit\]'.*effnet"):
        VitExtractor(vit.VITS["clip"])
