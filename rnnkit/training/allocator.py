"""Settings of the C library's allocator for tensors that are allocated in every window."""

import ctypes
import sys

_TRIM_THRESHOLD, _TOP_PAD, _MMAP_THRESHOLD = -1, -2, -3  # malloc.h


def keep_freed_memory() -> None:
    """Make glibc keep freed memory for the next window; no effect with other C libraries.

    By default, a large block returns to the kernel when it is freed, and the next window allocates it again page by
    page. A word-level model, whose logits are large, loses 20 to 40 % of its speed on a CPU by that.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    if mallopt is not None:
        mallopt(_MMAP_THRESHOLD, 32 * 2**20)  # the largest that glibc accepts
        mallopt(_TRIM_THRESHOLD, 2**30)
        mallopt(_TOP_PAD, 64 * 2**20)
