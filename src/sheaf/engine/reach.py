"""What bundles need: nodes, packs, whole objects. Reads inner nodes; leaves only where a question is about chunks."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace

import numpy as np
from blake3 import blake3

from sheaf.engine.contents import Contents, Erased
from sheaf.engine.core import Core
from sheaf.engine.log import repo_log, store_log
from sheaf.engine.nodes import Nodes, pointer_of
from sheaf.engine.refs import Refs
from sheaf.engine.tree import entries
from sheaf.format import keys
from sheaf.format.moved_v1 import Moved, decode_moved
from sheaf.format.node_v1 import leaf_packs
from sheaf.model.entries import ChunkPlace, RecipePlace
from sheaf.model.log import AddBundle, Bundle, CreateRepo, DeleteBundle, DeleteRepo, RestoreBundle, RestoreRepo
from sheaf.model.nodes import Pointer

__all__ = [
    "Chunks",
    "Heads",
    "Reach",
    "bundles_at",
    "forwards",
    "live_bundles",
    "needed_chunks",
    "newer_bundles",
    "object_id",
]

Heads = dict[str, int]  #: the newest record of the store's log (key "") and of each repo's (its id)


def object_id(key: str) -> bytes:
    """How a leaf's list of packs names a whole object."""
    return blake3(key.encode()).digest()


def live_bundles(core: Core) -> tuple[list[Bundle], Heads]:
    """Every bundle that is not deleted, of every repo that is not, and the logs' newest records."""
    head = store_log(core).head()
    bundles: list[Bundle] = []
    heads = {"": head.n}
    for repo in head.state.repos.values():
        log = repo_log(core, repo.id)
        heads[repo.id] = log.head().n
        if not repo.deleted:
            bundles += Refs(log, repo.name).bundles()
    return bundles, heads


def newer_bundles(core: Core, heads: Heads) -> list[Bundle]:
    """Every bundle that was added or restored after these records, deleted again or not."""
    log = store_log(core)
    restored = {
        op.id for record in log.records(heads.get("", -1) + 1) for op in record.ops if isinstance(op, RestoreRepo)
    }
    found: list[Bundle] = []
    for repo in log.head().state.repos.values():
        since = -1 if repo.id in restored else heads.get(repo.id, -1)
        for record in repo_log(core, repo.id).records(since + 1):
            found += [op.bundle for op in record.ops if isinstance(op, AddBundle | RestoreBundle)]
    return found


def bundles_at(core: Core, heads: Heads) -> list[Bundle]:
    """Every bundle that was alive when the logs' newest records were these."""
    store = store_log(core)
    gone: dict[str, bool] = {}
    for record in store.records():
        if record.n > heads.get("", -1):
            break
        for op in record.ops:
            if isinstance(op, CreateRepo | RestoreRepo):
                gone[op.id] = False
            elif isinstance(op, DeleteRepo):
                gone[op.id] = True
    found: list[Bundle] = []
    for repo in [id for id, deleted in gone.items() if not deleted]:
        alive: dict[str, Bundle] = {}
        for record in repo_log(core, repo).records():
            if record.n > heads.get(repo, -1):
                break
            for op in record.ops:
                if isinstance(op, AddBundle | RestoreBundle):
                    alive[op.bundle.id] = op.bundle
                elif isinstance(op, DeleteBundle):
                    alive.pop(op.bundle, None)
        found += alive.values()
    return found


@dataclass(slots=True)
class Reach:
    """What some bundles need: nodes ``seen``; ``packs``, among them whole objects (see :func:`object_id`)."""

    nodes: Nodes
    seen: set[bytes] = field(default_factory=set)
    packs: set[bytes] = field(default_factory=set)

    def add(self, bundles: Iterable[Bundle]) -> None:
        """Count what these need, too."""
        for bundle in bundles:
            for _ in self.leaves(pointer_of(bundle.root)):
                pass

    def leaves(self, root: Pointer) -> Iterator[Pointer]:
        """The leaves of a tree that were not seen before; all that is passed is counted."""
        stack = [root]
        while stack:
            pointer = stack.pop()
            if pointer.id in self.seen:
                continue
            self.seen.add(pointer.id)
            if pointer.level:
                stack += self.nodes.children(pointer)
                continue
            if pointer is root:  # a root that is a leaf: nobody has written down what a root needs
                pointer = replace(pointer, packs=leaf_packs(self.nodes.rows(pointer)))
            self.packs.update(pack for pack, _ in pointer.packs)
            yield pointer


Chunks = dict[bytes, dict[int, int]]  #: of some packs: offset to stored length


def forwards(core: Core) -> dict[bytes, Moved]:
    """The forwarding address of every pack that has one, whether the pack is gone yet or not."""
    newest: dict[bytes, str] = {}
    for stat in core.backend.list(keys.MOVED, sort=True):
        newest.setdefault(bytes.fromhex(stat.key.split("/")[2]), stat.key)
    return {pack: decode_moved(core.backend.get(key), key) for pack, key in newest.items()}


def _sources(moved: dict[bytes, Moved], packs: frozenset[bytes]) -> set[bytes]:
    """The packs from which somebody is sent to one of these, at once or by detours."""
    found: set[bytes] = set()
    while True:
        targets = packs | found
        more = {p for p, m in moved.items() if p not in targets and any(t.tobytes() in targets for t in m.packs)}
        if not more:
            return found
        found |= more


def needed_chunks(
    core: Core,
    nodes: Nodes,
    contents: Contents,
    bundles: Iterable[Bundle],
    packs: frozenset[bytes],
    erase: frozenset[bytes] = frozenset(),
) -> tuple[Chunks, Chunks]:
    """Of each of these packs the chunks that bundles need, and those that only files with a content in ``erase`` need.

    A row may name a pack that is gone; the forwarding addresses lead from there to the chunk in one of these.
    """
    moved = forwards(core)
    sources = _sources(moved, packs)
    asked = packs | sources
    reach = Reach(nodes)
    needed: Chunks = {pack: {} for pack in asked}
    erased: Chunks = {pack: {} for pack in asked}
    for bundle in bundles:
        for leaf in reach.leaves(pointer_of(bundle.root)):
            if any(pack in asked for pack, _ in leaf.packs):
                _add_leaf(nodes, contents, leaf, needed, erased, erase)
    for chunks in (needed, erased):
        _follow(chunks, moved, sources)
    return (
        {pack: needed[pack] for pack in packs},
        {pack: {o: stored for o, stored in erased[pack].items() if o not in needed[pack]} for pack in packs},
    )


def _follow(chunks: Chunks, moved: dict[bytes, Moved], sources: set[bytes]) -> None:
    """Count what is needed of a pack that was moved as needed where it went, too."""
    todo = [(pack, offset) for pack in sources for offset in chunks[pack]]
    while todo:
        pack, offset = todo.pop()
        try:
            place = moved[pack].find(offset)
        except KeyError:
            continue  # needed again since, of a pack that is still there
        if place is None or place[0] not in chunks or place[1] in chunks[place[0]]:
            continue
        chunks[place[0]][place[1]] = place[2]
        if place[0] in sources:
            todo.append(place[:2])


def _add_leaf(
    nodes: Nodes, contents: Contents, leaf: Pointer, needed: Chunks, erased: Chunks, erase: frozenset[bytes]
) -> None:
    batch = nodes.rows(leaf)
    wanted = np.array([pack in needed for pack in batch["pack"].to_pylist()], np.bool_)
    recipes = np.array(
        [bool(uses) and any(use["pack"] in needed for use in uses) for uses in batch["packs"].to_pylist()]
    )
    for i in np.flatnonzero(wanted | recipes).tolist():
        entry = next(entries(batch.slice(i, 1)))
        place, into = entry.place, erased if entry.content in erase else needed
        if isinstance(place, ChunkPlace | RecipePlace) and place.pack in into:
            into[place.pack][place.offset] = place.stored
        if isinstance(place, RecipePlace):
            try:
                for _, _, pack, offset, stored in contents.recipe_rows(place):
                    if pack in into:
                        into[pack][offset] = stored
            except Erased:
                continue  # an erasure that was stopped and is finished now
