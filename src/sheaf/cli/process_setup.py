"""Settings of a process of the command line: its memory, and what its libraries need not load."""

from __future__ import annotations

import gc
import os
import sys
from typing import Final

__all__ = ["set_up_process"]

_M_ARENA_MAX: Final = -8  # as malloc.h has it
_M_MMAP_THRESHOLD: Final = -3
_M_TRIM_THRESHOLD: Final = -1


class _NoPandas:
    """Keeps pyarrow from loading pandas at its first array: 0.3 s and 40 MiB that no verb uses."""

    def find_spec(self, name: str, path: object = None, target: object = None) -> None:
        if name == "pandas":
            raise ImportError("not in this process")


def _keep_few_heaps() -> None:
    """Have glibc keep two heaps instead of one for each thread, and buffers of megabytes outside of them.

    Their holes were a fifth of the memory of an upload of a million files (docs/performance.md).
    """
    import ctypes

    libc = ctypes.CDLL(None)
    if sys.platform == "linux" and hasattr(libc, "mallopt"):
        libc.mallopt(_M_ARENA_MAX, 2)
        libc.mallopt(_M_MMAP_THRESHOLD, 4 << 20)
        libc.mallopt(_M_TRIM_THRESHOLD, 16 << 20)  # it is no more set by itself, and memory that comes anew is cleared


def set_up_process() -> None:
    """Call before a library is loaded."""
    sys.meta_path.insert(0, _NoPandas())
    # Arrow's own allocator keeps what it frees: half as much memory again, and slower, as measured (docs/performance.md)
    os.environ.setdefault("ARROW_DEFAULT_MEMORY_POOL", "system")  # noqa: TID251 - told to a library, not read
    # numpy's linear algebra, which nothing here uses, starts a thread for each core when it is loaded
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # noqa: TID251 - told to a library, not read
    _keep_few_heaps()
    gc.set_threshold(50_000, 20, 50)  # looking for cycles costs a twentieth of an upload, and there are hardly any
