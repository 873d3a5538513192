"""Keeping freed memory."""

import platform
import subprocess
import sys

import pytest

from sgkit.runtime.allocator import keep_freed_memory

IS_GLIBC = sys.platform.startswith("linux") and platform.libc_ver()[0] == "glibc"


@pytest.mark.parametrize("variable", [None, "MALLOC_MMAP_THRESHOLD_", "MALLOC_TRIM_THRESHOLD_", "GLIBC_TUNABLES"])
def test_it_says_whether_the_allocator_took_it(variable: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    if variable is not None:
        monkeypatch.setenv(variable, "1")
    assert keep_freed_memory.__wrapped__() == (IS_GLIBC and variable is None)


FIRST_MODEL = """
from sgkit.runtime.allocator import keep_freed_memory
import sgkit
before = keep_freed_memory.cache_info().currsize
sgkit.load("landscapes")
print(before, keep_freed_memory.cache_info().currsize)
"""


def test_the_first_model_of_a_python_program_sets_it() -> None:
    done = subprocess.run([sys.executable, "-c", FIRST_MODEL], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout == "0 1\n"
