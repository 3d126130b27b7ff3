"""Keeps freed memory in the process, which saves up to half of the CPU's time on large tensors.

glibc returns every freed block of over 32 MiB to the system, and the next tensor of that size faults its
pages in again, one by one. Measured once, on two virtual cores that also did other work: the VAE encoder at
128 pictures took 5.3 ms a picture with this and 10.6 without.
"""

from __future__ import annotations

import ctypes
import sys

_TRIM_THRESHOLD, _TOP_PAD, _MMAP_MAX = -1, -2, -4  # names of mallopt, from glibc's malloc.h


def keep_freed_memory() -> bool:
    """Ask the C library to reuse freed memory instead of returning it; false where there is no glibc."""
    if not sys.platform.startswith("linux"):
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return False
    wanted = ((_MMAP_MAX, 0), (_TRIM_THRESHOLD, 2**31 - 1), (_TOP_PAD, 64 << 20))
    return all(mallopt(name, value) == 1 for name, value in wanted)
