"""Read a node's columns without Arrow, for readers that need few of them or only compare them.

Loading Arrow takes longer than reading a folder. So this module reads exactly what :mod:`sheaf.format.node_v1` writes
today: zstd, one batch, the known columns in their order. For everything else that the format allows it returns None, and
the caller uses Arrow, which also explains damage.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Final, TypeAlias

import msgspec
from msgspec import Struct

from sheaf.errors import Corrupt
from sheaf.format.envelope import decode_envelope
from sheaf.format.flat import field, i8, i32, i64, table, text, vector
from sheaf.format.inflate import inflate

__all__ = ["CHILDREN_TYPES", "MAX_LEVEL", "MAX_NODE", "ROWS_TYPES", "NodeColumns", "NodeHeader", "decode_columns"]

#: Bytes of a node's columns in memory. Larger nodes are neither written nor read; usual ones are far smaller.
MAX_NODE: Final = 128 << 20
MAX_LEVEL: Final = 15  #: of a node; trees with at least 256 children per node need far fewer

# Arrow's number of the type; width in bits or bytes; whether it has a sign
Type: TypeAlias = tuple[int, int, int]
_INT, _UTF8, _FIXED = 2, 5, 15
_TEXT: Final = (_UTF8, 0, 0)
_HASH: Final = (_FIXED, 32, 0)
_I64: Final = (_INT, 64, 1)
_U32: Final = (_INT, 32, 0)
_U8: Final = (_INT, 8, 0)

#: The columns of a leaf that locate bytes in packs and all before them, and those of an inner node before its packs.
ROWS_TYPES: Final[Mapping[str, Type]] = {
    "folder": _TEXT,
    "name": _TEXT,
    "kind": _U8,
    "mode": (_INT, 16, 0),
    "mtime": _I64,
    "size": _I64,
    "content": _HASH,
    "target": _TEXT,
    "attrs": _TEXT,
    "place": _U8,
    "pack": _HASH,
    "offset": _U32,
    "stored": _U32,
    "recipe": _HASH,
}
CHILDREN_TYPES: Final[Mapping[str, Type]] = {
    "folder": _TEXT,
    "name": _TEXT,
    "prefix": _TEXT,
    "rows": _I64,
    "size": _I64,
    "logical": _HASH,
    "full": _HASH,
    "id": _HASH,
    "length": _I64,
}

_OPTIONAL: Final = ("target", "attrs", "pack", "offset", "stored", "recipe")
_MANY: Final = 16384  # rows; nodes with more are left to Arrow, which rejects them
_ZSTD = 1
_SCHEMA, _BATCH = 1, 3  # kinds of messages
_PAIR = struct.Struct("<qq")


class NodeHeader(msgspec.Struct, frozen=True):
    """``level``: 0 if rows are entries, above if they are children. ``raw``: bytes of the uncompressed batch."""

    session: str
    level: int
    rows: int
    raw: int


class NodeColumns(Struct, frozen=True):
    """The compressed buffers of each column: validity, ends of texts (if any), values. ``rows``: their number.

    ``size``: bytes of all columns when they are decompressed.
    """

    what: str
    rows: int
    size: int
    _parts: Mapping[str, tuple[memoryview, ...]]

    def is_same(self, other: NodeColumns, column: str) -> bool:
        """True if a column has the same bytes as in another node; if not, its values may be equal nevertheless."""
        pairs = zip(self._parts[column], other._parts[column], strict=True)
        return self.rows == other.rows and all(bytes(left) == bytes(right) for left, right in pairs)

    def buffers(self, column: str) -> list[bytes | memoryview]:
        """Decompress the column's buffers; the first one is empty if every row has a value. Raises Corrupt."""
        return [self._inflated(part) for part in self._parts[column]]

    def _inflated(self, part: memoryview) -> bytes | memoryview:
        size = i64(part, 0) if part else 0
        return part[8:] if size < 0 or not part else inflate(part[8:], size, self.what)


def decode_columns(data: bytes, level: int, what: str) -> NodeColumns | None:
    """Read a node's columns without checking its hash; None: only Arrow can. Raises Corrupt, Unsupported."""
    header, payload = decode_envelope(data, "N", NodeHeader, what)
    if header.level != level:
        raise Corrupt(f"{what} is not the node that its parent describes")
    rows = header.rows
    if not 0 <= rows <= _MANY:
        return None
    try:
        messages = list(_messages(payload))
        if [kind for kind, _, _ in messages] != [_SCHEMA, _BATCH]:
            return None
        names = _columns(bytes(messages[0][1]), bool(level))
        return _columns_of(bytes(messages[1][1]), messages[1][2], names, rows, what) if names else None
    except (struct.error, ValueError, IndexError):
        return None


def _messages(stream: memoryview) -> Iterator[tuple[int, memoryview, memoryview]]:
    """Yield (kind, metadata, body) of each message."""
    at = 0
    while at + 8 <= len(stream) and (length := i32(stream, at + 4)) > 0 and i32(stream, at) == -1:
        metadata = stream[at + 8 : at + 8 + length]
        message = i32(metadata, 0)
        kind, size = field(metadata, message, 1), field(metadata, message, 3)
        body = at + 8 + length
        at = body + (i64(metadata, size) if size else 0)
        if at > len(stream) or at < body:
            raise ValueError("a message is truncated")
        yield (i8(metadata, kind) if kind else 0), metadata, stream[body:at]


@lru_cache(8)
def _columns(metadata: bytes, is_inner: bool) -> tuple[tuple[str, int], ...]:
    """(name, number of buffers) of a schema's first columns, if they are the known ones; else empty."""
    schema = table(metadata, i32(metadata, 0), 2)
    wanted = CHILDREN_TYPES if is_inner else ROWS_TYPES
    at, count = vector(metadata, schema, 1)
    found = [at + 4 * i + i32(metadata, at + 4 * i) for i in range(min(count, len(wanted)))]
    if [_field(metadata, one) for one in found] != list(wanted.items()):
        return ()
    return tuple((name, 3 if column_type == _TEXT else 2) for name, column_type in wanted.items())


def _field(metadata: bytes, at: int) -> tuple[str, Type]:
    """The name and the type of a column."""
    kind, is_dictionary = field(metadata, at, 2), field(metadata, at, 4)
    number = i8(metadata, kind) if kind and not is_dictionary else 0
    column_type = table(metadata, at, 3)
    width, sign = field(metadata, column_type, 0), field(metadata, column_type, 1)
    if number not in (_INT, _FIXED):
        return text(metadata, at, 0), (number, 0, 0)
    has_sign = i8(metadata, sign) if sign and number == _INT else 0
    return text(metadata, at, 0), (number, i32(metadata, width) if width else 0, has_sign)


def _columns_of(
    metadata: bytes, body: memoryview, columns: tuple[tuple[str, int], ...], rows: int, what: str
) -> NodeColumns | None:
    batch = table(metadata, i32(metadata, 0), 2)
    length, compression = field(metadata, batch, 0), field(metadata, batch, 3)
    if not compression or (i64(metadata, length) if length else 0) != rows:
        return None
    codec = field(metadata, table(metadata, batch, 3), 0)
    nodes, count = vector(metadata, batch, 1)
    if not codec or i8(metadata, codec) != _ZSTD or count < len(columns):
        return None
    buffers, size = _parts(metadata, batch, body)
    parts: dict[str, tuple[memoryview, ...]] = {}
    for (name, width), at in zip(columns, range(nodes, nodes + 16 * count, 16), strict=False):
        values, nulls = _PAIR.unpack_from(metadata, at)
        parts[name] = tuple(buffers[:width])
        del buffers[:width]
        is_full = not nulls and not parts[name][0]
        if values != rows or len(parts[name]) != width or not (is_full or name in _OPTIONAL):
            return None
    return NodeColumns(what, rows, size, parts)


def _parts(metadata: bytes, batch: int, body: memoryview) -> tuple[list[memoryview], int]:
    """The compressed buffers of a batch and the bytes that they claim. Raises ValueError if a node may not have so many."""
    at, count = vector(metadata, batch, 2)
    found, total = [], 0
    for start, length in _PAIR.iter_unpack(metadata[at : at + 16 * count]):
        if start < 0 or length < 0 or start + length > len(body):
            raise ValueError("a buffer lies outside the batch")
        part = body[start : start + length]
        said = i64(part, 0) if length else 0
        total += length if said < 0 else said
        found.append(part)
    if total > MAX_NODE:
        raise ValueError("the buffers claim too many bytes")
    return found, total
