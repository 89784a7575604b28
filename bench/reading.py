"""Read every file of a bundle through an interface of Python.

    python -m bench.reading STORE REPO@REF INTERFACE

INTERFACE: ``fsspec``, one file after the other, or ``batches``. Prints: the mean seconds of a pass, and its bytes. A pass
before the timed ones loads all modules, so neither that nor Python's start is part of the seconds; each pass opens the
store again, so nothing is cached but by the system.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable

import fsspec
import sheaf

__all__ = ["INTERFACES"]


def _by_fsspec(store: str, address: str) -> int:
    files = fsspec.filesystem("sheaf", store=store, skip_instance_cache=True)
    return sum(len(files.cat_file(path)) for path in files.find(address))


def _by_batches(store: str, address: str) -> int:
    repo, _, ref = address.partition("@")
    with sheaf.connect(store) as found:
        batches = found.repo(repo).bundle(ref).batches()
        return sum(len(data) for batch in batches for _, data in batch)


INTERFACES: dict[str, Callable[[str, str], int]] = {"fsspec": _by_fsspec, "batches": _by_batches}


_LEAST_S = 0.5  # a shorter measurement would show the noise of the machine
_MOST_PASSES = 5


def _timed(read: Callable[[], int]) -> tuple[float, int]:
    """Return the mean seconds of a pass after the first one, and its bytes."""
    size = read()
    begin, passes = time.perf_counter(), 0
    while passes < _MOST_PASSES and time.perf_counter() - begin < _LEAST_S:
        read()
        passes += 1
    return (time.perf_counter() - begin) / passes, size


if __name__ == "__main__":
    print(*_timed(lambda: INTERFACES[sys.argv[3]](sys.argv[1], sys.argv[2])))
