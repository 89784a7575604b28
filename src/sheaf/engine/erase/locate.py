"""Locate contents: the bundles with them, their chunks, the packs with these, and other contents with the same chunks."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from sheaf.engine.chunks.chunk_reader import Contents
from sheaf.engine.chunks.pack_table import load_table
from sheaf.engine.core import Core
from sheaf.engine.gc.mark import live_bundles
from sheaf.engine.log.record_log import repo_log, store_log
from sheaf.engine.log.resolve import Refs
from sheaf.engine.manifest.node_store import Nodes, mark_of, pointer_of
from sheaf.engine.manifest.tree import Tree, entries
from sheaf.engine.prefetch import ahead
from sheaf.engine.sessions.forwarding import Erased, load_forwards
from sheaf.errors import Corrupt, NotFound
from sheaf.format import keys
from sheaf.format.columns import Array, hashes_of, leading
from sheaf.format.session_v1 import ErasedFile
from sheaf.model.entries import ChunkPlace, Kind, ManifestEntry, ObjectPlace, PlaceKind, RecipePlace
from sheaf.model.nodes import Pointer
from sheaf.model.paths import join
from sheaf.model.records import BundleRecord

__all__ = ["Finder", "Held", "LeafSearch", "Similar", "files_of", "find_namesakes", "find_similar", "held_by"]

_LEAVES = 16  # leaves fetched at a time
_TABLES = 32  # tables of packs fetched at a time


@dataclass(slots=True)
class Finder:
    """Searches all bundles for contents; a second search reads only what is new.

    ``places``: paths in live bundles; ``chunks``: hashes of all chunks of the contents, recipes included; ``sizes``:
    sizes of the found contents in bytes; ``nodes``: ids of all nodes that bundles need, of deleted ones as far as they
    are complete; ``left``: number of entries that are not ``is_done``.
    """

    core: Core
    contents: frozenset[bytes]
    is_done: Callable[[ManifestEntry], bool] = lambda entry: True
    places: list[ErasedFile] = field(default_factory=list)
    chunks: set[bytes] = field(default_factory=set)
    sizes: dict[bytes, int] = field(default_factory=dict)
    nodes: set[bytes] = field(default_factory=set)
    left: int = 0
    _hits: dict[bytes, list[ManifestEntry]] = field(default_factory=dict)
    _seen: set[bytes] = field(default_factory=set)
    _roots: dict[bytes, list[ManifestEntry]] = field(default_factory=dict)

    def find(self) -> None:
        """Search all bundles, also deleted ones as far as gc has left them."""
        nodes = Nodes(self.core)
        self.places, self.nodes, self.left = [], set(), 0
        for repo, bundle, is_alive in sorted(_all_bundles(self.core), key=lambda item: not item[2]):
            try:
                found = self._in(nodes, pointer_of(bundle.root))
                self.nodes |= self._more(nodes, pointer_of(bundle.root), is_alive=is_alive)
            except Corrupt:
                if is_alive:
                    raise
                continue
            self.left += sum(not self.is_done(entry) for entry in found)
            if is_alive:
                self.places += [ErasedFile(repo, bundle.id, entry.path, entry.content.hex()) for entry in found]

    def hits(self, nodes: Nodes, root: Pointer) -> list[ManifestEntry]:
        """Return the entries of a tree that are not ``is_done``. Raises Corrupt."""
        return [entry for entry in self._in(nodes, root) if not self.is_done(entry)]

    def _in(self, nodes: Nodes, root: Pointer) -> list[ManifestEntry]:
        if root.id not in self._roots:
            leaves = list(_leaves(nodes, root))
            self._search(nodes, leaves)
            self._roots[root.id] = [entry for leaf in leaves for entry in self._hits.get(mark_of(leaf), ())]
        return self._roots[root.id]

    def _more(self, nodes: Nodes, root: Pointer, *, is_alive: bool) -> set[bytes]:
        """Return the nodes of a tree that are not in ``nodes`` yet. Raises Corrupt if one is missing."""
        found: set[bytes] = set()
        todo = [root]
        while todo:
            pointer = todo.pop()
            if pointer.id in self.nodes or pointer.id in found:
                continue
            found.add(pointer.id)
            if pointer.level:
                todo += nodes.children(pointer)
            elif not is_alive and self.core.backend.stat(keys.node(pointer.id)) is None:
                # Gc has deleted the node since the search.
                raise Corrupt(f"node {pointer.id.hex()} is missing")
        return found

    def _search(self, nodes: Nodes, leaves: list[Pointer]) -> None:
        """Search leaves that were not searched before, and record entries, sizes and chunks of the contents."""
        reader = Contents(self.core)
        wanted = pa.array(sorted(self.contents), pa.binary(32))
        new = [leaf for leaf in leaves if mark_of(leaf) not in self._seen]
        for leaf, batch in zip(new, ahead(self.core.io, nodes.rows, new, _LEAVES), strict=True):
            found = list(
                entries(batch.filter(pc.and_(pc.is_in(batch["content"], value_set=wanted), _is_stored(batch))))
            )
            for entry in found:
                self.sizes[entry.content] = entry.size
                self.chunks |= _chunks(reader, entry)
            if found:
                self._hits[mark_of(leaf)] = found
            self._seen.add(mark_of(leaf))


def _is_stored(batch: pa.RecordBatch) -> pa.Array:
    """Return a mask of rows that are files with bytes in the store; symlinks and empty files have none."""
    kept = pa.array([PlaceKind.CHUNK, PlaceKind.RECIPE, PlaceKind.OBJECT], pa.uint8())
    return pc.and_(pc.equal(batch["kind"], int(Kind.FILE)), pc.is_in(batch["place"], value_set=kept))


def _all_bundles(core: Core, only: str | None = None) -> Iterator[tuple[str, BundleRecord, bool]]:
    """Yield (repo name, bundle, True if it is live) for every bundle that was ever committed.

    ``only``: of one repo (its id).
    """
    alive = {bundle.root.id for bundle in live_bundles(core)[0]}
    for repo in store_log(core).head().state.repos.values():
        if only not in (None, repo.id):
            continue
        for bundle in Refs(repo_log(core, repo.id), repo.name).ever().values():
            yield repo.name, bundle, bundle.root.id in alive


def _leaves(nodes: Nodes, root: Pointer) -> Iterator[Pointer]:
    todo = [root]
    while todo:
        pointer = todo.pop()
        if pointer.level:
            todo += reversed(nodes.children(pointer))
        else:
            yield pointer


def _chunks(reader: Contents, entry: ManifestEntry) -> set[bytes]:
    if not isinstance(entry.place, RecipePlace):
        return {entry.content}
    try:
        return {entry.place.recipe, *(row[0] for row in reader.recipe_rows(entry.place))}
    except Erased:
        return {entry.place.recipe}


def find_namesakes(core: Core, contents: frozenset[bytes]) -> list[ErasedFile]:
    """Return where other contents are under a path that has one of these contents in some bundle of the same repo."""
    finder = Finder(core, contents)
    finder.find()
    paths: dict[str, set[str]] = {}
    for place in finder.places:
        paths.setdefault(place.repo, set()).add(place.path)
    nodes, found = Nodes(core), list[ErasedFile]()
    for repo, bundle, is_alive in _all_bundles(core):
        if is_alive and repo in paths:
            tree = Tree(nodes, pointer_of(bundle.root))
            others = [e for path in sorted(paths[repo]) if (e := tree.find(path)) and e.content not in contents]
            found += [ErasedFile(repo, bundle.id, entry.path, entry.content.hex()) for entry in others]
    return found


@dataclass(slots=True)
class LeafSearch:
    """Finds files and symlinks of trees by path and content; a leaf that several trees share is read once."""

    nodes: Nodes
    is_meant: Callable[[str], bool]
    content: bytes | None = None
    _hits: dict[bytes, list[ManifestEntry]] = field(default_factory=dict)

    def entries(self, root: Pointer) -> Iterator[ManifestEntry]:
        """Yield the matches in a tree, in order. Raises Corrupt."""
        for leaf in _leaves(self.nodes, root):
            mark = mark_of(leaf)
            if mark not in self._hits:
                self._hits[mark] = self._search(self.nodes.rows(leaf))
            yield from self._hits[mark]

    def _search(self, batch: pa.RecordBatch) -> list[ManifestEntry]:
        rows = batch.filter(pc.not_equal(batch["kind"], int(Kind.FOLDER)))
        if self.content is not None:
            rows = rows.filter(pc.equal(rows["content"], pa.scalar(self.content, pa.binary(32))))
        paths = map(join, rows["folder"].to_pylist(), rows["name"].to_pylist())
        meant = pa.array([self.is_meant(path) for path in paths], pa.bool_())
        return list(entries(rows.filter(meant)))


def files_of(core: Core, repo: str, is_meant: Callable[[str], bool]) -> dict[bytes, ManifestEntry]:
    """Return by content the files of a repo (its id) whose path matches ``is_meant``, in any bundle that can be read.

    Raises Corrupt if a live bundle can't be read.
    """
    search, found = LeafSearch(Nodes(core), is_meant), dict[bytes, ManifestEntry]()
    for _, bundle, is_alive in sorted(_all_bundles(core, repo), key=lambda item: item[2]):
        try:
            for entry in search.entries(pointer_of(bundle.root)):
                if isinstance(entry.place, ChunkPlace | RecipePlace | ObjectPlace):
                    found[entry.content] = entry
        except Corrupt:
            if is_alive:
                raise
    return found


# -- packs -------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Held:
    """For each pack with some of the chunks, the offsets of these. ``scanned``: number of packs that were read."""

    packs: dict[bytes, set[int]]
    scanned: int


def held_by(core: Core, chunks: Collection[bytes]) -> Held:
    """Find the packs of the store with one of these chunks. Reads the tables of all packs, because an index may be wrong."""
    wanted = leading(hashes_of(sorted(chunks)))
    exact = frozenset(chunks)
    packs = keys.ids_of(stat.key for stat in core.backend.list(keys.PACKS))
    found = ahead(core.io, lambda pack: _offsets(core, pack, wanted, exact), packs, _TABLES)
    return Held({pack: offsets for pack, offsets in zip(packs, found, strict=True) if offsets}, len(packs))


def _offsets(core: Core, pack: bytes, wanted: Array, exact: frozenset[bytes]) -> set[int]:
    try:
        table = load_table(core, pack)
    except NotFound:
        return set()  # deleted since it was listed
    rows = np.flatnonzero(np.isin(leading(table.hashes), wanted)).tolist()
    return {int(table.offsets[row]) for row in rows if table.hashes[row].tobytes() in exact}


# -- what is like them -------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class Similar:
    """A content that has chunks in common with others: ``shared`` of its ``size`` bytes. ``places``: its paths."""

    content: str
    size: int
    shared: int
    places: list[ErasedFile] = field(default_factory=list)


def find_similar(core: Core, contents: frozenset[bytes]) -> list[Similar]:
    """Return the other contents of live bundles that share chunks with these, most shared bytes first."""
    finder = Finder(core, contents)
    finder.find()
    packs = frozenset(held_by(core, finder.chunks | contents).packs)
    search = _SimilarSearch(core, contents, finder.chunks | contents, packs | load_forwards(core).sources(packs))
    nodes = Nodes(core)
    for repo, bundle, is_alive in _all_bundles(core):
        if is_alive:
            for leaf in _leaves(nodes, pointer_of(bundle.root)):
                search.add(leaf, nodes.rows, repo, bundle)
    return sorted(search.found.values(), key=lambda each: (-each.shared, each.content))


@dataclass(slots=True)
class _SimilarSearch:
    core: Core
    contents: frozenset[bytes]
    chunks: set[bytes]
    packs: frozenset[bytes]
    found: dict[bytes, Similar] = field(default_factory=dict)
    _hits: dict[bytes, list[tuple[bytes, str]]] = field(default_factory=dict)
    _reader: Contents = field(init=False)

    def __post_init__(self) -> None:
        self._reader = Contents(self.core)

    def add(self, leaf: Pointer, rows: Callable[[Pointer], pa.RecordBatch], repo: str, bundle: BundleRecord) -> None:
        mark = mark_of(leaf)
        if mark not in self._hits:
            self._hits[mark] = [
                (entry.content, entry.path) for entry in self._candidates(rows(leaf)) if self._is_similar(entry)
            ]
        for content, path in self._hits[mark]:
            self.found[content].places.append(ErasedFile(repo, bundle.id, path, content.hex()))

    def _candidates(self, batch: pa.RecordBatch) -> Iterator[ManifestEntry]:
        """Yield files with bytes in one of the suspected packs."""
        near = [
            pack in self.packs or any(use["pack"] in self.packs for use in uses or ())
            for pack, uses in zip(batch["pack"].to_pylist(), batch["packs"].to_pylist(), strict=True)
        ]
        for entry in entries(batch.filter(pc.and_(pa.array(near, pa.bool_()), _is_stored(batch)))):
            if entry.content not in self.contents:
                yield entry

    def _is_similar(self, entry: ManifestEntry) -> bool:
        if entry.content in self.found:
            return True
        shared = self._shared(entry)
        if shared:
            self.found[entry.content] = Similar(entry.content.hex(), entry.size, shared)
        return bool(shared)

    def _shared(self, entry: ManifestEntry) -> int:
        if not isinstance(entry.place, RecipePlace):
            return entry.size if entry.content in self.chunks else 0
        try:
            rows = list(self._reader.recipe_rows(entry.place, parts=False))
        except Erased:
            return 0
        return sum(length for hash, length, *_ in rows if hash in self.chunks)
