"""Encode tables of fixed-width columns: one after the other, little-endian, each padded to a multiple of 8 bytes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from sheaf.errors import Corrupt

__all__ = ["U32", "Array", "Hashes", "decode_columns", "encode_columns", "hashes_of", "leading"]

Array = npt.NDArray[Any]
Hashes = npt.NDArray[np.uint8]  #: shape (n, 32)
U32 = np.dtype("<u4")
HASH = np.dtype(("u1", 32))


def encode_columns(columns: Sequence[Array], head: bytes = b"") -> bytes:
    """Return ``head`` followed by the columns' bytes in order, padded."""
    parts: list[bytes | memoryview] = [head]
    for column in columns:
        raw = np.ascontiguousarray(column).reshape(-1).view(np.uint8).data
        parts += [raw, bytes(-len(raw) % 8)]
    # This is the only copy: an index has 44 bytes for each chunk of a session, which can be a lot.
    return b"".join(parts)


def decode_columns(payload: bytes | memoryview, columns: Sequence[tuple[np.dtype[Any], int]], what: str) -> list[Array]:
    """Return the columns as arrays over the same memory. ``columns``: (dtype, number of rows) of each. Raises Corrupt."""
    arrays = []
    at = 0
    for dtype, count in columns:
        size = dtype.itemsize * count
        if count < 0 or at + size > len(payload):
            raise Corrupt(f"{what} is truncated")
        base, shape = dtype.subdtype or (dtype, ())
        flat = np.frombuffer(payload, base, count * int(np.prod(shape, dtype=int)), at)
        arrays.append(flat.reshape(count, *shape))
        at += size + -size % 8
    return arrays


def hashes_of(values: Sequence[bytes]) -> Hashes:
    """Convert 32-byte values into an (n, 32) array."""
    return np.frombuffer(b"".join(values), np.uint8).reshape(len(values), 32)


def leading(hashes: Hashes) -> npt.NDArray[np.uint64]:
    """The first 8 bytes of each hash, as a number that sorts as the bytes do."""
    return np.ascontiguousarray(hashes[:, :8]).view(">u8").reshape(len(hashes)).astype(np.uint64)
