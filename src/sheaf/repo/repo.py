"""A repo: bundles of one lifecycle, and the names they go by."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from sheaf.engine.clock import parse_time
from sheaf.engine.log.record_log import Head, Log
from sheaf.errors import AlreadyExists, NotFound
from sheaf.model.names import check_ref_name, check_repo_name
from sheaf.model.records import (
    Author,
    DeleteRepo,
    MoveBranch,
    RenameRepo,
    RepoEntry,
    RepoOp,
    RepoState,
    SetLabel,
)
from sheaf.model.records import (
    Bundle as Descriptor,
)
from sheaf.repo.context import Context
from sheaf.repo.operations.delete import Retain, Surplus, delete_bundle, refuse_named, squash, surplus
from sheaf.repo.values import Branch, Label, RepoInfo, branch_of, label_of, repo_info

# What follows takes pyarrow and numpy (0.1 s to import); names and labels do without, so it is imported where it is used.
if TYPE_CHECKING:
    from sheaf.engine.commit.writer import Store as WritingStore
    from sheaf.engine.gc.store_sizes import Sizes
    from sheaf.engine.manifest.tree import Tree
    from sheaf.repo.bundle import Bundle
    from sheaf.repo.diamond import Diamond, DiamondInfo
    from sheaf.repo.edit import Edit
    from sheaf.repo.operations.push import Pushed
    from sheaf.repo.operations.upload_plan import UploadPlan
    from sheaf.repo.path_history import PathChange
    from sheaf.repo.store import Store
    from sheaf.transfer.local.scan import Skipped
    from sheaf.transfer.progress import Progress
    from sheaf.transfer.upload.upload import StoredFolder

__all__ = ["Repo", "Upload"]


@dataclass(frozen=True, slots=True)
class Upload:
    """What an upload did. ``bytes``: of all files; ``new_bytes``: that the store did not have; ``stored_bytes``: written."""

    bundle: Bundle
    files: int
    bytes: int
    new_bytes: int
    stored_bytes: int
    committed: bool = True
    skipped: list[Skipped] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


class Repo:
    """A repo, as long as it exists: its id stays when it is renamed."""

    def __init__(self, context: Context) -> None:
        self._context = context

    def __repr__(self) -> str:
        return f"Repo({self.name!r} in {self._context.core.backend.url!r})"

    @property
    def context(self) -> Context:
        """What the repo is made of: for doors that write bundles on their own."""
        return self._context

    @property
    def _log(self) -> Log[RepoState, RepoOp]:
        return self._context.log

    @property
    def _entry(self) -> RepoEntry:
        return self._context.entry

    @property
    def id(self) -> str:
        """A KSUID, for ever."""
        return self._entry.id

    @property
    def name(self) -> str:
        """What the repo is called now."""
        return self._entry.name

    @property
    def description(self) -> str:
        """What its maker said of it."""
        return self._entry.description

    @property
    def created(self) -> datetime:
        """When it was made."""
        return parse_time(self._entry.time)

    @property
    def author(self) -> Author:
        """Who made it."""
        return self._entry.author

    @property
    def info(self) -> RepoInfo:
        """All of that, and how many bundles it has."""
        return repo_info(self._entry, self._log.head().state.count)

    def rename(self, name: str) -> None:
        """Give the repo another name; nothing is copied. Raises AlreadyExists, InvalidInput, NotFound."""
        op = RenameRepo(self.id, check_repo_name(name))
        self._context.store.refuse_writes()
        entry = self._context.store.log.append(lambda head: (op,)).state.repos[self.id]
        self._context = Context(self._context.store, entry)

    def delete(self) -> None:
        """Take the repo out of sight; its data stays until gc. Raises NotFound if it is gone already."""
        self._context.store.refuse_writes()
        self._context.store.log.append(lambda head: (DeleteRepo(self.id),))

    # -- bundles -------------------------------------------------------------------------------------------------------

    def bundles(self) -> list[Bundle]:
        """All bundles, in the order of their commits."""
        return [self._bundle(bundle) for bundle in self._context.refs.bundles()]

    def bundle(self, ref: str | None = None) -> Bundle:
        """The bundle that a ref names; the head of ``main`` if there is none. Raises NotFound, Ambiguous."""
        return self._bundle(self._context.refs.resolve(ref))

    def newest(self) -> Bundle:
        """The bundle that was committed last, on any branch. Raises NotFound for an empty repo."""
        found = self._context.refs.latest()
        self._context.refs.refuse_aside(found, "the newest one")
        return self._bundle(found)

    def deleted_bundles(self, *, restorable: bool = False) -> list[Bundle]:
        """The bundles that were deleted, in the order of their commits.

        Args:
            restorable: only those whose data gc has not begun to delete.
        """
        from sheaf.engine.gc.retention import restorable as restorable_of

        found = self._context.refs.deleted_bundles()
        there = restorable_of(self._context.core, found) if restorable else {bundle.id for bundle in found}
        return [self._bundle(bundle) for bundle in found if bundle.id in there]

    def sizes(self) -> Sizes:
        """How much data its bundles have, without repetitions, and as it is stored. Reads all their manifests."""
        from sheaf.engine.gc.store_sizes import bundle_sizes

        return bundle_sizes(self._context.core, self._context.refs.bundles())

    def delete_bundle(self, ref: str) -> str:
        """Take a bundle out of sight; its data goes with gc. Returns its id.

        Raises:
            NotFound: no such bundle.
            Conflict: a label or branch names it; the message says which.
        """
        bundle = self._context.refs.resolve(ref, even_aside=True)
        delete_bundle(self._context, bundle)
        return bundle.id

    def refuse_named(self, bundle: Bundle) -> None:
        """Raises Conflict, naming them, while a label or branch names a bundle, which so can't be deleted."""
        refuse_named(self._context, bundle.id)

    def undelete_bundle(self, id: str) -> Bundle:
        """Bring a deleted bundle back, as long as gc has not acted on it; or one that was set aside, once it can be read.

        Labels that were deleted together with it (:meth:`dropped_labels`) come back, too, if their names are free.

        Raises:
            NotFound: no bundle of that id was deleted or set aside.
            Refused: gc has deleted what it needs, or is about to; or it still can't be read.
        """
        from sheaf.engine.gc.restore import restore_bundle
        from sheaf.engine.repair.quarantine import bring_back

        c = self._context
        c.refuse_writes()
        if id in c.log.head().state.aside:
            return self._bundle(bring_back(c.core, c.log, c.refs, id))
        return self._bundle(restore_bundle(c.core, c.log, c.refs, self.id, id))

    def aside(self) -> dict[str, str]:
        """Of the bundles that were set aside, since they can't be read, by their ids why."""
        return dict(self._log.head().state.aside)

    def dropped_labels(self, id: str) -> list[str]:
        """The labels that were deleted together with a bundle which is deleted now."""
        from sheaf.engine.gc.restore import dropped_labels

        return dropped_labels(self._log, id)

    def surplus(
        self, *, retain_latest: int = 1, retain_tags: bool = False, retain_semver_tags: bool = False
    ) -> Surplus:
        """What :meth:`squash` would delete now: the ids of bundles, and the labels that are at them."""
        return surplus(self._context, Retain(retain_latest, retain_tags, retain_semver_tags))

    def squash(self, *, retain_latest: int = 1, retain_tags: bool = False, retain_semver_tags: bool = False) -> Surplus:
        """Delete all bundles but the newest ones and those that a branch is at; labels of deleted ones go, too.

        Args:
            retain_latest: how many of the newest to retain, by the order of their commits.
            retain_tags: also retain every bundle that has a label.
            retain_semver_tags: also retain every bundle with a label such as ``v1.2.0`` or ``1.2.0-rc.1``.

        Returns:
            What it deleted.
        """
        return squash(self._context, Retain(retain_latest, retain_tags, retain_semver_tags))

    def log(self, ref: str | None = None) -> Iterator[Bundle]:
        """A bundle and its first parents, newest first."""
        start = self._context.refs.resolve(ref, even_aside=True)
        return (self._bundle(bundle) for bundle in self._context.refs.history(start))

    def path_log(self, path: str, ref: str | None = None) -> Iterator[PathChange]:
        """The bundles of a history in which a file or folder changed, newest first. Raises NotFound."""
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
        """Make a bundle of a folder, move a branch to it and set a label, all in one commit.

        Args:
            move_label: the label may be set already, and moves then.
            files: only these paths, relative to the folder.
            rehash: read every file, even those that look unchanged, and verify what the store has of them already: what is
                damaged there is stored again.
            if_changed: commit nothing if the branch has exactly this already.
            portable: refuse names that become one on other systems; without it they are warned of.
            allow_empty: make a bundle even if there is no file to upload.
            allow_erased: let contents come back that were erased from the store; they are warned of.
            on_commit: called as soon as the bundle is committed.

        Raises:
            NotFound, InvalidInput, Denied, Conflict: about a file, unless ``skip_on_error``.
            AlreadyExists: the label is set already, unless ``move_label``; or the branch is new and a label has its name,
                or the other way round.
            Refused: there is no file to upload, unless ``allow_empty``; ``portable``, and names collide; or a file was
                erased from the store, unless ``allow_erased``.
        """
        from sheaf.engine.commit.writer import Draft, Writer
        from sheaf.transfer.progress import Meter
        from sheaf.transfer.upload.upload import ensure_wanted, folder_options, store_folder

        c = self._context
        draft = Draft(message, branch, label, meta or {}, move_label=move_label)
        options = folder_options(
            c.core, c.cache, path, files=files, skip_on_error=skip_on_error, rehash=rehash, concurrency=concurrency
        )
        meter = Meter(progress, "upload")
        with Writer(c.core, c.nodes, c.log, self.id, "upload", allow_erased=allow_erased, verify=rehash) as writer:
            head = writer.open.head or self._log.head()  # read after the session was registered
            if not (if_changed and _is_at_head(label, branch, head.state)):
                draft.ensure_names(head.state)
            base = self._head_tree(branch, head)
            stored = store_folder(writer.store, base, options, meter)
            ensure_wanted(stored, path, portable=portable, allow_empty=allow_empty)
            is_same = if_changed and base is not None and base.root.full == stored.root.full
            is_same &= branch in head.state.branches
            if base is not None and (rehash or writer.open.damaged):
                is_same &= base.root.id == stored.root.id  # else what can't be read any more was stored again
            if is_same:
                bundle = self.bundle(f"branch:{branch}")
                if label:
                    self.set_label(label, f"bundle:{bundle.id}", move=move_label)
            else:
                bundle = self._bundle(writer.commit(stored.root, stored.files, draft, beside=c.refuse_writes))
                if on_commit:
                    on_commit(bundle)
                writer.tidy()
        meter.finish()
        return _uploaded(bundle, stored, writer.store, committed=not is_same)

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
        """What :meth:`upload` would do with these arguments. Nothing is written to the store; raises the same."""
        from sheaf.engine.commit.writer import Draft
        from sheaf.repo.operations.upload_plan import plan_upload
        from sheaf.transfer.upload.upload import ensure_wanted

        head = self._log.head()
        Draft("", branch, label, move_label=move_label).ensure_names(head.state)
        at = head.state.branches.get(branch)
        id = at.bundle if at and at.bundle not in head.state.aside else ""
        tree = self.bundle(f"bundle:{id}").tree if id else None
        plan = plan_upload(
            self._context,
            Path(path),
            tree,
            id,
            files=files,
            skip_on_error=skip_on_error,
            allow_erased=allow_erased,
            progress=progress,
        )
        ensure_wanted(plan, path, portable=portable, allow_empty=allow_empty)
        return plan

    def edit(
        self,
        *,
        message: str,
        branch: str = "main",
        base: str | None = None,
        label: str | None = None,
        move_label: bool = False,
        expect: str | None = None,
        allow_erased: bool = False,
    ) -> Edit:
        """Make a bundle from another one by naming what changes; nothing is downloaded.

        Args:
            base: the bundle to start from; the branch's head if None. The branch must not have moved when it commits.
            label: set it to the new bundle, in the same commit.
            move_label: the label may be set already, and moves then.
            expect: the id of the bundle that the branch must be at when the edit begins, "" for a new branch.
            allow_erased: let contents come back that were erased from the store.
        """
        from sheaf.engine.commit.writer import Draft
        from sheaf.repo.edit import Edit

        draft = Draft(message, branch, label, expect=expect, move_label=move_label)
        return Edit(self._context, draft, base, allow_erased=allow_erased)

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
        """Copy what a repo of another store lacks: bundles with their ids and histories, branches and labels.

        Every byte is verified, and only chunks that the target lacks are sent. It may be stopped and run again. Contents
        that were erased in either store come without their bytes.

        Args:
            target: the other store, opened.
            name: of the repo there, which is made if need be; by default as here.
            branches: only these, with the bundles that they come from.
            labels: only these, the same.
            force: also move branches that have gone another way, and labels that are elsewhere.
            dry_run: only say what would be copied.

        Raises:
            NotFound: no such branch or label.
            Conflict: a branch or label of the target would not only move forward (without ``force``).
            Refused: another repo of the target has one of these bundles.
            Corrupt: something is lost or damaged here; the bundles before it were copied.
        """
        from sheaf.repo.operations.push import Pushed, plan_push, push

        called = check_repo_name(name or self.name)
        found = target.connected.log.head().state.find(called)
        there = Context(target.connected, found) if found else None
        plan = plan_push(self._context, there, branches, labels, force=force)
        if dry_run:
            return Pushed(called, tuple(b.id for b in plan.bundles), plan.branches, plan.labels, plan.left_out)
        there = there or target.create_repo(called, self.description).context
        return push(self._context, there, plan, progress)

    # -- names ---------------------------------------------------------------------------------------------------------

    def labels(self, prefix: str = "") -> list[Label]:
        """The labels whose names begin so, by name."""
        state = self._log.head().state
        return [label_of(name, state) for name in sorted(state.labels) if name.startswith(prefix)]

    def label(self, name: str) -> Label:
        """One label. Raises NotFound."""
        state = self._log.head().state
        if name not in state.labels:
            raise NotFound(f'didn\'t find label "{name}"', f"see `sheaf label list --repo {self.name}`")
        return label_of(name, state)

    def label_history(self, name: str | None = None, prefix: str = "") -> list[Label]:
        """Where a label (or all with a prefix) has been, newest first; a deletion has no bundle."""
        found = [
            Label(op.name, op.bundle or "", parse_time(record.time), record.author)
            for record in self._log.records()
            for op in record.ops
            if isinstance(op, SetLabel) and (op.name == name if name else op.name.startswith(prefix))
        ]
        if name and not found:
            raise NotFound(f'didn\'t find label "{name}"', f"see `sheaf label list --repo {self.name}`")
        return found[::-1]

    def set_label(self, name: str, ref: str, *, expect: str | None = None, move: bool = True) -> Label:
        """Point a label at a bundle; the last one wins, unless ``expect`` (a bundle id, "" for new) is given.

        Args:
            move: without it a label that is set on another bundle is refused.

        Raises:
            NotFound: no such bundle.
            AlreadyExists: a branch has that name; or the label is set on another bundle, and not ``move``.
            Conflict: the label is not where it was expected.
        """
        bundle = self._context.refs.resolve(ref)
        check_ref_name(name)

        def decide(state: RepoState) -> tuple[RepoOp, ...]:
            wanted, now = expect, state.labels.get(name)
            if not move:
                wanted = now.bundle if now else ""
                if wanted != bundle.id:
                    state.ensure_label_free(name)
            target = state.lacking(self._alive(bundle))
            return (SetLabel(name, bundle.id, wanted or None, wanted is not None, target),)

        return label_of(name, self._append(decide))

    def delete_label(self, name: str) -> Label:
        """Delete a label; its history stays. Returns what it was. Raises NotFound."""
        label = self.label(name)
        self._append(lambda state: (SetLabel(name, None),))
        return label

    def branches(self) -> list[Branch]:
        """The branches, by name."""
        state = self._log.head().state
        return [branch_of(name, state) for name in sorted(state.branches)]

    def branch(self, name: str) -> Branch:
        """One branch. Raises NotFound."""
        state = self._log.head().state
        if name not in state.branches:
            raise self._no_branch(name)
        return branch_of(name, state)

    def _no_branch(self, name: str) -> NotFound:
        return NotFound(f'didn\'t find branch "{name}"', f"see `sheaf branch list --repo {self.name}`")

    def create_branch(self, name: str, ref: str | None = None) -> Branch:
        """Make a branch at a bundle. Raises AlreadyExists (also if a label has that name), NotFound."""
        bundle = self._context.refs.resolve(ref)

        def decide(state: RepoState) -> tuple[RepoOp, ...]:
            if name in state.branches:
                raise AlreadyExists(
                    f"branch already exists: {name}",
                    f"it is at {state.branches[name].bundle}; choose another name, or delete it first",
                )
            return (MoveBranch(check_ref_name(name), bundle.id, target=state.lacking(self._alive(bundle))),)

        return branch_of(name, self._append(decide))

    def set_branch(self, name: str, ref: str, *, expect: str | None = None) -> Branch:
        """Point a branch at another bundle: an undo of an upload, or a redo. No bundle is deleted by it.

        Args:
            expect: the id of the bundle that the branch must be at; without it the last one wins.

        Raises:
            NotFound: no such branch or bundle.
            Conflict: the branch is not where it was expected.
        """
        bundle = self._context.refs.resolve(ref)

        def decide(state: RepoState) -> tuple[RepoOp, ...]:
            if name not in state.branches:
                raise self._no_branch(name)
            now = state.branches[name].bundle if expect is None else expect
            return (MoveBranch(name, bundle.id, now, target=state.lacking(self._alive(bundle))),)

        return branch_of(name, self._append(decide))

    def delete_branch(self, name: str) -> Branch:
        """Delete a branch; its bundles stay. Returns what it was. Raises NotFound."""
        branch = self.branch(name)
        self._append(lambda state: (MoveBranch(name, None, branch.bundle),))
        return branch

    # -- diamonds ------------------------------------------------------------------------------------------------------

    def create_diamond(self) -> Diamond:
        """Begin a bundle that many writers fill together."""
        from sheaf.repo.diamond import Diamond

        self._context.refuse_writes()
        return Diamond.begin(self._context)

    def diamond(self, id: str) -> Diamond:
        """A diamond that was begun. Raises NotFound."""
        from sheaf.repo.diamond import Diamond

        return Diamond.find(self._context, id)

    def diamonds(self) -> list[DiamondInfo]:
        """All diamonds, oldest first by their clocks."""
        from sheaf.repo.diamond import Diamond

        return [self.diamond(id).info for id in Diamond.ids(self._context)]

    # -- plumbing ------------------------------------------------------------------------------------------------------

    def _bundle(self, bundle: Descriptor) -> Bundle:
        from sheaf.repo.bundle import Bundle

        return Bundle(self._context, bundle)

    def _append(self, decide: Callable[[RepoState], tuple[RepoOp, ...]]) -> RepoState:
        self._context.refuse_writes()
        return self._log.append(lambda head: head.state.unshadowed(decide(head.state))).state

    def _alive(self, bundle: Descriptor) -> Descriptor:
        """The bundle, unless it was deleted since it was looked up: then NotFound."""
        return self._context.refs.get(bundle.id)

    def _head_tree(self, branch: str | None, head: Head[RepoState] | None) -> Tree | None:
        while True:
            head = head or self._log.head()
            target = head.state.branches.get(branch) if branch else None
            id = target.bundle if target else head.state.latest
            if id in head.state.aside:
                return None  # it can't be read, so it is no help
            try:
                return self.bundle(f"bundle:{id}").tree if id else None
            except NotFound:
                if self._log.head().n == head.n:
                    raise
                head = None


def _is_at_head(label: str | None, branch: str | None, state: RepoState) -> bool:
    """Whether a label is where a branch is: to set it there again moves nothing."""
    at, head = state.labels.get(label or ""), state.branches.get(branch or "")
    return at is not None and head is not None and at.bundle == head.bundle


def _uploaded(bundle: Bundle, stored: StoredFolder, store: WritingStore, *, committed: bool) -> Upload:
    """What an upload did."""
    return Upload(
        bundle,
        stored.files,
        stored.size,
        store.sink.new_bytes,
        store.sink.stored_bytes,
        committed,
        stored.skipped,
        stored.warnings() + store.ingest.erased.warnings(),
    )
