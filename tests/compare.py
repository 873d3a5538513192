"""Other implementations of metrics, from the extra ``compare``: imported where they are installed."""

from __future__ import annotations

import importlib.util
import warnings
from functools import cache
from typing import Any

import pytest
import torch


@cache
def _define_torchvision_operators() -> Any:
    """Declare two operators that torchvision's Python code expects; its wheel may lack them beside torch for CPUs."""
    try:
        importlib.import_module("torchvision")
        return None
    except Exception:
        library = torch.library.Library("torchvision", "DEF")
        library.define("nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        library.define("qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        return library


def installed(name: str) -> bool:
    """Whether the package of the module ``name`` is installed."""
    return importlib.util.find_spec(name.split(".")[0]) is not None


def other(name: str) -> Any:
    """The module ``name`` of another implementation; skips the test where it is not installed."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if not installed(name):
            pytest.skip(f"{name} is not installed: pip install 'stylegan-sgkit[compare]'")
        _define_torchvision_operators()
        return importlib.import_module(name)
