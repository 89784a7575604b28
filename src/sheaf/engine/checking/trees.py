"""Manifests: every node is what its parent says, rows are in order, and each file has a place."""

from __future__ import annotations

from itertools import pairwise

from blake3 import blake3

from sheaf.engine.checking.packs import Needs
from sheaf.engine.checking.report import Report, Tell
from sheaf.engine.contents import Contents
from sheaf.engine.core import Core
from sheaf.engine.nodes import Nodes, pointer_of
from sheaf.engine.tree import entries
from sheaf.errors import Corrupt, SheafError
from sheaf.format import keys
from sheaf.format.node_v1 import children_hashes, leaf_packs, row_hashes, rows_prefix
from sheaf.model.entries import ChunkPlace, Entry, Kind, ObjectPlace, RecipePlace
from sheaf.model.log import Bundle
from sheaf.model.nodes import Pointer
from sheaf.model.paths import check_path, order_key

__all__ = ["Trees"]

Span = tuple[bytes, bytes]  #: keys of a subtree's first and last row


class Trees:
    """Looks at each node once, however many bundles share it; what files need goes to ``needs``."""

    def __init__(self, core: Core, needs: Needs, report: Report, tell: Tell) -> None:
        self._core = core
        self._needs = needs
        self._report = report
        self._tell = tell
        self._nodes = Nodes(core)
        self._contents = Contents(core)
        self._seen: dict[tuple[bytes, str], Span | None] = {}

    def bundle(self, bundle: Bundle) -> None:
        """The manifest of one bundle."""
        self._report.count("bundles")
        if bundle.version != bundle.root.logical:
            wrong = Corrupt(f"bundle {bundle.id} and its root disagree on its version")
            self._report.add("bundle", bundle.id, wrong)
        self._node(pointer_of(bundle.root), is_root=True)

    def _node(self, pointer: Pointer, *, is_root: bool = False) -> Span | None:
        """Where a sound subtree begins and ends; None if it is empty or something is wrong with it."""
        place = (pointer.id, pointer.prefix)
        if place in self._seen:
            return self._seen[place]
        self._report.count("nodes")
        self._tell("nodes", len(self._seen))
        span = None
        try:
            self._nodes.check(pointer)
            span = self._inner(pointer) if pointer.level else self._leaf(pointer, is_root=is_root)
            if span and not is_root and span[0] != order_key(pointer.folder, pointer.name):
                raise Corrupt(f"node {pointer.id.hex()} does not begin where its parent says")
        except SheafError as error:
            self._report.add("node", keys.node(pointer.id), error)
        self._seen[place] = span
        return span

    def _inner(self, pointer: Pointer) -> Span | None:
        children = self._nodes.children(pointer)
        hashes = children_hashes(pointer.level, children, pointer.prefix)
        _agree(pointer, *hashes, sum(child.size for child in children))
        found = [self._node(child) for child in children]
        spans = [span for span in found if span is not None]
        if any(left[1] >= right[0] for left, right in pairwise(spans)):
            raise Corrupt(f"the parts of node {pointer.id.hex()} are not in order")
        return (spans[0][0], spans[-1][1]) if spans and len(spans) == len(found) else None

    def _leaf(self, pointer: Pointer, *, is_root: bool) -> Span | None:
        batch = self._nodes.rows(pointer)
        _agree(pointer, *row_hashes(batch, pointer.prefix), int(batch["size"].to_numpy().sum()))
        if batch.num_rows and rows_prefix(batch) != pointer.prefix:
            raise Corrupt(f"node {pointer.id.hex()} does not begin where its parent says")
        if pointer.packs != leaf_packs(batch) and not is_root:
            raise Corrupt(f"node {pointer.id.hex()} needs other packs than its parent says")
        first = key = b""
        for entry in entries(batch):
            before, key = key, order_key(entry.folder, entry.name)
            if key <= before:
                raise Corrupt(f"node {pointer.id.hex()} is not in order at '{entry.path}'")
            first = first or key
            self._report.count("entries")
            self._entry(entry)
        return (first, key) if key else None

    def _entry(self, entry: Entry) -> None:
        place = entry.place
        try:
            check_path(entry.path)
            if entry.kind == Kind.SYMLINK and blake3((entry.target or "").encode()).digest() != entry.content:
                raise Corrupt(f"symlink '{entry.path}' leads elsewhere than its hash says")
            if isinstance(place, ObjectPlace):
                self._object(place, entry)
            elif isinstance(place, RecipePlace):
                self._needs.add(place.pack, place.offset, place.stored, place.recipe)
                for hash, _, pack, offset, stored in self._contents.recipe_rows(place):
                    self._needs.add(pack, offset, stored, hash)
            elif isinstance(place, ChunkPlace):
                self._needs.add(place.pack, place.offset, place.stored, entry.content)
        except SheafError as error:
            self._report.add("file", entry.path, error)

    def _object(self, place: ObjectPlace, entry: Entry) -> None:
        key = keys.object(place.session, entry.content)
        found = self._core.backend.stat(key)
        if found is None or found.size != entry.size:
            raise Corrupt(f"{key} is missing or has another size")


def _agree(pointer: Pointer, logical: bytes, full: bytes, size: int) -> None:
    if (pointer.logical, pointer.full, pointer.size) != (logical, full, size):
        raise Corrupt(f"node {pointer.id.hex()} does not hold what its parent says")
