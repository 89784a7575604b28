"""zstd frames out, never into more memory than the caller allows."""

from __future__ import annotations

import zstandard

from sheaf.errors import Corrupt

__all__ = ["inflate"]


def inflate(frame: bytes | memoryview, limit: int, what: str) -> bytes:
    """The content of one zstd frame that says how long it is, of at most ``limit`` bytes. Raises Corrupt."""
    try:
        size = zstandard.frame_content_size(frame)
        if not 0 <= size <= limit:
            raise Corrupt(f"{what} claims {size} bytes where at most {limit} are allowed")
        return zstandard.ZstdDecompressor().decompress(frame, max_output_size=size)
    except (zstandard.ZstdError, MemoryError) as error:
        raise Corrupt(f"{what} can't be decompressed: {error}") from error
