"""Recipes: where the chunks of a file with many chunks are (docs/format/v1.md, "Recipes").

A part is stored as a chunk. A level-0 part lists chunks; a level-1 part (the top) lists level-0 parts. A file whose
chunks fit into one part needs no top.

    envelope, kind "R"
    columns: packs (32 bytes each, no two alike), hash (32 bytes), length (u64: bytes of the file that the row covers),
             pack (u32, a row of packs), offset (u32), stored (u32)
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from struct import error as StructError
from struct import unpack_from

import msgspec
import numpy as np
from msgspec import Struct

from sheaf.errors import Corrupt
from sheaf.format.columns import HASH, U32, Array, Hashes, decode_columns, encode_columns, hashes_of
from sheaf.format.envelope import decode_envelope, encode_envelope
from sheaf.format.store_v1 import MAX_CHUNK

__all__ = ["MAX_PART", "MIN_PART", "Part", "Row", "cut_parts", "decode_part", "decode_rows", "encode_part", "ends_part"]

MIN_PART = 16
MAX_PART = 1024
_FEW = 64  # rows up to which tuples are faster than arrays
_U64 = np.dtype("<u8")

Row = tuple[bytes, int, bytes, int, int]  #: hash, length, pack, offset, stored


class PartHeader(msgspec.Struct, frozen=True):
    """``level``: 0 lists chunks, 1 lists parts; the others are numbers of rows."""

    level: int
    count: int
    packs: int


class Part(Struct, frozen=True):
    """A decoded part; row i covers ``lengths[i]`` bytes of the file."""

    level: int
    packs: Hashes
    hashes: Hashes
    lengths: Array
    pack: Array
    offset: Array
    stored: Array

    def row(self, i: int) -> Row:
        """Row i as plain values."""
        pack = self.packs[self.pack[i]].tobytes()
        return self.hashes[i].tobytes(), int(self.lengths[i]), pack, int(self.offset[i]), int(self.stored[i])


def cut_parts(rows: Iterable[Row]) -> Iterator[list[Row]]:
    """Group chunks into parts. A part ends after a hash that begins with a zero byte, if it has 16 rows, or at 1,024 rows."""
    part: list[Row] = []
    for row in rows:
        part.append(row)
        if ends_part(part):
            yield part
            part = []
    if part:
        yield part


def ends_part(rows: Sequence[Row]) -> bool:
    """True if a part ends after these rows."""
    return len(rows) == MAX_PART or (len(rows) >= MIN_PART and rows[-1][0][0] == 0)


def encode_part(level: int, rows: Sequence[Row]) -> bytes:
    """Encode a part. Packs are listed in the order of their first use, so that equal rows give equal bytes."""
    packs = list(dict.fromkeys(row[2] for row in rows))
    number = {pack: i for i, pack in enumerate(packs)}
    columns: list[Array] = [
        hashes_of(packs),
        hashes_of([row[0] for row in rows]),
        np.array([row[1] for row in rows], _U64),
        np.array([number[row[2]] for row in rows], U32),
        np.array([row[3] for row in rows], U32),
        np.array([row[4] for row in rows], U32),
    ]
    return encode_envelope("R", PartHeader(level, len(rows), len(packs))) + encode_columns(columns)


def decode_part(data: bytes, what: str) -> Part:
    """Decode a part. Raises Corrupt or Unsupported."""
    header, payload = decode_envelope(data, "R", PartHeader, what)
    n = header.count
    spec = [(HASH, header.packs), (HASH, n), (_U64, n), (U32, n), (U32, n), (U32, n)]
    packs, hashes, lengths, pack, offset, stored = decode_columns(payload, spec, what)
    if header.level not in (0, 1) or n < 1 or int(pack.max()) >= header.packs:
        raise Corrupt(f"{what} is not a well-formed recipe")
    longest = MAX_PART * MAX_CHUNK if header.level else MAX_CHUNK
    if not 1 <= int(lengths.min()) <= int(lengths.max()) <= longest:
        raise Corrupt(f"{what} lists a chunk of an impossible length")
    return Part(header.level, packs, hashes, lengths, pack, offset, stored)


def decode_rows(data: bytes, what: str) -> list[Row] | None:
    """Decode a part that lists chunks, None for one that lists parts. Raises Corrupt or Unsupported.

    For a few rows this takes a fifth of the time of :func:`decode_part`.
    """
    header, payload = decode_envelope(data, "R", PartHeader, what)
    n, count = header.count, header.packs
    if header.level or not 1 <= count <= n <= _FEW:
        part = decode_part(data, what)
        return None if part.level else [part.row(i) for i in range(n)]
    width = n + n % 2  # columns of four bytes are padded to a multiple of eight
    try:
        hashes = unpack_from("32s" * (count + n), payload)
        numbers = unpack_from(f"<{n}Q{2 * width + n}I", payload, 32 * (count + n))
    except StructError as error:
        raise Corrupt(f"{what} is truncated") from error
    lengths = numbers[:n]
    pack, offset, stored = (numbers[at : at + n] for at in (n, n + width, n + 2 * width))
    if max(pack) >= count:
        raise Corrupt(f"{what} is not a well-formed recipe")
    if not 1 <= min(lengths) <= max(lengths) <= MAX_CHUNK:
        raise Corrupt(f"{what} lists a chunk of an impossible length")
    return [(hashes[count + i], lengths[i], hashes[pack[i]], offset[i], stored[i]) for i in range(n)]
