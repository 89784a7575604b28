"""Move one folder: list it, save it as a bundle, prove what is saved, delete what is proved."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Protocol

from sheaf.datamover.deletion_limits import DeletionBudget
from sheaf.datamover.file_removal import FileRemoval, Stays
from sheaf.datamover.folder_lock import locked_folder
from sheaf.datamover.local_files import LocalFiles, list_files
from sheaf.datamover.mount_table import MountTable
from sheaf.datamover.saved_files import SavedFile, prove, read_saved
from sheaf.datamover.store_files import ensure_in_no_store, ensure_no_store, opening_files
from sheaf.errors import AlreadyExists, Conflict, NotFound
from sheaf.local_errors import printable
from sheaf.model.paths import join
from sheaf.repo.bundle import Bundle
from sheaf.repo.repo import Repo
from sheaf.transfer.local.scan import OWN_NAMES, Skipped
from sheaf.transfer.progress import Meter, Progress
from sheaf.transfer.store_guard import folder_of

__all__ = ["FolderMove", "MoveRequest", "MovedFolder", "Watcher"]

_ASK_AGAIN: Final = 1000  #: files that are deleted before the bundle is looked up again
_ASK_AGAIN_BYTES: Final = 256 << 20  #: or so many bytes of them


class Watcher(Protocol):
    """What a run reports, and the lists that it writes."""

    def progress(self, title: str) -> Progress | None:
        """Return a callback for the progress of one step."""

    def listed(self, paths: Iterator[str]) -> None:
        """Take the absolute paths that the upload will try."""

    def committed(self, bundle: Bundle) -> None:
        """Take the bundle as soon as it is committed."""

    def uploaded(self, paths: Iterator[str]) -> None:
        """Take the absolute paths of the files that are in the bundle."""

    def removable(self, path: str) -> None:
        """Take the absolute path of a file that may be deleted; it is deleted when this returns."""


@dataclass(frozen=True, slots=True)
class MoveRequest:
    """What to move. ``before``: only files that were modified before this time are deleted, in nanoseconds since 1970.

    ``proof_repo``: opens the repo a second time, without a cache. ``from_root``: paths in the bundle are absolute ones.
    ``needs_all``: delete nothing unless everything in the folder was saved. ``opened_with``: files that open the store,
    such as its key, which are never deleted.
    """

    repo: Repo
    proof_repo: Callable[[], Repo]
    folder: Path
    label: str
    message: str
    before: int
    budget: DeletionBudget
    unlink: bool = False
    move_label: bool = False
    from_root: bool = False
    needs_all: bool = False
    concurrency: int | None = None
    ignores_unknown_writers: bool = False
    opened_with: tuple[str, ...] = ()


@dataclass(slots=True)
class MovedFolder:
    """The result for one folder. ``bundle``: None if there was nothing to save, or after a dry run.

    ``removable``: files, and ``removable_bytes``, that are proved to be saved and old enough; ``deleted``: those of them
    that were deleted. ``kept``: what could not be saved, or not be deleted, with the reason.
    """

    folder: Path
    label: str
    bundle: Bundle | None = None
    files: int = 0
    bytes: int = 0
    new_bytes: int = 0
    removable: int = 0
    removable_bytes: int = 0
    deleted: int = 0
    deleted_bytes: int = 0
    kept: list[Skipped] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


class FolderMove:
    """One run over one folder."""

    def __init__(self, request: MoveRequest, watcher: Watcher) -> None:
        self._request = request
        self._watcher = watcher
        self._top = os.fspath(request.folder)
        self._prefix = self._top.strip("/") if request.from_root else ""
        self._root = Path("/") if request.from_root else request.folder
        #: What was done so far, also after an error.
        self.done = MovedFolder(request.folder, request.label)

    def run(self) -> MovedFolder:
        """Save the folder, and delete what may be deleted.

        Raises:
            Refused: another run has the folder, or more would be deleted than is allowed. The bundle stays.
            AlreadyExists: there is such a label.
            Corrupt, Unavailable: the store; nothing was deleted after that.
        """
        with locked_folder(self._request.folder) as root:
            self._check_label()
            found = self._list()
            self._watcher.listed(self._absolute((*found.files, *found.symlinks)))
            if found.files or found.symlinks:
                self._upload(found)
                self._remove(root, found)
        return self.done

    def plan(self) -> tuple[MovedFolder, list[str]]:
        """Return what :meth:`run` would do now, and the absolute paths that it would delete. Changes nothing."""
        with locked_folder(self._request.folder) as root:
            self._check_label()
            found = self._list()
            if not (found.files or found.symlinks):
                return self.done, []
            plan = self._request.repo.plan_upload(
                self._root, progress=self._watcher.progress("compare"), **self._choice(found)
            )
            self.done.files, self.done.bytes, self.done.new_bytes = plan.files, plan.bytes, plan.new_bytes
            self.done.kept += self._relative(plan.skipped)
            unsaved = {each.path for each in self.done.kept}
            old = [path for path in found.older_than(self._request.before) if printable(path) not in unsaved]
            old = self._without_opening_files(found, old)
            return self.done, self._removable_now(root, found, old)

    def _removable_now(self, root: int, found: LocalFiles, old: list[str]) -> list[str]:
        if not self._may_delete():
            return []
        self._reserve(found, old)
        removal, paths = self._removal(root), []
        try:
            for path in old:
                if self._tried(path, lambda path: removal.check(path, found.files[path])):
                    paths.append(path)
                    self._count(found.files[path].size)
        finally:
            removal.close()
        return list(self._absolute(paths))

    def _check_label(self) -> None:
        """Raise AlreadyExists before anything is uploaded; the commit checks it again."""
        request = self._request
        try:
            at = request.repo.label(request.label)
        except NotFound:
            return
        if not request.move_label:
            raise AlreadyExists(
                f"label '{at.name}' already exists, and points to bundle {at.bundle}",
                "choose another label with -l, or pass --move-label",
            )

    def _list(self) -> LocalFiles:
        # The names that uploads skip in their root are skipped here, too.
        leave_out = frozenset() if self._request.from_root else OWN_NAMES
        exclude = folder_of(self._request.repo.context.core)
        ensure_in_no_store(self._request.folder)
        found = list_files(self._request.folder, exclude=exclude, leave_out=leave_out)
        ensure_no_store(self._request.folder, found.files)
        self.done.kept += found.skipped
        return found

    def _choice(self, found: LocalFiles) -> dict[str, Any]:
        files = [join(self._prefix, path) for path in found.saved_paths()]
        request = self._request
        return {"label": request.label, "move_label": request.move_label, "files": files, "skip_on_error": True}

    def _upload(self, found: LocalFiles) -> None:
        request, done = self._request, self.done
        made = request.repo.upload(
            self._root,
            message=request.message,
            concurrency=request.concurrency,
            on_commit=self._watcher.committed,
            progress=self._watcher.progress("upload"),
            **self._choice(found),
        )
        done.bundle, done.files, done.bytes, done.new_bytes = made.bundle, made.files, made.bytes, made.new_bytes
        done.kept += self._relative(made.skipped)
        done.warnings += made.warnings

    def _relative(self, skipped: Iterable[Skipped]) -> Iterator[Skipped]:
        start = f"{self._prefix}/" if self._prefix else ""
        return (Skipped(each.path.removeprefix(start), each.reason) for each in skipped)

    def _remove(self, root: int, found: LocalFiles) -> None:
        request, made = self._request, self.done.bundle
        if made is None:
            return
        bundle = request.proof_repo().bundle(f"bundle:{made.id}")
        saved = read_saved(bundle, self._prefix)
        self._watcher.uploaded(self._absolute(path for path in found.files if path in saved))
        old = self._without_opening_files(found, [path for path in found.older_than(request.before) if path in saved])
        if not old or not self._may_delete():
            return
        self._reserve(found, old)
        sound, damaged = prove(bundle, self._prefix, old, saved, self._watcher.progress("verify"))
        self.done.kept += damaged
        if self._may_delete():
            self._remove_all(root, found, sound)

    def _without_opening_files(self, found: LocalFiles, paths: list[str]) -> list[str]:
        """Return the paths without files that open the store: what is in it could not be read without them."""
        needed = set(opening_files(self._request.opened_with))
        opening = {path for path in paths if (found.files[path].dev, found.files[path].ino) in needed}
        self.done.kept += [Skipped(printable(path), "it opens the store") for path in sorted(opening)]
        return [path for path in paths if path not in opening]

    def _may_delete(self) -> bool:
        """False if everything has to be saved and something was not."""
        return not (self._request.needs_all and self.done.kept)

    def _reserve(self, found: LocalFiles, old: list[str]) -> None:
        if self._request.unlink:
            self._request.budget.take(len(old), sum(found.files[path].size for path in old), len(found.files))

    def _remove_all(self, root: int, found: LocalFiles, sound: Mapping[str, SavedFile]) -> None:
        meter = Meter(self._watcher.progress("compare"), "delete" if self._request.unlink else "compare")
        meter.add_total(files=len(sound), size=sum(file.size for file in sound.values()))
        removal = self._removal(root)
        try:
            files, unasked = _ASK_AGAIN, 0
            for path in sound:
                size = found.files[path].size
                files, unasked = files + 1, unasked + size
                if files > _ASK_AGAIN or unasked > _ASK_AGAIN_BYTES:
                    self._check_bundle()
                    files, unasked = 1, size
                if self._tried(path, lambda path: removal.remove(path, found.files[path], sound)):
                    self._count(size)
                meter.add(files=1, size=size)
        finally:
            removal.close()
        meter.finish()

    def _removal(self, root: int) -> FileRemoval:
        table, top = MountTable.read(), os.fsencode(self._top)
        return FileRemoval(
            root,
            tuple(map(os.fsdecode, table.below(top))),
            is_shared=table.is_shared(top),
            may_be_unknown=self._request.ignores_unknown_writers,
            note=lambda path: self._watcher.removable(self._full(path)),
            unlinks=self._request.unlink,
        )

    def _tried(self, path: str, act: Callable[[str], None]) -> bool:
        """Return True if a file may be deleted, or is; else note why it stays."""
        try:
            act(path)
        except Stays as why:
            self.done.kept.append(Skipped(printable(path), str(why)))
        except FileNotFoundError:
            self.done.kept.append(Skipped(printable(path), "it was deleted or moved by another program"))
        except OSError as error:
            self.done.kept.append(Skipped(printable(path), error.strerror or "it can't be read or deleted"))
        else:
            return True
        return False

    def _count(self, size: int) -> None:
        self.done.removable += 1
        self.done.removable_bytes += size
        if self._request.unlink:
            self.done.deleted += 1
            self.done.deleted_bytes += size

    def _check_bundle(self) -> None:
        """Raise Conflict if the bundle or its repo was deleted, erased from or quarantined since it was committed."""
        made = self.done.bundle
        assert made is not None  # nothing is deleted without a bundle
        repo = self._request.repo
        try:
            repo.context.ensure_writable()
            now = repo.bundle(f"bundle:{made.id}")
        except NotFound as error:
            raise Conflict(
                f"bundle {made.id} was deleted in the meantime: no more files are deleted",
                "restore it with `sheaf bundle undelete`",
            ) from error
        if now.descriptor.root != made.descriptor.root or made.id in repo.context.log.last.aside:
            raise Conflict(
                f"bundle {made.id} was changed by an erasure or a repair in the meantime: no more files are deleted",
                "run the command again with a new label",
            )

    def _absolute(self, paths: Iterable[str]) -> Iterator[str]:
        return (self._full(path) for path in paths if "\n" not in path)

    def _full(self, path: str) -> str:
        return f"{self._top.rstrip('/')}/{path}"
