"""A repo: a line of bundles with branches and labels."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Literal

from msgspec import Struct, field

from sheaf import engine, transfer
from sheaf.engine.clock import parse_time
from sheaf.engine.context import Context
from sheaf.engine.log.record_log import Log
from sheaf.engine.log.update_refs import RefUpdates, label_moves, no_branch, no_label
from sheaf.model.names import check_repo_name
from sheaf.model.records import (
    Author,
    DeleteRepo,
    RenameRepo,
    RepoEntry,
    RepoOp,
    RepoState,
)
from sheaf.model.records import (
    BundleRecord as Descriptor,
)
from sheaf.repo.values import Branch, Label, RepoInfo, UploadPlan, branch_of, change_of, label_of, repo_info

# These modules import pyarrow and numpy (0.1 s), and names and labels work without them.
if TYPE_CHECKING:
    from sheaf.engine.gc.store_sizes import Sizes
    from sheaf.engine.log.delete_bundles import Surplus
    from sheaf.repo.bundle import Bundle
    from sheaf.repo.diamond import Diamond, DiamondInfo
    from sheaf.repo.edit import Edit
    from sheaf.repo.path_history import PathChange
    from sheaf.repo.store import Store
    from sheaf.transfer.bundles.merge_branches import MergeResult
    from sheaf.transfer.bundles.push import Pushed
    from sheaf.transfer.local.scan import Skipped
    from sheaf.transfer.progress import Progress

__all__ = ["Repo", "Upload"]


class Upload(Struct, frozen=True):
    """The result of an upload. ``bytes``: size of all files; ``new_bytes``: not stored before; ``stored_bytes``: written."""

    bundle: Bundle
    files: int
    bytes: int
    new_bytes: int
    stored_bytes: int
    committed: bool = True
    skipped: list[Skipped] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


class Repo:
    """A repo of a store. Its id stays the same when it is renamed."""

    def __init__(self, context: Context) -> None:
        self._context = context

    def __repr__(self) -> str:
        return f"Repo({self.name!r} in {self._context.core.backend.url!r})"

    @property
    def context(self) -> Context:
        """The internal parts of the repo, for other interfaces of Sheaf."""
        return self._context

    @property
    def _log(self) -> Log[RepoState, RepoOp]:
        return self._context.log

    @property
    def _entry(self) -> RepoEntry:
        return self._context.entry

    @property
    def id(self) -> str:
        """The id of the repo, a KSUID; it never changes."""
        return self._entry.id

    @property
    def name(self) -> str:
        """The name of the repo."""
        return self._entry.name

    @property
    def description(self) -> str:
        """The description given at its creation."""
        return self._entry.description

    @property
    def created(self) -> datetime:
        """The time of its creation."""
        return parse_time(self._entry.time)

    @property
    def author(self) -> Author:
        """The author who created it."""
        return self._entry.author

    @property
    def info(self) -> RepoInfo:
        """The facts above, and the number of bundles."""
        return repo_info(self._entry, self._log.head().state.count)

    def rename(self, name: str) -> None:
        """Rename the repo; no data is copied. Raises AlreadyExists, InvalidInput, NotFound."""
        op = RenameRepo(self.id, check_repo_name(name))
        self._context.store.ensure_writable()
        entry = self._context.store.log.append(lambda head: (op,)).state.repos[self.id]
        self._context = Context(self._context.store, entry)

    def delete(self) -> None:
        """Delete the repo; gc deletes its data later. Raises NotFound if it was already deleted."""
        self._context.store.ensure_writable()
        self._context.store.log.append(lambda head: (DeleteRepo(self.id),))

    # -- bundles -------------------------------------------------------------------------------------------------------

    def bundles(self) -> list[Bundle]:
        """Return all bundles in the order of their commits."""
        return [self._bundle(bundle) for bundle in self._context.refs.bundles()]

    def bundle(self, ref: str | None = None) -> Bundle:
        """Return the bundle of a ref; by default the head of ``main``. Raises NotFound, Ambiguous."""
        return self._bundle(self._context.refs.resolve(ref))

    def newest(self) -> Bundle:
        """Return the bundle committed last, on any branch. Raises NotFound if the repo is empty."""
        found = self._context.refs.latest()
        self._context.refs.ensure_not_quarantined(found, "the newest one")
        return self._bundle(found)

    def deleted_bundles(self, *, restorable: bool = False) -> list[Bundle]:
        """Return the deleted bundles in the order of their commits.

        Args:
            restorable: only bundles whose data gc has not begun to delete.
        """
        found = self._context.refs.deleted_bundles()
        there = engine.restorable(self._context.core, found) if restorable else {bundle.id for bundle in found}
        return [self._bundle(bundle) for bundle in found if bundle.id in there]

    def sizes(self) -> Sizes:
        """Return the size of all bundles, deduplicated, and as stored. Reads all their manifests."""
        return engine.bundle_sizes(self._context.core, self._context.refs.bundles())

    def delete_bundle(self, ref: str) -> str:
        """Delete a bundle; gc deletes its data later. Returns its id.

        Raises:
            NotFound: the bundle does not exist.
            Conflict: a label or branch points to it; the message names it.
        """
        bundle = self._context.refs.resolve(ref, even_quarantined=True)
        self._context.ensure_writable()
        engine.delete_bundle(self._log, self._context.refs, bundle)
        return bundle.id

    def ensure_not_named(self, bundle: Bundle) -> None:
        """Raise Conflict if a label or branch points to the bundle, so that it can't be deleted."""
        self._log.head().state.ensure_not_named(bundle.id)

    def undelete_bundle(self, id: str) -> Bundle:
        """Restore a deleted bundle, until gc deletes its data; or a quarantined one that can be read again.

        Labels that were deleted together with it (:meth:`dropped_labels`) are restored if their names are free.

        Raises:
            NotFound: no deleted or quarantined bundle has this id.
            Refused: gc has deleted its data, or is about to; or it is still unreadable.
        """

        c = self._context
        c.ensure_writable()
        if id in c.log.head().state.aside:
            return self._bundle(engine.bring_back(c.core, c.log, c.refs, id))
        return self._bundle(engine.restore_bundle(c.core, c.log, c.refs, self.id, id))

    def quarantined(self) -> dict[str, str]:
        """Return the ids of the quarantined bundles, each with the reason."""
        return dict(self._log.head().state.aside)

    def dropped_labels(self, id: str) -> list[str]:
        """Return the labels that were deleted together with a deleted bundle."""
        return engine.dropped_labels(self._log, id)

    def surplus(
        self, *, retain_latest: int = 1, retain_tags: bool = False, retain_semver_tags: bool = False
    ) -> Surplus:
        """Return what :meth:`squash` would delete: the ids of bundles, and the labels that point to them."""
        return engine.surplus(
            self._log, self._context.refs, engine.Retain(retain_latest, retain_tags, retain_semver_tags)
        )

    def squash(self, *, retain_latest: int = 1, retain_tags: bool = False, retain_semver_tags: bool = False) -> Surplus:
        """Delete all bundles except the newest ones and the heads of branches; also delete the labels of deleted bundles.

        Args:
            retain_latest: the number of newest bundles to keep, by the order of their commits.
            retain_tags: also keep all bundles with a label.
            retain_semver_tags: also keep all bundles with a label such as ``v1.2.0`` or ``1.2.0-rc.1``.

        Returns:
            The deleted bundles and labels.
        """
        retain = engine.Retain(retain_latest, retain_tags, retain_semver_tags)
        self._context.ensure_writable()
        return engine.squash(self._log, self._context.refs, retain)

    def log(self, ref: str | None = None) -> Iterator[Bundle]:
        """Yield a bundle and its first parents, newest first."""
        start = self._context.refs.resolve(ref, even_quarantined=True)
        return (self._bundle(bundle) for bundle in self._context.refs.history(start))

    def path_log(self, path: str, ref: str | None = None) -> Iterator[PathChange]:
        """Yield the bundles of a history that changed a file or folder, newest first. Raises NotFound."""
        from sheaf.repo.path_history import path_history

        return path_history(self.log(ref), path)

    def upload(
        self,
        path: str | Path,
        *,
        message: str,
        label: str | None = None,
        move_label: bool = False,
        branch: str | None = "main",
        files: Sequence[str] | None = None,
        meta: Mapping[str, str] | None = None,
        skip_on_error: bool = False,
        rehash: bool = False,
        concurrency: int | None = None,
        if_changed: bool = False,
        portable: bool = False,
        allow_empty: bool = False,
        allow_erased: bool = False,
        on_commit: Callable[[Bundle], None] | None = None,
        progress: Progress | None = None,
    ) -> Upload:
        """Upload a folder as a bundle, move a branch to it and set a label, all in one commit.

        Args:
            label: a label to set to the new bundle.
            move_label: move the label if it already points to another bundle.
            branch: the branch to commit to; None: none.
            files: only these paths, relative to the folder.
            meta: metadata (keys and values) of the bundle.
            skip_on_error: skip files that can't be uploaded; the result names them.
            rehash: read all files, even unchanged ones, and verify their stored copies: damaged ones are stored again.
            concurrency: the number of concurrent transfers.
            if_changed: commit nothing if the branch already has exactly this content.
            portable: reject names that collide on case-insensitive or Unicode-normalising file systems; by default
                they only cause warnings.
            allow_empty: commit a bundle even without files.
            allow_erased: store erased contents again, with a warning.
            on_commit: called with the bundle immediately after the commit.

        Raises:
            NotFound, InvalidInput, Denied, Conflict: for a file, unless ``skip_on_error``.
            AlreadyExists: the label already exists, unless ``move_label``; or a new branch has the name of a label, or a
                new label that of a branch.
            Refused: there is no file to upload, unless ``allow_empty``; names collide, with ``portable``; or a content was
                erased from the store, unless ``allow_erased``.
        """

        c = self._context
        draft = engine.Draft(message, branch, label, meta or {}, move_label=move_label)
        options = transfer.folder_options(
            c.core, c.cache, path, files=files, skip_on_error=skip_on_error, rehash=rehash, concurrency=concurrency
        )
        rules = transfer.UploadRules(if_changed, portable, allow_empty, allow_erased)

        def announce(made: Descriptor) -> None:
            if on_commit:
                on_commit(self._bundle(made))

        done = transfer.commit_folder(c, draft, options, rules, transfer.Meter(progress, "upload"), announce)
        return Upload(
            self._bundle(done.bundle),
            done.stored.files,
            done.stored.size,
            done.new_bytes,
            done.stored_bytes,
            done.is_new,
            done.stored.skipped,
            done.warnings,
        )

    def plan_upload(
        self,
        path: str | Path,
        *,
        label: str | None = None,
        move_label: bool = False,
        branch: str = "main",
        files: Sequence[str] | None = None,
        skip_on_error: bool = False,
        portable: bool = False,
        allow_empty: bool = False,
        allow_erased: bool = False,
        progress: Progress | None = None,
    ) -> UploadPlan:
        """Return what :meth:`upload` would do, with the same arguments and errors. Writes nothing to the store."""

        c = self._context
        draft = engine.Draft("", branch, label, move_label=move_label)
        options = transfer.folder_options(c.core, c.cache, path, files=files, skip_on_error=skip_on_error)
        rules = transfer.UploadRules(False, portable, allow_empty, allow_erased)
        plan = transfer.plan_upload(c, draft, options, rules, transfer.Meter(progress, "compare"))
        return UploadPlan(
            plan.parent,
            list(map(change_of, plan.changes)),
            plan.files,
            plan.bytes,
            plan.new_bytes,
            plan.skipped,
            plan.clashes,
            plan.warnings,
        )

    def edit(
        self,
        branch: str = "main",
        *,
        message: str,
        base: str | None = None,
        label: str | None = None,
        move_label: bool = False,
        expect: str | None = None,
        allow_erased: bool = False,
    ) -> Edit:
        """Make a bundle by changing another one, without downloading it.

        Args:
            branch: the branch to commit to. If others commit to it before the edit does, the changes are repeated on
                top of theirs, unless both touch the same paths.
            base: the bundle to start from; by default the head of the branch. With it, the branch must not move before
                the commit.
            label: a label to set to the new bundle, in the same commit.
            move_label: move the label if it already points to another bundle.
            expect: the id of the bundle that the branch must point to until the commit; "" for a new branch.
            allow_erased: store erased contents again.
        """
        draft = engine.Draft(message, branch, label, expect=expect, move_label=move_label)
        edit: Edit = _edits().Edit(self._context, draft, base, allow_erased=allow_erased)
        return edit

    def plan_edit(self, branch: str = "main") -> Edit:
        """Return an edit that checks changes of the head of a branch, but writes nothing and can't be committed."""
        plan: Edit = _edits().EditPlan(self._context, engine.Draft("", branch), None)
        return plan

    def push(
        self,
        target: Store,
        *,
        name: str | None = None,
        branches: Sequence[str] = (),
        labels: Sequence[str] = (),
        force: bool = False,
        dry_run: bool = False,
        progress: Progress | None = None,
    ) -> Pushed:
        """Copy bundles with their ids and histories, branches and labels to a repo of another store.

        Every byte is verified, and only chunks that are missing in the target are sent. An interrupted push can be run
        again. Contents that were erased in either store are copied without their bytes.

        Args:
            target: the other store.
            name: the repo in the target, by default with the same name. Created if it does not exist.
            branches: only these branches, with their histories.
            labels: only these labels, with their histories.
            force: also move branches that have diverged, and labels that point to other bundles.
            dry_run: only report what would be copied.

        Raises:
            NotFound: a branch or label does not exist.
            Conflict: a branch of the target has diverged, or a label points to another bundle (without ``force``).
            Refused: another repo of the target contains one of these bundles.
            Corrupt: data is missing or damaged in this store; the bundles before it were copied.
        """
        called = check_repo_name(name or self.name)
        found = target.connected.log.head().state.find(called)
        there = Context(target.connected, found) if found else None
        plan = transfer.plan_push(self._context, there, branches, labels, force=force)
        if dry_run:
            return transfer.Pushed(called, tuple(b.id for b in plan.bundles), plan.branches, plan.labels, plan.left_out)
        there = there or target.create_repo(called, self.description).context
        return transfer.push(self._context, there, plan, progress)

    # -- names ---------------------------------------------------------------------------------------------------------

    def labels(self, prefix: str = "") -> list[Label]:
        """Return the labels whose names begin with ``prefix``, sorted by name."""
        state = self._log.head().state
        return [label_of(name, state) for name in sorted(state.labels) if name.startswith(prefix)]

    def label(self, name: str) -> Label:
        """Return a label. Raises NotFound."""
        state = self._log.head().state
        if name not in state.labels:
            raise no_label(self.name, name)
        return label_of(name, state)

    def label_history(self, name: str | None = None, prefix: str = "") -> list[Label]:
        """Return the moves of a label, or of all with a prefix, newest first. A deletion has no bundle."""
        return [
            Label(op.name, op.bundle or "", parse_time(record.time), record.author)
            for record, op in label_moves(self._log, self.name, name, prefix)
        ]

    def set_label(self, name: str, ref: str, *, expect: str | None = None, move: bool = True) -> Label:
        """Point a label to a bundle.

        Args:
            expect: the id of the bundle that the label must point to, "" for a new label. By default the last call wins.
            move: False: raise AlreadyExists if the label points to another bundle.

        Raises:
            NotFound: the bundle does not exist.
            AlreadyExists: a branch has that name; or the label points to another bundle, without ``move``.
            Conflict: the label does not point to the expected bundle.
        """
        bundle = self._context.refs.resolve(ref)
        return label_of(name, self._updates().set_label(name, bundle, expect=expect, move=move))

    def delete_label(self, name: str) -> Label:
        """Delete a label; its history stays. Returns the deleted label. Raises NotFound."""
        label = self.label(name)
        self._updates().delete_label(name)
        return label

    def branches(self) -> list[Branch]:
        """Return all branches, sorted by name."""
        state = self._log.head().state
        return [branch_of(name, state) for name in sorted(state.branches)]

    def branch(self, name: str) -> Branch:
        """Return a branch. Raises NotFound."""
        state = self._log.head().state
        if name not in state.branches:
            raise no_branch(self.name, name)
        return branch_of(name, state)

    def wait_for(
        self,
        *,
        label: str | None = None,
        branch: str | None = None,
        after: str | None = None,
        timeout: float | None = None,
        progress: Progress | None = None,
    ) -> Bundle:
        """Wait until a label exists, or a branch exists or has moved; return its bundle. Polls with growing pauses.

        Args:
            after: wait until the branch points beyond this bundle (a ref): neither to it nor to one of its ancestors.
            timeout: seconds after which to raise Unavailable; None: no limit.

        Raises:
            InvalidInput: not exactly one of ``label`` and ``branch``.
            NotFound: ``after`` does not exist, or the repo was deleted in the meantime.
        """
        choice = {"label": label, "branch": branch, "after": after}
        polling = transfer.Polling(timeout)
        return self._bundle(transfer.wait_for_bundle(self._context, **choice, polling=polling, progress=progress))

    def create_branch(self, name: str, ref: str | None = None) -> Branch:
        """Create a branch that points to a bundle. Raises AlreadyExists (also if a label has that name), NotFound."""
        bundle = self._context.refs.resolve(ref)
        return branch_of(name, self._updates().create_branch(name, bundle))

    def set_branch(self, name: str, ref: str, *, expect: str | None = None) -> Branch:
        """Point a branch to another bundle, for example to undo an upload. Deletes no bundle.

        Args:
            expect: the id of the bundle that the branch must point to. By default the last call wins.

        Raises:
            NotFound: the branch or bundle does not exist.
            Conflict: the branch does not point to the expected bundle.
        """
        bundle = self._context.refs.resolve(ref)
        return branch_of(name, self._updates().set_branch(name, bundle, expect=expect))

    def delete_branch(self, name: str) -> Branch:
        """Delete a branch; its bundles stay. Returns the deleted branch. Raises NotFound."""
        branch = self.branch(name)
        self._updates().delete_branch(name, branch.bundle)
        return branch

    def merge(
        self,
        source: str,
        target: str,
        *,
        message: str | None = None,
        prefer: Literal["ours", "theirs", "both"] | None = None,
        fast_forward: bool = True,
        allow_unrelated: bool = False,
        dry_run: bool = False,
    ) -> MergeResult:
        """Merge a bundle into a branch: apply what changed since their nearest common ancestor, path by path.

        Args:
            source: a ref, such as a branch.
            target: the branch that gets the changes.
            prefer: settle conflicts with the files of the target ("ours") or the source ("theirs"), or keep both.
            fast_forward: only move the branch if it contains nothing new.
            allow_unrelated: merge bundles that have no common ancestor.
            dry_run: commit nothing; the result names the conflicts.

        Raises:
            NotFound: the ref or the branch does not exist, or the common ancestor was deleted.
            Refused: there is no common ancestor, without ``allow_unrelated``.
            MergeConflict: both changed the same paths, without ``prefer``. Nothing was committed.
        """
        options = transfer.MergeOptions(message, prefer, dry_run)
        return transfer.merge_branch(
            self._context, source, target, options, fast_forward=fast_forward, allow_unrelated=allow_unrelated
        )

    def revert(
        self,
        ref: str,
        branch: str = "main",
        *,
        message: str | None = None,
        prefer: Literal["ours", "theirs", "both"] | None = None,
        mainline: int | None = None,
        dry_run: bool = False,
    ) -> MergeResult:
        """Commit a bundle that undoes the changes of one bundle and keeps all later ones.

        Args:
            prefer: settle conflicts with the files of the branch ("ours") or those before the bundle ("theirs"), or
                keep both.
            mainline: for a bundle made by a merge: the number of the parent to which its changes are undone, from 1.
            dry_run: commit nothing; the result names the conflicts.

        Raises:
            NotFound: the ref or the branch does not exist, or the parent was deleted.
            InvalidInput: the bundle has several parents, without ``mainline``.
            MergeConflict: later bundles changed the same paths, without ``prefer``. Nothing was committed.
        """
        options = transfer.MergeOptions(message, prefer, dry_run)
        return transfer.revert_bundle(self._context, ref, branch, options, mainline=mainline)

    # -- diamonds ------------------------------------------------------------------------------------------------------

    def create_diamond(self) -> Diamond:
        """Begin a diamond: a bundle that several machines upload together."""
        from sheaf.repo.diamond import Diamond

        self._context.ensure_writable()
        return Diamond.begin(self._context)

    def diamond(self, id: str) -> Diamond:
        """Return a diamond. Raises NotFound."""
        from sheaf.repo.diamond import Diamond

        return Diamond.find(self._context, id)

    def diamonds(self) -> list[DiamondInfo]:
        """Return all diamonds, oldest first."""
        from sheaf.repo.diamond import Diamond

        return [self.diamond(id).info for id in Diamond.ids(self._context)]

    # -- plumbing ------------------------------------------------------------------------------------------------------

    def _bundle(self, bundle: Descriptor) -> Bundle:
        from sheaf.repo.bundle import Bundle

        return Bundle(self._context, bundle)

    def _updates(self) -> RefUpdates:
        self._context.ensure_writable()
        return RefUpdates(self._log, self._context.refs, self.name)


def _edits() -> ModuleType:
    from sheaf.repo import edit

    return edit
