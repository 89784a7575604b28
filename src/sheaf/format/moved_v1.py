"""Forwarding addresses: where the chunks of a replaced pack are now (docs/format/v1.md, "Moved").

envelope, kind "M", sealed
columns: packs (32 bytes each), old offset (u32, ascending), pack (u32; 0xFFFFFFFF: erased), offset (u32), stored (u32)
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import msgspec
import numpy as np

from sheaf.errors import Corrupt
from sheaf.format.columns import HASH, U32, Array, Hashes, decode_columns, encode_columns, hashes_of
from sheaf.format.envelope import decode_envelope, encode_envelope, sealed

__all__ = ["ERASED", "Moved", "decode_moved", "encode_moved"]

ERASED = 0xFFFFFFFF


class MovedHeader(msgspec.Struct, frozen=True, omit_defaults=True):
    """Numbers of rows. ``session``: the gc or erasure that moved the chunks; its record in the store's log commits that."""

    count: int
    packs: int
    session: str = ""


@dataclass(frozen=True, slots=True)
class Moved:
    """Where the chunks of one pack are now, according to one session of gc or an erasure."""

    packs: Hashes
    old: Array
    pack: Array
    offset: Array
    stored: Array
    session: str = ""

    def find(self, old: int) -> tuple[bytes, int, int] | None:
        """(pack, offset, stored) of the chunk that was at offset ``old``; None if it was erased.

        Raises:
            KeyError: no such chunk was copied.
        """
        at = int(np.searchsorted(self.old, old))
        if at == len(self.old) or int(self.old[at]) != old:
            raise KeyError(old)
        if int(self.pack[at]) == ERASED:
            return None
        return self.packs[self.pack[at]].tobytes(), int(self.offset[at]), int(self.stored[at])


def encode_moved(rows: Iterable[tuple[int, bytes | None, int, int]], session: str = "") -> bytes:
    """Encode rows (old offset, new pack or None if erased, offset, stored) as a forwarding address."""
    ordered = sorted(rows, key=lambda row: row[0])
    packs = list(dict.fromkeys(row[1] for row in ordered if row[1] is not None))
    number: dict[bytes | None, int] = {pack: i for i, pack in enumerate(packs)} | {None: ERASED}
    columns: list[Array] = [
        hashes_of(packs),
        np.array([row[0] for row in ordered], U32),
        np.array([number[row[1]] for row in ordered], U32),
        np.array([row[2] for row in ordered], U32),
        np.array([row[3] for row in ordered], U32),
    ]
    return sealed(encode_envelope("M", MovedHeader(len(ordered), len(packs), session)) + encode_columns(columns))


def decode_moved(data: bytes, what: str) -> Moved:
    """Decode a forwarding address. Raises Corrupt or Unsupported."""
    header, payload = decode_envelope(data, "M", MovedHeader, what)
    n = header.count
    packs, old, pack, offset, stored = decode_columns(payload, [(HASH, header.packs), *[(U32, n)] * 4], what)
    known = pack[pack != ERASED]
    if (len(known) and int(known.max()) >= header.packs) or (np.diff(old.astype(np.int64)) <= 0).any():
        raise Corrupt(f"{what} is not a well-formed forwarding address")
    return Moved(packs, old, pack, offset, stored, header.session)
