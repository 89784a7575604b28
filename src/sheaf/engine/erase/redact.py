"""Replace rows of committed bundles. Only an erasure does this.

A bundle's id, version, message and position in the history stay. It gets another tree, by a record in its repo's log,
which is the commit: from there on all readers use the new tree, and the nodes of the old one are garbage like any
other. So there are no redirects and no changed nodes, and gc, replicas and caches need no special case.

A :class:`Redaction` decides what is changed. It must not find anything to do in rows that it has changed already.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

from sheaf.engine.core import Core
from sheaf.engine.log.record_log import Head, Log, repo_log, store_log
from sheaf.engine.log.resolve import Refs
from sheaf.engine.manifest.node_store import Nodes, pointer_of, root_of
from sheaf.engine.manifest.tree import Tree
from sheaf.engine.manifest.tree_writer import Change as RowChange
from sheaf.engine.manifest.tree_writer import TreeWriter
from sheaf.engine.sessions.sessions import Ending, Open, ensure_session_open, open_session
from sheaf.errors import Corrupt
from sheaf.model.entries import ManifestEntry
from sheaf.model.nodes import Pointer
from sheaf.model.records import BundleRecord, RedactBundle, RepoEntry, RepoOp, RepoState

__all__ = ["Hits", "Redaction", "redact"]

_AT_ONCE = 200  # bundles redacted by one record


class Hits(Protocol):
    """Finds the entries of a tree that are to be changed."""

    def hits(self, nodes: Nodes, root: Pointer) -> list[ManifestEntry]:
        """Return these entries. Raises Corrupt."""
        ...


class Redaction(Protocol):
    """A change of the entries that were found."""

    def is_done(self, entry: ManifestEntry) -> bool:
        """True if nothing is to be changed in this entry, though it has the content."""
        ...

    def prepare(self, opened: Open, entries: list[ManifestEntry]) -> None:
        """Store durably what the new rows need, in a session. ``entries``: those of a repo, one for each content."""
        ...

    def rows(self, tree: Tree, entries: list[ManifestEntry]) -> list[RowChange]:
        """Return the rows to remove and to set in a tree, in order."""
        ...


def redact(core: Core, finder: Hits, change: Redaction) -> int:
    """Change the found entries in all bundles of all repos, also in deleted ones as far as they can be read.

    Returns the number of bundles that got another tree. A session that reads an old tree in the meantime may commit it
    again: repeat the search when all sessions that are open now have ended.

    Raises:
        Corrupt: a live bundle can't be read.
        Conflict: gc has ended the session.
    """
    repos = store_log(core).head().state.repos.values()
    return sum(_Redaction(core, finder, change, repo).run() for repo in repos)


class _Redaction:
    """The redaction of one repo's bundles."""

    def __init__(self, core: Core, finder: Hits, change: Redaction, repo: RepoEntry) -> None:
        self._core = core
        self._finder = finder
        self._change = change
        self._repo = repo
        self._nodes = Nodes(core)
        self._log: Log[RepoState, RepoOp] = repo_log(core, repo.id)
        self._refs = Refs(self._log, repo.name)

    def run(self) -> int:
        """Redact, and return the number of redacted bundles."""
        # Most repos have no match, and need no session.
        if not any(self._found()):
            return 0
        opened = open_session(self._core, self._repo.id, self._log, "erase")
        with Ending(self._core, opened.id) as ending:
            one_each = {entry.content: entry for _, entries in self._found() for entry in entries}
            self._change.prepare(opened, list(one_each.values()))
            trees = TreeWriter(self._core, self._nodes, opened.id)
            ops = [op for bundle, entries in self._found() if (op := self._redacted(trees, opened, bundle, entries))]
            for at in range(0, len(ops), _AT_ONCE):
                with ending.committing():
                    self._commit(opened, ops[at : at + _AT_ONCE])
        return len(ops)

    def _found(self) -> Iterator[tuple[BundleRecord, list[ManifestEntry]]]:
        """Yield bundles with entries to change, deleted bundles first. Raises Corrupt if a live bundle can't be read."""
        deleted = self._refs.deleted_bundles()
        gone = {bundle.id for bundle in deleted}
        # Live bundles come last: the caller keeps the last entry of each content, and theirs can surely be read.
        for bundle in [*deleted, *self._refs.bundles()]:
            try:
                entries = self._finder.hits(self._nodes, pointer_of(bundle.root))
            except Corrupt:
                if bundle.id not in gone and not self._repo.deleted:
                    raise
                # Gc has begun to delete the bundle, so that it can't be restored.
                continue
            if entries:
                yield bundle, entries

    def _redacted(
        self, trees: TreeWriter, opened: Open, bundle: BundleRecord, entries: list[ManifestEntry]
    ) -> RedactBundle | None:
        """Write the changed tree of a bundle, and return the operation that sets it; None if nothing is to be changed."""
        root = pointer_of(bundle.root)
        try:
            changed = trees.edit(root, self._change.rows(Tree(self._nodes, root), entries))
        except Corrupt:
            if bundle.id in {alive.id for alive in self._refs.bundles()} and not self._repo.deleted:
                raise
            return None
        if changed.id == root.id:
            return None
        return RedactBundle(bundle.id, root_of(changed), bundle.root.id, opened.id)

    def _commit(self, opened: Open, ops: list[RedactBundle]) -> None:
        def decide(head: Head[RepoState]) -> tuple[RepoOp, ...]:
            ensure_session_open(self._log, opened.session)
            now = self._refs.ever()
            # A bundle with another tree than expected was redacted by another erasure in the meantime.
            return tuple(op for op in ops if now[op.bundle].root.id == op.expect)

        self._log.append(decide)
