"""Data to measure with: the same for the same seed, on any machine.

*Text* is words of seven letters and a space, drawn from 4,096 of them: `zstd -1` makes it about a third. *Noise* is
random bytes, which nothing makes smaller.
"""

from __future__ import annotations

import json
import os
import sqlite3
import struct
from collections.abc import Iterator
from pathlib import Path

import numpy as np

__all__ = [
    "SEED",
    "checkpoint",
    "csv_rows",
    "edit_small",
    "half_compressible",
    "noise",
    "small_files",
    "sqlite_rows",
    "text",
    "three_edits",
]

SEED = 20261121
_PER_FOLDER = 100
_BLOCK = 1 << 20
Rng = np.random.Generator


def _rng(*key: int) -> Rng:
    return np.random.default_rng([SEED, *key])


def _words() -> np.ndarray[tuple[int, int], np.dtype[np.uint8]]:
    letters = _rng(0).integers(97, 123, (4096, 8), np.uint8)
    letters[:, 7] = 32
    return letters


_WORDS = _words()


def text(rng: Rng, size: int) -> bytes:
    """Words."""
    return _WORDS[rng.integers(0, 4096, size // 8 + 1)].tobytes()[:size]


def noise(rng: Rng, size: int) -> bytes:
    """Random bytes."""
    return rng.bytes(size)


# -- many small files (W1-W4, W12, W13) --------------------------------------------------------------------------------


def _paths(root: Path, count: int) -> Iterator[Path]:
    for i in range(count):
        yield root / f"part-{i // _PER_FOLDER // 32:03}" / f"{i // _PER_FOLDER:05}" / f"item-{i:07}.txt"


def small_files(root: Path, count: int) -> int:
    """``count`` files of 1,024 to 8,192 bytes, a hundred in a folder, every second one text; returns their bytes."""
    rng = _rng(1)
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
    rng = _rng(2, step)
    chosen = set(rng.choice(count, max(count // 100, 1), replace=False).tolist())
    for i, path in enumerate(_paths(root, count)):
        if i in chosen:
            path.write_bytes(text(rng, int(rng.integers(1024, 8193))))
    return len(chosen)


# -- big files (W5, W6) ------------------------------------------------------------------------------------------------


def half_compressible(path: Path, size: int) -> None:
    """Text and noise in turns, a megabyte of each."""
    rng = _rng(3)
    with path.open("wb") as file:
        for i, at in enumerate(range(0, size, _BLOCK)):
            file.write((text if i % 2 else noise)(rng, min(_BLOCK, size - at)))


def random_file(path: Path, size: int) -> None:
    """Noise."""
    rng = _rng(4)
    with path.open("wb") as file:
        for at in range(0, size, _BLOCK):
            file.write(noise(rng, min(_BLOCK, size - at)))


def three_edits(path: Path) -> None:
    """Insert 1 KiB at a quarter, overwrite 64 KiB at the half, cut 4 KiB out at three quarters."""
    rng = _rng(5)
    data = path.read_bytes()
    n = len(data)
    a, b, c = n // 4, n // 2, n * 3 // 4
    with path.open("wb") as file:
        for part in (data[:a], noise(rng, 1024), data[a:b], noise(rng, 65536), data[b + 65536 : c], data[c + 4096 :]):
            file.write(part)


# -- checkpoints (W7) --------------------------------------------------------------------------------------------------


def _tensor_sizes(total: int) -> list[int]:
    """1 to 64 MiB each, as far as they fit."""
    rng, sizes, left = _rng(6), [], total
    while left:
        size = min(left, int(2 ** rng.uniform(20, 26)) & ~4095, max(total // 4, 1 << 20))
        size = left if left - size < 1 << 20 else size
        sizes.append(size)
        left -= size
    return sizes


def checkpoint(path: Path, total: int, step: int) -> int:
    """A file in the layout of safetensors; returns the bytes of tensors that are new in this step.

    Of the tensors, 5 % of the bytes (whole tensors, at least one) change with each step; step 0 is the first.
    """
    sizes = _tensor_sizes(total)
    since = _changed_at(sizes, step)
    header, at = {}, 0
    for i, size in enumerate(sizes):
        header[f"layer.{i}.weight"] = {"dtype": "BF16", "shape": [size // 2], "data_offsets": [at, at + size]}
        at += size
    head = json.dumps(header).encode()
    head += b" " * (-len(head) % 8)
    with path.open("wb") as file:
        file.write(struct.pack("<Q", len(head)) + head)
        for i, (size, last) in enumerate(zip(sizes, since, strict=True)):
            rng = _rng(7, i, last)
            for block in range(0, size, _BLOCK):
                file.write(noise(rng, min(_BLOCK, size - block)))
    return sum(size for size, last in zip(sizes, since, strict=True) if last == step)


def _changed_at(sizes: list[int], step: int) -> list[int]:
    """For each tensor the step that wrote it last."""
    last = [0] * len(sizes)
    for now in range(1, step + 1):
        order = _rng(8, now).permutation(len(sizes)).tolist()
        order.sort(key=lambda i: sizes[i] > sum(sizes) // 20)  # small ones first, so that 5 % is not one giant
        changed = 0
        for i in order:
            if changed and changed + sizes[i] > sum(sizes) // 20:
                break
            last[i] = now
            changed += sizes[i]
    return last


# -- growing and changing tables (W8) ----------------------------------------------------------------------------------

_ROWS = 20_000  # rows that each version of a table adds


def csv_rows(path: Path, version: int) -> None:
    """Append rows to a CSV."""
    rng = _rng(9, version)
    names, values = rng.integers(0, 4096, _ROWS), rng.normal(size=_ROWS)
    with path.open("a") as file:
        for i in range(_ROWS):
            word = _WORDS[names[i]].tobytes().decode().strip()
            file.write(f"{version * _ROWS + i},{word},{values[i]:.6f}\n")


def sqlite_rows(path: Path, version: int) -> None:
    """Add rows to a table with an index, and change one row in a thousand."""
    rng = _rng(10, version)
    words = [_WORDS[i].tobytes().decode().strip() for i in rng.integers(0, 4096, _ROWS).tolist()]
    with sqlite3.connect(path) as db:
        db.execute("create table if not exists item (id integer primary key, name text, value real)")
        db.execute("create index if not exists by_name on item (name)")
        db.executemany(
            "insert into item (name, value) values (?, ?)", zip(words, rng.normal(size=_ROWS).tolist(), strict=True)
        )
        ids = rng.integers(1, version * _ROWS + 2, max(version * _ROWS // 1000, 1)).tolist()
        db.executemany("update item set value = 0 where id = ?", [(i,) for i in ids])
    db.close()
    os.utime(path)
