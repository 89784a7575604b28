"""Very small files: W1 to W4, W12, W13 and M1."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from bench.generate.content import noise, rng_of, text

__all__ = ["edit_small", "small_files"]

_PER_FOLDER = 100


def _paths(root: Path, count: int) -> Iterator[Path]:
    for i in range(count):
        yield root / f"part-{i // _PER_FOLDER // 32:03}" / f"{i // _PER_FOLDER:05}" / f"item-{i:07}.txt"


def small_files(root: Path, count: int) -> int:
    """``count`` files of 1,024 to 8,192 bytes, a hundred in a folder, every second one text; returns their bytes."""
    rng = rng_of(1)
    sizes = rng.integers(1024, 8193, count)
    folder = None
    for i, path in enumerate(_paths(root, count)):
        if path.parent != folder:
            folder = path.parent
            folder.mkdir(parents=True)
        size = int(sizes[i])
        path.write_bytes(text(rng, size) if i % 2 else noise(rng, size))
    return int(sizes.sum())


def edit_small(root: Path, count: int, step: int) -> int:
    """Write new content to one file in a hundred, spread over all folders; returns how many."""
    rng = rng_of(2, step)
    chosen = set(rng.choice(count, max(count // 100, 1), replace=False).tolist())
    for i, path in enumerate(_paths(root, count)):
        if i in chosen:
            path.write_bytes(text(rng, int(rng.integers(1024, 8193))))
    return len(chosen)
