"""Keeping freed memory."""

import platform
import sys

from sgkit.runtime.allocator import keep_freed_memory


def test_it_says_whether_the_allocator_took_it() -> None:
    assert keep_freed_memory() == (sys.platform.startswith("linux") and platform.libc_ver()[0] == "glibc")
