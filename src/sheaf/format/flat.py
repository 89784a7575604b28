"""FlatBuffers, as far as Arrow's metadata is read here: tables, vectors, texts and numbers at an offset.

What is not there raises ValueError or struct.error.
"""

from __future__ import annotations

import struct

__all__ = ["field", "i8", "i32", "i64", "table", "text", "vector"]

_U16 = struct.Struct("<H")
_I32 = struct.Struct("<i")
_I64 = struct.Struct("<q")

Data = bytes | memoryview


def i8(data: Data, at: int) -> int:
    """One byte."""
    return data[at]


def i32(data: Data, at: int) -> int:
    """Four bytes, with a sign; offsets have none, but none of them is that large."""
    return int(_I32.unpack_from(data, at)[0])


def i64(data: Data, at: int) -> int:
    """Eight bytes, with a sign."""
    return int(_I64.unpack_from(data, at)[0])


def field(data: Data, table: int, number: int) -> int | None:
    """Where a table's field stands, None if it was left out."""
    vtable = table - i32(data, table)
    slot = 4 + 2 * number
    if vtable < 0 or slot >= _U16.unpack_from(data, vtable)[0]:
        return None
    offset = int(_U16.unpack_from(data, vtable + slot)[0])
    return table + offset if offset else None


def table(data: Data, at: int, number: int) -> int:
    """Where the table, vector or text stands that a field leads to."""
    place = field(data, at, number)
    if place is None:
        raise ValueError("a field is missing")
    there = place + i32(data, place)
    if there < 0:
        raise ValueError("a field points outside the message")
    return there


def vector(data: Data, at: int, number: int) -> tuple[int, int]:
    """Where the first element of a vector stands, and how many there are."""
    place = table(data, at, number)
    return place + 4, i32(data, place)


def text(data: bytes, at: int, number: int) -> str:
    """A text."""
    start, length = vector(data, at, number)
    return data[start : start + length].decode()
