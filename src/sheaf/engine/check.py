"""Is everything there that should be, and is it what it should be? Reads; never changes anything."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from blake3 import blake3

from sheaf.engine.contents import Contents
from sheaf.engine.core import Core
from sheaf.engine.log import Log, repo_log, store_log
from sheaf.engine.nodes import Nodes, pointer_of
from sheaf.engine.packs import PACK_BYTES
from sheaf.engine.refs import Refs
from sheaf.engine.tree import entries
from sheaf.errors import Corrupt, NotFound, Repairable, SheafError
from sheaf.format import keys
from sheaf.format.index_v1 import decode_index
from sheaf.format.node_v1 import children_hashes, leaf_packs, row_hashes, rows_prefix
from sheaf.format.pack_v1 import TRAILER, check_head, decode_table, unframe
from sheaf.model.entries import ChunkPlace, Entry, ObjectPlace, RecipePlace
from sheaf.model.log import Bundle, RepoEntry
from sheaf.model.nodes import Pointer
from sheaf.model.paths import order_key

__all__ = ["Problem", "Report", "check_store"]

Tell = Callable[[str, int], None]  #: (what is being checked, objects so far)


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong. ``repairable``: nothing is lost, since it can be derived from what is sound."""

    kind: str
    key: str
    message: str
    repairable: bool = False


@dataclass(slots=True)
class Report:
    """What a check found; ``counts`` says how much was looked at."""

    problems: list[Problem] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=dict)

    @property
    def ok(self) -> bool:
        """Nothing is wrong."""
        return not self.problems

    def add(self, kind: str, key: str, error: SheafError) -> None:
        """Note an error as a problem."""
        self.problems.append(Problem(kind, key, error.message, isinstance(error, Repairable)))

    def count(self, what: str, n: int = 1) -> None:
        """Note that something was looked at."""
        self.counts[what] = self.counts.get(what, 0) + n


def check_store(core: Core, *, read_data: bool = False, repo: str | None = None, tell: Tell | None = None) -> Report:
    """Check every log, bundle, node and place; with ``read_data`` also every byte of every pack.

    Args:
        repo: only this repo (its id), and of the packs only those that it needs.
        tell: called now and then with how far it is.
    """
    check = _Check(core, tell or (lambda what, done: None))
    repos = [r for r in check.repos() if repo is None or r.id == repo]
    for entry in repos:
        check.repo(entry)
    check.packs(read_data=read_data)
    if repo is None:
        check.index()
    return check.report


class _Check:
    def __init__(self, core: Core, tell: Tell) -> None:
        self._core = core
        self._tell = tell
        self._nodes = Nodes(core)
        self._contents = Contents(core)
        self._seen: set[tuple[bytes, str]] = set()
        self._needed: dict[bytes, set[tuple[int, int]]] = {}
        self.report = Report()

    def repos(self) -> list[RepoEntry]:
        """The repos that the store's log names."""
        log = store_log(self._core)
        try:
            self._records(log)
            return [repo for repo in log.head().state.repos.values() if not repo.deleted]
        except SheafError as error:
            self.report.add("log", "log/", error)
            return []

    def repo(self, entry: RepoEntry) -> None:
        """Its log, and every bundle that is not deleted."""
        log = repo_log(self._core, entry.id)
        refs = Refs(log, entry.name)
        try:
            self._records(log)
            bundles = refs.bundles()
            state = log.head().state
            alive = {bundle.id for bundle in bundles}
            for target in [*state.labels.items(), *state.branches.items()]:
                if target[1].bundle not in alive:
                    raise Corrupt(f"'{target[0]}' names bundle {target[1].bundle}, which does not exist")
        except SheafError as error:
            self.report.add("log", keys.repo(entry.id), error)
            return
        for bundle in bundles:
            self._bundle(bundle)

    def _records(self, log: Log) -> None:  # type: ignore[type-arg]
        before = ""
        for record in log.records():
            if record.prev != before:
                raise Corrupt(f"record {record.n} does not follow the one before it")
            before = record.write
            self.report.count("records")

    def _bundle(self, bundle: Bundle) -> None:
        self.report.count("bundles")
        root = pointer_of(bundle.root)
        if bundle.version != bundle.root.logical:
            self.report.add("bundle", bundle.id, Corrupt(f"bundle {bundle.id} and its root disagree on its version"))
        self._node(root)

    def _node(self, pointer: Pointer) -> None:
        if (pointer.id, pointer.prefix) in self._seen:
            return
        self._seen.add((pointer.id, pointer.prefix))
        self.report.count("nodes")
        self._tell("nodes", len(self._seen))
        try:
            self._nodes.check(pointer)
            if pointer.level:
                children = self._nodes.children(pointer)
                _agree(
                    pointer, *children_hashes(pointer.level, children, pointer.prefix), sum(c.size for c in children)
                )
            else:
                self._leaf(pointer)
                return
        except SheafError as error:
            self.report.add("node", keys.node(pointer.id), error)
            return
        for child in children:
            self._node(child)

    def _leaf(self, pointer: Pointer) -> None:
        batch = self._nodes.rows(pointer)
        _agree(pointer, *row_hashes(batch, pointer.prefix), int(batch["size"].to_numpy().sum()))
        if batch.num_rows and rows_prefix(batch) != pointer.prefix:
            raise Corrupt(f"node {pointer.id.hex()} does not begin where its parent says")
        if pointer.packs and pointer.packs != leaf_packs(batch):
            raise Corrupt(f"node {pointer.id.hex()} needs other packs than its parent says")
        before = b""
        for entry in entries(batch):
            key = order_key(entry.folder, entry.name)
            if key <= before:
                raise Corrupt(f"node {pointer.id.hex()} is not in order at '{entry.path}'")
            before = key
            self.report.count("entries")
            self._entry(entry)

    def _entry(self, entry: Entry) -> None:
        place = entry.place
        try:
            if isinstance(place, ObjectPlace):
                key = keys.object(place.session, entry.content)
                found = self._core.backend.stat(key)
                if found is None or found.size != entry.size:
                    raise Corrupt(f"{key} is missing or has another size")
            elif isinstance(place, RecipePlace):
                self._need(place.pack, place.offset, place.stored)
                for _, _, pack, offset, stored in self._contents.recipe_rows(place):
                    self._need(pack, offset, stored)
            elif isinstance(place, ChunkPlace):
                self._need(place.pack, place.offset, place.stored)
        except SheafError as error:
            self.report.add("file", entry.path, error)

    def _need(self, pack: bytes, offset: int, stored: int) -> None:
        self._needed.setdefault(pack, set()).add((offset, stored))

    # -- packs ---------------------------------------------------------------------------------------------------------

    def packs(self, *, read_data: bool) -> None:
        """Every pack that something needs: its table, and that it holds what is said to be in it."""
        for done, (pack, wanted) in enumerate(self._needed.items()):
            self.report.count("packs")
            self._tell("packs", done)
            try:
                self._pack(pack, wanted, read_data)
            except SheafError as error:
                self.report.add("pack", keys.pack(pack), error)

    def _pack(self, pack: bytes, wanted: set[tuple[int, int]], read_data: bool) -> None:
        key = keys.pack(pack)
        stat = self._core.backend.stat(key)
        if stat is None:
            self._moved(pack, wanted)
            return
        what = f"pack {pack.hex()}"
        if read_data or stat.size <= PACK_BYTES // 64:
            tail = data = self._core.backend.get(key)
            check_head(data, pack, what)
        else:
            data = b""
            tail = bytes(self._core.backend.get_ranges(key, [(stat.size - TRAILER.size, TRAILER.size)])[0])
            length = TRAILER.unpack(tail)[1] + TRAILER.size
            if length > stat.size:
                raise Corrupt(f"{what} has a damaged table of contents")
            tail = bytes(self._core.backend.get_ranges(key, [(stat.size - length, length)])[0])
        table = decode_table(tail, stat.size, what)
        there = set(zip(table.offsets.tolist(), table.stored.tolist(), strict=True))
        if lost := wanted - there:
            raise Corrupt(f"{what} does not hold {len(lost)} of the chunks that bundles need of it")
        if not read_data:
            return
        for hash, raw, stored, offset in zip(table.hashes, table.raw, table.stored, table.offsets, strict=True):
            chunk = unframe(memoryview(data)[offset : offset + stored], what)
            if blake3(chunk).digest() != hash.tobytes() or len(chunk) != raw:
                raise Corrupt(f"{what} is damaged at byte {offset}")
            self.report.count("chunks")
        self.report.count("bytes", stat.size)

    def _moved(self, pack: bytes, wanted: set[tuple[int, int]]) -> None:
        for offset, _ in wanted:
            self._contents.locate(pack, offset)

    def index(self) -> None:
        """Every index object: a damaged one is no loss."""
        for stat in self._core.backend.list(keys.INDEX):
            self.report.count("index objects")
            try:
                data = self._core.backend.get(stat.key)
                if blake3(data).hexdigest() != stat.key.rpartition("-")[2]:
                    raise Corrupt("its bytes don't match its name")
                decode_index(data, stat.key)
            except NotFound:
                continue
            except Corrupt as error:
                self.report.add("index", stat.key, Repairable(f"{stat.key} is damaged: {error.message}"))


def _agree(pointer: Pointer, logical: bytes, full: bytes, size: int) -> None:
    if (pointer.logical, pointer.full, pointer.size) != (logical, full, size):
        raise Corrupt(f"node {pointer.id.hex()} does not hold what its parent says")
