"""A bundle of a million entries, made through the Python API; real contents, packed and indexed like any others.

    python -m bench.million STORE ENTRIES CHANGES

Makes the repo ``bench`` with labels ``v0`` and ``v1``, which differ in CHANGES files spread over all folders.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa

import sheaf
from sheaf.engine.chunks.ingest import StoredFile
from sheaf.engine.commit.writer import Draft, StoreWriter, Writer
from sheaf.engine.core import Core
from sheaf.engine.log.record_log import repo_log
from sheaf.engine.manifest.node_store import Nodes
from sheaf.format.node_v1 import ROWS
from sheaf.model.entries import Kind, PlaceKind
from sheaf.model.ids import ZERO_HASH

__all__ = ["PER_FOLDER", "build", "folder_name", "make"]

PER_FOLDER = 1000
_MTIME = 1_700_000_000_000_000_000


def folder_name(number: int) -> str:
    """The nth folder."""
    return f"part-{number:06}"


def build(core: Core, repo_id: str, entries: int, changed: frozenset[int], label: str) -> None:
    """Commit a bundle of ``entries`` files of 24 bytes in folders of a thousand; those ``changed`` have other bytes."""
    nodes = Nodes(core)
    with Writer(core, nodes, repo_log(core, repo_id), repo_id, "upload") as writer:
        rows = list(_rows(writer.store, entries, changed, label))
        writer.commit(writer.store.build(rows), entries, Draft(f"{entries} entries", label=label))
        writer.tidy()


def _rows(store: StoreWriter, entries: int, changed: frozenset[int], label: str) -> Iterator[pa.RecordBatch]:
    folders = -(-entries // PER_FOLDER)
    yield _batch([("", folder_name(i)) for i in range(folders)], None)
    for number in range(folders):
        ids = range(number * PER_FOLDER, min((number + 1) * PER_FOLDER, entries))
        contents = [f"{label if i in changed else ''}{i:>24}"[-24:].encode() + (b"!" * (i in changed)) for i in ids]
        names = [(folder_name(number), f"item-{i:09}.bin") for i in ids]
        yield _batch(names, store.ingest.store_whole(contents))


def _batch(names: list[tuple[str, str]], placed: list[StoredFile] | None) -> pa.RecordBatch:
    n = len(names)
    folder, name = zip(*names, strict=True)
    columns = {field.name: pa.nulls(n, field.type) for field in ROWS}
    columns |= {
        "folder": pa.array(folder, pa.string()),
        "name": pa.array(name, pa.string()),
        "kind": pa.array(np.full(n, Kind.FILE if placed else Kind.FOLDER, np.uint8)),
        "mode": pa.array(np.full(n, 0o644 if placed else 0o755, np.uint16)),
        "mtime": pa.array(np.full(n, _MTIME, np.int64)),
        "size": pa.array([one.size for one in placed] if placed else np.zeros(n, np.int64), pa.int64()),
        "content": pa.array([one.content for one in placed] if placed else [ZERO_HASH] * n, pa.binary(32)),
        "place": pa.array(np.full(n, PlaceKind.CHUNK if placed else PlaceKind.NONE, np.uint8)),
    }
    if placed:
        columns |= {
            "pack": pa.array([one.pack for one in placed], pa.binary(32)),
            "offset": pa.array([one.offset for one in placed], pa.uint32()),
            "stored": pa.array([one.stored for one in placed], pa.uint32()),
        }
    return pa.RecordBatch.from_arrays([columns[field.name] for field in ROWS], schema=ROWS)


def make(store: sheaf.Store, entries: int, changes: int) -> None:
    """The repo and its two bundles."""
    core: Core = store._core
    repo = store.create_repo("bench")
    spread = frozenset(range(0, entries, max(entries // changes, 1)))
    build(core, repo.id, entries, frozenset(), "v0")
    build(core, repo.id, entries, spread, "v1")


if __name__ == "__main__":
    with sheaf.init(str(Path(sys.argv[1]).absolute())) as store:
        make(store, int(sys.argv[2]), int(sys.argv[3]))
