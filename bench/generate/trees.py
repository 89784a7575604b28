"""Folders of many files: S1, S3 and S4."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np

from bench.generate.content import Rng, csv_text, noise, rng_of, text

__all__ = ["edit_mixed", "equal_files", "image_files", "mixed_files", "tiny_files"]

_FOLDERS, _TOP_FOLDERS = 900, 30
_MEDIAN, _LARGEST = 4096, 200 << 10
#: The standard deviation of the logarithm with which one file in ten has more than four times the median, 16 KiB.
_SIGMA = np.log(4) / 1.2816
_PER_FOLDER = 200


def mixed_files(root: Path, count: int) -> int:
    """Write files of log-normal sizes, of text (40 %), CSV (20 %) and noise (40 %), to folders of uneven numbers of files.

    The median size is 4 KiB; one file in ten has more than 16 KiB, none more than 200 KiB. Returns the bytes of all.
    """
    rng = rng_of(13)
    sizes = _log_normal(rng, count)
    for path, size in zip(_mixed_paths(root, count), sizes, strict=True):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(_mixed(rng, size))
    return sum(sizes)


def edit_mixed(root: Path, count: int, step: int) -> int:
    """Write new content to one file in a hundred; returns how many."""
    rng = rng_of(14, step)
    chosen = set(rng.choice(count, max(count // 100, 1), replace=False).tolist())
    sizes = iter(_log_normal(rng, len(chosen)))
    for i, path in enumerate(_mixed_paths(root, count)):
        if i in chosen:
            path.write_bytes(_mixed(rng, next(sizes)))
    return len(chosen)


def _log_normal(rng: Rng, count: int) -> list[int]:
    found: list[int] = np.clip(rng.lognormal(np.log(_MEDIAN), _SIGMA, count), 1, _LARGEST).astype(int).tolist()
    return found


def _mixed(rng: Rng, size: int) -> bytes:
    kind = rng.random()
    write: Callable[[Rng, int], bytes] = text if kind < 0.4 else csv_text if kind < 0.6 else noise
    return write(rng, size)


def _mixed_paths(root: Path, count: int) -> Iterator[Path]:
    rng = rng_of(15)
    weights = rng.pareto(1.2, _FOLDERS) + 0.2
    chosen = rng.choice(_FOLDERS, count, p=weights / weights.sum()).tolist()
    for i, folder in enumerate(chosen):
        yield root / f"part-{folder % _TOP_FOLDERS:02}" / f"folder-{folder:03}" / f"item-{i:06}"


def tiny_files(root: Path, count: int) -> None:
    """Write files of 8 bytes in folders of a thousand: they are only looked at, and take little of the disk."""
    for i in range(count):
        if i % 1000 == 0:
            folder = root / f"{i // 1000:05}"
            folder.mkdir(parents=True)
        (folder / f"item-{i:07}").write_bytes(b"%8d" % i)


def image_files(root: Path, count: int) -> int:
    """Write noise, as JPEG files are to a compressor, 20 to 180 KiB each; returns the bytes of all."""
    rng = rng_of(16)
    sizes = rng.integers(20 << 10, 180 << 10, count).tolist()
    _flat(root, sizes, rng, (noise,))
    return sum(sizes)


def equal_files(root: Path, count: int, size: int) -> None:
    """Write files of one size; every second one is text, the others are noise."""
    _flat(root, [size] * count, rng_of(17, size), (noise, text))


def _flat(root: Path, sizes: Sequence[int], rng: Rng, kinds: Sequence[Callable[[Rng, int], bytes]]) -> None:
    for i, size in enumerate(sizes):
        if i % _PER_FOLDER == 0:
            folder = root / f"{i // _PER_FOLDER:04}"
            folder.mkdir(parents=True)
        (folder / f"item-{i:06}").write_bytes(kinds[i % len(kinds)](rng, size))
