"""The file system itself: every call of fsspec's, as one of a bundle's file tree or of a branch's pending changes."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import stat
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from fsspec.spec import AbstractFileSystem

from sheaf.fsspec.access import Access, View, followed, target
from sheaf.fsspec.connection import Connection, Options
from sheaf.fsspec.errors import exists, is_folder, missing, not_empty, not_folder, os_errors
from sheaf.fsspec.location import Location, strip
from sheaf.fsspec.transaction import Transaction
from sheaf.model.entries import Entry, Kind
from sheaf.model.ids import ZERO_HASH
from sheaf.model.paths import join, relative, split
from sheaf.storage.options import StorageOptions

__all__ = ["SheafFileSystem"]

_STORAGE = frozenset(field.name for field in dataclasses.fields(StorageOptions))


class SheafFileSystem(AbstractFileSystem):
    """``sheaf://repo@ref/path``. Any ref can be read, branches can be written to.

    Each call that writes makes one bundle; inside ``with fs.transaction:`` all of them together do. The branch ``main``
    comes into being with the first write to it; ``mkdir("sheaf://repo@other")`` makes others.

    Args:
        store: URL of the store; None is the one that the command line would use.
        cache: folder for copies of manifests, as in :func:`sheaf.connect`.
        name, email: who writes.
        options: fields of :class:`sheaf.StorageOptions`, and those that every file system of fsspec takes.
    """

    protocol = "sheaf"
    root_marker = ""
    transaction_type = Transaction

    def __init__(
        self,
        store: str | None = None,
        cache: str | None = None,
        name: str | None = None,
        email: str = "",
        **options: Any,
    ) -> None:
        storage = {key: str(options.pop(key)) for key in list(options) if key in _STORAGE}
        super().__init__(**options)
        self.access = Access(Connection(Options(store, cache, name, email, storage)))

    @classmethod
    def _strip_protocol(cls, path: Any) -> Any:
        if isinstance(path, list):
            return [cls._strip_protocol(each) for each in path]
        return strip(os.fspath(path))

    # -- looking -------------------------------------------------------------------------------------------------------

    @os_errors
    def info(self, path: str, **kwargs: Any) -> dict[str, Any]:
        """What is at a path: name, size in bytes, type, and of files mode, mtime (seconds) and content hash."""
        at = Location.parse(path)
        if at.ref is None:
            self.access.names(at)
            return _folder(str(at))
        return _described(str(at), at.path, self.access.entry(at, dangling=True)[1])

    def exists(self, path: str, **kwargs: Any) -> bool:
        """Whether there is a file or folder; a symlink that leads nowhere is none."""
        return self.lexists(path) and self.info(path)["type"] != "other"

    def lexists(self, path: str, **kwargs: Any) -> bool:
        """Whether there is anything, a symlink that leads nowhere included."""
        return bool(super().exists(path, **kwargs))

    @os_errors
    def ls(self, path: str, detail: bool = True, **kwargs: Any) -> list[Any]:
        """What is in a folder; of a file, itself. Of a repo its refs, of a folder of repos these."""
        at = Location.parse(path)
        if at.ref is None:
            found = [_folder(name) for name in self.access.names(at)]
        else:
            found = list(self._listing(at, recursive=False))
        return found if detail else [info["name"] for info in found]

    @os_errors
    def find(
        self, path: str, maxdepth: int | None = None, withdirs: bool = False, detail: bool = False, **kwargs: Any
    ) -> Any:
        """All files below a path, in one pass over the manifest."""
        at = Location.parse(path)
        if at.ref is None or maxdepth is not None:
            return super().find(path, maxdepth=maxdepth, withdirs=withdirs, detail=detail, **kwargs)
        found: dict[str, dict[str, Any]] = {}
        with contextlib.suppress(FileNotFoundError):
            top = self.info(str(at))
            if withdirs and top["type"] == "directory":
                found[top["name"]] = top
            found |= {info["name"]: info for info in self._listing(at, recursive=True)}
        names = sorted(name for name, info in found.items() if withdirs or info["type"] != "directory")
        return {name: found[name] for name in names} if detail else names

    def modified(self, path: str) -> datetime:
        """When a file was last modified before it was put into the bundle."""
        return datetime.fromtimestamp(self.info(path).get("mtime", 0), UTC)

    def ukey(self, path: str) -> str:
        """What changes when a file's content does: its hash."""
        return str(self.info(path).get("content") or super().ukey(path))

    # -- reading -------------------------------------------------------------------------------------------------------

    @os_errors
    def cat_file(self, path: str, start: int | None = None, end: int | None = None, **kwargs: Any) -> bytes:
        """A file's bytes, or a range of them; negative positions count from its end."""
        return self.access.read(Location.parse(path), start, end)

    @os_errors
    def cat(self, *args: Any, **kwargs: Any) -> Any:
        """Whole files: bytes of one, a dictionary of several, all of them of one bundle."""
        with self.access.snapshot():
            return super().cat(*args, **kwargs)

    @os_errors
    def cat_ranges(self, *args: Any, **kwargs: Any) -> Any:
        """Ranges of files, all of them of one bundle."""
        with self.access.snapshot():
            return super().cat_ranges(*args, **kwargs)

    @os_errors
    def get(self, *args: Any, **kwargs: Any) -> None:
        """Copy files to the local disk, all of them of one bundle."""
        with self.access.snapshot():
            super().get(*args, **kwargs)

    @os_errors
    def get_file(self, rpath: str, lpath: Any, callback: Any = None, outfile: Any = None, **kwargs: Any) -> None:
        """Copy a file (or make a folder) to the local disk, with its mode and time."""
        extra = {} if callback is None else {"callback": callback}
        super().get_file(rpath, lpath, outfile=outfile, **extra, **kwargs)
        info = self.info(rpath)
        if outfile is None and info["type"] == "file" and isinstance(lpath, (str, os.PathLike)):
            Path(lpath).chmod(info["mode"])
            os.utime(lpath, ns=(info["mtime_ns"], info["mtime_ns"]))

    @os_errors
    def _open(
        self, path: str, mode: str = "rb", block_size: int | None = None, autocommit: bool = True, **kwargs: Any
    ) -> Any:
        at = Location.parse(path)
        if mode == "rb":
            return self.access.open(at, block_size)
        if mode not in ("wb", "ab", "xb", "r+b"):
            raise ValueError(f"a file can't be opened as '{mode}'")
        return self.access.writer(at, mode, autocommit=autocommit or self._intrans)

    # -- writing -------------------------------------------------------------------------------------------------------

    @os_errors
    def mkdir(self, path: str, create_parents: bool = True, **kwargs: Any) -> None:
        """Make a folder; of a bundle's root (``repo@name``), a branch that is empty."""
        at = Location.parse(path)

        def make() -> None:
            pending = self.access.pending(at, new=not at.path)
            if not at.path:
                if pending.base is not None or pending.is_new:
                    raise exists(at)
                pending.is_new = True
                return
            inner = target(pending, at.path)
            if not create_parents and pending.find(split(inner)[0]) is None:
                raise missing(split(str(at))[0])
            pending.mkdir(inner)

        self.access.atomically(f"mkdir {at.path or at.ref}", make)

    @os_errors
    def makedirs(self, path: str, exist_ok: bool = False) -> None:
        """Make a folder and those above it; never a branch, since programs call this before they write anything."""
        at = Location.parse(path)
        try:
            kind = self.info(path)["type"]
        except FileNotFoundError:
            if at.path:
                self.mkdir(path)
            else:
                self.access.atomically("look", lambda: self.access.pending(at))
            return
        if kind != "directory" or not exist_ok:
            raise exists(path)

    @os_errors
    def rmdir(self, path: str) -> None:
        """Remove an empty folder."""
        at = Location.parse(path)

        def remove() -> None:
            pending, entry = self.access.pending(at), self.access.entry(at)[1]
            if entry.kind != Kind.FOLDER:
                raise not_folder(at)
            if not entry.path or next(pending.list(entry.path), None) is not None:
                raise not_empty(at)
            pending.remove(entry.path)

        self.access.atomically(f"rmdir {at.path}", remove)

    @os_errors
    def rm(self, path: Any, recursive: bool = False, maxdepth: int | None = None) -> None:
        """Remove files, and with ``recursive`` folders with all in them; one bundle for all of them."""

        def remove() -> None:
            for name in reversed(self.expand_path(path, recursive=maxdepth is not None, maxdepth=maxdepth)):
                self._remove(Location.parse(name), recursive)

        self.access.atomically(f"rm {Location.parse(path).path}" if isinstance(path, str) else "rm", remove)

    @os_errors
    def rm_file(self, path: str) -> None:
        """Remove one file."""
        at = Location.parse(path)
        self.access.atomically(f"rm {at.path}", lambda: self._remove(at, recursive=False))

    @os_errors
    def cp_file(self, path1: str, path2: str, **kwargs: Any) -> None:
        """Copy a file by reference: no bytes are read. Of a folder, make one."""
        source, at = Location.parse(path1), Location.parse(path2)

        def copy() -> None:
            if self.isdir(path1):
                self.makedirs(path2, exist_ok=True)
                return
            made = self.access.copied(source)
            pending = self.access.pending(at)
            pending.write(target(pending, at.path), made)

        self.access.atomically(f"copy {source.path} to {at.path}", copy)

    @os_errors
    def put_file(self, lpath: Any, rpath: str, callback: Any = None, mode: str = "overwrite", **kwargs: Any) -> None:
        """Copy a local file, with its mode and time, or make a folder."""
        at = Location.parse(rpath)

        def put() -> None:
            if Path(lpath).is_dir():
                self.makedirs(rpath, exist_ok=True)
                return
            pending = self.access.pending(at)
            path = target(pending, at.path)
            if mode == "create" and pending.find(path) is not None:
                raise exists(at)
            pending.write(path, self.access.taken(path, Path(lpath)))

        self.access.atomically(f"put {at.path}", put)

    @os_errors
    def pipe_file(self, path: str, value: bytes, mode: str = "overwrite", **kwargs: Any) -> None:
        """Write a file."""
        with self.open(path, "xb" if mode == "create" else "wb") as stream:
            stream.write(value)

    @os_errors
    def put(self, *args: Any, **kwargs: Any) -> None:
        """Copy local files; one bundle for all of them."""
        self.access.atomically("put", lambda: super(SheafFileSystem, self).put(*args, **kwargs))

    @os_errors
    def copy(self, *args: Any, **kwargs: Any) -> None:
        """Copy files by reference; one bundle for all of them."""
        self.access.atomically("copy", lambda: super(SheafFileSystem, self).copy(*args, **kwargs))

    @os_errors
    def mv(self, *args: Any, **kwargs: Any) -> None:
        """Move files by reference; one bundle for all of them."""
        self.access.atomically("move", lambda: super(SheafFileSystem, self).mv(*args, **kwargs))

    @os_errors
    def pipe(self, *args: Any, **kwargs: Any) -> None:
        """Write files; one bundle for all of them."""
        self.access.atomically("write", lambda: super(SheafFileSystem, self).pipe(*args, **kwargs))

    # -- plumbing ------------------------------------------------------------------------------------------------------

    def _listing(self, at: Location, *, recursive: bool) -> Iterator[dict[str, Any]]:
        view, entry = self.access.entry(at)
        if entry.kind != Kind.FOLDER:
            yield _described(str(at), at.path, entry)
            return
        for found in view.list(entry.path, recursive=recursive):
            inner = join(at.path, relative(found.path, entry.path))
            yield _described(f"{at.bundle}/{inner}", inner, _shown(view, found))

    def _remove(self, at: Location, recursive: bool) -> None:
        pending = self.access.pending(at)
        entry = pending.find(at.path) if at.path else self.access.entry(at)[1]
        if entry is None:
            raise missing(at)
        if entry.kind == Kind.FOLDER and not recursive:
            raise is_folder(at)
        pending.remove(entry.path)


def _shown(view: View, entry: Entry) -> Entry:
    """What a symlink leads to; itself if that is nothing."""
    return followed(view, entry.path) or entry if entry.kind == Kind.SYMLINK else entry


def _folder(name: str) -> dict[str, Any]:
    return {"name": name, "size": 0, "type": "directory"}


def _described(name: str, path: str, entry: Entry) -> dict[str, Any]:
    times = {"mtime": entry.mtime / 1e9, "mtime_ns": entry.mtime}
    if entry.kind == Kind.FOLDER:
        return _folder(name) | {"mode": stat.S_IFDIR | entry.mode, **times}
    if entry.kind == Kind.SYMLINK:  # it leads nowhere
        return {"name": name, "size": 0, "type": "other", "islink": True, "destination": entry.target, **times}
    info = {"name": name, "size": entry.size, "type": "file", "mode": entry.mode, **times}
    if entry.content != ZERO_HASH:
        info["content"] = entry.content.hex()
    return info | ({"islink": True} if entry.path != path else {})
