from __future__ import annotations

import errno
import os
from pathlib import Path

import numpy as np
import pytest
import torch

from sgkit.faults import explain


def system(number: int, *names: str) -> OSError:
    return OSError(number, os.strerror(number), *names)


class SafetensorError(Exception):
    pass


@pytest.mark.parametrize(
    ("error", "text", "hint"),
    [
        (system(errno.ENOSPC, "a.png"), "The disk is full: a.png", "Free some space"),
        (system(errno.EDQUOT, "a.png"), "Your disk quota is used up: a.png", "Free some space"),
        (system(errno.EFBIG, "a.png"), "The file is larger than", "another disk"),
        (system(errno.EROFS, "a.png"), "The file system is read-only: a.png", "another disk"),
        (system(errno.EACCES, "/usr/none/a.png"), "Permission denied: /usr/none/a.png", "ls -ld /usr"),
        (system(errno.ENAMETOOLONG, "x" * 300), "The name is too long (300 bytes): xxx", "255 bytes"),
        (system(errno.EMFILE), "Too many open files in this process", "ulimit -n"),
        (system(errno.ENOENT, "a.png"), "No such file or folder: a.png", "Check the spelling"),
        (system(errno.ENOMEM), "Out of memory.", "smaller --batch"),
        (system(errno.EXDEV, "a", "b"), "Invalid cross-device link", None),
        (MemoryError(), "Out of memory.", "smaller --batch"),
        (MemoryError("std::bad_alloc"), "Out of memory.", "smaller --batch"),
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"), ": 2.00 GiB more were", "--batch"),
        (RuntimeError("CUDA error: out of memory"), "Out of memory.", "--batch"),
        (RuntimeError("could not create a memory object"), "Out of memory.", "--batch"),
        (RuntimeError("could not create a primitive"), "Out of memory.", "--batch"),
        (RuntimeError("CUBLAS_STATUS_ALLOC_FAILED when calling"), "Out of memory.", "--batch"),
        (ImportError("libtorch_cpu.so: failed to map segment from shared object"), "Out of memory.", "--batch"),
        (AssertionError("Torch not compiled with CUDA enabled"), "does not have the device", "--device auto"),
        (RuntimeError("PyTorch is not linked with support for mps devices"), "does not have the device", "auto"),
        (RuntimeError("Found no NVIDIA driver on your system. Please"), "does not have the device", "--device auto"),
        (SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)"), "full", "Free"),
        (RuntimeError("can't start new thread"), "No more processes or threads", "ulimit -u"),
    ],
    ids=lambda value: f"{type(value).__name__}-{value}"[:60] if isinstance(value, BaseException) else "",
)
def test_faults_of_the_machine_are_worded(error: BaseException, text: str, hint: str | None) -> None:
    fault = explain(error)
    assert fault is not None
    assert text in fault.text
    assert fault.hint is None if hint is None else hint in (fault.hint or "")


def test_what_libraries_really_raise_is_known() -> None:
    def fault_of(call) -> str:
        with pytest.raises(Exception) as caught:  # noqa: PT011  (whatever the library raises)
            call()
        found = explain(caught.value)
        assert found is not None, repr(caught.value)
        return found.text

    assert fault_of(lambda: torch.empty(2**60, dtype=torch.uint8)).startswith("Out of memory: 1073741824.00 GiB")
    assert fault_of(lambda: np.empty(2**60, np.uint8)).startswith("Out of memory: 1.00 EiB")
    assert fault_of(lambda: Path("/dev/full").write_text("x")).startswith("The disk is full")
    if not torch.cuda.is_available():
        assert "does not have the device" in fault_of(lambda: torch.zeros(1).to("cuda"))
    if not torch.backends.mps.is_available():
        assert "does not have the device" in fault_of(lambda: torch.zeros(1).to("mps"))


def test_memory_that_runs_out_while_a_library_is_imported_is_found_in_the_chain() -> None:
    try:
        try:
            raise MemoryError
        except MemoryError as cause:
            raise ImportError("numpy is broken") from cause
    except ImportError as error:
        fault = explain(error)
    assert fault is not None
    assert fault.text == "Out of memory."


@pytest.mark.parametrize(
    "error", [ValueError("odd"), RuntimeError("shapes differ"), AssertionError("no"), KeyError("x")]
)
def test_other_errors_are_none(error: BaseException) -> None:
    assert explain(error) is None
