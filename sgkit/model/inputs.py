"""What users give in Python - arrays, numbers, lists - as the tensors that networks take, or an error that explains."""

from __future__ import annotations

import math
import operator
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from sgkit.errors import UsageError
from sgkit.faults import explain
from sgkit.runtime.device import resolve_device


def as_tensor(value: Any, name: str, device: torch.device) -> Tensor:
    """``value`` (a tensor, an array or nested lists of numbers) as a floating-point tensor; tensors stay as they are.

    Raises:
        UsageError: it is something else, or holds NaN or infinity.
    """
    if isinstance(value, Tensor):
        return value
    if isinstance(value, (str, bytes)) or not isinstance(value, (np.ndarray, Sequence, np.generic, int, float)):
        raise UsageError(f"{name} is of type {type(value).__name__}; give a tensor or an array.")
    try:
        array = np.asarray(value, dtype=np.float32)
    except (TypeError, ValueError):
        raise UsageError(
            f"{name} does not hold numbers in rows of the same length; give a tensor or an array."
        ) from None
    if not np.isfinite(array).all():
        raise UsageError(f"{name} holds NaN or infinity; give finite numbers.")
    return torch.from_numpy(array.copy()).to(device)


def as_device(device: torch.device | str) -> torch.device:
    """The device, if tensors can be put there.

    Raises:
        UsageError: this machine or this build of PyTorch has no such device.
    """
    if isinstance(device, str):
        return resolve_device(device)
    try:
        return torch.empty(0, device=device).device
    except (AssertionError, RuntimeError) as error:
        fault = explain(error)
        raise UsageError(f"Cannot use the device {str(device)!r}. {fault.text if fault else error}") from error


def as_numbers(value: Any, name: str) -> list[int]:
    """One whole number, or several, as a list.

    Raises:
        UsageError: it is something else.
    """
    items = list(value) if isinstance(value, Iterable) and not isinstance(value, (str, bytes)) else [value]
    try:
        return [operator.index(item) for item in items]
    except TypeError:
        raise UsageError(f"{name} is {value!r}; give a whole number, or a list of them such as [0, 1, 2].") from None


def as_label(label: Any) -> Any:
    """Labels given as tensors or arrays as plain numbers; what is something else stays as it is.

    Raises:
        UsageError: it has more than one dimension.
    """
    if not isinstance(label, (Tensor, np.ndarray, np.generic)):
        return label
    if label.ndim > 1:
        raise UsageError(f"A label of shape {list(label.shape)} was given; give one class or one label vector.")
    return label.tolist()


def as_psi(psi: float | Sequence[float]) -> float | list[float]:
    """Truncation psi, one number or several.

    Raises:
        UsageError: it is something else, or not finite.
    """
    several = isinstance(psi, (Sequence, np.ndarray, Tensor)) and not isinstance(psi, str)
    try:
        numbers = [float(one) for one in (psi if several else [psi])]  # type: ignore[union-attr, arg-type]
    except (TypeError, ValueError):
        numbers = [math.nan]
    if not all(map(math.isfinite, numbers)):
        raise UsageError(f"Truncation psi is {psi!r}; give a finite number such as 0.7, or one for each w.")
    return numbers if several else numbers[0]
