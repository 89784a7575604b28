"""One big file: S5, W5 and W6."""

from __future__ import annotations

from pathlib import Path

from bench.generate.content import BLOCK, noise, rng_of, text

__all__ = ["half_compressible", "random_file", "three_edits"]


def half_compressible(path: Path, size: int) -> None:
    """Text and noise in turns, a megabyte of each."""
    rng = rng_of(3)
    with path.open("wb") as file:
        for i, at in enumerate(range(0, size, BLOCK)):
            file.write((text if i % 2 else noise)(rng, min(BLOCK, size - at)))


def random_file(path: Path, size: int) -> None:
    """Noise."""
    rng = rng_of(4)
    with path.open("wb") as file:
        for at in range(0, size, BLOCK):
            file.write(noise(rng, min(BLOCK, size - at)))


def three_edits(path: Path) -> None:
    """Insert 1 KiB at a quarter, overwrite 64 KiB at the half, cut 4 KiB out at three quarters."""
    rng = rng_of(5)
    data = path.read_bytes()
    n = len(data)
    a, b, c = n // 4, n // 2, n * 3 // 4
    with path.open("wb") as file:
        for part in (data[:a], noise(rng, 1024), data[a:b], noise(rng, 65536), data[b + 65536 : c], data[c + 4096 :]):
            file.write(part)
