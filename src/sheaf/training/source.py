"""A bundle by name, that can be sent to other processes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

from sheaf.model.refs import parse_address
from sheaf.repo.bundle import Bundle
from sheaf.repo.connect import connect
from sheaf.repo.store import Store
from sheaf.storage.storage_options import StorageOptions
from sheaf.transfer.batches import Batches, Position

__all__ = ["Source", "Wanted"]


@dataclass(frozen=True, slots=True)
class Source:
    """``address``: ``repo@ref``. ``store``: its URL, None for the one that the command line would use."""

    address: str
    store: str | None = None
    options: StorageOptions | None = None

    def connect(self) -> Store:
        """A store of one's own: connections and threads don't cross into other processes."""
        return connect(self.store, options=self.options)

    def bundle(self, store: Store) -> Bundle:
        """The bundle that is meant now."""
        at = parse_address(self.address)
        return store.repo(at.repo).bundle(at.ref)

    def pinned(self) -> Source:
        """The same bundle for every process, even if the branch moves meanwhile."""
        with self.connect() as store:
            bundle = self.bundle(store)
        return replace(self, address=f"{bundle.repo_name}@bundle:{bundle.id}")


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which batches of a source: the arguments of :meth:`sheaf.Bundle.batches`."""

    source: Source
    glob: str
    batch: int
    shuffle: int | None
    buffer: int
    workers: int
    drop_last: bool

    @contextmanager
    def open(self, shard: tuple[int, int], resume: Position | None = None) -> Iterator[Batches]:
        """The batches of one shard, as long as they are used."""
        with self.source.connect() as store:
            rest: dict[str, Any] = {"workers": self.workers, "drop_last": self.drop_last, "resume": resume}
            bundle = self.source.bundle(store)
            yield bundle.batches(self.glob, self.batch, shuffle=self.shuffle, shard=shard, buffer=self.buffer, **rest)
