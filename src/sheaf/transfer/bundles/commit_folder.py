"""Upload a folder and commit it: a session, the bundle to reuse rows of, the stored folder, the record."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from msgspec import Struct

from sheaf.engine.commit.writer import Draft, Writer
from sheaf.engine.context import Context
from sheaf.engine.log.record_log import Head
from sheaf.engine.log.update_refs import RefUpdates
from sheaf.engine.manifest.tree import Tree
from sheaf.errors import NotFound
from sheaf.model.records import BundleRecord, RepoState
from sheaf.transfer.progress import Meter
from sheaf.transfer.upload import FolderOptions, StoredFolder, ensure_wanted, store_folder

__all__ = ["CommittedFolder", "UploadRules", "commit_folder"]


class UploadRules(Struct, frozen=True):
    """Conditions of an upload, named as in :meth:`sheaf.Repo.upload`."""

    if_changed: bool = False
    portable: bool = False
    allow_empty: bool = False
    allow_erased: bool = False


class CommittedFolder(Struct, frozen=True):
    """The result of an upload. ``is_new``: False if the branch already had this content."""

    bundle: BundleRecord
    stored: StoredFolder
    is_new: bool
    new_bytes: int
    stored_bytes: int
    warnings: list[str]


def commit_folder(
    context: Context,
    draft: Draft,
    options: FolderOptions,
    rules: UploadRules,
    meter: Meter,
    on_commit: Callable[[BundleRecord], None] = lambda bundle: None,
) -> CommittedFolder:
    """Store a folder and commit it as a bundle, unless the branch has it already (with ``if_changed``).

    Raises as :meth:`sheaf.Repo.upload` does.
    """
    c, is_verifying = context, options.rehash
    with Writer(
        c.core, c.nodes, c.log, c.entry.id, "upload", allow_erased=rules.allow_erased, verify=is_verifying
    ) as writer:
        head = writer.open.head or c.log.head()  # read after the session was registered
        if not (rules.if_changed and _is_at_head(draft, head.state)):
            draft.ensure_names(head.state)
        base = _base_of(c, draft.branch, head)
        stored = store_folder(writer.store, base, options, meter)
        ensure_wanted(stored, options.root, portable=rules.portable, allow_empty=rules.allow_empty)
        is_same = rules.if_changed and draft.branch in head.state.branches and _is_same(base, stored)
        if base is not None and (is_verifying or writer.open.damaged):
            is_same &= base.root.id == stored.root.id  # else what can't be read any more was stored again
        if is_same:
            bundle = _labelled_head(c, draft)
        else:
            may_write = partial(c.ensure_writable, is_prepared=True)
            bundle = writer.commit(stored.root, stored.files, draft, concurrently=may_write)
            on_commit(bundle)
            writer.tidy()
    meter.finish()
    sink, warnings = writer.store.sink, stored.warnings() + writer.store.ingest.erased.warnings()
    return CommittedFolder(bundle, stored, not is_same, sink.new_bytes, sink.stored_bytes, warnings)


def _is_at_head(draft: Draft, state: RepoState) -> bool:
    """Whether a label is where a branch is: to set it there again moves nothing."""
    at, head = state.labels.get(draft.label or ""), state.branches.get(draft.branch or "")
    return at is not None and head is not None and at.bundle == head.bundle


def _is_same(base: Tree | None, stored: StoredFolder) -> bool:
    return base is not None and base.root.full == stored.root.full


def _base_of(context: Context, branch: str | None, head: Head[RepoState] | None) -> Tree | None:
    """The bundle whose rows may be reused: the branch's head, or the newest one; None if it can't be read."""
    while True:
        head = head or context.log.head()
        target = head.state.branches.get(branch) if branch else None
        id = target.bundle if target else head.state.latest
        if id in head.state.aside:
            return None  # it can't be read, so it is no help
        try:
            return context.tree(context.refs.resolve(f"bundle:{id}")) if id else None
        except NotFound:
            if context.log.head().n == head.n:
                raise
            head = None


def _labelled_head(context: Context, draft: Draft) -> BundleRecord:
    """The head of the branch, with the label that the upload was to set."""
    bundle = context.refs.resolve(f"branch:{draft.branch}")
    if draft.label:
        context.ensure_writable()
        updates = RefUpdates(context.log, context.refs, context.entry.name)
        updates.set_label(draft.label, context.refs.resolve(f"bundle:{bundle.id}"), expect=None, move=draft.move_label)
    return bundle
