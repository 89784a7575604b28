"""The buffers that callers pass for writing: one or many, viewed without copying."""

from __future__ import annotations

from collections.abc import Sequence

from sheaf.errors import Corrupt, InvalidInput
from sheaf.storage.port import Buffer

__all__ = ["check_ranges", "check_reach", "check_size", "cut_ranges", "is_equal", "joined", "total", "views"]


def views(data: Buffer | Sequence[Buffer]) -> list[memoryview]:
    """Return the bytes of ``data`` as flat views, without the empty ones."""
    buffers = [data] if isinstance(data, bytes | bytearray | memoryview) else data
    flat = [memoryview(buffer).cast("B") for buffer in buffers]
    return [view for view in flat if view.nbytes]


def total(parts: Sequence[memoryview]) -> int:
    """The total length of the parts, in bytes."""
    return sum(part.nbytes for part in parts)


def joined(parts: Sequence[memoryview]) -> Buffer:
    """Join the parts into one buffer; a single part is returned as it is, without a copy."""
    return parts[0] if len(parts) == 1 else b"".join(parts)


def is_equal(parts: Sequence[memoryview], stored: Buffer) -> bool:
    """True if ``stored`` is exactly the parts, one after the other."""
    rest = memoryview(stored)
    if total(parts) != rest.nbytes:
        return False
    for part in parts:
        if rest[: part.nbytes] != part:
            return False
        rest = rest[part.nbytes :]
    return True


def check_ranges(ranges: Sequence[tuple[int, int]]) -> None:
    """Raise ``InvalidInput`` for a negative offset or length."""
    for offset, length in ranges:
        if offset < 0 or length < 0:
            raise InvalidInput(f"not a byte range: offset {offset}, length {length}")


def cut_ranges(key: str, whole: Buffer, ranges: Sequence[tuple[int, int]]) -> list[Buffer]:
    """Cut ranges ``(offset, length)`` out of an object that is in memory. Raises ``Corrupt`` if it ends before one of them."""
    check_ranges(ranges)
    view = memoryview(whole)
    for offset, length in ranges:
        check_reach(key, view.nbytes, offset, length)
    return [view[offset : offset + length] for offset, length in ranges]


def check_size(key: str, size: int, limit: int) -> None:
    """Raise ``Corrupt`` if an object of ``size`` bytes is larger than ``limit``, the most that its reader accepts."""
    if size > limit:
        raise Corrupt(f"{key} has {size} bytes, but such objects have at most {limit}", "run `sheaf store check`")


def check_reach(key: str, size: int, offset: int, length: int) -> None:
    """Raise ``Corrupt`` if an object of ``size`` bytes ends before the range does; an empty range always passes."""
    if length and offset + length > size:
        raise Corrupt(f"{key} ends at byte {size}, before the range {offset}+{length}", "run `sheaf store check`")
