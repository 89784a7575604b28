"""Rebuild the dedup index from the packs' own tables."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np

from sheaf.engine.check.report import FAULTS
from sheaf.engine.chunks.dedup import write_index
from sheaf.engine.chunks.pack_table import load_table
from sheaf.engine.core import Core
from sheaf.engine.log.record_log import store_log
from sheaf.engine.prefetch import ahead
from sheaf.engine.sessions.sessions import Ending, ensure_session_open, open_store_session
from sheaf.errors import NotFound
from sheaf.format import keys
from sheaf.format.columns import hashes_of
from sheaf.format.index_v1 import Segment, sorted_segment
from sheaf.format.pack_v1 import PackTable

__all__ = ["Rebuilt", "rebuild_index"]

_TABLES = 16  # tables fetched at a time

Table = tuple[bytes, PackTable | str]  #: a pack, and its table or why that can't be read


@dataclass(slots=True)
class Rebuilt:
    """The result: packs and chunks in the new index, objects written and removed. ``unread``: packs, and their errors."""

    packs: int = 0
    chunks: int = 0
    written: int = 0
    removed: int = 0
    unread: dict[bytes, str] = field(default_factory=dict)


def rebuild_index(
    core: Core,
    *,
    but: frozenset[bytes] = frozenset(),
    settle: Callable[[], None] = lambda: None,
    is_dry: bool = False,
) -> Rebuilt:
    """Write index objects that list every chunk of every readable pack, then delete the old ones.

    A session keeps gc from deleting a pack between its listing here and its entry in the index. Condemned packs are
    left out.

    Args:
        but: packs with damaged chunks: they must not be found.
        settle: called between the listing of the packs and the first index object, to bring replicas up to date: a
        writer
            that finds a pack in the index may commit a bundle that needs it.

    Raises:
        Conflict: gc has ended this session; run it again.
    """
    if is_dry:
        return _expected(core, but)
    done = Rebuilt()
    mine = open_store_session(core, "repair")
    with Ending(core, mine.id):
        old = [stat.key for stat in core.backend.list(keys.INDEX)]
        packs = _packs(core, mine.avoid_packs | but)
        settle()
        new = {_write(core, mine.id, part, done) for part in _parts(core, packs, done)}
        ensure_session_open(store_log(core), mine.session)
        for key in old:
            if key not in new:
                core.backend.delete(key)
                done.removed += 1
    return done


def _expected(core: Core, but: frozenset[bytes]) -> Rebuilt:
    done = Rebuilt(removed=len(list(core.backend.list(keys.INDEX))))
    for _ in _parts(core, _packs(core, but), done):
        done.written += 1
    return done


def _packs(core: Core, but: frozenset[bytes]) -> list[bytes]:
    return sorted(set(keys.ids_of(stat.key for stat in core.backend.list(keys.PACKS))) - but)


def _tables(core: Core, packs: list[bytes]) -> Iterator[Table]:
    return ahead(core.io, lambda pack: (pack, _table(core, pack)), packs, _TABLES)


def _table(core: Core, pack: bytes) -> PackTable | str:
    try:
        return load_table(core, pack)
    except NotFound:
        # The pack was deleted since it was listed.
        return ""
    except FAULTS as error:
        return error.message


def _parts(core: Core, packs: list[bytes], done: Rebuilt) -> Iterator[list[tuple[bytes, PackTable]]]:
    """Yield packs with their tables, as many at a time as one index object has room for."""
    part: list[tuple[bytes, PackTable]] = []
    rows = 0
    for pack, table in _tables(core, packs):
        if isinstance(table, str):
            done.unread |= {pack: table} if table else {}
            continue
        if part and rows + len(table.hashes) > core.limits.rebuild_chunks:
            yield part
            part, rows = [], 0
        part.append((pack, table))
        rows += len(table.hashes)
        done.packs, done.chunks = done.packs + 1, done.chunks + len(table.hashes)
    if rows:
        yield part


def _write(core: Core, session: str, part: list[tuple[bytes, PackTable]], done: Rebuilt) -> str:
    level, packs, each = 0, len(part), core.limits.rebuild_packs
    while packs >= each:
        level, packs = level + 1, packs // each
    done.written += 1
    return write_index(core, session, _segment(part), level)


def _segment(part: list[tuple[bytes, PackTable]]) -> Segment:
    tables = [table for _, table in part]
    number = np.repeat(np.arange(len(tables)), [len(table.hashes) for table in tables])
    columns = [np.concatenate([getattr(table, name) for table in tables]) for name in ("hashes", "offsets", "stored")]
    return sorted_segment(hashes_of([pack for pack, _ in part]), columns[0], number, columns[1], columns[2])
