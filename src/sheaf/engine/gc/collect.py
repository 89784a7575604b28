"""Collect garbage concurrently with writers, without locks and without trusting any clock.

A generation: mark what is dead and which packs are half dead; create ``condemned/<g>``; wait until every session that may
have missed it has ended, and end those that outlive the grace by a record in their log; examine again what was committed
in the meantime; remove the rest from the index; copy what half-dead packs still contain; delete; delete
``condemned/<g>``. Each step may be done twice, by any process: the next gc finishes a generation that was left unfinished.

Invariant: an object of generation g is deleted only when no live bundle needs it and no session that may have missed g
can still commit.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from msgspec.structs import replace

from sheaf.engine.chunks.chunk_reader import Contents
from sheaf.engine.chunks.pack_table import load_table
from sheaf.engine.core import Core
from sheaf.engine.gc.grace import Decision, Waiting
from sheaf.engine.gc.mark import BundleRoots, Reach, live_bundles, needed_chunks, steadily
from sheaf.engine.gc.retention import kept_since, lost_with, retained
from sheaf.engine.gc.sweep import Swept, inventory, sweep
from sheaf.engine.manifest.node_store import Nodes
from sheaf.engine.objects import get_object
from sheaf.engine.sessions.damage import noted_keys
from sheaf.engine.sessions.forwarding import load_forwards
from sheaf.engine.sessions.sessions import (
    Ending,
    end_session,
    has_committed,
    list_sessions,
    open_store_session,
    session_ids,
    void_session,
)
from sheaf.errors import Corrupt, NotFound
from sheaf.format import keys
from sheaf.format.node_v1 import object_id, packs_in
from sheaf.format.session_v1 import Condemned, Session, decode_condemned, encode_condemned
from sheaf.storage.port import Unfinished

__all__ = ["Collected", "Decision", "Waiting", "collect", "finish", "resolve"]


@dataclass(slots=True)
class Collected(Swept):
    """The results of a collection, or with ``dry_run`` the expected ones.

    ``generations``: number finished; ``pending``: left to a later gc; ``voided``: sessions that outlived the grace;
    ``waits_for``: with ``dry_run``, the sessions that are open now. ``unfinished``: leftovers of killed writers outside of all
    keys, and what running writers have there.
    """

    generations: int = 0
    pending: list[str] = field(default_factory=list)
    voided: list[Session] = field(default_factory=list)
    waits_for: list[Session] = field(default_factory=list)
    unfinished: list[Unfinished] = field(default_factory=list)


def collect(
    core: Core, waiting: Waiting, *, dry_run: bool = False, below: float = 0.5, keep_deleted: float = 0.0
) -> Collected:
    """Finish what other gcs have left unfinished, and delete what no bundle needs.

    Args:
        keep_deleted: bundles that were deleted less than so many seconds ago count as live. Unfinished generations of other
            gcs are finished with the value that those had.
        below: packs of which less than this share (0 to 1) is needed are replaced.

    Raises:
        Conflict: another gc ended this one; nothing is lost, run it again.
        Corrupt: a bundle can't be read; nothing was deleted.
    """
    if dry_run:
        return _expected(core, below, kept_since(core, keep_deleted))
    # This comes first, since later steps may need the space.
    done = Collected(unfinished=list(core.backend.unfinished(remove=True)))
    done.bytes += _removable(done.unfinished)
    for stat in list(core.backend.list(keys.CONDEMNED)):
        if not finish(core, stat.key, waiting, done):
            return done
    keep = kept_since(core, keep_deleted)
    condemned = steadily(core, lambda: _Mark(core, below, keep).condemned())
    if not _is_empty(condemned):
        key = keys.condemned(condemned.generation)
        core.create(key, encode_condemned(condemned))
        finish(core, key, waiting, done)
    return done


def _is_empty(c: Condemned) -> bool:
    return not (c.dead_packs or c.moving_packs or c.dead_nodes or c.objects)


def _expected(core: Core, below: float, keep: str) -> Collected:
    core = replace(core, may_note=False)
    mark = steadily(core, lambda: _Mark(core, below, keep))
    c = mark.condemned()
    dead = [*map(keys.pack, c.dead_packs), *map(keys.node, c.dead_nodes), *c.objects]
    freed = sum(mark.sizes.get(key, 0) for key in dead)
    freed += sum(mark.sizes[keys.pack(pack)] - mark.live[pack] for pack in c.moving_packs)
    lost = lost_with(core, c.dead_nodes)
    counts = (len(c.dead_packs), len(c.moving_packs), len(c.dead_nodes), len(c.objects))
    others = [] if _is_empty(c) else [session for session in list_sessions(core) if not has_committed(core, session)]
    left = list(core.backend.unfinished())
    return Collected(*counts, freed + _removable(left), lost, waits_for=others, unfinished=left)


def _removable(left: list[Unfinished]) -> int:
    return sum(found.size for found in left if not found.kept)


# -- marking -----------------------------------------------------------------------------------------------------------


class _Mark:
    """Finds what is dead and which packs are half dead. ``keep``: as in :class:`Condemned`."""

    def __init__(self, core: Core, below: float, keep: str = "") -> None:
        self._core, self._keep = core, keep
        # This is listed first, so that objects created later are not in it and can't be condemned.
        self.sizes = inventory(core)
        # Notes about objects that do not exist any more are deleted as if the objects still existed.
        self._noted = noted_keys(core)
        self._forwards = load_forwards(core)
        self._nodes = Nodes(core)
        bundles, self._heads = live_bundles(core)
        self._roots = BundleRoots(bundles, retained(core, keep))
        self._reach = Reach(self._nodes)
        self._reach.add(self._roots)
        self._needed = self._reach.packs.keys() | self._forwards.targets(self._reach.packs)
        self._dead_nodes = frozenset(_ids([*self.sizes, *self._noted], keys.NODES) - self._reach.seen)
        self.live: dict[bytes, int] = {}
        self._moving = self._half_dead(below)

    def condemned(self) -> Condemned:
        """Return the list of a new generation. A pack of which only forwarding addresses are left counts as dead, too."""
        known = _ids([*self.sizes, *self._noted], keys.PACKS) | self._forwards.records.keys()
        objects = frozenset(key for key in (*self.sizes, *self._noted) if key.startswith(keys.OBJECTS))
        return Condemned(
            self._core.clock.new_id(),
            frozenset(known - self._needed),
            self._moving,
            self._dead_nodes,
            frozenset(key for key in objects if object_id(key) not in self._needed),
            self._heads,
            keep=self._keep,
        )

    def _half_dead(self, below: float) -> frozenset[bytes]:
        suspects = self._suspects(below)
        if not suspects:
            return frozenset()
        contents = Contents(self._core)
        chunks, _ = needed_chunks(self._core, self._nodes, contents, self._roots, suspects, forwards=self._forwards)
        self.live = {pack: sum(chunks[pack].values()) for pack in suspects}
        return frozenset(pack for pack in sorted(suspects) if self.live[pack] < below * self._filled(pack))

    def _suspects(self, below: float) -> frozenset[bytes]:
        """The packs that may have lost something: dead nodes name them, or all leaves together use little of them.

        Damaged packs are left as they are, since their chunks can't be copied.
        """
        named = _packs_of(self._core, self._dead_nodes)
        found = named | self._forwards.targets(named)
        directly = self._reach.packs.keys() - self._forwards.targets(self._reach.packs)
        found |= {pack for pack in directly if self._reach.packs[pack] < below * self.sizes.get(keys.pack(pack), 0)}
        found -= _ids(self._noted, keys.PACKS)
        return frozenset(pack for pack in found & self._needed if keys.pack(pack) in self.sizes)

    def _filled(self, pack: bytes) -> int:
        """The total bytes of a pack's chunks, without header and table."""
        try:
            return int(load_table(self._core, pack).stored.sum())
        except NotFound:
            return 0


def _ids(listed: Iterable[str], prefix: str) -> set[bytes]:
    return set(keys.ids_of(key for key in listed if key.startswith(prefix)))


def _packs_of(core: Core, nodes: Iterable[bytes]) -> set[bytes]:
    found: set[bytes] = set()
    for packs in core.io.map(lambda node: _packs_in(core, node), sorted(nodes)):
        found |= packs
    return found


def _packs_in(core: Core, node: bytes) -> set[bytes]:
    try:
        return packs_in(get_object(core.backend, keys.node(node)), f"node {node.hex()}")
    except (NotFound, Corrupt):
        # It was deleted in the meantime, or is damaged. It is only a hint, so nothing depends on it.
        return set()


# -- finishing ---------------------------------------------------------------------------------------------------------


def finish(core: Core, key: str, waiting: Waiting, done: Collected) -> bool:
    """Carry a condemned generation through to its end. Returns False if it was left pending for open sessions."""
    is_over = False
    while True:
        try:
            condemned = decode_condemned(get_object(core.backend, key), key)
        except NotFound:
            # Another gc has finished it.
            return True
        mine = open_store_session(core, "gc")
        with Ending(core, mine.id) as ending:
            # Sessions that were registered before the list existed can be seen after twice the time by which listings are late:
            # once for our list to become visible to them, once for them to become visible to us.
            waiting.settle(2 * core.backend.settle_s)
            others = [session for session in list_sessions(core) if session.id != mine.id]
            elder = [session for session in others if session.kind == "gc" and session.id < mine.id]
            if is_over or not elder:
                if not resolve(core, others, waiting, done):
                    done.pending.append(condemned.generation)
                    return False
                waiting.settle(core.backend.settle_s)
                sweep(core, condemned, mine, ending, done)
                core.backend.delete(key)
                done.generations += 1
                return True
        # Our own session has ended here, since otherwise two gcs could wait for each other.
        decision = waiting(elder)
        if decision is Decision.LEAVE:
            done.pending.append(condemned.generation)
            return False
        is_over = decision is Decision.END


def resolve(core: Core, sessions: list[Session], waiting: Waiting, done: Collected) -> bool:
    """Wait until each of these sessions has ended; end the rest by a record in their logs, where the order decides.

    Returns False if ``waiting`` leaves the generation to a later gc.
    """
    for session in sessions:
        if has_committed(core, session):
            end_session(core, session.id)
    while True:
        ids = session_ids(core)
        sessions = [session for session in sessions if session.id in ids]
        if not sessions:
            return True
        decision = waiting(sessions)
        if decision is Decision.LEAVE:
            return False
        if decision is Decision.END:
            break
    for session in sessions:
        void_session(core, session)
        done.voided.append(session)
    return True
