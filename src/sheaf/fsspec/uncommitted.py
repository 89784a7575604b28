"""Uncommitted writes to a branch, on top of the bundle that the branch pointed to.

The interface is that of :class:`sheaf.vfs.FileTree`, so that a program reads what it has just written. Callers follow
symlinks; the paths here are used as given.
"""

from __future__ import annotations

import functools
import io
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, BinaryIO, TypeVar, cast

from msgspec import structs

from sheaf.engine.clock import SystemClock
from sheaf.fork import RLock
from sheaf.fsspec.open_file import Content
from sheaf.fsspec.os_errors import exists, is_folder, missing, not_folder
from sheaf.model.entries import Kind, ManifestEntry
from sheaf.model.paths import ancestors, check_path, split
from sheaf.repo.bundle import Bundle
from sheaf.repo.edit import Edit
from sheaf.repo.repo import Repo
from sheaf.vfs import ROOT

__all__ = ["CopiedFile", "LocalFile", "Made", "UncommittedChanges", "file_entry"]


F = TypeVar("F", bound=Callable[..., Any])


@dataclass(frozen=True, slots=True)
class CopiedFile:
    """A file of a bundle in this store, to be copied by reference."""

    bundle: Bundle
    path: str


@dataclass(frozen=True, slots=True)
class LocalFile:
    """A local file of the user, read when the bundle is committed."""

    path: Path


@dataclass(frozen=True, slots=True)
class Made:
    """A new entry at a path. ``source`` is its content, None for a folder. A file's entry is not stored yet."""

    entry: ManifestEntry
    source: Content | CopiedFile | LocalFile | None = None


def _alone(method: F) -> F:
    """Decorate a method to run in one thread at a time."""

    @functools.wraps(method)
    def locked(self: UncommittedChanges, *args: Any, **kwargs: Any) -> Any:
        with self._lock:
            return method(self, *args, **kwargs)

    return cast(F, locked)


class UncommittedChanges:
    """The changes to a branch. Thread-safe. ``base``: the bundle that it pointed to, None for a new branch."""

    def __init__(self, repo: Repo, branch: str, base: Bundle | None) -> None:
        self.repo = repo
        self.branch = branch
        self.base = base
        self._lock = RLock()
        self._made: dict[str, Made] = {}
        self._below: dict[str, set[str]] = {}  # paths of new entries by folder
        self._hidden: dict[str, None] = {}  # removed paths of the base; everything below them is removed too
        self.is_new = False  #: True to create the branch even without other changes

    @property
    def is_changed(self) -> bool:
        """True if there are changes to commit."""
        return bool(self._made or self._hidden or self.is_new)

    # -- reading -------------------------------------------------------------------------------------------------------

    @_alone
    def find(self, path: str) -> ManifestEntry | None:
        """Return the entry of a path with the changes applied, or None."""
        if not path:
            return ROOT
        if path in self._made:
            return self._made[path].entry
        if self.base is None or self._is_hidden(path):
            return None
        return self.base.tree.find(check_path(path))

    @_alone
    def list(self, folder: str, *, recursive: bool = False) -> Iterator[ManifestEntry]:
        """Return the entries of a folder, with ``recursive`` all below it, in any order."""
        found = list(self._listed(folder, recursive))
        if self.base is not None and not self._is_hidden(folder):
            below = self.base.tree.entries(folder, recursive=recursive)
            found += [entry for entry in below if not (entry.path in self._made or self._is_hidden(entry.path))]
        return iter(found)

    def open(self, path: str) -> BinaryIO:
        """Open a file that was written here. Raises IsADirectoryError for a folder."""
        match self._made[path].source:
            case bytes() as content:
                return io.BytesIO(content)
            case Path() as file:
                return file.open("rb")
            case CopiedFile(bundle, taken):
                return bundle.open(taken)
            case LocalFile(file):
                return file.open("rb")
            case None:
                raise is_folder(path)

    def is_made(self, path: str) -> bool:
        """Return True if a path was written here."""
        return path in self._made

    @_alone
    def source(self, path: str) -> Made:
        """Return the source for a copy of a file."""
        if path in self._made:
            return self._made[path]
        entry = self.find(path)
        if entry is None or self.base is None:
            raise missing(path)
        return Made(entry, CopiedFile(self.base, path))

    # -- changing ------------------------------------------------------------------------------------------------------

    @_alone
    def write(self, path: str, made: Made) -> None:
        """Write a file, and create missing folders above it. Raises IsADirectoryError."""
        self._make_room(path)
        old = self.find(path)
        if old is not None and old.kind == Kind.FOLDER:
            raise is_folder(path)
        self._set(path, made)

    @_alone
    def mkdir(self, path: str) -> None:
        """Create a folder and those above it. Raises FileExistsError."""
        if self.find(path) is not None:
            raise exists(path)
        self._make_room(path)
        self._set(path, Made(_entry(path, Kind.FOLDER, 0o755)))

    @_alone
    def remove(self, path: str) -> None:
        """Remove a file, or a folder with its contents; for the root, all of its contents."""
        if not path:
            for name in [entry.path for entry in self.list("")]:
                self.remove(name)
            return
        if self.find(path) is None:
            raise missing(path)
        in_base = self.base is not None and not self._is_hidden(path) and self.base.tree.find(path) is not None
        for below in [entry.path for entry in self._listed(path, recursive=True)]:
            self._unset(below)
        self._unset(path)
        if in_base:
            self._hidden[path] = None

    # -- committing ----------------------------------------------------------------------------------------------------

    def commit(self, message: str, label: str | None, *, move_label: bool = False) -> Bundle:
        """Commit the changes, and return the bundle. Raises Conflict if the branch moved."""
        expect = self.base.id if self.base else ""
        names: dict[str, Any] = {"branch": self.branch, "label": label, "move_label": move_label}
        with self.repo.edit(message=message, **names, expect=expect) as edit:
            for path in self._hidden:
                edit.remove(path)
            for path, made in self._made.items():
                _put(edit, path, made)
            return edit.commit()

    # -- plumbing ------------------------------------------------------------------------------------------------------

    def _is_hidden(self, path: str) -> bool:
        return bool(self._hidden) and any(part in self._hidden for part in [path, *ancestors(path)])

    def _listed(self, folder: str, recursive: bool) -> Iterator[ManifestEntry]:
        """Yield what was written in a folder, with ``recursive`` also below it."""
        folders = [folder]
        if recursive:
            folders = [
                above for above in self._below if above == folder or above.startswith(folder + "/" * bool(folder))
            ]
        for above in folders:
            for path in sorted(self._below.get(above, ())):
                yield self._made[path].entry

    def _make_room(self, path: str) -> None:
        for folder in ancestors(check_path(path)):
            entry = self.find(folder)
            if entry is None:
                self._set(folder, Made(_entry(folder, Kind.FOLDER, 0o755)))
            elif entry.kind != Kind.FOLDER:
                raise not_folder(folder)

    def _set(self, path: str, made: Made) -> None:
        folder, name = split(path)
        self._made[path] = replace(made, entry=structs.replace(made.entry, folder=folder, name=name))
        self._below.setdefault(folder, set()).add(path)

    def _unset(self, path: str) -> None:
        if self._made.pop(path, None) is not None:
            self._below[split(path)[0]].discard(path)


def file_entry(path: str, size: int, mode: int = 0o644, mtime: int | None = None) -> ManifestEntry:
    """Return the entry of a file that was just written. ``mtime``: nanoseconds since 1970, by default now."""
    entry = structs.replace(_entry(path, Kind.FILE, mode), size=size)
    return entry if mtime is None else structs.replace(entry, mtime=mtime)


def _entry(path: str, kind: Kind, mode: int) -> ManifestEntry:
    folder, name = split(path)
    return ManifestEntry(folder, name, kind, mode, SystemClock().now_ns())


def _put(edit: Edit, path: str, made: Made) -> None:
    match made.source:
        case None:
            edit.mkdir(path, mode=made.entry.mode, mtime_ns=made.entry.mtime)
        case CopiedFile(bundle, taken):
            edit.copy(taken, path, source=bundle)
        case LocalFile(file):
            edit.put_file(path, file)
        case Path() as file:
            with file.open("rb") as stream:
                edit.put(path, stream, mode=made.entry.mode, mtime_ns=made.entry.mtime)
        case bytes() as content:
            edit.put(path, content, mode=made.entry.mode, mtime_ns=made.entry.mtime)
