"""Read the table of a pack, which lists its chunks, without reading the chunks."""

from __future__ import annotations

from sheaf.engine.core import Core
from sheaf.errors import Corrupt, NotFound
from sheaf.format import keys
from sheaf.format.limits import limit_of
from sheaf.format.pack_v1 import TRAILER, PackTable, decode_table
from sheaf.storage.buffers import check_size

__all__ = ["load_table"]

_ROW = 40  # bytes of a table's row


def load_table(core: Core, pack: bytes, rows: int = 0) -> PackTable:
    """Return the table of a pack, read from the store. ``rows``: the expected number of rows, 0 if unknown.

    Raises:
        NotFound: there is no such pack.
        Corrupt: it is damaged.
    """
    key, what = keys.pack(pack), f"pack {pack.hex()}"
    stat = core.backend.stat(key)
    if stat is None:
        raise NotFound(f"{what} is missing")
    check_size(key, stat.size, limit_of(key))
    tail = _tail(core, key, stat.size, TRAILER.size + (rows + 1) * _ROW)
    if len(tail) < TRAILER.size:
        raise Corrupt(f"{what} is truncated")
    length = TRAILER.unpack_from(tail, len(tail) - TRAILER.size)[1] + TRAILER.size
    if length > stat.size:
        raise Corrupt(f"{what} has a damaged table of contents")
    if length > len(tail):
        tail = _tail(core, key, stat.size, length)
    return decode_table(tail, stat.size, what)


def _tail(core: Core, key: str, size: int, length: int) -> bytes:
    length = min(length, size)
    return bytes(core.backend.get_ranges(key, [(size - length, length)])[0])
