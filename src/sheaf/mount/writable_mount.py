"""Mount a writable folder and commit its contents at the end; commit what an interrupted mount left."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from sheaf.engine.commit.writer import Draft
from sheaf.errors import Refused, SheafError
from sheaf.mount.branch_commit import head_of
from sheaf.mount.commit import Committer, Every
from sheaf.mount.control import Control
from sheaf.mount.fuse.library import check_library
from sheaf.mount.journal import About, Spill
from sheaf.mount.mount_options import MountOptions, ReadOptions
from sheaf.mount.overlay import OverlayFs
from sheaf.mount.serve import Shared, prepare, serve
from sheaf.repo.bundle import Bundle
from sheaf.repo.repo import Repo
from sheaf.repo.store import Store

__all__ = ["NewBundle", "commit_left", "mount_new"]


@dataclass(frozen=True, slots=True)
class NewBundle:
    """The settings of a writable mount. ``base``: the ref it begins with, None to begin empty.

    ``spill``: an empty local folder for written data. ``every_s``: seconds between commits while mounted.
    """

    message: str
    spill: Path
    base: str | None = None
    branch: str | None = "main"
    label: str | None = None
    every_s: float | None = None
    move_label: bool = False
    allow_empty: bool = False

    @property
    def draft(self) -> Draft:
        """Return message and refs of the last commit. Raises InvalidInput."""
        return Draft(self.message, self.branch, self.label, move_label=self.move_label)


def mount_new(
    repo: Repo,
    mountpoint: Path,
    new: NewBundle,
    options: MountOptions,
    read: ReadOptions,
    *,
    on_commit: Callable[[Bundle], None],
    complain: Callable[[SheafError], None],
) -> Bundle:
    """Mount a writable folder, and commit its contents at the end. ``on_commit`` is called with each earlier commit.

    Raises:
        Refused, InvalidInput: the folder or the spill is not empty; nothing was mounted. Refused also: nothing was
            written, so nothing was committed.
        AlreadyExists: the label is set already, and not ``move_label``; nothing was mounted.
        SheafError: the commit failed; all that was written is in the spill (:func:`commit_left`).
    """
    check_library(options.library)
    base, head = _begun_with(repo, new)
    repo.context.ensure_writable()
    new.draft.ensure_names(repo.context.log.head().state)
    prepare(mountpoint)
    spill = Spill.begin(new.spill, about := _about(repo, base, head, new))
    shared = Shared(repo.context.store, read)
    fs, committer = _opened(repo, spill, about, base, shared)
    every = Every(committer, new.every_s, on_commit, complain) if new.every_s else None
    try:
        serve(fs, shared.patience, mountpoint, _with(options, every))
    except SheafError:
        if not fs.state.changes:
            spill.remove()
        raise
    finally:
        if every:
            every.stop()
        shared.pool.close()
    return _finished(repo, committer, spill, new)


def _begun_with(repo: Repo, new: NewBundle) -> tuple[Bundle | None, str]:
    """Return the bundle to begin with, and the id of the bundle that the branch pointed to at the same moment."""
    head = head_of(repo, new.branch)
    while True:
        base = repo.bundle(new.base) if new.base is not None else None
        before, head = head, head_of(repo, new.branch)
        if before == head:
            return base, head


def _about(repo: Repo, base: Bundle | None, head: str, new: NewBundle) -> About:
    store, id = repo.context.core.config.id, base.id if base else None
    names = (repo.name, repo.id, id, new.branch, new.message, new.label)
    return About(store, *names, move_label=new.move_label, head=head)


def _opened(repo: Repo, spill: Spill, about: About, base: Bundle | None, shared: Shared) -> tuple[OverlayFs, Committer]:
    clock = repo.context.core.clock
    started = clock.now_ns()
    fs = OverlayFs(spill, shared.open(base) if base else None, shared.patience, clock.now_ns, started)
    committer = Committer(repo, fs, about, base)
    fs.control = Control(committer.answer, started)
    return fs, committer


def _with(options: MountOptions, every: Every | None) -> MountOptions:
    if every is None:
        return options

    def up() -> None:
        options.when_up()
        every.start()

    return MountOptions(options.source, options.type, options.allow_other, up, options.library)


def _finished(repo: Repo, committer: Committer, spill: Spill, new: NewBundle) -> Bundle:
    """Commit what was not committed yet, and delete the spill. Raises Refused if there is nothing to commit."""
    if committer.last is not None and not committer.is_changed:
        bundle = committer.last
        if new.label:
            repo.set_label(new.label, f"bundle:{bundle.id}", move=new.move_label)
    elif committer.is_empty and not new.allow_empty:
        spill.remove()
        raise Refused("nothing was committed: no changes", "to commit an empty bundle, pass --allow-empty")
    else:
        bundle = committer.commit(label=new.label, move_label=new.move_label, allow_empty=new.allow_empty)
    spill.remove()
    return bundle


def commit_left(
    store: Store,
    folder: Path,
    *,
    message: str | None = None,
    label: str | None = None,
    branch: str | None = None,
    move_label: bool = False,
    allow_empty: bool = False,
) -> Bundle:
    """Commit what a mount left after a failed commit or a crash, and delete the spill.

    Raises:
        NotFound: the folder is not a spill of a mount.
        Conflict: the mount is still running, or others have changed the same paths of the branch and ``branch`` names
        no
            other one.
        Refused: the spill belongs to another store, or there are no files, without ``allow_empty``.
    """
    spill = Spill.reopen(folder)
    try:
        about = spill.about()
        if about.store != store.id:
            raise Refused(f"{folder} belongs to another store, {about.store}", "pass that store with --store")
        repo = store.repo(about.repo)
        base = repo.bundle(f"bundle:{about.base}") if about.base else None
        fs, committer = _opened(repo, spill, about, base, Shared(repo.context.store, ReadOptions()))
        committer.resume(fs.replay())
        moves = move_label or (about.move_label and label in (None, about.label))
        names = {"label": label or about.label, "branch": branch}
        bundle = committer.commit(message, **names, move_label=moves, allow_empty=allow_empty)
    except BaseException:
        spill.close()
        raise
    spill.remove()
    return bundle
