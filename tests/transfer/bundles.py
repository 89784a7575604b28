"""Small bundles made straight through the engine, without sessions or a log: for tests that only read them."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
from blake3 import blake3

from sheaf.engine.chunks.chunk_reader import Contents
from sheaf.engine.chunks.dedup import ChunkIndex
from sheaf.engine.chunks.ingest import Ingest
from sheaf.engine.chunks.pack_writer import PackSink
from sheaf.engine.clock import SystemClock
from sheaf.engine.core import Core, create_store, open_store
from sheaf.engine.core_limits import DEFAULT, Limits
from sheaf.engine.manifest.node_store import Nodes
from sheaf.engine.manifest.tree import Tree
from sheaf.engine.manifest.tree_writer import TreeWriter
from sheaf.errors import NotFound
from sheaf.format.node_v1 import ROWS
from sheaf.model.entries import Kind, PlaceKind
from sheaf.model.ids import ZERO_HASH
from sheaf.model.paths import ancestors, join, order_key, split
from sheaf.storage.memory import MemoryBackend
from sheaf.storage.port import Backend

MTIME = 1_600_000_000_123_456_789


@dataclass(frozen=True, slots=True)
class File:
    """A file to put into a bundle."""

    content: bytes
    mode: int = 0o644
    mtime: int = MTIME


@dataclass(frozen=True, slots=True)
class Link:
    """A symlink to put into a bundle."""

    target: str
    mtime: int = MTIME


@dataclass(frozen=True, slots=True)
class Folder:
    """A folder to put into a bundle; those that files need are made anyway."""

    mode: int = 0o755
    mtime: int = MTIME


Item = File | Link | Folder | bytes


@dataclass(slots=True)
class Shelf:
    """A store in memory, unless another backend is given, which may hold one already."""

    backend: Backend = field(default_factory=MemoryBackend)
    limits: Limits = DEFAULT
    core: Core = field(init=False)
    nodes: Nodes = field(init=False)
    contents: Contents = field(init=False)

    def __post_init__(self) -> None:
        clock = SystemClock()
        try:
            self.core = Core(self.backend, open_store(self.backend), limits=self.limits)
        except NotFound:
            self.core = Core(self.backend, create_store(self.backend, clock), limits=self.limits)
        self.nodes = Nodes(self.core)
        self.contents = Contents(self.core)

    def bundle(self, items: Mapping[str, Item]) -> Tree:
        """A tree of these items; paths are not checked, so that hostile ones can be made."""
        return self.tree(self._values(items))

    def tree(self, rows: Iterable[dict[str, Any]]) -> Tree:
        """A tree of rows as dictionaries; what is missing of a row is null."""
        full = [dict.fromkeys(ROWS.names) | {"content": ZERO_HASH, "size": 0, "place": 0} | row for row in rows]
        batch = pa.RecordBatch.from_pylist(full, ROWS)
        root = TreeWriter(self.core, self.nodes, SystemClock().new_id()).build([batch])
        return Tree(self.nodes, root)

    def _values(self, items: Mapping[str, Item]) -> list[dict[str, Any]]:
        session = SystemClock().new_id()
        index = ChunkIndex([], frozenset())
        sink = PackSink(self.core, session, index)
        ingest = Ingest(self.core, sink, index, frozenset())
        all_items: dict[str, Item] = {folder: Folder() for path in items for folder in ancestors(path)}
        all_items |= items
        rows = [_row(ingest, path, item) for path, item in all_items.items()]
        sink.flush()
        return sorted(rows, key=lambda row: order_key(row["folder"], row["name"]))


def _row(ingest: Ingest, path: str, item: Item) -> dict[str, Any]:
    folder, name = split(path)
    row: dict[str, Any] = {"folder": folder, "name": name}
    match item:
        case Folder(mode, mtime):
            return row | {"kind": Kind.FOLDER, "mode": mode, "mtime": mtime}
        case Link(target, mtime):
            raw = target.encode()
            row |= {"kind": Kind.SYMLINK, "mode": 0o777, "mtime": mtime, "target": target, "size": len(raw)}
            return row | {"content": blake3(raw).digest()}
        case File(content, mode, mtime):
            return row | {"mode": mode, "mtime": mtime} | _stored(ingest, content)
        case bytes():
            return row | {"mode": 0o644, "mtime": MTIME} | _stored(ingest, item)


def _stored(ingest: Ingest, content: bytes) -> dict[str, Any]:
    placed = ingest.store_bytes(content)
    row: dict[str, Any] = {"kind": Kind.FILE, "size": len(content), "content": placed.content, "place": placed.place}
    if placed.place != PlaceKind.NONE:
        row |= {"pack": placed.pack, "offset": placed.offset, "stored": placed.stored}
    if placed.place == PlaceKind.RECIPE:
        row |= {"recipe": placed.recipe, "packs": [{"pack": p, "live": n} for p, n in placed.packs.items()]}
    return row


def look(root: Path) -> dict[str, Item]:
    """What is below a folder, as it would be put into a bundle."""
    found: dict[str, Item] = {}
    for folder, folders, files in os.walk(root):
        base = os.path.relpath(folder, root).removeprefix(".").lstrip("/")
        for name in folders + files:
            path, full = join(base, name), os.path.join(folder, name)
            status = os.lstat(full)
            mode = stat.S_IMODE(status.st_mode)
            if stat.S_ISLNK(status.st_mode):
                found[path] = Link(os.readlink(full), status.st_mtime_ns)
            elif stat.S_ISDIR(status.st_mode):
                found[path] = Folder(mode, status.st_mtime_ns)
            else:
                found[path] = File(Path(full).read_bytes(), mode, status.st_mtime_ns)
    return found
