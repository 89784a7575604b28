"""Decompress zstd frames, never into more memory than the caller allows."""

from __future__ import annotations

import threading

import zstandard

from sheaf.errors import Corrupt

__all__ = ["inflate"]


class _Zstd(threading.local):
    """A decompressor per thread: they can't be shared, and creating one costs more than decompressing a small frame."""

    def __init__(self) -> None:
        self.decompress = zstandard.ZstdDecompressor().decompress


_zstd = _Zstd()


def inflate(frame: bytes | memoryview, limit: int, what: str) -> bytes:
    """Decompress one zstd frame that states its length, which must be at most ``limit`` bytes. Raises Corrupt."""
    try:
        size = zstandard.frame_content_size(frame)
        if not 0 <= size <= limit:
            raise Corrupt(f"{what} claims {size} bytes, but at most {limit} are allowed")
        return _zstd.decompress(frame, max_output_size=size)
    except (zstandard.ZstdError, MemoryError) as error:
        raise Corrupt(f"{what} can't be decompressed: {error}") from error
