"""Find what bundles need: nodes, packs, whole objects. Reads inner nodes; reads leaves only to find chunks."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from msgspec.structs import replace

from sheaf.engine.chunks.chunk_reader import Contents
from sheaf.engine.core import Core
from sheaf.engine.log.record_log import repo_log, store_log
from sheaf.engine.log.resolve import Refs
from sheaf.engine.manifest.node_store import Nodes, pointer_of
from sheaf.engine.sessions.forwarding import Erased, Forwards, load_forwards
from sheaf.errors import Corrupt
from sheaf.format.node_v1 import hash32, leaf_packs
from sheaf.model.entries import PlaceKind, RecipePlace
from sheaf.model.nodes import Pointer
from sheaf.model.records import (
    AddBundle,
    BundleRecord,
    CreateRepo,
    DeleteBundle,
    DeleteRepo,
    RedactBundle,
    RestoreBundle,
    RestoreRepo,
)

__all__ = [
    "BundleRoots",
    "Chunks",
    "Heads",
    "Reach",
    "live_bundles",
    "needed_chunks",
    "roots_since",
    "steadily",
]

Heads = dict[str, int]  #: the newest record of the store's log (key "") and of each repo's (its id)
T = TypeVar("T")


# -- bundles -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class BundleRoots:
    """Bundles that are live now (``alive``), and others that were at some time since a given moment (``past``)."""

    alive: list[BundleRecord]
    past: list[BundleRecord]


def live_bundles(core: Core) -> tuple[list[BundleRecord], Heads]:
    """Return every bundle that is not deleted, of every repo that is not deleted, and the logs' newest records."""
    head = store_log(core).head()
    bundles: list[BundleRecord] = []
    heads = {"": head.n}
    for repo in head.state.repos.values():
        log = repo_log(core, repo.id)
        heads[repo.id] = log.head().n
        if not repo.deleted:
            bundles += Refs(log, repo.name).bundles()
    return bundles, heads


def roots_since(core: Core, heads: Heads) -> BundleRoots:
    """Return every bundle that was live at any time since the logs' newest records were these."""
    alive = live_bundles(core)[0]
    roots = {bundle.root.id for bundle in alive}
    older = {(repo, bundle.id): bundle for repo, bundle in _bundles_at(core, heads)}
    _add_newer(core, heads, older)
    # Compare roots rather than ids: two repos may have bundles with equal ids, since a copy of a repo keeps the ids.
    return BundleRoots(alive, [bundle for bundle in older.values() if bundle.root.id not in roots])


def steadily(core: Core, look: Callable[[], T]) -> T:
    """Call ``look``, which reads live bundles; call it again if it failed because a bundle was deleted and swept.

    Raises:
        Corrupt: a live bundle can't be read; then it is unknown what may be deleted.
    """
    while True:
        before = live_bundles(core)[1]
        try:
            return look()
        except Corrupt:
            if live_bundles(core)[1] == before:
                raise


def _add_newer(core: Core, heads: Heads, found: dict[tuple[str, str], BundleRecord]) -> None:
    """Add every bundle that was added or restored after these records, with its current tree, even if deleted since."""
    log = store_log(core)
    restored = {
        op.id for record in log.records(heads.get("", -1) + 1) for op in record.ops if isinstance(op, RestoreRepo)
    }
    for repo in log.head().state.repos.values():
        since = -1 if repo.id in restored else heads.get(repo.id, -1)
        for op in (op for record in repo_log(core, repo.id).records(since + 1) for op in record.ops):
            if isinstance(op, AddBundle | RestoreBundle):
                found[repo.id, op.bundle.id] = op.bundle
            elif isinstance(op, RedactBundle) and (repo.id, op.bundle) in found:
                found[repo.id, op.bundle] = op.of(found[repo.id, op.bundle])


def _bundles_at(core: Core, heads: Heads) -> list[tuple[str, BundleRecord]]:
    """Every bundle that was live when the logs' newest records were these, each with the id of its repo."""
    gone: dict[str, bool] = {}
    for record in store_log(core).records():
        if record.n > heads.get("", -1):
            break
        for op in record.ops:
            if isinstance(op, CreateRepo | RestoreRepo | DeleteRepo):
                gone[op.id] = isinstance(op, DeleteRepo)
    repos = [id for id, deleted in gone.items() if not deleted]
    return [(repo, bundle) for repo in repos for bundle in _alive_at(core, repo, heads.get(repo, -1)).values()]


def _alive_at(core: Core, repo: str, n: int) -> dict[str, BundleRecord]:
    alive: dict[str, BundleRecord] = {}
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
    """The needs of some bundles: nodes ``seen``; ``packs`` with the bytes that leaves use of each.

    Leaves share chunks, so these bytes may be too many but never too few. Whole objects count as packs
    (:func:`sheaf.format.node_v1.object_id`).
    """

    nodes: Nodes
    seen: set[bytes] = field(default_factory=set)
    packs: dict[bytes, int] = field(default_factory=dict)

    def add(self, roots: BundleRoots) -> None:
        """Add what these bundles need. Raises Corrupt if a live one can't be read."""
        for _ in self.leaves(roots):
            pass

    def leaves(self, roots: BundleRoots) -> Iterator[tuple[Pointer, bool]]:
        """Yield the leaves that were not seen before, and whether a live bundle needs them.

        Live bundles come first: the tree of a deleted one may have been swept in part, and must not hide what it shares with a
        complete one.
        """
        for bundle in roots.alive:
            for leaf in self._leaves(pointer_of(bundle.root)):
                yield leaf, True
        for bundle in roots.past:
            try:
                for leaf in self._leaves(pointer_of(bundle.root)):
                    yield leaf, False
            except Corrupt:
                # Another generation has swept it, after it had found that no bundle needs it.
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
            # The packs of a leaf are recorded in its parent, so for a root that is a leaf they must be read from its rows.
            if pointer is root:
                pointer = replace(pointer, packs=leaf_packs(self.nodes.rows(pointer)))
            for pack, live in pointer.packs:
                self.packs[pack] = self.packs.get(pack, 0) + live
            yield pointer


# -- chunks ------------------------------------------------------------------------------------------------------------

Chunks = dict[bytes, dict[int, int]]  #: by pack: stored length by offset


def needed_chunks(
    core: Core,
    nodes: Nodes,
    contents: Contents,
    bundles: Iterable[BundleRecord] | BundleRoots,
    packs: frozenset[bytes],
    erase: frozenset[bytes] = frozenset(),
    forwards: Forwards | None = None,
) -> tuple[Chunks, Chunks]:
    """Return the chunks of these packs that bundles need, and those that only files with a content in ``erase`` need.

    A row may name a pack that does not exist any more; forwarding addresses lead from there to the chunk in one of these.
    Such packs are in the result, too.
    """
    forwards = forwards or load_forwards(core)
    roots = bundles if isinstance(bundles, BundleRoots) else BundleRoots(list(bundles), [])
    asked = sorted(packs | forwards.sources(packs))
    search = _Search(contents, erase, {pack: {} for pack in asked}, {pack: {} for pack in asked})
    for leaf, is_alive in Reach(nodes).leaves(roots):
        if any(pack in search.needed for pack, _ in leaf.packs):
            _add_leaf(search, nodes, leaf, is_alive=is_alive)
    for chunks in (search.needed, search.erased):
        _follow(chunks, forwards)
    erased = {
        pack: {offset: stored for offset, stored in chunks.items() if offset not in search.needed[pack]}
        for pack, chunks in search.erased.items()
    }
    return search.needed, erased


def _add_leaf(search: _Search, nodes: Nodes, leaf: Pointer, *, is_alive: bool) -> None:
    try:
        batch = nodes.rows(leaf)
    except Corrupt:
        # Another generation has swept it: see Reach.leaves.
        if is_alive:
            raise
        return
    search.add(batch, is_alive=is_alive)


@dataclass(slots=True)
class _Search:
    """Collects the chunks that leaves need, column by column, since a store has many more rows than packs."""

    contents: Contents
    erase: frozenset[bytes]
    needed: Chunks
    erased: Chunks
    _asked: pa.Array = field(init=False)
    _erase: pa.Array = field(init=False)
    _recipes: set[tuple[bytes, bool]] = field(default_factory=set)  # those that were counted, and in which result

    def __post_init__(self) -> None:
        self._asked = pa.array(self.needed, hash32)
        self._erase = pa.array(self.erase, hash32)

    def add(self, batch: pa.RecordBatch, *, is_alive: bool) -> None:
        """Count what a leaf's rows need. Raises Corrupt if a live bundle needs a recipe that can't be read."""
        place = batch["place"].to_numpy()
        named = _in(batch["pack"], self._asked)
        is_recipe = place == PlaceKind.RECIPE
        packed = np.flatnonzero(named & (is_recipe | (place == PlaceKind.CHUNK)))
        if len(packed):
            self._add_places(batch.take(pa.array(packed)))
        if is_recipe.any():
            recipes = np.flatnonzero(is_recipe & (named | _uses(batch["packs"], self._asked)))
            self._add_recipes(batch.take(pa.array(recipes)), is_alive=is_alive)

    def _add_places(self, batch: pa.RecordBatch) -> None:
        erased = _in(batch["content"], self._erase)
        offset, stored = (batch[name].to_numpy() for name in ("offset", "stored"))
        packs = batch["pack"].dictionary_encode()
        number = packs.indices.to_numpy()
        for i, pack in enumerate(packs.dictionary.to_pylist()):
            for into, rows in ((self.needed, ~erased), (self.erased, erased)):
                _count(into[pack], offset, stored, rows & (number == i))

    def _add_recipes(self, batch: pa.RecordBatch, *, is_alive: bool) -> None:
        erased = _in(batch["content"], self._erase).tolist()
        columns = (batch[name].to_pylist() for name in ("recipe", "pack", "offset", "stored"))
        for row, is_erased in zip(zip(*columns, strict=True), erased, strict=True):
            # Equal recipe hashes mean equal rows, so each is read only once.
            if (row[0], is_erased) not in self._recipes:
                self._add_recipe(RecipePlace(*row), is_erased=is_erased, is_alive=is_alive)

    def _add_recipe(self, place: RecipePlace, *, is_erased: bool, is_alive: bool) -> None:
        into = self.erased if is_erased else self.needed
        try:
            for part in self.contents.recipe_parts(place):
                for i, pack in enumerate(map(bytes, part.packs)):
                    if pack in into:
                        _count(into[pack], part.offset, part.stored, part.pack == i)
        except Erased:
            # An interrupted erasure is being finished now.
            return
        except Corrupt:
            if is_alive:
                raise
            return
        self._recipes.add((place.recipe, is_erased))


def _in(column: pa.Array, values: pa.Array) -> npt.NDArray[np.bool_]:
    """For each row, True if the value is one of these; False for null."""
    found: npt.NDArray[np.bool_] = pc.is_in(column, values, skip_nulls=True).to_numpy(zero_copy_only=False)
    return found


def _uses(packs: pa.Array, asked: pa.Array) -> npt.NDArray[np.bool_]:
    """For each row, True if the column `packs` lists one of these."""
    hits = _in(pc.struct_field(pc.list_flatten(packs), "pack"), asked)
    found = np.zeros(len(packs), np.bool_)
    found[pc.list_parent_indices(packs).to_numpy()[hits]] = True
    return found


def _count(chunks: dict[int, int], offset: npt.NDArray[Any], stored: npt.NDArray[Any], rows: npt.NDArray[Any]) -> None:
    chunks.update(zip(offset[rows].tolist(), stored[rows].tolist(), strict=True))


def _follow(chunks: Chunks, forwards: Forwards) -> None:
    """Also count chunks that are needed of a moved pack in the packs to which they were moved."""
    todo = [(pack, offset) for pack in chunks if pack in forwards.moved for offset in chunks[pack]]
    while todo:
        pack, offset = todo.pop()
        try:
            place = forwards.moved[pack].find(offset)
        except KeyError:
            # It became needed after the move, and its pack still exists.
            continue
        if place is None or place[0] not in chunks or place[1] in chunks[place[0]]:
            continue
        chunks[place[0]][place[1]] = place[2]
        if place[0] in forwards.moved:
            todo.append(place[:2])
