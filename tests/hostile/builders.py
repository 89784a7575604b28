"""Stores that somebody made to do harm: every hash in them is right, what they say is not."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec
import pyarrow as pa
from blake3 import blake3
from msgspec.structs import replace as changed
from tests.engine.builders import commit, new_backend, open_core

from sheaf.engine.core import Core
from sheaf.engine.log.record_log import repo_log
from sheaf.engine.manifest.node_store import root_of
from sheaf.engine.manifest.rows import row_of
from sheaf.format import keys
from sheaf.format.node_v1 import encode_children, encode_rows, row_hashes
from sheaf.model.entries import ManifestEntry
from sheaf.model.ids import ksuid
from sheaf.model.nodes import Pointer
from sheaf.model.records import AddBundle, BundleRecord, Root
from sheaf.repo.repo import Repo
from sheaf.repo.store import Store
from sheaf.storage.memory import MemoryBackend
from sheaf.testing.clock import SteeredClock

SESSION = ksuid(1_700_000_000, bytes(16))
TIME = "2026-11-21T01:02:03.000004Z"


class Hostile:
    """A store with a repo ``faces`` in which anything can be committed."""

    def __init__(self) -> None:
        self.backend: MemoryBackend = new_backend()
        self._made = 0
        with Store(self.backend, clock=SteeredClock("owner")) as store:
            repo = store.create_repo("faces")
            commit(repo, {"good": b"good"})
        self.core: Core = open_core(self.backend, "attacker")
        self._repo = next(self.backend.list(keys.REPOS)).key.split("/")[1]

    def repo(self) -> Repo:
        """What a victim opens."""
        return Store(self.backend, clock=SteeredClock("victim")).repo("faces")

    def leaf(self, batch: pa.RecordBatch, prefix: str = "") -> Pointer:
        """Put a leaf into the store, whatever its rows are."""
        data = encode_rows(SESSION, batch, prefix)
        pointer = Pointer(self._put(data), len(data), 0, prefix, batch.num_rows, 0, *row_hashes(batch, prefix))
        return changed(pointer, size=sum(filter(None, batch["size"].to_pylist())))

    def inner(self, children: list[Pointer], level: int) -> Pointer:
        """Put an inner node into the store, whatever its children are."""
        data = encode_children(SESSION, level, children, "")
        id = self._put(data)
        total = sum(child.rows for child in children)
        return Pointer(id, len(data), level, "", total, 0, id, id)

    def bundle(self, root: Pointer | Root, **fields: Any) -> str:
        """Commit a bundle; returns its id."""
        self._made += 1
        id = ksuid(1_700_000_000, self._made.to_bytes(16, "big"))
        told = root if isinstance(root, Root) else root_of(root)
        made = msgspec.structs.replace(BundleRecord(id, told.logical, told, "m", TIME, 1), **fields)
        repo_log(self.core, self._repo).append(lambda head: (AddBundle(made),))
        return made.id

    def rows(self, *entries: ManifestEntry) -> str:
        """Commit a bundle of these rows in this order; returns its id."""
        return self.bundle(self.leaf(batch_of(entries)))

    def _put(self, data: bytes) -> bytes:
        id = blake3(data).digest()
        self.backend.create(keys.node(id), data)
        return id


def batch_of(entries: Iterable[ManifestEntry]) -> pa.RecordBatch:
    """Rows as they are, in the order given."""
    return pa.Table.from_batches([row_of(entry) for entry in entries]).combine_chunks().to_batches()[0]
