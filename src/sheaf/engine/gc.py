"""Garbage collection, beside live writers, without locks and without trusting anybody's clock.

A generation: mark what is dead and which packs are half dead; create ``condemned/<g>``; wait until every session that
may have missed it has ended, and end those that outlive the grace by a record in their log; look again at what was
committed meanwhile; take the rest out of the index; carry over what half-dead packs still hold; delete; delete
``condemned/<g>``. Each step may be done twice, by anybody: whoever comes next finishes a generation that was left.

Invariant: an object of generation g is deleted only when no live bundle needs it and no session that may have missed g
can still commit.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from blake3 import blake3

from sheaf.engine.contents import Contents
from sheaf.engine.core import Core
from sheaf.engine.dedup import ChunkIndex, joined_segments, load_segments, write_index
from sheaf.engine.log import repo_log, store_log
from sheaf.engine.nodes import Nodes
from sheaf.engine.packs import PackSink
from sheaf.engine.reach import (
    Chunks,
    Reach,
    bundles_at,
    forwards,
    live_bundles,
    needed_chunks,
    newer_bundles,
    object_id,
)
from sheaf.engine.sessions import Open, end_session, list_sessions, open_store_session
from sheaf.errors import Conflict, Corrupt, NotFound
from sheaf.format import keys
from sheaf.format.moved_v1 import encode_moved
from sheaf.format.node_v1 import packs_in
from sheaf.format.pack_v1 import decode_table, unframe
from sheaf.format.session_v1 import Condemned, Session, decode_condemned, encode_condemned
from sheaf.model.log import MovePacks, StoreOp, VoidSession
from sheaf.storage.port import Created

__all__ = ["Collected", "Waiting", "collect", "finish"]

Waiting = Callable[[list[Session]], bool]
"""Called with the sessions that are still open; waits a little; returns False when the grace is over."""


Address = tuple[int, bytes | None, int, int]  #: old offset, new pack (None: erased), offset, stored length


@dataclass(slots=True)
class Collected:
    """What a collection did, or with ``dry_run`` would do. ``bytes``: given back, less what was carried over."""

    generations: int = 0
    packs: int = 0
    moved: int = 0
    nodes: int = 0
    objects: int = 0
    bytes: int = 0
    voided: list[Session] = field(default_factory=list)


def collect(core: Core, waiting: Waiting, *, dry_run: bool = False, below: float = 0.5) -> Collected:
    """Delete what no bundle needs.

    Args:
        below: packs of which less than this part is needed are replaced.

    Raises:
        Conflict: this gc was itself ended by another one; nothing is lost, run it again.
    """
    done = Collected()
    if not dry_run:
        for stat in list(core.backend.list(keys.CONDEMNED)):
            finish(core, stat.key, waiting, done)
    condemned, size = _mark(core, below)
    done.packs, done.moved = done.packs + len(condemned.dead_packs), done.moved + len(condemned.moving_packs)
    done.nodes, done.objects = done.nodes + len(condemned.dead_nodes), done.objects + len(condemned.objects)
    done.bytes += size
    if dry_run or not (condemned.dead_packs or condemned.moving_packs or condemned.dead_nodes or condemned.objects):
        return done
    key = keys.condemned(condemned.generation)
    core.create(key, encode_condemned(condemned))
    finish(core, key, waiting, done)
    return done


# -- marking -----------------------------------------------------------------------------------------------------------


def _mark(core: Core, below: float) -> tuple[Condemned, int]:
    """What is dead, and which packs are half dead; the bytes that deleting gives back."""
    packs = {
        _id(stat.key): stat.size for stat in core.backend.list(keys.PACKS)
    }  # listed first: what comes later is safe
    listed = {_id(stat.key): stat.size for stat in core.backend.list(keys.NODES)}
    objects = {stat.key: stat.size for stat in core.backend.list(keys.OBJECTS)}
    nodes = Nodes(core)
    bundles, heads = live_bundles(core)
    reach = Reach(nodes)
    reach.add(bundles)
    needed = reach.packs | _forwarded(core, reach.packs)
    dead_packs = frozenset(packs.keys() - needed)
    dead_nodes = frozenset(listed.keys() - reach.seen)
    dead_objects = frozenset(key for key in objects if object_id(key) not in needed)
    suspects = frozenset(_packs_of(core, dead_nodes) & needed & packs.keys())
    chunks = needed_chunks(core, nodes, Contents(core), bundles, suspects)[0] if suspects else {}
    live = {pack: sum(of_pack.values()) for pack, of_pack in chunks.items()}
    moving = frozenset(pack for pack, size in live.items() if size < below * packs[pack])
    freed = sum(packs[pack] for pack in dead_packs) + sum(packs[pack] - live[pack] for pack in moving)
    freed += sum(listed[node] for node in dead_nodes) + sum(objects[key] for key in dead_objects)
    generation = core.clock.new_id()
    return Condemned(generation, dead_packs, moving, dead_nodes, dead_objects, heads), freed


def _id(key: str) -> bytes:
    return bytes.fromhex(key.rpartition("/")[2])


def _packs_of(core: Core, dead_nodes: Iterable[bytes]) -> set[bytes]:
    """The packs that dead nodes name: only these can have lost something."""
    found: set[bytes] = set()
    for node in dead_nodes:
        try:
            found |= packs_in(core.backend.get(keys.node(node)), f"node {node.hex()}")
        except (NotFound, Corrupt):
            continue  # gone meanwhile, or broken: nothing is decided by it
    return found


def _forwarded(core: Core, packs: set[bytes]) -> set[bytes]:
    """The packs that chunks of these were moved to, and on from there; kept whether or not the move was completed."""
    moved = forwards(core)
    found: set[bytes] = set()
    ask = packs & moved.keys()
    while ask:
        targets = {pack.tobytes() for gone in ask for pack in moved[gone].packs}
        ask = (targets - found) & moved.keys()
        found |= targets
    return found


# -- finishing ---------------------------------------------------------------------------------------------------------


def finish(core: Core, key: str, waiting: Waiting, done: Collected) -> None:
    """Carry a condemned generation through to its end."""
    try:
        condemned = decode_condemned(core.backend.get(key), key)
    except NotFound:
        return  # somebody else has finished it
    mine = open_store_session(core, "gc")
    try:
        _resolve(core, [s for s in list_sessions(core) if s.id != mine.id], waiting, done)
        _sweep(core, condemned, mine, done)
    finally:
        end_session(core, mine.id)
    core.backend.delete(key)
    done.generations += 1


def _resolve(core: Core, sessions: list[Session], waiting: Waiting, done: Collected) -> None:
    """Wait until each of these has ended; end the rest by a record in their logs, whose order decides."""
    ids = {session.id for session in sessions}
    while ids:
        ids &= {session.id for session in list_sessions(core)}
        if not ids or not waiting([session for session in sessions if session.id in ids]):
            break
    for session in sessions:
        if session.id in ids:
            op = VoidSession(session.id)
            if session.repo:
                repo_log(core, session.repo).append(lambda head, op=op: (op,))  # type: ignore[misc]
            else:
                store_log(core).append(lambda head, op=op: (op,))  # type: ignore[misc]
            end_session(core, session.id)
            done.voided.append(session)


def _sweep(core: Core, condemned: Condemned, mine: Open, done: Collected) -> None:
    """Look again, then take out of the index, carry over, and delete."""
    nodes = Nodes(core)
    bundles = [*bundles_at(core, condemned.heads), *newer_bundles(core, condemned.heads)]
    again = Reach(nodes)
    again.add(bundles)
    needed = again.packs | _forwarded(core, again.packs)
    dead = condemned.dead_packs - needed
    _deindex(core, mine, dead | condemned.moving_packs)
    if condemned.moving_packs:
        chunks = needed_chunks(core, nodes, Contents(core), bundles, condemned.moving_packs, condemned.erase)
        _carry_over(core, *chunks, mine)
    for pack in sorted(dead | condemned.moving_packs):
        core.backend.delete(keys.pack(pack))
    for node in sorted(condemned.dead_nodes - again.seen):
        core.backend.delete(keys.node(node))
    for key in sorted(key for key in condemned.objects if object_id(key) not in needed):
        core.backend.delete(key)


def _deindex(core: Core, mine: Open, packs: frozenset[bytes]) -> None:
    """Replace every index object that names one of these packs. No session is left that could bring them back."""
    for name, segment in load_segments(core):
        if not packs.isdisjoint(pack.tobytes() for pack in segment.packs):
            kept = joined_segments([segment], packs)
            if len(kept):
                write_index(core, mine.id, kept, int(name.split("/")[1]), (name,))
            core.backend.delete(name)


# -- carrying over -----------------------------------------------------------------------------------------------------


def _carry_over(core: Core, needed: Chunks, erased: Chunks, mine: Open) -> None:
    """Copy what is still needed of half-dead packs into new ones, and say where it went, or that it was erased.

    The forwarding addresses count from the record in the store's log on. Whoever thinks that this gc is dead voids its
    session in the same log: the order there decides, and the old packs are deleted by nobody who has lost.
    """
    index = ChunkIndex([], frozenset())
    sink = PackSink(core, mine.id, index)
    places = {pack: _copied(core, pack, offsets, sink, index) for pack, offsets in sorted(needed.items())}
    sink.flush()
    if (own := index.own()) is not None:
        write_index(core, mine.id, own)
    moved = {pack: rows for pack, rows in places.items() if rows is not None}
    for pack, rows in moved.items():
        _forward(core, pack, [*rows, *((offset, None, 0, 0) for offset in erased[pack])])
    _commit(core, mine, tuple(sorted(pack.hex() for pack in moved)))


def _copied(
    core: Core, pack: bytes, offsets: dict[int, int], sink: PackSink, index: ChunkIndex
) -> list[Address] | None:
    """The chunks of one pack, checked and stored again: rows of its forwarding address. None: another gc was faster."""
    try:
        data = memoryview(core.backend.get(keys.pack(pack)))
    except NotFound:
        return None
    table = decode_table(data, len(data), f"pack {pack.hex()}")
    at = {int(offset): i for i, offset in enumerate(table.offsets)}
    rows: list[Address] = []
    for offset, stored in sorted(offsets.items()):
        i = at.get(offset)
        if i is None or int(table.stored[i]) != stored:
            raise Corrupt(f"pack {pack.hex()} has no chunk at {offset}", "run `sheaf store check`")
        frame = data[offset : offset + stored]
        chunk = unframe(frame, f"the chunk at {offset} of pack {pack.hex()}", int(table.raw[i]))
        hash = table.hashes[i].tobytes()
        if blake3(chunk).digest() != hash:
            raise Corrupt(
                f"the chunk at {offset} of pack {pack.hex()} is damaged", "run `sheaf store check --read-data`"
            )
        number, new_offset, new_stored = sink.add([(hash, len(chunk), bytes(frame[:1]), frame[1:])])[0]
        rows.append((offset, index.packs[number], new_offset, new_stored))
    return rows


def _forward(core: Core, pack: bytes, rows: list[Address]) -> None:
    newest = core.backend.newest(keys.moved(pack, 0).rpartition("/")[0] + "/")
    n = keys.record_number(newest) + 1 if newest else 0
    while core.backend.create(keys.moved(pack, n), encode_moved(rows)) is Created.OTHER:
        n += 1


def _commit(core: Core, mine: Open, packs: tuple[str, ...]) -> None:
    log = store_log(core)

    def decide(head: object) -> tuple[StoreOp, ...]:
        for record in log.records(mine.session.n + 1):
            if any(isinstance(op, VoidSession) and op.session == mine.id for op in record.ops):
                raise Conflict("another gc has ended this one", "run `sheaf store gc` again")
        return (MovePacks(mine.id, packs),)

    log.append(decide)
