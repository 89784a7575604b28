"""The second half of a generation of gc: mark again, remove from the index, repack, delete.

By now no session is left that may have missed the generation. What is found dead now stays dead, so it does not matter
how late a delete arrives or how many gcs delete the same objects. Only repacking needs a commit: see
:mod:`sheaf.engine.gc.repack`.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field

from msgspec.structs import replace

from sheaf.engine.chunks.chunk_reader import Contents
from sheaf.engine.chunks.dedup import joined_segments, load_segments, write_index
from sheaf.engine.core import Core
from sheaf.engine.gc.mark import BundleRoots, Chunks, Reach, needed_chunks, roots_since, steadily
from sheaf.engine.gc.repack import Mover
from sheaf.engine.gc.retention import Gone, lost_with, retained
from sheaf.engine.manifest.node_store import Nodes
from sheaf.engine.sessions.damage import noted_keys
from sheaf.engine.sessions.forwarding import Forwards, load_forwards
from sheaf.engine.sessions.sessions import Ending, Open
from sheaf.errors import Corrupt, NoSpace, NotFound
from sheaf.format import keys
from sheaf.format.index_v1 import Segment
from sheaf.format.node_v1 import object_id
from sheaf.format.session_v1 import Condemned

__all__ = ["Swept", "inventory", "sweep"]


@dataclass(slots=True)
class Swept:
    """What was deleted. ``packs``: of which ``moved`` were repacked; ``bytes``: freed, less those written.

    ``lost``: the deleted bundles that can't be restored any more.
    """

    packs: int = 0
    moved: int = 0
    nodes: int = 0
    objects: int = 0
    bytes: int = 0
    lost: list[Gone] = field(default_factory=list)


def inventory(core: Core) -> dict[str, int]:
    """The sizes of all packs, nodes and whole objects, by key."""
    return {stat.key: stat.size for kind in (keys.PACKS, keys.NODES, keys.OBJECTS) for stat in core.backend.list(kind)}


def sweep(core: Core, condemned: Condemned, mine: Open, ending: Ending, done: Swept) -> None:
    """Delete what is dead of a generation whose sessions have all ended.

    Raises:
        Conflict: another gc has ended this one.
    """
    noted = frozenset(noted_keys(core))
    # Damaged packs can't be copied, so they are left out; but an erasure must replace them, or erased bytes would stay.
    if not condemned.erase:
        damaged = frozenset(keys.ids_of(key for key in noted if key.startswith(keys.PACKS)))
        condemned = replace(condemned, moving_packs=condemned.moving_packs - damaged)
    look = steadily(core, lambda: _LiveState(core, condemned))
    done.lost += lost_with(core, look.dead_nodes)
    sizes = inventory(core)
    _deindex(core, mine, look.dead_packs | condemned.moving_packs, sizes)
    addresses = [key for pack in sorted(look.dead_packs) for key in look.forwards.records.get(pack, ())]
    dead = [keys.pack(pack) for pack in sorted(look.dead_packs)]
    gone = [*dead, *map(keys.node, look.dead_nodes), *look.dead_objects]
    _delete(core, [*gone, *addresses], sizes, done)
    _delete(core, [keys.damaged(key) for key in gone if key in noted], sizes, done)
    done.packs += sum(key in sizes for key in dead)
    done.nodes += len(look.dead_nodes)
    done.objects += len(look.dead_objects)
    # Repacking comes last, since it needs space.
    if condemned.moving_packs:
        done.bytes -= _move(core, condemned, look, mine, ending, done)
        old = [keys.pack(pack) for pack in sorted(condemned.moving_packs)]
        _delete(core, old, sizes, done)
        _delete(core, [keys.damaged(key) for key in old if key in noted], sizes, done)
        done.moved += sum(key in sizes for key in old)


def _delete(core: Core, listed: list[str], sizes: dict[str, int], done: Swept) -> None:
    for key, _ in zip(listed, core.io.map(core.backend.delete, listed), strict=True):
        done.bytes += sizes.get(key, 0)


def _move(core: Core, condemned: Condemned, look: _LiveState, mine: Open, ending: Ending, done: Swept) -> int:
    """Replace the half-dead packs; return the bytes written. Raises NoSpace, after deleting what was written."""
    while True:
        mover = Mover(core, mine, look.forwards, condemned.moving_packs)
        try:
            return mover.run(look.needed, look.erased, ending)
        except NoSpace as error:
            mover.drop_copies()
            size = sum(sum(look.needed[pack].values()) for pack in condemned.moving_packs)
            raise NoSpace(
                f"{len(condemned.moving_packs)} half-empty packs can't be repacked ({done.bytes} bytes were freed): "
                f"{error.message}",
                f"free {size} bytes, then run `sheaf store gc` to resume",
            ) from error
        except Corrupt:
            if _gone(core, condemned, look.forwards) == look.gone:
                raise
        # Another generation has deleted a pack that was to be repacked, so mark again.
        look = steadily(core, lambda: _LiveState(core, condemned))


class _LiveState:
    """What is still dead, and what is needed of the packs to repack, for every bundle that was live since the mark."""

    def __init__(self, core: Core, condemned: Condemned) -> None:
        self.forwards: Forwards = load_forwards(core)
        nodes, roots = Nodes(core), _roots(core, condemned)
        reach = Reach(nodes)
        reach.add(roots)
        needed = reach.packs.keys() | self.forwards.targets(reach.packs)
        self.dead_packs = condemned.dead_packs - needed
        self.dead_nodes = sorted(condemned.dead_nodes - reach.seen)
        erased = {content.hex() for content in condemned.erase}
        self.dead_objects = sorted(
            key for key in condemned.objects if object_id(key) not in needed or key.rpartition("-")[2] in erased
        )
        self.needed: Chunks = {}
        self.erased: Chunks = {}
        self.gone = _gone(core, condemned, self.forwards)

        def chunks(roots: BundleRoots) -> tuple[Chunks, Chunks]:
            moving, erase = condemned.moving_packs, condemned.erase
            return needed_chunks(core, nodes, Contents(core), roots, moving, erase, self.forwards)

        if condemned.moving_packs:
            self.needed, self.erased = chunks(roots)
        if self.gone:
            self._drop(chunks(BundleRoots(roots.alive, []))[0])

    def _drop(self, alive: Chunks) -> None:
        """Drop what only deleted bundles need of packs that are gone, since no bundle can need it again."""
        for pack, chunks in self.needed.items():
            kept = alive.get(pack, {})
            for offset in [at for at in chunks if at not in kept and self._final(pack, at) in self.gone]:
                del chunks[offset]

    def _final(self, pack: bytes, offset: int) -> bytes:
        """The id of the pack in which a chunk is now; empty if it was erased."""
        try:
            place = self.forwards.follow(pack, offset)
        except NotFound:
            return pack
        return place[0] if place else b""


def _gone(core: Core, condemned: Condemned, forwards: Forwards) -> frozenset[bytes]:
    """The packs that were to be repacked, but which another generation has found dead and deleted."""
    suspects = condemned.moving_packs - forwards.moved.keys()
    return frozenset(pack for pack in suspects if core.backend.stat(keys.pack(pack)) is None)


def _roots(core: Core, condemned: Condemned) -> BundleRoots:
    """The bundles that the mark treated as live, and those that were live since: by the generation's own policy."""
    # This comes first: what is deleted from now on was live at the mark, or was added later.
    kept = retained(core, condemned.keep)
    roots = roots_since(core, condemned.heads)
    return BundleRoots(roots.alive, [*roots.past, *kept])


def _deindex(core: Core, mine: Open, packs: Iterable[bytes], sizes: dict[str, int]) -> None:
    """Replace every index object that names one of these packs, or a pack that does not exist.

    A session that was ended may still write an index object that names packs of its own, long after they were swept.
    Writers detect that (:mod:`sheaf.engine.chunks.checked_index`); it is cleaned up here.
    """
    gone = set(packs)
    for name, segment in load_segments(core):
        named = {pack.tobytes() for pack in segment.packs}
        drop = {pack for pack in named if pack in gone or not _is_there(core, pack, sizes)}
        if drop:
            kept = joined_segments([segment], frozenset(drop))
            if len(kept):
                _rewrite(core, mine, name, kept)
            core.backend.delete(name)


def _rewrite(core: Core, mine: Open, name: str, kept: Segment) -> None:
    """Write an index object without some packs. On a full disk, delete the old one first: gc must be able to free space."""
    level = int(name.split("/")[1])
    try:
        write_index(core, mine.id, kept, level, (name,))
    except NoSpace:
        core.backend.delete(name)
        with suppress(NoSpace):
            write_index(core, mine.id, kept, level, (name,))


def _is_there(core: Core, pack: bytes, sizes: dict[str, int]) -> bool:
    key = keys.pack(pack)
    return key in sizes or core.backend.stat(key) is not None
