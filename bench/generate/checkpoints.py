"""Checkpoints of a model: W7."""

from __future__ import annotations

import json
import struct
from pathlib import Path

from bench.generate.content import BLOCK, noise, rng_of

__all__ = ["checkpoint"]


def _tensor_sizes(total: int) -> list[int]:
    """1 to 64 MiB each, as far as they fit."""
    rng, sizes, left = rng_of(6), [], total
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
            rng = rng_of(7, i, last)
            for block in range(0, size, BLOCK):
                file.write(noise(rng, min(BLOCK, size - block)))
    return sum(size for size, last in zip(sizes, since, strict=True) if last == step)


def _changed_at(sizes: list[int], step: int) -> list[int]:
    """For each tensor the step that wrote it last."""
    last = [0] * len(sizes)
    for now in range(1, step + 1):
        order = rng_of(8, now).permutation(len(sizes)).tolist()
        order.sort(key=lambda i: sizes[i] > sum(sizes) // 20)  # small ones first, so that 5 % is not one giant
        changed = 0
        for i in order:
            if changed and changed + sizes[i] > sum(sizes) // 20:
                break
            last[i] = now
            changed += sizes[i]
    return last
