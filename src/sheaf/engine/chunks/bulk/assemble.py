"""Assemble a file from the frames of its chunks. Imports little, because worker processes of downloads use it, too."""

from __future__ import annotations

from collections.abc import Iterable

from blake3 import blake3

from sheaf.errors import Corrupt, Unsupported
from sheaf.format.frame_v1 import RAW, ZSTD
from sheaf.format.inflate import inflate
from sheaf.format.store_v1 import MAX_CHUNK
from sheaf.storage.port import Buffer

__all__ = ["assemble"]


def assemble(frames: Iterable[tuple[memoryview, int]], size: int, content: bytes) -> Buffer | None:
    """Return a file from its frames, each with the length of its chunk, or None if the bytes don't match ``content``.

    One hash covers all bytes, and shows as well that the chunks belong to this file. It doesn't show which chunk is
    damaged: the caller then reads them one by one. A chunk that is the whole file and not compressed is not copied.
    """
    try:
        parts = [_chunk(frame, length) for frame, length in frames]
    except (Corrupt, Unsupported):
        return None
    data = parts[0] if len(parts) == 1 else b"".join(parts)
    return data if len(data) == size and blake3(data).digest() == content else None


def _chunk(frame: memoryview, length: int) -> Buffer:
    codec = frame[:1]
    if codec == RAW:
        return frame[1:]
    if codec != ZSTD:
        raise Unsupported("an unknown codec")
    return inflate(frame[1:], min(length, MAX_CHUNK), "a chunk")
