"""The C library's allocator, set up for tensors that come and go with every window."""

import ctypes
import sys

_TRIM_THRESHOLD, _TOP_PAD, _MMAP_THRESHOLD = -1, -2, -3  # malloc.h


def keep_freed_memory() -> None:
    """Lets glibc keep what a window has freed for the next one; elsewhere it does nothing.

    By default a large block goes back to the kernel when it is freed, and the next window pays for it again, page by
    page: a word-level model, whose logits are large, loses a fifth to two fifths of its speed on a CPU.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    if mallopt is not None:
        mallopt(_MMAP_THRESHOLD, 32 * 2**20)  # the largest that glibc accepts
        mallopt(_TRIM_THRESHOLD, 2**30)
        mallopt(_TOP_PAD, 64 * 2**20)
