"""Update a folder to another bundle, changing only what differs.

The plan is made from the current state, so an interrupted update can be run again. Files of neither the old nor the new
bundle belong to the user: they stay, and if they would be lost, the update is refused.
"""

from __future__ import annotations

import functools
import os
import stat
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from blake3 import blake3

from sheaf.engine.chunks.chunk_reader import Contents
from sheaf.engine.manifest.tree import Tree
from sheaf.errors import Refused
from sheaf.fork import Threads
from sheaf.local_errors import printable, translated
from sheaf.model.paths import split
from sheaf.transfer.download.concurrent_edits import concurrent_edits
from sheaf.transfer.download.damaged import Damaged, refusal_at
from sheaf.transfer.download.download import WORKERS, ensure_no_collisions, make_folder
from sheaf.transfer.download.files.filled import Filled
from sheaf.transfer.download.install import Installation, restore_folders, unlocked
from sheaf.transfer.download.partial import PartialFolder, PartialLock
from sheaf.transfer.download.plan import DownloadPlan, make_plan
from sheaf.transfer.download.selection import Selection
from sheaf.transfer.download.write_files import Filling, paths_of
from sheaf.transfer.local.dirfd import FOLDER_FLAGS, Anchor
from sheaf.transfer.local.hashes import LocalHashes
from sheaf.transfer.local.name_collisions import probe_folding
from sheaf.transfer.local.scan import PARTIAL_SUFFIX, Skipped, checked_root, scan
from sheaf.transfer.local.statcache import StatCache
from sheaf.transfer.progress import Meter, log_file

__all__ = ["LocalChanges", "Updated", "update"]

_NAMED: Final = 10
_FILE_FLAGS: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


class LocalChanges(Refused):
    """Local changes would be lost. ``knows_base``: it is known which bundle the folder came from."""

    def __init__(self, message: str, hint: str = "", *, knows_base: bool = True) -> None:
        super().__init__(message, hint)
        self.knows_base = knows_base


_Refuse = Callable[[list[str]], LocalChanges]


@dataclass(frozen=True, slots=True)
class Updated:
    """The result of an update: the changed files (including symlinks), in order of paths.

    ``erased``: files that were not written because their bytes were erased from the store; old files stay. ``damaged``:
    files that were not written because their bytes are missing or damaged. ``bytes``: size of the written files;
    ``resumed``: number of files that an earlier attempt had fetched.
    """

    added: list[str]
    modified: list[str]
    deleted: list[str]
    erased: list[str] = field(default_factory=list)
    damaged: list[Damaged] = field(default_factory=list)
    bytes: int = 0
    resumed: int = 0


def update(
    target: Tree,
    contents: Contents,
    folder: Path,
    base: Tree | None,
    *,
    force: bool = False,
    skip_on_error: bool = False,
    cache: StatCache | None = None,
    meter: Meter | None = None,
) -> Updated:
    """Make ``folder`` equal to ``target``. ``base``: the bundle it was last made equal to, None if unknown.

    ``skip_on_error``: keep old files whose new bytes are damaged.

    The folder is created if it does not exist. Files of neither bundle stay, unless the target has another entry at their
    path. Local changes of permissions stay, too, unless ``force``.

    Raises:
        Refused: local changes would be lost, without ``force``; or another download is writing to the folder.
        NotFound, InvalidInput, Denied, NoSpace, Corrupt: remove the cause and run it again; it resumes.
    """
    make_folder(folder)
    root = checked_root(folder)
    top = Path(root).resolve()
    counted = meter or Meter()
    counted.start("compare")
    refuse = None if force else functools.partial(_refusal, folder, knows_base=base is not None)
    # Before the scan: another update could change the folder after it, and leave a mixture of both bundles.
    lock = PartialLock.acquire(top)
    try:
        plan = _planned(target, contents, top, base, cache, refuse)
        with translated(f"enter {printable(root)}"):
            fd = os.open(top, FOLDER_FLAGS)
    except BaseException:
        lock.release()
        raise
    try:
        filled = _Updating(target, contents, lock, fd, plan, counted, refuse, skip_on_error).run()
    finally:
        os.close(fd)
    counted.finish()
    gone = {*filled.erased, *(each.path for each in filled.damaged)}
    added, modified = ([path for path in paths if path not in gone] for paths in (plan.added, plan.modified))
    lost = sorted(filled.erased), sorted(filled.damaged)
    return Updated(added, modified, plan.deleted, *lost, filled.bytes, filled.resumed)


def _planned(
    target: Tree, contents: Contents, top: Path, base: Tree | None, cache: StatCache | None, refuse: _Refuse | None
) -> DownloadPlan:
    """Compare the folder with both bundles. Raises LocalChanges if local changes would be lost."""
    skipped: list[Skipped] = []
    leave_out, batch_rows = frozenset((PARTIAL_SUFFIX,)), contents.limits.scan_rows
    scanned = scan(top, on_error=skipped.append, leave_out=leave_out, batch_rows=batch_rows)
    with Threads(WORKERS, thread_name_prefix="sheaf-hash") as pool:
        hashes = LocalHashes(str(top).rstrip("/"), cache, pool, Meter())
        plan = make_plan(target, base, scanned, hashes, keep_modes=refuse is not None)
    plan.edits += plan.barring(each.path for each in skipped)
    if plan.edits and refuse:
        raise refuse(plan.edits)
    return plan


def _refusal(folder: Path, edits: list[str], *, knows_base: bool) -> LocalChanges:
    more = f" and {len(edits) - _NAMED} more" if len(edits) > _NAMED else ""
    named = ", ".join(printable(path) for path in edits[:_NAMED])
    hint = "save them with `sheaf bundle upload`, or overwrite them with --force"
    if not knows_base:
        hint = f"unknown which bundle the folder came from; {hint}"
    message = f"{printable(str(folder))} has local changes that would be lost: {named}{more}"
    return LocalChanges(message, hint, knows_base=knows_base)


@dataclass(frozen=True, slots=True)
class _Updating:
    target: Tree
    contents: Contents
    lock: PartialLock
    fd: int
    plan: DownloadPlan
    meter: Meter
    refuse: _Refuse | None  #: makes the error for edits; None if they are overwritten
    skip_on_error: bool

    def run(self) -> Filled:
        """Fetch and verify everything before the first file of the folder is changed. Return what was written."""
        # Files of an earlier attempt can be used only for the very same plan, because all of them will be moved.
        identity = blake3(b"update " + self.target.root.id + self.plan.fetch.tobytes()).hexdigest()
        partial = PartialFolder.enter(self.lock, identity)
        is_done = False
        try:
            with translated(f"write {printable(str(partial.path))}"):
                folding = probe_folding(partial.fd)
            if folding:
                ensure_no_collisions(self.target.batches(), folding)
            filled = self._fetch(partial)
            self._ensure_unchanged()
            kept = self._close_kept(partial)
            self._remove()
            Installation(partial.tree, self.fd, overwrite=True).run()
            self._touch()
            self._restore_kept(kept)
            restore_folders(Selection().folders(self.target), self.fd, modes=self.plan.modes)
            is_done = True
        finally:
            partial.close(is_done=is_done)
        return filled

    def _fetch(self, partial: PartialFolder) -> Filled:
        self.meter.start("download")
        rows = self.plan.rows(self.target, self.plan.fetch)
        refuse = None if self.skip_on_error else refusal_at(partial, "update")
        common = self.contents, partial.tree, partial.lock, partial.resumed
        return Filling(*common, self.meter, WORKERS, refuse).run(rows)

    def _ensure_unchanged(self) -> None:
        """Raise LocalChanges for entries that were edited since the scan: the bytes may have been fetched for hours."""
        if self.refuse is None:
            return
        edits = concurrent_edits(self.plan.states, self.plan.rows(self.target, self.plan.fetch), self.fd)
        if edits:
            raise self.refuse(edits)

    def _close_kept(self, partial: PartialFolder) -> list[str]:
        """Close new files whose permissions the user has changed to other users until these permissions are restored.

        Returns their paths.
        """
        kept = []
        for batch in self.plan.rows(self.target, self.plan.fetch) if self.plan.modes else ():
            kept += [path for path in paths_of(batch) if path in self.plan.modes]
        return [path for path in kept if self._set_mode(partial.tree, path, 0o600)]

    def _restore_kept(self, kept: list[str]) -> None:
        for path in kept:
            self._set_mode(self.fd, path, self.plan.modes[path])

    def _set_mode(self, root: int, path: str, mode: int) -> bool:
        """Set the mode of a file. Return False if it doesn't exist, because its bytes were erased or damaged."""
        parent, name = split(path)
        with Anchor(root) as anchor, translated(f"set the mode of {path}"):
            try:
                fd = os.open(name, _FILE_FLAGS, dir_fd=anchor.folder(parent))
            except FileNotFoundError:
                return False
            try:
                os.fchmod(fd, mode)
            finally:
                os.close(fd)
        return True

    def _remove(self) -> None:
        """Remove the planned files, then the planned folders if they are empty."""
        with Anchor(self.fd) as anchor:
            for path in self.plan.remove:
                parent, name = split(path)
                with translated(f"remove {path}"), suppress(FileNotFoundError):  # the user may have removed it, too
                    os.unlink(name, dir_fd=unlocked(anchor, parent))
                log_file("removed", path)
            for path in reversed(self.plan.empty):
                parent, name = split(path)
                try:
                    os.rmdir(name, dir_fd=unlocked(anchor, parent))
                except OSError:
                    # The folder contains a file of the user. If it is in the way, the move raises an error.
                    continue

    def _touch(self) -> None:
        with Anchor(self.fd) as anchor:
            for batch in self.plan.rows(self.target, self.plan.touch):
                columns = (paths_of(batch), batch["mode"].to_pylist(), batch["mtime"].to_pylist())
                for path, mode, mtime in zip(*columns, strict=True):
                    parent, name = split(path)
                    with translated(f"set mode and time of {path}"):
                        _set(anchor.folder(parent), name, self.plan.modes.get(path, mode & 0o777), mtime)


def _set(folder: int, name: str, mode: int, mtime: int) -> None:
    fd = os.open(name, _FILE_FLAGS, dir_fd=folder)
    try:
        if stat.S_ISREG(os.fstat(fd).st_mode):
            os.fchmod(fd, mode)
            os.utime(fd, ns=(mtime, mtime))
    finally:
        os.close(fd)
