"""Packs: many chunks in one object, with a table of them at the end (docs/format/v1.md, "Packs").

    envelope, kind "P"
    frames, back to back: one byte of codec (0 as is, 1 zstd), then the chunk
    table: columns hash (32 bytes), raw length (u32), stored length (u32), one row a frame in order
    trailer, 48 bytes: number of frames (u32), length of the table (u32), BLAKE3 of the table, "SHFPend\\0"

The pack's id is derived from the session in the header and the pack's number in it (docs/format/v1.md, "Pack ids").
"""

from __future__ import annotations

import struct
from collections.abc import Sequence

import msgspec
import numpy as np
from blake3 import blake3
from msgspec import Struct

from sheaf.errors import Corrupt
from sheaf.format.columns import HASH, U32, Array, Hashes, decode_columns, encode_columns
from sheaf.format.envelope import encode_envelope, read_header

__all__ = [
    "TRAILER",
    "PackTable",
    "check_head",
    "decode_table",
    "encode_head",
    "encode_tail",
    "pack_id",
]

TRAILER = struct.Struct("<II32s8s")
_END = b"SHFPend\0"


class PackHeader(msgspec.Struct, frozen=True):
    """The pack's origin: it is number ``ordinal``, from 0, of this session."""

    session: str
    ordinal: int


class PackTable(Struct, frozen=True):
    """The chunks of a pack, in the order of their frames; ``offsets`` count from the beginning of the pack."""

    hashes: Hashes
    raw: Array
    stored: Array
    offsets: Array


def pack_id(session: str, ordinal: int) -> bytes:
    """The id of a session's nth pack. It is known before the pack is full, and differs from those of other sessions."""
    return blake3(b"sheaf pack 1\n" + session.encode() + ordinal.to_bytes(4, "little")).digest()


def encode_head(session: str, ordinal: int) -> bytes:
    """Encode the beginning of a pack."""
    return encode_envelope("P", PackHeader(session, ordinal))


def check_head(data: bytes | memoryview, id: bytes, what: str) -> None:
    """Raise Corrupt unless a pack has this id, Unsupported for a newer version. ``data``: its beginning."""
    header, _ = read_header(data, "P", PackHeader, what)
    if not 0 <= header.ordinal < 1 << 32 or pack_id(header.session, header.ordinal) != id:
        raise Corrupt(f"{what} is another pack: number {header.ordinal} of session {header.session}")


def encode_tail(hashes: Hashes, raw: Sequence[int] | Array, stored: Sequence[int] | Array) -> bytes:
    """Encode the table and the trailer of a pack."""
    table = encode_columns([hashes, np.asarray(raw, U32), np.asarray(stored, U32)])
    return table + TRAILER.pack(len(hashes), len(table), blake3(table).digest(), _END)


def decode_table(tail: bytes | memoryview, size: int, what: str) -> PackTable:
    """Decode the table from the last bytes of a pack of ``size`` bytes. ``tail`` may be longer than the table.

    Raises:
        Corrupt: the end is damaged, or ``tail`` is too short to contain the table (see :data:`TRAILER`).
    """
    view = memoryview(tail)
    if len(view) < TRAILER.size:
        raise Corrupt(f"{what} is truncated")
    count, length, digest, end = TRAILER.unpack_from(view, len(view) - TRAILER.size)
    table = view[-TRAILER.size - length : -TRAILER.size] if length else view[:0]
    if end != _END or len(table) != length or blake3(table).digest() != digest:
        raise Corrupt(f"{what} has a damaged table of contents")
    hashes, raw, stored = decode_columns(table, [(HASH, count), (U32, count), (U32, count)], what)
    ends = np.cumsum(stored, dtype=np.int64)
    first = size - TRAILER.size - length - (int(ends[-1]) if count else 0)
    if first < 0:
        raise Corrupt(f"{what} does not contain the frames that its table lists")
    return PackTable(hashes, raw, stored, first + ends - stored)
