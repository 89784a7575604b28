"""Packs: each holds the chunks that files need of it, or says where they went."""

from __future__ import annotations

import struct
from collections import deque

from blake3 import blake3

from sheaf.engine.checking.report import Report, Tell
from sheaf.engine.contents import Contents, Erased
from sheaf.engine.core import Core
from sheaf.engine.tables import load_table
from sheaf.errors import Corrupt, SheafError
from sheaf.format import keys
from sheaf.format.pack_v1 import PackTable, check_head, decode_table, unframe

__all__ = ["Needs", "check_packs"]

_NEED = struct.Struct("<II8s")  # offset, stored length, beginning of the hash: a set of these is smaller than of tuples


class Needs:
    """What is needed of which pack."""

    def __init__(self) -> None:
        self._of: dict[bytes, set[bytes]] = {}
        self._new: deque[bytes] = deque()

    def add(self, pack: bytes, offset: int, stored: int, hash: bytes) -> None:
        """A chunk is needed."""
        if pack not in self._of:
            self._of[pack] = set()
            self._new.append(pack)
        self._of[pack].add(_NEED.pack(offset, stored, hash[:8]))

    def next(self) -> tuple[bytes, set[bytes]] | None:
        """A pack that was not asked for yet, and what is needed of it."""
        if not self._new:
            return None
        pack = self._new.popleft()
        return pack, self._of[pack]

    def again(self, pack: bytes) -> None:
        """More is needed of a pack than when it was asked for."""
        if pack in self._of and pack not in self._new:
            self._new.append(pack)


def check_packs(core: Core, needs: Needs, report: Report, tell: Tell, *, read_data: bool) -> None:
    """Every pack that something needs: its table; with ``read_data`` also each chunk."""
    contents = Contents(core)
    while (found := needs.next()) is not None:
        pack, wanted = found
        report.count("packs")
        tell("packs", report.counts["packs"])
        try:
            if core.backend.stat(keys.pack(pack)) is None:
                _moved(contents, needs, pack, wanted, report)
            else:
                _present(core, pack, wanted, report, read_data=read_data)
        except SheafError as error:
            report.add("pack", keys.pack(pack), error)


def _present(core: Core, pack: bytes, wanted: set[bytes], report: Report, *, read_data: bool) -> None:
    what = f"pack {pack.hex()}"
    data = core.backend.get(keys.pack(pack)) if read_data else b""
    if read_data:
        check_head(data, pack, what)
    table = decode_table(data, len(data), what) if read_data else load_table(core, pack, len(wanted))
    columns = zip(table.offsets.tolist(), table.stored.tolist(), table.hashes, strict=True)
    there = {_NEED.pack(offset, stored, hash[:8].tobytes()) for offset, stored, hash in columns}
    if lost := wanted - there:
        raise Corrupt(f"{what} does not hold {len(lost)} of the chunks that bundles need of it")
    if read_data:
        _read(data, table, what, report)


def _read(data: bytes, table: PackTable, what: str, report: Report) -> None:
    for hash, raw, stored, offset in zip(table.hashes, table.raw, table.stored, table.offsets, strict=True):
        chunk = unframe(memoryview(data)[offset : offset + stored], what)
        if blake3(chunk).digest() != hash.tobytes() or len(chunk) != raw:
            raise Corrupt(f"{what} is damaged at byte {offset}")
        report.count("chunks")
    report.count("bytes", len(data))


def _moved(contents: Contents, needs: Needs, pack: bytes, wanted: set[bytes], report: Report) -> None:
    """What is needed of a pack that was replaced is needed of those that replace it."""
    for need in wanted:
        offset, _, hash = _NEED.unpack(need)
        try:
            new, at, stored = contents.locate(pack, offset)
        except Erased:
            report.count("erased chunks")
            continue
        needs.add(new, at, stored, hash)
        needs.again(new)
