"""Small trees as dictionaries, their manifests, and cut rules that make many nodes of few rows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from unittest.mock import patch
from zlib import crc32

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from blake3 import blake3
from hypothesis import strategies as st

from sheaf.engine.clock import SystemClock
from sheaf.engine.core import Core, create_store
from sheaf.engine.core_limits import DEFAULT, Limits
from sheaf.engine.manifest import tree_writer
from sheaf.engine.manifest.node_store import Nodes, pointer_of, root_of
from sheaf.engine.manifest.tree_writer import Change, TreeWriter, leaves_of
from sheaf.format.node_v1 import ROWS, children_hashes, cut_rows, leaf_packs, row_hashes, rows_prefix
from sheaf.model.entries import Kind, PlaceKind
from sheaf.model.ids import ZERO_HASH
from sheaf.model.nodes import Pointer
from sheaf.model.paths import ancestors, common_folder, order_key, split
from sheaf.storage.memory import MemoryBackend


@dataclass(frozen=True, slots=True)
class Item:
    """What is at a path: ``content`` stands for bytes of a file, or is the target of a symlink."""

    kind: Kind = Kind.FILE
    content: int = 0
    mode: int = 0o644
    mtime: int = 0


FOLDER = Item(Kind.FOLDER, 0, 0o755)
Model = dict[str, Item]

_NAMES = st.text("ab-.\x01é", min_size=1, max_size=2).filter(lambda name: name not in (".", ".."))
_FOLDERS = st.one_of(
    st.lists(_NAMES, max_size=3),
    st.just(["a", "deep", "down", "here"]),
    st.lists(_NAMES, max_size=1).map(lambda tail: ["a", "deep", "down", *tail]),
).map("/".join)
PATHS = st.builds(lambda folder, name: f"{folder}/{name}".lstrip("/"), _FOLDERS, _NAMES)
ITEMS = st.one_of(
    st.builds(Item, st.just(Kind.FILE), st.integers(0, 40), st.sampled_from([0o644, 0o755, 0o600]), st.integers(0, 3)),
    st.builds(Item, st.just(Kind.SYMLINK), st.integers(0, 3)),
    st.just(FOLDER),
)


def grown(entries: Mapping[str, Item]) -> Model:
    """A tree with these entries, as far as they fit together; later ones give way."""
    model: Model = {}
    for path, item in entries.items():
        put(model, path, item)
    return model


def put(model: Model, path: str, item: Item) -> None:
    """Set an entry unless something above it is no folder, or it is a folder with something in it."""
    above = ancestors(path)
    if any(model.get(folder, FOLDER).kind != Kind.FOLDER for folder in above):
        return
    if item.kind != Kind.FOLDER and any(other.startswith(path + "/") for other in model):
        return
    for folder in above:
        model.setdefault(folder, FOLDER)
    model[path] = item


def remove(model: Model, path: str) -> None:
    """Remove an entry and what is below it."""
    for gone in [other for other in model if other == path or other.startswith(path + "/")]:
        del model[gone]


MODELS = st.dictionaries(PATHS, ITEMS, max_size=40).map(grown)


@st.composite
def edits(draw: st.DrawFn, model: Model) -> Model:
    """The tree after some entries are set and some removed."""
    after = dict(model)
    for path in draw(st.lists(st.sampled_from(sorted(after)), max_size=6)) if after else ():
        remove(after, path)
    for path, item in draw(st.dictionaries(PATHS, ITEMS, max_size=12)).items():
        put(after, path, item)
    return after


# -- manifests ---------------------------------------------------------------------------------------------------------


def _row(path: str, item: Item) -> dict[str, Any]:
    folder, name = split(path)
    row = dict.fromkeys(ROWS.names) | {"folder": folder, "name": name, "kind": item.kind, "mode": item.mode}
    row |= {"mtime": item.mtime, "size": item.content, "content": ZERO_HASH, "place": PlaceKind.NONE}
    if item.kind == Kind.FOLDER:
        return row | {"size": 0}
    if item.kind == Kind.SYMLINK:
        target = "t" * (item.content + 1)
        return row | {"target": target, "content": blake3(target.encode()).digest()}
    hash = blake3(bytes([item.content])).digest()
    pack = blake3(b"pack" + bytes([item.content % 3])).digest()
    if item.content % 5 == 4:
        packs = [{"pack": pack, "live": 9}, {"pack": hash, "live": 2}]
        row |= {"place": PlaceKind.RECIPE, "recipe": hash, "packs": packs}
    else:
        row |= {"place": PlaceKind.CHUNK}
    return row | {"content": hash, "pack": pack, "offset": 8 * item.content, "stored": item.content + 1}


def ordered(paths: Iterator[str] | Mapping[str, Any]) -> list[str]:
    """Paths in the order of rows."""
    return sorted(paths, key=lambda path: order_key(*split(path)))


def batch_of(model: Mapping[str, Item]) -> pa.RecordBatch:
    """The rows of a tree."""
    return pa.RecordBatch.from_pylist([_row(path, model[path]) for path in ordered(model)], ROWS)


def changes(before: Mapping[str, Item], after: Mapping[str, Item]) -> list[Change]:
    """What leads from one tree to the other."""
    paths = [path for path in {**before, **after} if before.get(path) != after.get(path)]
    return [
        (order_key(*split(path)), batch_of({path: after[path]}) if path in after else None)
        for path in sorted(paths, key=lambda path: order_key(*split(path)))
    ]


#: What a shelf has that is used within :func:`small_nodes`.
SMALL_NODES = Limits(min_rows=2, max_rows=6, max_weight=12, min_children=2, max_children=4)


@contextmanager
def small_nodes() -> Iterator[None]:
    """Nodes are cut by content at one in three: with SMALL_NODES, leaves of 2 to 6 rows, inner nodes of 2 to 4 children."""

    def cut(batch: pa.RecordBatch) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.int64]]:
        names = batch["name"].cast(pa.binary()).to_pylist()
        content = batch["content"].to_pylist()
        marks = [(crc32(name) ^ hash[0]) % 3 == 0 for name, hash in zip(names, content, strict=True)]
        return np.array(marks, bool), cut_rows(batch)[1]

    with patch.multiple(tree_writer, cut_rows=cut, cut_children=lambda child: child.logical[0] % 3 == 0):
        yield


@dataclass(frozen=True, slots=True)
class Shelf:
    """A store in memory, and a writer of trees."""

    core: Core
    nodes: Nodes

    @classmethod
    def new(cls, limits: Limits = DEFAULT) -> Shelf:
        """An empty one."""
        backend = MemoryBackend()
        core = Core(backend, create_store(backend, SystemClock()), limits=limits)
        return cls(core, Nodes(core))

    def writer(self, reuse: Mapping[bytes, Pointer] | None = None) -> TreeWriter:
        """A writer of a session of its own."""
        return TreeWriter(self.core, self.nodes, SystemClock().new_id(), reuse)

    def build(self, model: Mapping[str, Item], reuse: Mapping[bytes, Pointer] | None = None) -> Pointer:
        """The tree of a model, from nothing."""
        return self.writer(reuse).build([batch_of(model)])

    def reusable(self, root: Pointer) -> dict[bytes, Pointer]:
        """The nodes of a committed tree by ``full``, as an upload has them."""
        return {pointer.full: pointer for pointer in leaves_of(self.nodes, committed(root))}

    def rows(self, pointer: Pointer) -> Iterator[pa.RecordBatch]:
        """All leaves below a node, after checking that each node is what its parent says."""
        if not pointer.level:
            yield self._leaf(pointer)
            return
        children = self.nodes.children(pointer)
        hashes = children_hashes(pointer.level, children, pointer.prefix)
        assert hashes == (pointer.logical, pointer.full)
        assert (sum(c.rows for c in children), sum(c.size for c in children)) == (pointer.rows, pointer.size)
        prefix = children[0].prefix
        for child in children:
            prefix = common_folder(prefix, child.prefix)
            assert child.level == pointer.level - 1
            assert bool(child.packs) <= (child.level == 0)
        assert prefix == pointer.prefix
        for child in children:
            first = None
            for batch in self.rows(child):
                first = first or (batch["folder"][0].as_py(), batch["name"][0].as_py())
                yield batch
            assert first == (child.folder, child.name)
            if not child.level:
                assert child.packs == leaf_packs(self.nodes.rows(child))

    def _leaf(self, pointer: Pointer) -> pa.RecordBatch:
        batch = self.nodes.rows(pointer)
        assert row_hashes(batch, pointer.prefix) == (pointer.logical, pointer.full)
        assert batch.num_rows == pointer.rows
        assert sum(batch["size"].to_pylist()) == pointer.size
        assert rows_prefix(batch) == pointer.prefix
        return batch

    def holds(self, root: Pointer, model: Mapping[str, Item]) -> bool:
        """Whether a tree has exactly these rows, in order, in sound nodes."""
        found = [row for batch in self.rows(root) for row in batch.to_pylist()]
        return bool(found == batch_of(model).to_pylist())


def committed(root: Pointer) -> Pointer:
    """A root as a bundle's descriptor gives it back."""
    return pointer_of(root_of(root))


def shape(pointer: Pointer) -> tuple[int, int, int, str, bytes, bytes]:
    """What must be equal of two trees that hold the same rows."""
    return pointer.level, pointer.rows, pointer.size, pointer.prefix, pointer.logical, pointer.full
