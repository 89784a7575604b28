"""The second half of a generation of gc: look again, take out of the index, carry over, delete.

By now no session is left that may have missed the generation. What is found dead here stays dead, so it does not matter
how late a delete arrives or how many gcs do the same. Only what is moved needs a commit: see
:mod:`sheaf.engine.moving`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from sheaf.engine.contents import Contents
from sheaf.engine.core import Core
from sheaf.engine.dedup import joined_segments, load_segments, write_index
from sheaf.engine.forwarding import Forwards, load_forwards
from sheaf.engine.moving import Mover
from sheaf.engine.nodes import Nodes
from sheaf.engine.reach import Chunks, Reach, needed_chunks, object_id, roots_since, steadily
from sheaf.engine.sessions import Ending, Open
from sheaf.format import keys
from sheaf.format.session_v1 import Condemned

__all__ = ["Swept", "inventory", "sweep"]


@dataclass(slots=True)
class Swept:
    """What was deleted: ``packs``, of which ``moved`` had something left; ``bytes`` given back, less what was written."""

    packs: int = 0
    moved: int = 0
    nodes: int = 0
    objects: int = 0
    bytes: int = 0


def inventory(core: Core) -> dict[str, int]:
    """The sizes of all packs, nodes and whole objects, by key."""
    return {stat.key: stat.size for kind in (keys.PACKS, keys.NODES, keys.OBJECTS) for stat in core.backend.list(kind)}


def sweep(core: Core, condemned: Condemned, mine: Open, ending: Ending, done: Swept) -> None:
    """Delete what is dead of a generation all of whose sessions are resolved.

    Raises:
        Conflict: another gc has ended this one.
    """
    look = steadily(core, lambda: _Look(core, condemned))
    sizes = inventory(core)
    gone = look.dead_packs | condemned.moving_packs
    _deindex(core, mine, gone, sizes)
    if condemned.moving_packs:
        mover = Mover(core, mine, look.forwards, condemned.moving_packs)
        done.bytes -= mover.run(look.needed, look.erased, ending)
    packs = [keys.pack(pack) for pack in sorted(gone)]
    addresses = [key for pack in sorted(look.dead_packs) for key in look.forwards.records.get(pack, ())]
    for key in core.io.map(lambda key: _deleted(core, key), [*packs, *look.dead_nodes, *look.dead_objects, *addresses]):
        done.bytes += sizes.get(key, 0)
    done.packs += sum(keys.pack(pack) in sizes for pack in look.dead_packs)
    done.moved += sum(keys.pack(pack) in sizes for pack in condemned.moving_packs)
    done.nodes += len(look.dead_nodes)
    done.objects += len(look.dead_objects)


def _deleted(core: Core, key: str) -> str:
    core.backend.delete(key)
    return key


class _Look:
    """What is still dead, and what is needed of the packs that move, seen from every bundle that has lived since the mark."""

    def __init__(self, core: Core, condemned: Condemned) -> None:
        self.forwards: Forwards = load_forwards(core)
        nodes, roots = Nodes(core), roots_since(core, condemned.heads)
        reach = Reach(nodes)
        reach.add(roots)
        needed = reach.packs.keys() | self.forwards.targets(reach.packs)
        self.dead_packs = condemned.dead_packs - needed
        self.dead_nodes = [keys.node(node) for node in sorted(condemned.dead_nodes - reach.seen)]
        erased = {content.hex() for content in condemned.erase}
        self.dead_objects = sorted(
            key for key in condemned.objects if object_id(key) not in needed or key.rpartition("-")[2] in erased
        )
        self.needed: Chunks = {}
        self.erased: Chunks = {}
        if condemned.moving_packs:
            packs = condemned.moving_packs
            self.needed, self.erased = needed_chunks(
                core, nodes, Contents(core), roots, packs, condemned.erase, self.forwards
            )


def _deindex(core: Core, mine: Open, packs: Iterable[bytes], sizes: dict[str, int]) -> None:
    """Replace every index object that names one of these packs, or one that is not there.

    A session that was ended may still write an index object that names packs of its own, long after they were swept.
    Writers notice that (:mod:`sheaf.engine.listed`); here it is cleaned up.
    """
    gone = set(packs)
    for name, segment in load_segments(core):
        named = {pack.tobytes() for pack in segment.packs}
        drop = {pack for pack in named if pack in gone or not _is_there(core, pack, sizes)}
        if drop:
            kept = joined_segments([segment], frozenset(drop))
            if len(kept):
                write_index(core, mine.id, kept, int(name.split("/")[1]), (name,))
            core.backend.delete(name)


def _is_there(core: Core, pack: bytes, sizes: dict[str, int]) -> bool:
    key = keys.pack(pack)
    return key in sizes or core.backend.stat(key) is not None
