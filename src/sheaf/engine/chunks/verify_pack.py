"""Verify whole packs: every byte is read, every chunk decompressed and compared with its hash."""

from __future__ import annotations

from collections.abc import Iterator

from blake3 import blake3

from sheaf.engine.core import Core
from sheaf.engine.objects import get_object
from sheaf.engine.sessions.damage import read_again
from sheaf.errors import Corrupt, Unsupported
from sheaf.format import keys
from sheaf.format.frame_v1 import unframe
from sheaf.format.pack_v1 import PackTable, check_head, decode_table

__all__ = ["confirm_pack", "read_whole", "verify_pack"]


def read_whole(core: Core, pack: bytes) -> tuple[PackTable, int, list[int]]:
    """Read every byte of a pack; return its table, its size in bytes, and the offsets of damaged chunks.

    Raises:
        NotFound: there is no such pack.
        Corrupt, Unsupported: its head or its table is damaged.
    """
    what = f"pack {pack.hex()}"
    data = memoryview(get_object(core.backend, keys.pack(pack)))
    return _table_of(data, pack, what), len(data), list(_damaged(data, pack, what))


def verify_pack(data: bytes, pack: bytes) -> None:
    """Raise Corrupt or Unsupported unless every byte of a pack is sound."""
    what = f"pack {pack.hex()}"
    for offset in _damaged(memoryview(data), pack, what):
        raise Corrupt(f"{what} is damaged at byte {offset}")


def confirm_pack(core: Core, pack: bytes) -> None:
    """Read a pack that was found damaged once more, and note it for writers if it still is."""

    def again() -> bytes:
        data = get_object(core.backend, keys.pack(pack))
        verify_pack(data, pack)
        return data

    read_again(core, keys.pack(pack), again)


def _table_of(data: memoryview, pack: bytes, what: str) -> PackTable:
    check_head(data, pack, what)
    return decode_table(data, len(data), what)


def _damaged(data: memoryview, pack: bytes, what: str) -> Iterator[int]:
    table = _table_of(data, pack, what)
    columns = (table.hashes, table.raw.tolist(), table.stored.tolist(), table.offsets.tolist())
    for hash, raw, stored, offset in zip(*columns, strict=True):
        try:
            chunk = unframe(data[offset : offset + stored], what)
        except (Corrupt, Unsupported):
            chunk = b""
        if len(chunk) != raw or blake3(chunk).digest() != hash.tobytes():
            yield offset
