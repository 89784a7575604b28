"""Find the files that damage affects: for each problem, the bundles and paths that can't be read because of it.

Results come from reading: the chunks of files that need a damaged object are read, wherever they are now.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace
from itertools import islice

import pyarrow as pa
import pyarrow.compute as pc
from msgspec import structs

from sheaf.engine.check.report import FAULTS, CheckReport, Problem
from sheaf.engine.chunks.chunk_reader import Contents, Erased, Want
from sheaf.engine.core import Core
from sheaf.engine.log.record_log import repo_log, store_log
from sheaf.engine.log.resolve import Refs
from sheaf.engine.manifest.node_store import Nodes, mark_of, pointer_of
from sheaf.engine.manifest.tree import entries
from sheaf.engine.object_cache import NoCache
from sheaf.engine.sessions.forwarding import sent_to
from sheaf.errors import SheafError
from sheaf.format import keys
from sheaf.format.node_v1 import object_id
from sheaf.format.recipe_v1 import Row
from sheaf.model.entries import ManifestEntry, ObjectPlace, PlaceKind, RecipePlace
from sheaf.model.nodes import Pointer
from sheaf.model.paths import join
from sheaf.model.records import BundleRecord, RepoEntry
from sheaf.storage.wrappers.readonly import ReadOnlyBackend

__all__ = ["name_files"]

_KINDS = ("pack", "size", "node", "object", "file")


@dataclass(slots=True)
class _Hit:
    """How many files in a part of a tree a problem affects, and the first of their paths ("": all below a node)."""

    files: int = 0
    first: tuple[str, ...] = ()

    def add(self, other: _Hit, most: int) -> None:
        """Count another part's files, and keep the first paths: at most so many."""
        self.files += other.files
        self.first = (self.first + other.first)[:most]


_Hits = dict[str, _Hit]  #: by key of the problem
_Note = Callable[[str, set[str]], None]  #: called with a path, and the keys of the problems that affect it


def name_files(core: Core, report: CheckReport, repo: str | None = None) -> None:
    """Add to each problem the first files that need what is missing or damaged, and their number.

    Memory is bounded. Quarantined bundles are left out. ``repo``: check only this repo (its id).
    """
    chosen = [problem for problem in report.problems if problem.kind in _KINDS and not problem.repairable]
    if not chosen:
        return
    bare = structs.replace(core, cache=NoCache(), backend=ReadOnlyBackend(core.backend))
    search = _Search(bare, {problem.key: problem for problem in chosen})
    found: dict[str, Problem] = {}
    most = core.limits.problem_files
    for name, bundle in _bundles(search.core, repo):
        # An invalid descriptor is a problem of its own, reported already.
        with suppress(*FAULTS):
            for key, hit in search.hits(pointer_of(bundle.root)).items():
                problem = found.get(key, search.problems[key])
                places = (f"{name}@{bundle.id}:{path}".removesuffix(":") for path in hit.first)
                needed_by = (*problem.needed_by, *islice(places, most - len(problem.needed_by)))
                files, bundles = problem.files + hit.files, problem.bundles + 1
                found[key] = replace(problem, needed_by=needed_by, files=files, bundles=bundles)
    report.problems = [_named(each, found.get(each.key)) for each in report.problems]


def _named(problem: Problem, found: Problem | None) -> Problem:
    if found is None or problem.kind not in _KINDS:
        return problem
    return replace(problem, needed_by=found.needed_by, files=found.files, bundles=found.bundles)


def _bundles(core: Core, repo: str | None) -> Iterator[tuple[str, BundleRecord]]:
    """Yield (repo name, bundle) of all live bundles that can be read from logs, without quarantined ones."""
    repos: list[RepoEntry] = []
    # A damaged log is a problem of its own, reported already.
    with suppress(*FAULTS):
        repos = list(store_log(core).head().state.repos.values())
    for entry in repos:
        if not entry.deleted and repo in (None, entry.id):
            with suppress(*FAULTS):
                log = repo_log(core, entry.id)
                aside = log.head().state.aside
                yield from [(entry.name, each) for each in Refs(log, entry.name).bundles() if each.id not in aside]


@dataclass(slots=True)
class _Search:
    """Reads what needs an object with a problem; what bundles share is read once."""

    core: Core
    problems: dict[str, Problem]
    _packs: set[bytes] = field(init=False)  #: packs with a problem, and those forwarded to them
    _near: set[bytes] = field(init=False)  #: these packs, and objects with a problem, by their ids in leaves
    _nodes: Nodes = field(init=False)
    _contents: Contents = field(init=False)
    _known: dict[bytes, _Hits] = field(default_factory=dict)
    _there: dict[str, bool] = field(default_factory=dict)
    _most: int = field(init=False)  #: paths that are named of each problem

    def __post_init__(self) -> None:
        self._most = self.core.limits.problem_files
        self._nodes, self._contents = Nodes(self.core), Contents(self.core)
        suspects = {key for problem in self.problems.values() for key in problem.suspects}
        self._packs = set(keys.ids_of(key for key in {*self.problems, *suspects} if key.startswith(keys.PACKS)))
        # Packs whose forwarding addresses are damaged are among the problems themselves.
        self._packs |= sent_to(self.core, self._packs)
        self._near = self._packs | {object_id(key) for key in self.problems if key.startswith(keys.OBJECTS)}

    def hits(self, pointer: Pointer) -> _Hits:
        """Return the problems that affect something below a node."""
        mark = mark_of(pointer)
        if mark not in self._known:
            try:
                self._known[mark] = self._inner(pointer) if pointer.level else self._leaf(pointer)
            except FAULTS:
                key = keys.node(pointer.id)
                self._known[mark] = {key: _Hit(1, (pointer.prefix,))} if key in self.problems else {}
        return self._known[mark]

    def _inner(self, pointer: Pointer) -> _Hits:
        found: _Hits = {}
        for child in self._nodes.children(pointer):
            if child.level or self._is_near(child):
                for key, hit in self.hits(child).items():
                    found.setdefault(key, _Hit()).add(hit, self._most)
        return found

    def _is_near(self, leaf: Pointer) -> bool:
        return keys.node(leaf.id) in self.problems or any(pack in self._near for pack, _ in leaf.packs)

    def _leaf(self, pointer: Pointer) -> _Hits:
        """Return the problems that affect files of a leaf."""
        batch, found = self._nodes.rows(pointer), _Hits()

        def note(path: str, blamed: set[str]) -> None:
            for key in blamed:
                found.setdefault(key, _Hit()).add(_Hit(1, (path,)), self._most)

        self._small(batch, note)
        place = batch["place"].to_numpy()
        big = batch.filter(pa.array((place == PlaceKind.RECIPE) | (place == PlaceKind.OBJECT)))
        for entry, uses in zip(entries(big), big["packs"].to_pylist(), strict=True):
            note(entry.path, self._big(entry, [use["pack"] for use in uses or ()]))
        return found

    # -- files ---------------------------------------------------------------------------------------------------------

    def _small(self, batch: pa.RecordBatch, note: _Note) -> None:
        """Note the files of one chunk that problems affect."""
        packs = pa.array(sorted(self._packs), pa.binary(32))
        near = pc.and_(pc.equal(batch["place"], int(PlaceKind.CHUNK)), pc.is_in(batch["pack"], value_set=packs))
        chosen = batch.filter(near)
        columns = (chosen[name].to_pylist() for name in ("content", "size", "pack", "offset", "stored"))
        for row, blamed in self._damaged(list(zip(*columns, strict=True))):
            note(join(chosen["folder"][row].as_py(), chosen["name"][row].as_py()), blamed)

    def _big(self, entry: ManifestEntry, uses: list[bytes]) -> set[str]:
        """Return the problems that affect a file of many chunks, or one that is an object of its own."""
        if isinstance(entry.place, ObjectPlace):
            return {keys.stored_object(entry.place.session, entry.content)} & self.problems.keys()
        if not isinstance(entry.place, RecipePlace) or self._packs.isdisjoint(uses):
            return set()
        place, chunks, found = entry.place, list[Row](), set[str]()
        last: Row = (place.recipe, -1, place.pack, place.offset, place.stored)
        try:
            for last in self._contents.recipe_rows(place):
                if last[2] in self._packs:
                    chunks.append(last)
        except Erased:
            return set()
        except FAULTS:
            # The list of chunks itself is damaged, or the part of it that was read last.
            found = self._blamed(last) | ({entry.path} & self.problems.keys())
        else:
            found = {entry.path} & self.problems.keys() if self._is_misstated(entry, place) else found
        return found.union(*(blamed for _, blamed in self._damaged(chunks)))

    def _is_misstated(self, entry: ManifestEntry, place: RecipePlace) -> bool:
        """True if the sizes in a file's row and in its recipe don't agree."""
        try:
            return sum(1 for _ in self._contents.leaves(entry, place)) == 0
        except FAULTS:
            return True

    def _damaged(self, chunks: list[Row]) -> Iterator[tuple[int, set[str]]]:
        """Yield the chunks that can't be read, by number, with the problems that are the cause."""
        bad: list[int] = []
        wants = [
            Want(i, pack, offset, stored, hash, length) for i, (hash, length, pack, offset, stored) in enumerate(chunks)
        ]
        wants.sort(key=lambda want: (want.pack, want.offset))

        def note(i: int, error: SheafError) -> None:
            bad.append(i)

        for _ in self._contents.fetch(wants, lambda i: None, note):
            pass
        return ((i, self._blamed(chunks[i])) for i in bad)

    def _blamed(self, chunk: Row) -> set[str]:
        """Return the problem that makes a chunk unreadable: that of the pack that contains it now."""
        own = now = keys.pack(chunk[2])
        if not self._is_there(own):
            try:
                now = keys.pack(self._contents.locate(chunk[2], chunk[3])[0])
            except FAULTS:
                # The chunk was lost together with its pack.
                pass
        return {now if now in self.problems else own} & self.problems.keys()

    def _is_there(self, key: str) -> bool:
        if key not in self._there:
            self._there[key] = self.core.backend.stat(key) is not None
        return self._there[key]
