"""State that operations on an open store share: the store itself, and one of its repos."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from sheaf.engine.core import Core
from sheaf.engine.log.record_log import Log, repo_log, store_log
from sheaf.engine.log.resolve import Refs
from sheaf.errors import NotFound, Unsupported
from sheaf.fork import Lazy
from sheaf.format.store_v1 import READ_FEATURES, WRITE_FEATURES
from sheaf.model.records import BundleRecord, RepoEntry, RepoOp, RepoState, StoreOp, StoreState

if TYPE_CHECKING:
    from sheaf.engine.manifest.node_store import Nodes
    from sheaf.engine.manifest.tree import Tree
    from sheaf.engine.replicas.replicated_backend import ReplicatedBackend

__all__ = ["Connected", "Context"]


class Connected:
    """An open store. ``cache``: the user's cache folder, or None. ``whole``: the primary with its replicas."""

    def __init__(self, core: Core, cache: Path | None, whole: ReplicatedBackend | None = None) -> None:
        self.core = core
        self.cache = cache
        self._whole = whole
        self.log: Log[StoreState, StoreOp] = store_log(core)

    @Lazy
    def nodes(self) -> Nodes:
        """The reader of manifest nodes, with its cache."""
        # pyarrow takes 60 ms to import, and names and labels don't need it
        from sheaf.engine.manifest.node_store import Nodes

        return Nodes(self.core)

    def ensure_reads_supported(self) -> None:
        """Raise Unsupported if reading this store requires a feature that this version does not support."""
        self._ensure_known(self.log.head().state.read_features, READ_FEATURES, "read")

    def ensure_writable(self, *, is_prepared: bool = False) -> None:
        """Raise Unsupported if writing to the store requires a feature that this version does not support.

        ``is_prepared``: the backend is reading the log for the next record, see :meth:`Log.append`, so it need not be
        read again.
        """
        head = self._whole.prepared if is_prepared and self._whole is not None else None
        if head is not None:
            self.log.resume(head)
        state = self.log.last if head is not None else self.log.head().state
        self._ensure_known(state.write_features, WRITE_FEATURES, "write")

    def _ensure_known(self, wanted: tuple[str, ...], known: frozenset[str], what: str) -> None:
        if unknown := [name for name in wanted if name not in known]:
            raise Unsupported(
                f"can't {what} the store at {self.core.backend.url}: this Sheaf does not support feature '{unknown[0]}'",
                "upgrade sheaf-data",
            )


@dataclass(slots=True)
class Context:
    """A repo of an open store."""

    store: Connected
    entry: RepoEntry
    log: Log[RepoState, RepoOp] = field(init=False)
    refs: Refs = field(init=False)

    def __post_init__(self) -> None:
        self.log = repo_log(self.core, self.entry.id)
        self.refs = Refs(self.log, self.entry.name)

    @property
    def core(self) -> Core:
        """The store's engine."""
        return self.store.core

    @property
    def cache(self) -> Path | None:
        """The user's cache folder."""
        return self.store.cache

    @property
    def nodes(self) -> Nodes:
        """The store's manifest nodes."""
        return self.store.nodes

    def tree(self, bundle: BundleRecord) -> Tree:
        """Return the manifest of a bundle. It finds the bundle's new root if an erasure has changed it meanwhile."""
        from sheaf.engine.manifest.node_store import pointer_of
        from sheaf.engine.manifest.tree import Tree

        return Tree(self.nodes, pointer_of(bundle.root), lambda: pointer_of(self.current(bundle.id).root))

    def current(self, id: str) -> BundleRecord:
        """Return a bundle as it is now; usable from any thread, by a log of its own. Raises NotFound."""
        return Refs(repo_log(self.core, self.entry.id), self.entry.name).get(id)

    def ensure_writable(self, *, is_prepared: bool = False) -> None:
        """Raise NotFound if the repo was deleted in the meantime, Unsupported if the store requires a newer Sheaf.

        ``is_prepared``: as in :meth:`Connected.ensure_writable`.
        """
        self.store.ensure_writable(is_prepared=is_prepared)
        entry = self.store.log.last.repos.get(self.entry.id)
        if entry is None or entry.deleted:
            raise NotFound(f'didn\'t find repo "{self.entry.name}"', "it was deleted in the meantime")
