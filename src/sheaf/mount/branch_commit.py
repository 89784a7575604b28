"""The branch to which a writable mount commits: merges the mount's changes with commits by others."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from typing import Final

from msgspec.structs import replace

from sheaf.engine.commit.writer import Draft, Writer
from sheaf.engine.manifest.comparison.tree_diff import diff_trees
from sheaf.engine.manifest.tree import Tree
from sheaf.errors import Conflict, NotFound
from sheaf.model.nodes import Pointer
from sheaf.model.paths import order_key, split
from sheaf.mount.journal import About, Commit, Spill
from sheaf.mount.merge import merge
from sheaf.mount.overlay_diff import Row
from sheaf.repo.bundle import Bundle
from sheaf.repo.repo import Repo

__all__ = ["BranchCommitter", "head_of"]

_TRIES: Final = 20  # commits by other writers that may come first, one after another
_NAMED: Final = 5  # paths listed in an error

Whole = Callable[[], tuple[Pointer, int]]  #: builds the mount's whole tree: (its root, number of files)


def head_of(repo: Repo, branch: str | None) -> str:
    """Return the id of the bundle that a branch points to, "" for none."""
    head = repo.context.log.head().state.branches.get(branch or "")
    return head.bundle if head else ""


class BranchCommitter:
    """Commit a mount's changes to its branch, on top of what others have committed to it since the mount began.

    A commit fails if both sides have changed the same path. This holds for a mount that began with the bundle that the
    branch pointed to. A mount that began with another bundle replaces the contents of the branch, as an upload does.
    """

    def __init__(self, repo: Repo, spill: Spill, about: About, base: Bundle | None) -> None:
        self._repo = repo
        self._spill = spill
        self._name = about.branch
        self._base = base
        self._follows = about.branch is not None and about.head == (about.base or "")
        self._known = base  #: the branch's bundle after this mount's last commit
        self._is_merged = False  #: True if that bundle may contain changes of others
        self._published: dict[bytes, Row] = {}  #: rows that this mount has committed, by order key

    def is_followed(self, draft: Draft) -> bool:
        """True if the draft commits to the mount's own branch, so that commits of others must be merged."""
        return self._follows and draft.branch == self._name

    def resume(self, commits: list[str]) -> Bundle | None:
        """Load the commits of an earlier process, given as bundle ids in order, and return the last one that exists."""
        for id in commits:
            try:
                self._known = bundle = self._repo.bundle(f"bundle:{id}")
            except NotFound:
                continue
            # The bundle may contain changes of others. Assume so: a merge that isn't needed gives the same tree.
            self._is_merged = True
            self._published |= self._set_by(bundle)
        return self._known if self._is_merged else None

    def _set_by(self, bundle: Bundle) -> dict[bytes, Row]:
        """Return what a commit of this mount changed relative to its parent: rows by order key, None for a removed path."""
        try:
            before = self._repo.bundle(f"bundle:{bundle.parents[0]}").tree if bundle.parents else None
        except NotFound:
            before = None
        if before is None:
            paths = [entry.path for entry in bundle.tree.entries()]
        else:
            paths = [each.path for each in diff_trees(before, bundle.tree, renames=False)]
        return {order_key(*split(path)): bundle.tree.row(path) for path in paths}

    def commit(self, writer: Writer, own: Mapping[bytes, Row], whole: Whole, draft: Draft) -> Bundle:
        """Commit changed rows to the branch, merged with its newest bundle, and return the new bundle.

        ``own``: all rows that differ from the mount's base, by order key, None for a removed path. ``whole``: builds
        the tree of everything that the mount shows, for a branch without commits of others. Raises Conflict if others
        changed the same paths, or if they won the race for the next commit each time.
        """
        # If the note can't be written, the commit still works: a later process then merges with the mount's own commit
        # as if it were a change of others.
        with contextlib.suppress(OSError):
            self._spill.note(Commit(writer.open.id))
            self._spill.sync()
        for left in reversed(range(_TRIES)):
            head = head_of(self._repo, self._name)
            root, files = self._onto(writer, head, own, whole)
            try:
                made = writer.commit(root, files, replace(draft, expect=head))
            except Conflict:
                if not left or head_of(self._repo, self._name) == head:
                    raise
                continue
            break
        self._known = Bundle(self._repo.context, made)
        self._published = dict(own)
        return self._known

    def _onto(self, writer: Writer, head: str, own: Mapping[bytes, Row], whole: Whole) -> tuple[Pointer, int]:
        """Return the tree to commit on top of bundle ``head``, as (root, number of files). Raises Conflict."""
        known = self._known.id if self._known else ""
        if not head or (head == known and not self._is_merged):
            return whole()
        context = self._repo.context
        bundle = Bundle(context, context.refs.get(head))
        context.refs.ensure_not_quarantined(bundle.descriptor, f"branch '{self._name}'")
        writer.store.ensure_not_condemned(bundle.tree)
        found = merge(own, self._published, _tree(self._base), bundle.tree)
        if found.overlaps:
            raise self._overlap(found.overlaps)
        self._is_merged = True
        return writer.store.edit(bundle.tree.root, found.changes), bundle.files + found.files

    def _overlap(self, paths: list[str]) -> Conflict:
        more = f" and {len(paths) - _NAMED} more" if len(paths) > _NAMED else ""
        named = ", ".join(map(repr, paths[:_NAMED]))
        return Conflict(
            f"branch '{self._name}' changed since it was mounted, in paths that the mount also changed: {named}{more}",
            f"commit to another branch: sheaf bundle commit {self._spill.folder} --branch NAME",
        )


def _tree(bundle: Bundle | None) -> Tree | None:
    return bundle.tree if bundle else None
