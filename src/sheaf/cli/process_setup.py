"""Set up a process of the command line: its memory, and libraries that it does not load."""

from __future__ import annotations

import gc
import os
import sys
from typing import Final

__all__ = ["set_up_process"]

_M_ARENA_MAX: Final = -8  # as in malloc.h
_M_MMAP_THRESHOLD: Final = -3
_M_TRIM_THRESHOLD: Final = -1


class _NoPandas:
    """An import hook that keeps pyarrow from loading pandas at its first array: 0.3 s and 40 MiB that no verb uses."""

    def find_spec(self, name: str, path: object = None, target: object = None) -> None:
        if name == "pandas":
            raise ImportError("not in this process")


def _keep_few_heaps() -> None:
    """Make glibc use two heaps instead of one for each thread, and allocate buffers of megabytes outside of them.

    The free space in those heaps was a fifth of the memory of an upload of a million files (docs/performance.md).
    """
    import ctypes

    libc = ctypes.CDLL(None)
    if sys.platform == "linux" and hasattr(libc, "mallopt"):
        libc.mallopt(_M_ARENA_MAX, 2)
        libc.mallopt(_M_MMAP_THRESHOLD, 4 << 20)
        # Setting one of these values ends glibc's own adjustment of this one. If it is too low, memory goes back to the
        # system, and the system clears each page that it hands out again.
        libc.mallopt(_M_TRIM_THRESHOLD, 16 << 20)


def set_up_process() -> None:
    """Set up this process. Call it before a library is loaded."""
    sys.meta_path.insert(0, _NoPandas())
    # Arrow's own allocator keeps what it frees: half as much memory again, and slower, as measured
    # (docs/performance.md).
    os.environ.setdefault("ARROW_DEFAULT_MEMORY_POOL", "system")  # noqa: TID251 - set for a library, not read
    # The linear algebra of numpy, which nothing here uses, starts a thread for each core when it is loaded.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # noqa: TID251 - set for a library, not read
    _keep_few_heaps()
    # The search for cycles takes a twentieth of the time of an upload, and there are hardly any.
    gc.set_threshold(50_000, 20, 50)
