"""Read FlatBuffers as far as Arrow's metadata requires it: tables, vectors, texts and numbers at an offset.

Missing or invalid parts raise ValueError or struct.error.
"""

from __future__ import annotations

import struct

__all__ = ["field", "i8", "i32", "i64", "table", "text", "vector"]

_U16 = struct.Struct("<H")
_I32 = struct.Struct("<i")
_I64 = struct.Struct("<q")

Data = bytes | memoryview


def i8(data: Data, at: int) -> int:
    """Read one byte, unsigned."""
    return data[at]


def i32(data: Data, at: int) -> int:
    """Read four bytes as a signed number. Offsets are unsigned, but none of them is large enough to matter."""
    return int(_I32.unpack_from(data, at)[0])


def i64(data: Data, at: int) -> int:
    """Read eight bytes as a signed number."""
    return int(_I64.unpack_from(data, at)[0])


def field(data: Data, table: int, number: int) -> int | None:
    """The offset of field ``number`` of the table at ``table``; None if the field was left out."""
    vtable = table - i32(data, table)
    slot = 4 + 2 * number
    if vtable < 0 or slot >= _U16.unpack_from(data, vtable)[0]:
        return None
    offset = int(_U16.unpack_from(data, vtable + slot)[0])
    return table + offset if offset else None


def table(data: Data, at: int, number: int) -> int:
    """The offset of the table, vector or text to which field ``number`` of the table at ``at`` points."""
    place = field(data, at, number)
    if place is None:
        raise ValueError("a field is missing")
    there = place + i32(data, place)
    if there < 0:
        raise ValueError("a field points outside the message")
    return there


def vector(data: Data, at: int, number: int) -> tuple[int, int]:
    """The offset of a vector's first element, and the number of elements."""
    place = table(data, at, number)
    return place + 4, i32(data, place)


def text(data: bytes, at: int, number: int) -> str:
    """Read the text to which field ``number`` of the table at ``at`` points."""
    start, length = vector(data, at, number)
    return data[start : start + length].decode()
