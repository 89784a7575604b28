"""Frames: chunks as packs contain them, after one byte of codec (0 as is, 1 zstd); see docs/format/v1.md, "Packs"."""

from __future__ import annotations

from sheaf.errors import Corrupt, Unsupported
from sheaf.format.inflate import inflate
from sheaf.format.store_v1 import MAX_CHUNK

__all__ = ["RAW", "ZSTD", "unframe"]

RAW = b"\0"
ZSTD = b"\1"


def unframe(frame: bytes | memoryview, what: str, limit: int = MAX_CHUNK) -> bytes:
    """Return the chunk in a frame, not yet checked against its hash. Never allocates more than ``limit`` bytes.

    Raises:
        Corrupt: not a zstd frame, or larger than ``limit``.
        Unsupported: an unknown codec.
    """
    view = memoryview(frame)
    codec = bytes(view[:1])
    if codec == RAW:
        return bytes(view[1:])
    if not codec:
        raise Corrupt(f"{what} is empty")
    if codec != ZSTD:
        raise Unsupported(
            f"{what} uses the unknown codec {codec.hex()}", "upgrade sheaf-data, or run `sheaf store check`"
        )
    return inflate(view[1:], limit, what)
