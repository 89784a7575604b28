"""Cut a file into chunks: where its contents say so, or into pieces of one size if it is an SQLite database.

SQLite changes single pages of a database in place. A piece contains few pages, so that a change affects few bytes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

import msgspec
from pyfastcdc import FastCDC

from sheaf.format.store_v1 import Chunker

__all__ = ["cut_file"]

_SQLITE = b"SQLite format 3\0"  # the first bytes of each database
_Cut = Callable[[bytes], list[memoryview]]


def cut_file(chunker: Chunker, blocks: Iterable[bytes], window_bytes: int) -> Iterator[list[memoryview]]:
    """Yield the chunks of a file that is given as consecutive blocks, some megabytes at a time.

    The last chunk of a buffer may continue in the next one, so its bytes are carried over.
    """
    cut: _Cut | None = None
    carry = b""
    for block in blocks:
        for at in range(0, len(block), window_bytes):
            buffer = carry + block[at : at + window_bytes]
            if cut is None and len(buffer) <= chunker.min:
                # A file of so few bytes is one chunk, whatever it contains.
                carry = buffer
                continue
            cut = cut or _cut_for(chunker, buffer)
            chunks = cut(buffer)
            carry = bytes(chunks.pop()) if chunks else b""
            if chunks:
                yield chunks
    if carry:
        yield [memoryview(carry)]


def _cut_for(chunker: Chunker, head: bytes) -> _Cut:
    """Return the function that cuts a file which begins with these bytes."""
    piece = chunker.sqlite
    if piece is not msgspec.UNSET and head.startswith(_SQLITE):
        return lambda data: [memoryview(data)[at : at + piece] for at in range(0, len(data), piece)]
    c = chunker
    cutter = FastCDC(c.avg, min_size=c.min, max_size=c.max, normalized_chunking=1, seed=c.seed)
    return lambda data: [chunk.data for chunk in cutter.cut_buf(data)]
