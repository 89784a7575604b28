"""Replace half-dead packs: copy what is needed of them, and write forwarding addresses to the copies.

The addresses are valid from a record in the store's log on. A gc that considers this one dead ends its session in the
same log: the order of records decides, and a gc that has lost does not delete the old packs.
"""

from __future__ import annotations

from blake3 import blake3

from sheaf.engine.chunks.dedup import ChunkIndex
from sheaf.engine.chunks.pack_writer import PackSink
from sheaf.engine.chunks.verify_pack import confirm_pack
from sheaf.engine.core import Core
from sheaf.engine.gc.mark import Chunks
from sheaf.engine.log.record_log import Head, store_log
from sheaf.engine.objects import get_object
from sheaf.engine.sessions.forwarding import Forwards, Place
from sheaf.engine.sessions.sessions import Ending, Open, ensure_session_open
from sheaf.errors import Corrupt, NotFound
from sheaf.format import keys
from sheaf.format.frame_v1 import unframe
from sheaf.format.moved_v1 import encode_moved
from sheaf.format.pack_v1 import PackTable, decode_table
from sheaf.model.records import MovePacks, StoreOp, StoreState
from sheaf.storage.port import Created

__all__ = ["Mover"]

Address = tuple[int, bytes | None, int, int]  #: old offset, new pack (None: erased), new offset, stored length


class Mover:
    """Replaces the packs of one generation that are ``moving``."""

    def __init__(self, core: Core, mine: Open, forwards: Forwards, moving: frozenset[bytes]) -> None:
        self._core = core
        self._mine = mine
        self._forwards = forwards
        self._moving = moving
        self._index = ChunkIndex([], frozenset(), limits=core.limits)
        # New packs are not listed in the index early: drop_copies may only delete packs that no other process can know of.
        self._sink = PackSink(core, mine.id, self._index, lists_early=False)
        self._copies: dict[tuple[bytes, int], Place] = {}
        self._is_told = False

    def run(self, needed: Chunks, erased: Chunks, ending: Ending) -> int:
        """Copy, write addresses and commit; return the bytes of the new packs.

        ``needed``, ``erased``: the chunks of all packs that move now or were moved before.

        Raises:
            Conflict: another gc has ended this one.
            Corrupt: a chunk that is needed is damaged or missing.
        """
        for pack in sorted(self._moving):
            if needed[pack]:
                self._copy(pack, needed[pack])
        self._sink.flush()
        self._is_told = True
        self._sink.list_durable()
        addresses = {pack: rows for pack in sorted(needed) if (rows := self._rows(pack, needed[pack], erased[pack]))}
        for pack, rows in addresses.items():
            self._create(pack, rows)
        if addresses:
            with ending.committing():
                self._commit(tuple(pack.hex() for pack in addresses))
        for key in [key for pack in addresses for key in self._forwards.records.get(pack, ())]:
            # The address that was committed just now supersedes it.
            self._core.backend.delete(key)
        return self._sink.stored_bytes

    def drop_copies(self) -> None:
        """Delete the packs written so far, if no other process can know of them: on a full disk the space is needed."""
        if self._is_told:
            return
        for pack in self._index.packs:
            self._core.backend.delete(keys.pack(pack))

    # -- copying -------------------------------------------------------------------------------------------------------

    def _copy(self, pack: bytes, offsets: dict[int, int]) -> None:
        try:
            data = memoryview(get_object(self._core.backend, keys.pack(pack)))
        except NotFound:
            # Another gc was faster. Then its address is valid, or it has ended this one.
            return
        try:
            self._collect(pack, data, offsets)
        except Corrupt:
            # A note of the damage makes the next gc leave this pack out.
            confirm_pack(self._core, pack)
            raise

    def _collect(self, pack: bytes, data: memoryview, offsets: dict[int, int]) -> None:
        table = decode_table(data, len(data), f"pack {pack.hex()}")
        rows = {int(offset): row for row, offset in enumerate(table.offsets)}
        for offset, stored in sorted(offsets.items()):
            frame = data[offset : offset + stored]
            chunk = _checked(frame, table, rows.get(offset), f"the chunk at {offset} of pack {pack.hex()}")
            number, at, length = self._sink.add([(*chunk, bytes(frame[:1]), frame[1:])])[0]
            self._copies[pack, offset] = self._index.packs[number], at, length

    # -- addresses -----------------------------------------------------------------------------------------------------

    def _rows(self, pack: bytes, needed: dict[int, int], erased: dict[int, int]) -> list[Address]:
        """The rows of a pack's new address, if it moves now or leads to one that does; empty if nothing changes."""
        rows: list[Address] = [(offset, None, 0, 0) for offset in erased]
        is_new = bool(rows)
        for offset in needed:
            place, is_moved = self._final(pack, offset)
            rows.append((offset, *(place or (None, 0, 0))))
            is_new |= is_moved
        return rows if is_new else []

    def _final(self, pack: bytes, offset: int) -> tuple[Place | None, bool]:
        """Where a chunk is now (None: it was erased), and whether it was moved there by this gc."""
        at: Place | None = None
        while True:
            if (copied := self._copies.get((pack, offset))) is not None:
                return copied, True
            if pack not in self._forwards.moved:
                break
            try:
                at = self._forwards.moved[pack].find(offset)
            except KeyError:
                break
            if at is None:
                return None, False
            pack, offset, _ = at
        if at is None or pack in self._moving:
            ensure_session_open(store_log(self._core), self._mine.session)
            raise Corrupt(f"pack {pack.hex()} is missing", "run `sheaf store check`")
        return at, False

    def _create(self, pack: bytes, rows: list[Address]) -> None:
        n = self._forwards.next_number(pack)
        while self._core.backend.create(keys.moved(pack, n), encode_moved(rows, self._mine.id)) is Created.OTHER:
            n += 1

    def _commit(self, packs: tuple[str, ...]) -> None:
        log = store_log(self._core)

        def decide(head: Head[StoreState]) -> tuple[StoreOp, ...]:
            ensure_session_open(log, self._mine.session)
            return (MovePacks(self._mine.id, packs),)

        log.append(decide)


def _checked(frame: memoryview, table: PackTable, row: int | None, what: str) -> tuple[bytes, int]:
    """Verify a frame and return (hash, length) of its chunk. Raises Corrupt if it differs from the table."""
    if row is None or int(table.stored[row]) != len(frame):
        raise Corrupt(f"{what} is missing", "run `sheaf store check`")
    chunk = unframe(frame, what, int(table.raw[row]))
    hash = table.hashes[row].tobytes()
    if blake3(chunk).digest() != hash:
        raise Corrupt(f"{what} is damaged", "run `sheaf store check --read-data`")
    return hash, len(chunk)
