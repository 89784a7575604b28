"""Bytes to fill files with, from seeded generators: the same for the same key, on any machine.

*Text* is words of seven letters and a space, drawn from 4,096 of them: `zstd -1` compresses it to about a third. *CSV* is
rows of numbers. *Noise* is random bytes, which nothing compresses.
"""

from __future__ import annotations

from functools import cache

import numpy as np

__all__ = ["BLOCK", "SEED", "WORDS", "Rng", "csv_text", "noise", "rng_of", "text"]

SEED = 20261121
BLOCK = 1 << 20  #: bytes of a big file that are written at once
_CSV_BYTES = 4 << 20
Rng = np.random.Generator


def rng_of(*key: int) -> Rng:
    """Return the generator of random numbers for a key."""
    return np.random.default_rng([SEED, *key])


def _words() -> np.ndarray[tuple[int, int], np.dtype[np.uint8]]:
    letters = rng_of(0).integers(97, 123, (4096, 8), np.uint8)
    letters[:, 7] = 32
    return letters


WORDS = _words()


def text(rng: Rng, size: int) -> bytes:
    """Return words."""
    return WORDS[rng.integers(0, 4096, size // 8 + 1)].tobytes()[:size]


def csv_text(rng: Rng, size: int) -> bytes:
    """Return rows of numbers: a part of a long table."""
    table = _table()
    at = int(rng.integers(0, len(table) - size))
    return table[at : at + size]


def noise(rng: Rng, size: int) -> bytes:
    """Return random bytes."""
    return rng.bytes(size)


@cache
def _table() -> bytes:
    rng = rng_of(11)
    count = _CSV_BYTES // 16
    columns = zip(rng.integers(0, 10**6, count).tolist(), rng.normal(size=count).tolist(), strict=True)
    return "".join(f"{i},{key},{value:.6f}\n" for i, (key, value) in enumerate(columns)).encode()[:_CSV_BYTES]
