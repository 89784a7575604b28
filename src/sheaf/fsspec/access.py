"""Resolve paths, read files, and collect the writes of a call or a transaction."""

from __future__ import annotations

import io
import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, TypeVar, cast

from msgspec.structs import replace

from sheaf.errors import Conflict, NotFound
from sheaf.fork import RLock
from sheaf.fsspec.connection import MAIN, Connection
from sheaf.fsspec.open_file import IN_MEMORY, Content, ReadingFile, WritingFile
from sheaf.fsspec.os_errors import exists, is_folder, missing, no_ref
from sheaf.fsspec.uncommitted import CopiedFile, LocalFile, Made, UncommittedChanges, file_entry
from sheaf.fsspec.url import SheafUrl
from sheaf.fsspec.workspace import Workspace
from sheaf.model.entries import Kind, ManifestEntry
from sheaf.model.paths import join, split
from sheaf.repo.bundle import Bundle
from sheaf.vfs import FileTree, follow

__all__ = ["Access", "View", "followed", "target"]

T = TypeVar("T")
View = FileTree | UncommittedChanges
_BUFFER = 1 << 20  # size in bytes of the buffer for small reads
_TRIES = 10  # attempts of a write whose branch others move at the same time


class Access:
    """Reads and writes files by location. Thread-safe; all threads share a transaction."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        # .workspace: the writes of the current call of this thread; .bundles: see snapshot().
        self._mine = threading.local()
        self._shared: Workspace | None = None  # the writes of the transaction
        self._writing = RLock()

    # -- writing together ----------------------------------------------------------------------------------------------

    @property
    def _current(self) -> Workspace | None:
        return self._shared or getattr(self._mine, "workspace", None)

    def atomically(self, message: str, action: Callable[[], T]) -> T:
        """Execute a change within the transaction; without one, commit it as a bundle.

        The change is executed again, ten times at most, if another process moves the branch in the meantime.
        """
        if self._current is not None:
            return action()
        with self._writing:
            for _ in range(_TRIES - 1):
                try:
                    return self._once(message, action)
                except Conflict:
                    continue
            return self._once(message, action)

    def _once(self, message: str, action: Callable[[], T]) -> T:
        workspace = self._mine.workspace = Workspace()
        try:
            with self.snapshot():
                result = action()
            workspace.commit(message)
            return result
        finally:
            self._mine.workspace = None
            workspace.close()

    def begin(self) -> None:
        """Begin a transaction: collect writes until :meth:`end`."""
        self._shared = Workspace()

    def end(self) -> None:
        """Discard the collected writes and end the transaction."""
        shared, self._shared = self._shared, None
        if shared is not None:
            shared.close()

    @property
    def shared(self) -> Workspace:
        """Return the changes of the transaction so far."""
        assert self._shared is not None
        return self._shared

    # -- finding -------------------------------------------------------------------------------------------------------

    @contextmanager
    def snapshot(self) -> Iterator[None]:
        """Resolve each ref only once within the block, in this thread: a call that reads many files reads one bundle."""
        before = getattr(self._mine, "bundles", None)
        self._mine.bundles = {} if before is None else before
        try:
            yield
        finally:
            self._mine.bundles = before

    def bundle(self, at: SheafUrl) -> Bundle:
        """Return the bundle of a location. Raises NotFound, Ambiguous."""
        known: dict[str, Bundle] | None = getattr(self._mine, "bundles", None)
        if known is None:
            return self.connection.bundle(at)
        if at.bundle not in known:
            known[at.bundle] = self.connection.bundle(at)
        return known[at.bundle]

    def view(self, at: SheafUrl) -> View:
        """Return what to read a location from. Within a transaction, a branch is fixed by its first use."""
        if self._current is None or self.connection.branch(at) is None:
            return self.bundle(at).view
        return self.pending(at, new=True)

    def pending(self, at: SheafUrl, *, new: bool = False) -> UncommittedChanges:
        """Return the changes to a location's branch, which must exist or be ``main``. Raises NotFound, OSError (EROFS).

        ``new``: the branch need not exist.
        """
        assert self._current is not None
        branch = self.connection.check_writable(at)
        repo = self.connection.repo(at.repo)
        key = repo.id, branch
        pending = self._current.begin(key, lambda: UncommittedChanges(repo, branch, self.connection.head(repo, branch)))
        if not (new or pending.base or pending.is_new or branch == MAIN):
            raise NotFound(f'didn\'t find branch "{branch}"', f"create it with mkdir('{at.bundle}')")
        return pending

    def entry(self, at: SheafUrl, *, dangling: bool = False) -> tuple[View, ManifestEntry]:
        """Return the entry of a location, symlinks followed; with ``dangling`` also a dangling symlink.

        Raises FileNotFoundError.
        """
        view = self.view(at)
        if isinstance(view, UncommittedChanges) and not at.path and not (view.base or view.is_changed):
            raise missing(at)
        entry = followed(view, at.path) or (_finder(view)(at.path) if dangling else None)
        if entry is None:
            raise missing(at)
        return view, entry

    def file(self, at: SheafUrl) -> tuple[View, ManifestEntry]:
        """Return the entry of a file, symlinks followed. Raises FileNotFoundError, IsADirectoryError."""
        if at.ref is None:
            self.names(at)
            raise is_folder(at)
        view, entry = self.entry(at)
        if entry.kind == Kind.FOLDER:
            raise is_folder(at)
        return view, entry

    def names(self, at: SheafUrl) -> list[str]:
        """List a folder of repos: repos and folders by name; for a repo, its refs. Raises FileNotFoundError."""
        inside = at.repo + "/" if at.repo else ""
        names = [repo.name for repo in self.connection.repos()]
        found = {inside + name[len(inside) :].split("/")[0] for name in names if name.startswith(inside)}
        refs = [f"{at.repo}@{ref}" for ref in self.connection.refs(at.repo)] if at.repo in names else []
        if at.repo and not found and at.repo not in names:
            for name in (name for name in names if at.repo.startswith(f"{name}/")):
                raise no_ref(at, f"sheaf://{name}@{MAIN}/{at.repo.removeprefix(name + '/')}")
            raise missing(at)
        return sorted(found) + refs

    # -- files ---------------------------------------------------------------------------------------------------------

    def is_inside(self, at: SheafUrl, folder: SheafUrl) -> bool:
        """Return True if a path is, or would be, below a folder of the same branch or bundle, symlinks followed."""
        if at.repo != folder.repo:
            return False
        try:
            view, other = self.view(folder), self.view(at)
        except NotFound:
            return False
        is_same = (
            view is other if isinstance(view, UncommittedChanges) else self.bundle(at).id == self.bundle(folder).id
        )
        top, inner, rest = followed(view, folder.path), at.path, ""
        while inner and (found := followed(view, inner)) is None:
            inner, name = split(inner)
            rest = join(name, rest) if rest else name
        real = join(found.path, rest) if inner and found else rest
        return is_same and top is not None and top.kind == Kind.FOLDER and real.startswith(f"{top.path}/")

    def raw(self, at: SheafUrl) -> io.RawIOBase:
        """Open a file for reading, without a buffer."""
        view, entry = self.file(at)
        if isinstance(view, UncommittedChanges):
            if view.is_made(entry.path):
                return cast(io.RawIOBase, view.open(entry.path))
            view = committed(view)
        return ReadingFile(view.contents, entry)

    def open(self, at: SheafUrl) -> BinaryIO:
        """Open a file for reading."""
        return cast(BinaryIO, io.BufferedReader(self.raw(at), _BUFFER))

    def read(self, at: SheafUrl, start: int | None, end: int | None) -> bytes:
        """Read a range of a file; negative positions count from its end."""
        view, entry = self.file(at)
        begin, stop, _ = slice(start, end).indices(entry.size)
        size = max(stop - begin, 0)
        if isinstance(view, UncommittedChanges):
            if view.is_made(entry.path):
                with view.open(entry.path) as stream:
                    stream.seek(begin)
                    return stream.read(size)
            view = committed(view)
        return view.contents.read(entry, begin, size)

    def writer(self, at: SheafUrl, mode: str, *, autocommit: bool) -> WritingFile:
        """Open a file for writing. Raises errors now, not when it is closed."""
        own = Workspace() if self._current is None else None
        workspace = own or self._current
        assert workspace is not None
        start = self.atomically(f"open {at.path}", lambda: self._start_of(at, mode))

        def done(content: Content) -> None:
            try:
                self.atomically(f"write {at.path}", lambda: self._write(at, content, mode))
            finally:
                if own is not None:
                    own.close()

        file = WritingFile(workspace.scratch, done, autocommit=autocommit, appends=mode == "ab")
        if start is not None:
            with start:
                shutil.copyfileobj(start, file, IN_MEMORY)
            file.seek(0, io.SEEK_END if mode == "ab" else io.SEEK_SET)
        return file

    def _start_of(self, at: SheafUrl, mode: str) -> BinaryIO | None:
        """Check that a file may be written; return its current content for the modes that keep it, else None.

        Raises IsADirectoryError, FileExistsError, FileNotFoundError.
        """
        entry = follow(self.pending(at).find, at.path)
        if entry is not None and entry.kind == Kind.FOLDER:
            raise is_folder(at)
        if mode == "xb" and entry is not None:
            raise exists(at)
        if mode == "r+b" and entry is None:
            raise missing(at)
        return self.open(at) if entry is not None and mode in ("ab", "r+b") else None

    def _write(self, at: SheafUrl, content: Content, mode: str) -> None:
        pending = self.pending(at)
        path = target(pending, at.path)
        old = pending.find(path)
        if mode == "xb" and old is not None:
            raise exists(at)
        size = len(content) if isinstance(content, bytes) else content.stat().st_size
        pending.write(path, Made(file_entry(path, size, old.mode if old else 0o644), content))

    def copied(self, at: SheafUrl) -> Made:
        """Return a file as the source of a copy."""
        view, entry = self.file(at)
        if isinstance(view, UncommittedChanges):
            return view.source(entry.path)
        return Made(entry, CopiedFile(self.bundle(at), entry.path))

    def local_source(self, path: str, local: Path) -> Made:
        """Return a local file, with its mode and time, as the source of a write.

        Within a transaction its current bytes are copied, since the file may change before the commit.
        """
        status = local.stat()
        entry = file_entry(path, status.st_size, status.st_mode & 0o777, status.st_mtime_ns)
        # Without a transaction, the file is committed before the call returns, so a copy isn't needed.
        if self._shared is None:
            return Made(entry, LocalFile(local.resolve()))
        if status.st_size <= IN_MEMORY:
            content = local.read_bytes()
            return Made(replace(entry, size=len(content)), content)
        copy = self._shared.scratch()
        shutil.copyfile(local, copy)
        return Made(replace(entry, size=copy.stat().st_size), copy)


def committed(pending: UncommittedChanges) -> FileTree:
    """Return the file tree of the bundle that changes are made to."""
    assert pending.base is not None
    return pending.base.view


def followed(view: View, path: str) -> ManifestEntry | None:
    """Return the entry of a path, symlinks followed, or None."""
    return follow(_finder(view), path)


def _finder(view: View) -> Callable[[str], ManifestEntry | None]:
    return view.tree.find if isinstance(view, FileTree) else view.find


def target(pending: UncommittedChanges, path: str) -> str:
    """Return the path to write to: symlinks are followed, also in parents of a new path."""
    entry = follow(pending.find, path)
    if entry is not None:
        return entry.path
    folder, name = split(path)
    above = follow(pending.find, folder) if folder else None
    return join(above.path, name) if above is not None else path
