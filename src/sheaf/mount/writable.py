"""Writable mounts from beginning to bundle, and what to do with one that was left behind."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from sheaf.engine.writer import Draft
from sheaf.errors import Refused, SheafError
from sheaf.mount.committing import Committer, Every
from sheaf.mount.control import Control
from sheaf.mount.journal import About, Spill
from sheaf.mount.library import check_library
from sheaf.mount.options import MountOptions, ReadOptions
from sheaf.mount.overlay import OverlayFs
from sheaf.mount.serving import Shared, prepare, serve
from sheaf.repo.bundle import Bundle
from sheaf.repo.repo import Repo
from sheaf.repo.store import Store

__all__ = ["NewBundle", "commit_left", "mount_new"]


@dataclass(frozen=True, slots=True)
class NewBundle:
    """What is to become of a writable mount. ``base``: the ref it begins with, None for empty.

    ``spill``: an empty folder of this machine for what is written. ``every_s``: seconds between commits meanwhile.
    """

    message: str
    spill: Path
    base: str | None = None
    branch: str | None = "main"
    label: str | None = None
    every_s: float | None = None
    move_label: bool = False

    @property
    def draft(self) -> Draft:
        """The names of the last bundle. Raises InvalidInput."""
        return Draft(self.message, self.branch, self.label, move_label=self.move_label)


def mount_new(
    repo: Repo,
    mountpoint: Path,
    new: NewBundle,
    options: MountOptions,
    read: ReadOptions,
    *,
    tell: Callable[[Bundle], None],
    complain: Callable[[SheafError], None],
) -> Bundle:
    """Mount a folder to write to, and commit what is in it at the end. ``tell`` hears of each commit meanwhile.

    Raises:
        Refused, InvalidInput: the folder or the spill is not empty; nothing was mounted.
        AlreadyExists: the label is set already, and not ``move_label``; nothing was mounted.
        SheafError: the commit failed; all that was written is in the spill (:func:`commit_left`).
    """
    check_library(options.library)
    base = repo.bundle(new.base) if new.base is not None else None
    repo.context.refuse_writes()
    new.draft.ensure_names(repo.context.log.head().state)
    prepare(mountpoint)
    id = base.id if base else None
    about = About(
        repo.context.core.config.id,
        repo.name,
        repo.id,
        id,
        new.branch,
        new.message,
        new.label,
        move_label=new.move_label,
    )
    spill = Spill.begin(new.spill, about)
    shared = Shared(repo.context.store, read)
    fs, committer = _opened(repo, spill, about, base, shared)
    every = Every(committer, new.every_s, tell, complain) if new.every_s else None
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
    """Commit what no commit has, and take the spill away."""
    if committer.last is not None and not committer.is_changed:
        bundle = committer.last
        if new.label:
            repo.set_label(new.label, f"bundle:{bundle.id}", move=new.move_label)
    else:
        bundle = committer.commit(label=new.label, move_label=new.move_label)
    spill.remove()
    return bundle


def commit_left(
    store: Store, folder: Path, *, message: str | None = None, label: str | None = None, move_label: bool = False
) -> Bundle:
    """Commit what a mount left behind whose commit failed or that was killed, and take it away.

    Raises:
        NotFound: the folder is no such thing.
        Conflict: the mount is still there.
        Refused: it belongs to another store.
    """
    spill = Spill.reopen(folder)
    try:
        about = spill.about()
        if about.store != store.id:
            raise Refused(f"{folder} belongs to another store, {about.store}", "name that one with --store")
        repo = store.repo(about.repo)
        base = repo.bundle(f"bundle:{about.base}") if about.base else None
        fs, committer = _opened(repo, spill, about, base, Shared(repo.context.store, ReadOptions()))
        fs.replay()
        moves = move_label or (about.move_label and label in (None, about.label))
        bundle = committer.commit(message, label or about.label, move_label=moves)
    except BaseException:
        spill.close()
        raise
    spill.remove()
    return bundle
