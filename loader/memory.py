"""Keeps memory that is free, instead of giving it back to the kernel after each block."""

from __future__ import annotations

import ctypes
from contextlib import suppress

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
_KEPT, _LARGEST = 64 << 20, 32 << 20


def keep_free_memory() -> None:
    """Keep up to 64 MiB that are free, and pieces of up to 32 MiB.

    The texts of a block are large. glibc gives large pieces back at once, and then the kernel has
    to clear new pages for the next block, which takes a quarter of the loader's time for long
    names. Other C libraries have no such setting.
    """
    with suppress(OSError, AttributeError, TypeError):
        set_option = ctypes.CDLL(None).mallopt
        set_option(_MMAP_THRESHOLD, _LARGEST)
        set_option(_TRIM_THRESHOLD, _KEPT)
