"""Read every file of a bundle through an interface of Python.

    python -m bench.reading STORE REPO@REF INTERFACE

INTERFACE: ``fsspec``, one file after the other, or ``batches``. Prints: seconds and bytes; Python's start is not part of them.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable

import fsspec
import sheaf

__all__ = ["INTERFACES"]


def _by_fsspec(store: str, address: str) -> int:
    files = fsspec.filesystem("sheaf", store=store)
    return sum(len(files.cat_file(path)) for path in files.find(address))


def _by_batches(store: str, address: str) -> int:
    repo, _, ref = address.partition("@")
    with sheaf.connect(store) as found:
        batches = found.repo(repo).bundle(ref).batches()
        return sum(len(data) for batch in batches for _, data in batch)


INTERFACES: dict[str, Callable[[str, str], int]] = {"fsspec": _by_fsspec, "batches": _by_batches}


if __name__ == "__main__":
    begin = time.perf_counter()
    size = INTERFACES[sys.argv[3]](sys.argv[1], sys.argv[2])
    print(time.perf_counter() - begin, size)
