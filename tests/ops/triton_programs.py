"""Programs about Triton kernels: in Triton's interpreter where there is no GPU, so each has a process of its own."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys

import pytest
import torch

needs_triton = pytest.mark.skipif(importlib.util.find_spec("triton") is None, reason="triton is not installed")


def run(program: str, **variables: str) -> str:
    """What ``program`` prints, with these environment variables."""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, env=os.environ | variables, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


def run_kernels(program: str) -> str:
    """The same with kernels in use, on the GPU or in the interpreter."""
    interpreter = {} if torch.cuda.is_available() else {"TRITON_INTERPRET": "1"}
    return run(program, SGKIT_TRITON="1", **interpreter)
