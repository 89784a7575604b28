"""Cut a file into chunks: where its contents say so, or into pieces of one size if it is an SQLite database.

SQLite changes single pages of a database in place. A piece contains few pages, so that a change affects few bytes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import msgspec
from pyfastcdc import FastCDC

from sheaf.format.store_v1 import Chunker

__all__ = ["SQLITE", "Cutter", "cut_file"]

SQLITE = b"SQLite format 3\0"  #: the first bytes of each database


class Cutter:
    """Cuts files in memory as the chunker of a store prescribes. Use it in one thread at a time."""

    def __init__(self, chunker: Chunker) -> None:
        c = chunker
        self._piece = c.sqlite
        self._cutter = FastCDC(c.avg, min_size=c.min, max_size=c.max, normalized_chunking=1, seed=c.seed)

    def chunks(self, data: bytes, head: bytes = b"") -> list[memoryview]:
        """Return the chunks of a file of more than ``min`` bytes, or of a part of it. ``head``: the first bytes of the file."""
        piece = self._piece
        if piece is not msgspec.UNSET and (head or data).startswith(SQLITE):
            return [memoryview(data)[at : at + piece] for at in range(0, len(data), piece)]
        return [chunk.data for chunk in self._cutter.cut_buf(data)]


def cut_file(
    chunker: Chunker, blocks: Iterable[bytes], window_bytes: int, *, head: bytes = b""
) -> Iterator[list[memoryview]]:
    """Yield the chunks of a file that is given as consecutive blocks, some megabytes at a time.

    ``head``: the first bytes of the file, if the blocks don't begin with them. The last chunk of a buffer may continue in
    the next one, so its bytes are carried over.
    """
    cutter = Cutter(chunker)
    carry = b""
    for block in blocks:
        for at in range(0, len(block), window_bytes):
            buffer = carry + block[at : at + window_bytes]
            if not head and len(buffer) <= chunker.min:
                # A file of so few bytes is one chunk, whatever it contains.
                carry = buffer
                continue
            head = head or buffer[: len(SQLITE)]
            chunks = cutter.chunks(buffer, head)
            carry = bytes(chunks.pop()) if chunks else b""
            if chunks:
                yield chunks
    if carry:
        yield [memoryview(carry)]
