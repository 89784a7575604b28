"""The dedup index: which packs contain which chunks, sorted by hash (docs/format/v1.md, "Index").

envelope, kind "I"
columns: packs (32 bytes each), hash (32 bytes, ascending), pack (u32, a row of packs), offset (u32), stored (u32)
"""

from __future__ import annotations

import msgspec
import numpy as np
import numpy.typing as npt
from msgspec import Struct

from sheaf.errors import Corrupt
from sheaf.format.columns import HASH, U32, Array, Hashes, decode_columns, encode_columns, leading
from sheaf.format.envelope import decode_envelope, encode_envelope

__all__ = ["Segment", "decode_index", "encode_index", "sorted_segment"]


class IndexHeader(msgspec.Struct, frozen=True):
    """``replaces``: names of the index objects that were merged into this one. ``hooks``: only 1 chunk in 256 is listed."""

    session: str
    count: int
    packs: int
    replaces: tuple[str, ...] = ()
    hooks: bool = False


class Segment(Struct, frozen=True):
    """Chunks sorted by hash.

    ``lead``: the first 8 bytes of each hash as numbers, in which :meth:`find` searches. ``replaces``: see the header.
    """

    packs: Hashes
    hashes: Hashes
    pack: Array
    offset: Array
    stored: Array
    lead: npt.NDArray[np.uint64]
    replaces: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.hashes)

    def rows(self, start: int, end: int) -> Segment:
        """The rows from ``start`` to ``end``, with all packs."""
        at = slice(start, end)
        return Segment(self.packs, self.hashes[at], self.pack[at], self.offset[at], self.stored[at], self.lead[at])

    def find(self, wanted: Hashes, lead: npt.NDArray[np.uint64]) -> npt.NDArray[np.int64]:
        """The row of each wanted hash, or -1. ``lead`` must be ``leading(wanted)``."""
        if not len(self):
            return np.full(len(wanted), -1, np.int64)
        at = np.searchsorted(self.lead, lead).astype(np.int64)
        at[at == len(self)] = 0
        found = (self.hashes[at] == wanted).all(axis=1)
        return np.where(found, at, -1)


def sorted_segment(packs: Hashes, hashes: Hashes, pack: Array, offset: Array, stored: Array) -> Segment:
    """Create a segment from unsorted columns; of equal hashes the first is kept."""
    lead = leading(hashes)
    order = np.argsort(lead, kind="stable")
    keep = np.ones(len(order), bool)
    keep[1:] = lead[order][1:] != lead[order][:-1]
    order = order[keep]
    return Segment(packs, hashes[order], pack[order], offset[order], stored[order], lead[order])


def encode_index(session: str, segment: Segment, replaces: tuple[str, ...] = ()) -> bytes:
    """Encode a segment as an index object."""
    header = IndexHeader(session, len(segment), len(segment.packs), replaces)
    columns: list[Array] = [
        segment.packs,
        segment.hashes,
        *(np.asarray(c, U32) for c in (segment.pack, segment.offset, segment.stored)),
    ]
    return encode_columns(columns, encode_envelope("I", header))


def decode_index(data: bytes | memoryview, what: str) -> tuple[IndexHeader, Segment]:
    """Decode an index object. The arrays are views of ``data``, which may be a memory map. Raises Corrupt, Unsupported."""
    header, payload = decode_envelope(data, "I", IndexHeader, what)
    n = header.count
    spec = [(HASH, header.packs), (HASH, n), (U32, n), (U32, n), (U32, n)]
    packs, hashes, pack, offset, stored = decode_columns(payload, spec, what)
    if n and int(pack.max()) >= header.packs:
        raise Corrupt(f"{what} names a pack that it doesn't list")
    return header, Segment(packs, hashes, pack, offset, stored, leading(hashes), header.replaces)
