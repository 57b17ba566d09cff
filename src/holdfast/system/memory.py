"""Keeps a process that mostly idles small: memory that a run has used goes back to the machine."""

from __future__ import annotations

import contextlib
import ctypes
import gc

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # mallopt(3)
_LARGE = 2 * 1024 * 1024
_ALLOCATED = 10_000  # objects, until garbage is looked for: a command that ends soon looks more seldom


def begin() -> None:
    """Look for garbage often, and have glibc take large blocks from the machine one by one, and give each back.

    By itself glibc raises the size from which it does so up to 32 MiB, and then keeps the buffers of a run for ever. Told
    where to stop, it would give back, and ask for again, every smaller buffer that is used for a moment: hence it keeps some.
    """
    gc.set_threshold(_ALLOCATED, 10, 10)
    with contextlib.suppress(OSError, AttributeError):  # no glibc: others do as they do
        libc = ctypes.CDLL(None)
        libc.mallopt(_MMAP_THRESHOLD, _LARGE)
        libc.mallopt(_TRIM_THRESHOLD, 2 * _LARGE)


def give_back() -> None:
    """Collect garbage, and have glibc give its free pages back. Takes some milliseconds."""
    gc.collect()
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)
