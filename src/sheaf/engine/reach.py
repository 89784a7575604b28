"""What bundles need: nodes, packs, whole objects. Reads inner nodes; leaves only where a question is about chunks."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import TypeVar

import numpy as np
from blake3 import blake3

from sheaf.engine.contents import Contents
from sheaf.engine.core import Core
from sheaf.engine.forwarding import Erased, Forwards, load_forwards
from sheaf.engine.log import repo_log, store_log
from sheaf.engine.nodes import Nodes, pointer_of
from sheaf.engine.refs import Refs
from sheaf.engine.tree import entries
from sheaf.errors import Corrupt
from sheaf.format.node_v1 import leaf_packs
from sheaf.model.entries import ChunkPlace, Entry, RecipePlace
from sheaf.model.log import (
    AddBundle,
    Bundle,
    CreateRepo,
    DeleteBundle,
    DeleteRepo,
    RedactBundle,
    RestoreBundle,
    RestoreRepo,
)
from sheaf.model.nodes import Pointer

__all__ = [
    "Chunks",
    "Heads",
    "Reach",
    "Roots",
    "live_bundles",
    "needed_chunks",
    "object_id",
    "roots_since",
    "steadily",
]

Heads = dict[str, int]  #: the newest record of the store's log (key "") and of each repo's (its id)
T = TypeVar("T")


def object_id(key: str) -> bytes:
    """How a leaf's list of packs names a whole object."""
    return blake3(key.encode()).digest()


# -- bundles -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Roots:
    """Bundles that live now, and others that have lived since some moment."""

    alive: list[Bundle]
    past: list[Bundle]


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


def roots_since(core: Core, heads: Heads) -> Roots:
    """Every bundle that has lived at any moment since the logs' newest records were these."""
    alive = live_bundles(core)[0]
    ids = {bundle.id for bundle in alive}
    older = {bundle.id: bundle for bundle in _bundles_at(core, heads)}
    _add_newer(core, heads, older)
    return Roots(alive, [bundle for id, bundle in older.items() if id not in ids])


def steadily(core: Core, look: Callable[[], T]) -> T:
    """What ``look`` finds out by reading live bundles. If a bundle is deleted and swept meanwhile, it looks again.

    Raises:
        Corrupt: a bundle that lives can't be read; then nobody knows what may be deleted.
    """
    while True:
        before = live_bundles(core)[1]
        try:
            return look()
        except Corrupt:
            if live_bundles(core)[1] == before:
                raise


def _add_newer(core: Core, heads: Heads, found: dict[str, Bundle]) -> None:
    """Every bundle that was added or restored after these records, deleted again or not; each with the tree it has now."""
    log = store_log(core)
    restored = {
        op.id for record in log.records(heads.get("", -1) + 1) for op in record.ops if isinstance(op, RestoreRepo)
    }
    for repo in log.head().state.repos.values():
        since = -1 if repo.id in restored else heads.get(repo.id, -1)
        for op in (op for record in repo_log(core, repo.id).records(since + 1) for op in record.ops):
            if isinstance(op, AddBundle | RestoreBundle):
                found[op.bundle.id] = op.bundle
            elif isinstance(op, RedactBundle) and op.bundle in found:
                found[op.bundle] = op.of(found[op.bundle])


def _bundles_at(core: Core, heads: Heads) -> list[Bundle]:
    """Every bundle that was alive when the logs' newest records were these."""
    gone: dict[str, bool] = {}
    for record in store_log(core).records():
        if record.n > heads.get("", -1):
            break
        for op in record.ops:
            if isinstance(op, CreateRepo | RestoreRepo | DeleteRepo):
                gone[op.id] = isinstance(op, DeleteRepo)
    found: list[Bundle] = []
    for repo in [id for id, deleted in gone.items() if not deleted]:
        found += _alive_at(core, repo, heads.get(repo, -1)).values()
    return found


def _alive_at(core: Core, repo: str, n: int) -> dict[str, Bundle]:
    alive: dict[str, Bundle] = {}
    for record in repo_log(core, repo).records():
        if record.n > n:
            break
        for op in record.ops:
            if isinstance(op, AddBundle | RestoreBundle):
                alive[op.bundle.id] = op.bundle
            elif isinstance(op, DeleteBundle):
                alive.pop(op.bundle, None)
            elif isinstance(op, RedactBundle) and op.bundle in alive:
                alive[op.bundle] = op.of(alive[op.bundle])
    return alive


# -- nodes and packs ---------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class Reach:
    """What some bundles need: nodes ``seen``; ``packs`` with the bytes that leaves say they use of each.

    Leaves share chunks, so these bytes may be too many, never too few. Whole objects are among the packs
    (:func:`object_id`).
    """

    nodes: Nodes
    seen: set[bytes] = field(default_factory=set)
    packs: dict[bytes, int] = field(default_factory=dict)

    def add(self, roots: Roots) -> None:
        """Count what these need, too. Raises Corrupt if one that is alive can't be read."""
        for _ in self.leaves(roots):
            pass

    def leaves(self, roots: Roots) -> Iterator[tuple[Pointer, bool]]:
        """The leaves that were not seen before, and whether a bundle that is alive needs them.

        Those that are alive come first: a tree whose bundle is gone may have been swept in part, and must not hide what
        it shares with one that is whole.
        """
        for bundle in roots.alive:
            for leaf in self._leaves(pointer_of(bundle.root)):
                yield leaf, True
        for bundle in roots.past:
            try:
                for leaf in self._leaves(pointer_of(bundle.root)):
                    yield leaf, False
            except Corrupt:  # another generation has swept it, after it had shown that nobody needs it
                continue

    def _leaves(self, root: Pointer) -> Iterator[Pointer]:
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
            for pack, live in pointer.packs:
                self.packs[pack] = self.packs.get(pack, 0) + live
            yield pointer


# -- chunks ------------------------------------------------------------------------------------------------------------

Chunks = dict[bytes, dict[int, int]]  #: of some packs: offset to stored length


def needed_chunks(
    core: Core,
    nodes: Nodes,
    contents: Contents,
    bundles: Iterable[Bundle] | Roots,
    packs: frozenset[bytes],
    erase: frozenset[bytes] = frozenset(),
    forwards: Forwards | None = None,
) -> tuple[Chunks, Chunks]:
    """Of each of these packs the chunks that bundles need, and those that only files with a content in ``erase`` need.

    A row may name a pack that is gone; the forwarding addresses lead from there to the chunk in one of these. Such packs
    are in the answer, too.
    """
    forwards = forwards or load_forwards(core)
    roots = bundles if isinstance(bundles, Roots) else Roots(list(bundles), [])
    asked = sorted(packs | forwards.sources(packs))
    search = _Search(nodes, contents, erase, {pack: {} for pack in asked}, {pack: {} for pack in asked})
    for leaf, is_alive in Reach(nodes).leaves(roots):
        if any(pack in search.needed for pack, _ in leaf.packs):
            search.add(leaf, is_alive=is_alive)
    for chunks in (search.needed, search.erased):
        _follow(chunks, forwards)
    erased = {
        pack: {offset: stored for offset, stored in chunks.items() if offset not in search.needed[pack]}
        for pack, chunks in search.erased.items()
    }
    return search.needed, erased


@dataclass(slots=True)
class _Search:
    nodes: Nodes
    contents: Contents
    erase: frozenset[bytes]
    needed: Chunks
    erased: Chunks

    def add(self, leaf: Pointer, *, is_alive: bool) -> None:
        try:
            batch = self.nodes.rows(leaf)
        except Corrupt:  # as in Reach.leaves
            if is_alive:
                raise
            return
        wanted = np.array([pack in self.needed for pack in batch["pack"].to_pylist()], np.bool_)
        recipes = np.array(
            [bool(uses) and any(use["pack"] in self.needed for use in uses) for uses in batch["packs"].to_pylist()]
        )
        for i in np.flatnonzero(wanted | recipes).tolist():
            entry = next(entries(batch.slice(i, 1)))
            try:
                self._add_entry(entry)
            except Erased:
                continue  # an erasure that was stopped and is finished now
            except Corrupt:
                if is_alive:
                    raise

    def _add_entry(self, entry: Entry) -> None:
        place, into = entry.place, self.erased if entry.content in self.erase else self.needed
        if isinstance(place, ChunkPlace | RecipePlace) and place.pack in into:
            into[place.pack][place.offset] = place.stored
        if isinstance(place, RecipePlace):
            for _, _, pack, offset, stored in self.contents.recipe_rows(place):
                if pack in into:
                    into[pack][offset] = stored


def _follow(chunks: Chunks, forwards: Forwards) -> None:
    """Count what is needed of a pack that was moved as needed where it went, too."""
    todo = [(pack, offset) for pack in chunks for offset in chunks[pack] if pack in forwards.moved]
    while todo:
        pack, offset = todo.pop()
        try:
            place = forwards.moved[pack].find(offset)
        except KeyError:
            continue  # needed again since, of a pack that is still there
        if place is None or place[0] not in chunks or place[1] in chunks[place[0]]:
            continue
        chunks[place[0]][place[1]] = place[2]
        if place[0] in forwards.moved:
            todo.append(place[:2])
