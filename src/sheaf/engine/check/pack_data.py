"""Check packs: they contain the chunks that manifests need, with the same hashes, and if wanted every byte is verified."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass, field

import numpy as np

from sheaf.engine.check.chunk_refs import WANTED, ChunkRefs
from sheaf.engine.check.read_history import Readings
from sheaf.engine.check.report import FAULTS, CheckReport, ReportProgress
from sheaf.engine.chunks.chunk_reader import Contents, Erased
from sheaf.engine.chunks.pack_table import load_table
from sheaf.engine.chunks.verify_pack import confirm_pack, read_whole
from sheaf.engine.core import Core
from sheaf.engine.prefetch import ahead
from sheaf.engine.sessions.damage import note_damage
from sheaf.errors import NotFound, SheafError
from sheaf.format import keys
from sheaf.format.columns import Array, leading
from sheaf.format.pack_v1 import PackTable

__all__ = ["Packs"]

_TABLES = 16  # tables fetched at a time
_WHOLE = 2  # packs read completely at a time: this bounds memory


@dataclass(frozen=True, slots=True)
class _ReadPack:
    """What was found out about a pack. ``table`` None: the pack doesn't exist."""

    pack: bytes
    wanted: Array
    table: PackTable | None = None
    bytes: int = 0
    bad: tuple[int, ...] = ()  #: offsets of chunks that are damaged
    error: SheafError | None = None


@dataclass(slots=True)
class Packs:
    """Checks that packs contain what bundles need of them.

    ``to_read``: packs to read completely. ``follow``: collects what is needed of packs to which chunks were moved.
    ``indexed``: called with the tables of sound packs. ``listed``: returns True if the index lists a pack.
    """

    core: Core
    report: CheckReport
    on_progress: ReportProgress
    to_read: Collection[bytes] = ()
    readings: Readings | None = None
    indexed: Callable[[PackTable, bytes], None] | None = None
    listed: Callable[[bytes], bool] | None = None
    follow: ChunkRefs = field(init=False)
    _contents: Contents = field(init=False)
    _seen: set[bytes] = field(default_factory=set)
    _bad: dict[bytes, tuple[int, ...]] = field(default_factory=dict)
    _told: set[bytes] = field(default_factory=set)  #: those of ``_bad`` of which bundles need a damaged chunk
    _read: set[bytes] = field(default_factory=set)

    def __post_init__(self) -> None:
        self._contents = Contents(self.core)
        self.follow = ChunkRefs(self.check)

    def check(self, needed: Iterable[tuple[bytes, Array]]) -> None:
        """Check some packs, and what is needed of each."""
        for pack_read in self._read_packs(needed):
            if pack_read.pack not in self._seen:
                self._seen.add(pack_read.pack)
                self.report.count("packs")
                self.on_progress("packs", len(self._seen))
            if pack_read.error is not None or pack_read.bad:
                confirm_pack(self.core, pack_read.pack)
            if pack_read.error is not None:
                self.report.fault("pack", keys.pack(pack_read.pack), pack_read.error)
            elif pack_read.table is None:
                self._moved(pack_read.pack, pack_read.wanted)
            else:
                self._compare(pack_read, pack_read.table)

    def finish(self) -> None:
        """Report damaged chunks that no bundle needs, after all needed ones: they only harm uploads that find them."""
        for pack, bad in self._bad.items():
            if pack not in self._told and (self.listed is None or self.listed(pack)):
                what = f"pack {pack.hex()} contains {len(bad)} damaged chunks that no bundle needs, but the index lists them"
                self.report.add("pack", keys.pack(pack), what, repairable=True)

    # -- looking -------------------------------------------------------------------------------------------------------

    def _read_packs(self, needed: Iterable[tuple[bytes, Array]]) -> Iterator[_ReadPack]:
        """Yield results. Tables are fetched many at a time; packs to read completely wait in a short queue."""
        whole: deque[tuple[bytes, Array]] = deque()

        def tables() -> Iterator[tuple[bytes, Array]]:
            for pack, wanted in needed:
                if pack in self.to_read and pack not in self._read:
                    self._read.add(pack)
                    whole.append((pack, wanted))
                else:
                    yield pack, wanted

        for pack_read in ahead(self.core.io, self._glance, tables(), _TABLES):
            yield pack_read
            while len(whole) >= _WHOLE:
                yield from self._read_some(whole, _WHOLE)
        yield from self._read_some(whole, len(whole))

    def _read_some(self, whole: deque[tuple[bytes, Array]], n: int) -> Iterator[_ReadPack]:
        for pack_read in ahead(self.core.cpu, self._read_one, (whole.popleft() for _ in range(n)), _WHOLE):
            if pack_read.table is not None:
                self.report.count("chunks", len(pack_read.table.offsets))
                self.report.count("bytes", pack_read.bytes)
                if self.readings is not None and not pack_read.bad:
                    self.readings.note(pack_read.pack, self.core.clock.now_ns())
            yield pack_read

    def _glance(self, item: tuple[bytes, Array]) -> _ReadPack:
        pack, wanted = item
        try:
            return _ReadPack(pack, wanted, load_table(self.core, pack, len(wanted)))
        except NotFound:
            return _ReadPack(pack, wanted)
        except FAULTS as error:
            return _ReadPack(pack, wanted, error=error)

    def _read_one(self, item: tuple[bytes, Array]) -> _ReadPack:
        pack, wanted = item
        try:
            table, size, bad = read_whole(self.core, pack)
            return _ReadPack(pack, wanted, table, size, tuple(bad))
        except NotFound:
            return _ReadPack(pack, wanted)
        except FAULTS as error:
            return _ReadPack(pack, wanted, error=error)

    # -- judging -------------------------------------------------------------------------------------------------------

    def _compare(self, pack_read: _ReadPack, table: PackTable) -> None:
        """Report what is wrong with a pack: missing chunks, wrong sizes, and damaged chunks that bundles need."""
        held, of_size = _holds(table, pack_read.wanted)
        if lost := int(np.count_nonzero(~held)):
            what = f"pack {pack_read.pack.hex()} lacks {lost} of the chunks that bundles need from it"
            # The table is covered by a hash, so there is no need to read it again before the damage is noted.
            note_damage(self.core, keys.pack(pack_read.pack), what)
            self.report.add("pack", keys.pack(pack_read.pack), what)
        if odd := int(np.count_nonzero(held & ~of_size)):
            what = f"manifests record a wrong size for {odd} chunks of pack {pack_read.pack.hex()}"
            self.report.add("size", keys.pack(pack_read.pack), what)
        if pack_read.bad:
            self._bad[pack_read.pack] = pack_read.bad
        bad = np.isin(pack_read.wanted["offset"], self._bad.get(pack_read.pack, ()))
        if bad.any() and pack_read.pack not in self._told:
            self._told.add(pack_read.pack)
            at = int(pack_read.wanted["offset"][bad][0])
            self.report.add("pack", keys.pack(pack_read.pack), f"pack {pack_read.pack.hex()} is damaged at byte {at}")
        if self.indexed is not None and pack_read.pack not in self._bad:
            self.indexed(table, pack_read.pack)

    def _moved(self, pack: bytes, wanted: Array) -> None:
        """Check a deleted pack: each chunk that is needed of it must have been moved or erased."""
        places = self.core.io.map(lambda offset: self._located(pack, offset), wanted["offset"].tolist())
        targets: dict[bytes, list[tuple[int, int, int, int]]] = {}
        lost, reason = 0, ""
        for row, place in zip(wanted, places, strict=True):
            if isinstance(place, str):
                lost, reason = lost + 1, reason or place
            elif place is not None:
                targets.setdefault(place[0], []).append((place[1], place[2], int(row["lead"]), int(row["size"])))
            else:
                self.report.count("erased chunks")
        if lost:
            missing = self.core.backend.newest(keys.moved(pack, 0).rpartition("/")[0] + "/") is None
            self.report.add("pack", keys.pack(pack), f"{reason} ({lost} chunks are needed)", missing=missing)
            note_damage(self.core, keys.pack(pack), reason)
        for target, rows in targets.items():
            self.follow.add_wanted(target, np.array(rows, WANTED))

    def _located(self, pack: bytes, offset: int) -> tuple[bytes, int, int] | str | None:
        """Return where a chunk was moved to, None if it was erased, an error message if it is lost."""
        try:
            return self._contents.locate(pack, offset)
        except Erased:
            return None
        except FAULTS as error:
            return error.message


def _holds(table: PackTable, wanted: Array) -> tuple[Array, Array]:
    """Return two masks: wanted chunks that the table has under their hash, and those that have the right size."""
    if not len(table.offsets):
        return np.zeros(len(wanted), np.bool_), np.zeros(len(wanted), np.bool_)
    at = np.searchsorted(table.offsets, wanted["offset"])
    at[at == len(table.offsets)] = 0
    held = (table.offsets[at] == wanted["offset"]) & (table.stored[at] == wanted["stored"])
    same: Array = held & (leading(table.hashes[at]) == wanted["lead"])
    return same, (wanted["size"] == -1) | (wanted["size"] == table.raw[at])
