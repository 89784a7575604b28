"""The environment of one test case: an empty backend, and the sizes to use."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

from sheaf.storage.port import Backend

__all__ = ["MIB", "Scale", "Trial", "pattern"]

T = TypeVar("T")

MIB = 1 << 20


def pattern(size: int, seed: int | str = 0) -> bytes:
    """Bytes that differ at every offset and for every seed, so that swapped ranges are detected."""
    return random.Random(seed).randbytes(size)


@dataclass(frozen=True, slots=True)
class Scale:
    """Sizes that adapt the cases to slow or limited stores; they never skip a case."""

    large: int = 33 * MIB  #: bytes of the largest object: more than clients upload in one part
    many: int = 1_050  #: keys of the long listing: more than a page of S3
    threads: int = 8
    longest_key: int = 999  #: characters
    lists_sizes: bool = True  #: whether listings show the size of the data rather than of the stored bytes


@dataclass(frozen=True, slots=True)
class Trial:
    """The environment of one test case; ``backend`` is empty at the start."""

    backend: Backend
    scale: Scale = Scale()

    def at_once(self, calls: Sequence[Callable[[], T]]) -> list[T]:
        """Run the calls in several threads that start together; return their results."""
        start = threading.Barrier(min(self.scale.threads, len(calls)))
        first = set(range(start.parties))

        def run(n: int) -> T:
            if n in first:
                start.wait(60)
            return calls[n]()

        with ThreadPoolExecutor(start.parties) as pool:
            return list(pool.map(run, range(len(calls))))

    def stored(self, key: str, size: int) -> bytes:
        """Create an object; return its bytes."""
        data = pattern(size)
        self.backend.create(key, data)
        return data

    def read(self, key: str, ranges: Sequence[tuple[int, int]]) -> list[bytes]:
        """Read byte ranges ``(offset, length)`` of an object."""
        return [bytes(buffer) for buffer in self.backend.get_ranges(key, ranges)]

    def keys(self, prefix: str = "") -> list[str]:
        """The listed keys in ascending order."""
        return sorted(stat.key for stat in self.backend.list(prefix))
