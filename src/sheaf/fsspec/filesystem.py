"""The fsspec file system: reads from file trees of bundles, writes to pending changes of branches."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from fsspec.spec import AbstractFileSystem, has_magic

from sheaf.fsspec.access import Access, View, followed, target
from sheaf.fsspec.connection import Connection, Options
from sheaf.fsspec.open_file import FileReader, Text, WritingFile, discarding
from sheaf.fsspec.os_errors import exists, is_folder, missing, not_empty, not_folder, os_errors
from sheaf.fsspec.transaction import Transaction
from sheaf.fsspec.url import SheafUrl, strip
from sheaf.fsspec.walk import Walk
from sheaf.local_errors import ensure_utf8_names
from sheaf.model.entries import Kind, ManifestEntry
from sheaf.model.ids import ZERO_HASH
from sheaf.model.paths import join, relative, split
from sheaf.storage.storage_options import StorageOptions

__all__ = ["SheafFileSystem"]

_STORAGE = frozenset(StorageOptions.__struct_fields__)


class SheafFileSystem(AbstractFileSystem):
    """The file system of ``sheaf://repo@ref/path``. All refs can be read, branches can be written.

    Each writing call makes one bundle; inside ``with fs.transaction:`` all of them make one. The first write creates the
    branch ``main``; ``mkdir("sheaf://repo@other")`` creates other branches.

    Args:
        store: the URL of the store; None: the store of the command line.
        cache: a folder for copies of manifests, as in :func:`sheaf.connect`.
        name, email: the author of commits.
        options: fields of :class:`sheaf.StorageOptions`, and options of all fsspec file systems.
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
        """Return facts about a path: name, size in bytes, type; for files also mode, mtime (seconds) and content hash."""
        at = SheafUrl.parse(path)
        if at.ref is None:
            self.access.names(at)
            return _folder(str(at))
        return _described(str(at), at.path, self.access.entry(at, dangling=True)[1])

    def exists(self, path: str, **kwargs: Any) -> bool:
        """True if a file or folder exists; False for a dangling symlink."""
        return self.lexists(path) and self.info(path)["type"] != "other"

    def lexists(self, path: str, **kwargs: Any) -> bool:
        """True if the path exists, even as a dangling symlink."""
        return self._type(path) != ""

    def isfile(self, path: str) -> bool:
        """True if the path is a file. Raises OSError if the store can't be read."""
        return self._type(path) == "file"

    def isdir(self, path: str) -> bool:
        """True if the path is a folder. Raises OSError if the store can't be read."""
        return self._type(path) == "directory"

    def _type(self, path: str) -> str:
        """Return the type of a path, "" if it does not exist. An unreadable store must not look like an empty one."""
        try:
            return str(self.info(path)["type"])
        except (FileNotFoundError, NotADirectoryError, ValueError):
            # A ValueError: no path can have such a name.
            return ""

    @os_errors
    def ls(self, path: str, detail: bool = True, **kwargs: Any) -> list[Any]:
        """List a folder; for a file, itself. For a repo its refs, for a folder of repos the repos."""
        at = SheafUrl.parse(path)
        if at.ref is None:
            found = [_folder(name) for name in self.access.names(at)]
        else:
            found = list(self._listing(at, recursive=False))
        return found if detail else [info["name"] for info in found]

    @os_errors
    def find(
        self, path: str, maxdepth: int | None = None, withdirs: bool = False, detail: bool = False, **kwargs: Any
    ) -> Any:
        """Return all files below a path, read in one pass over the manifest."""
        at = SheafUrl.parse(path)
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

    def walk(
        self,
        path: str,
        maxdepth: int | None = None,
        topdown: bool = True,
        on_error: str | Callable[[OSError], object] = "omit",
        **kwargs: Any,
    ) -> Iterator[tuple[str, Any, Any]]:
        """Yield for each folder its path, its folders and its files.

        Symlinks to folders are followed, except to a folder that contains the symlink. With ``on_error="omit"`` only a
        missing folder is skipped; a damaged one raises.
        """
        if maxdepth is not None and maxdepth < 1:
            raise ValueError("maxdepth must be at least 1")
        detail = bool(kwargs.pop("detail", False))
        walk = Walk(self, topdown=topdown, on_error=on_error, detail=detail, options=kwargs)
        return walk.below(self._strip_protocol(path), maxdepth, frozenset())

    def expand_path(self, path: Any, recursive: bool = False, maxdepth: int | None = None, **kwargs: Any) -> list[str]:
        """Expand globs to the matching paths; a path that exists is not a glob."""
        given = [path] if isinstance(path, str) else list(path)
        literal = [each for each in map(self._strip_protocol, given) if has_magic(each) and self.lexists(each)]
        others = [each for each in given if self._strip_protocol(each) not in literal]
        found = set(super().expand_path(others, recursive, maxdepth, **kwargs)) if others else set()
        for each in literal:
            below = self.find(each, maxdepth=maxdepth, withdirs=True) if recursive else ()
            found |= {each, *below}
        return sorted(found)

    def modified(self, path: str) -> datetime:
        """Return the modification time of a file."""
        return datetime.fromtimestamp(self.info(path).get("mtime", 0), UTC)

    def ukey(self, path: str) -> str:
        """Return the content hash of a file."""
        return str(self.info(path).get("content") or super().ukey(path))

    # -- reading -------------------------------------------------------------------------------------------------------

    @os_errors
    def cat_file(self, path: str, start: int | None = None, end: int | None = None, **kwargs: Any) -> bytes:
        """Read a file, or a range of it; negative positions count from its end."""
        return self.access.read(SheafUrl.parse(path), start, end)

    @os_errors
    def cat(self, *args: Any, **kwargs: Any) -> Any:
        """Read whole files of one bundle: the bytes of one, or a dictionary of several."""
        with self.access.snapshot():
            return super().cat(*args, **kwargs)

    @os_errors
    def cat_ranges(self, *args: Any, **kwargs: Any) -> Any:
        """Read ranges of files of one bundle."""
        with self.access.snapshot():
            return super().cat_ranges(*args, **kwargs)

    @os_errors
    def get(self, *args: Any, **kwargs: Any) -> None:
        """Copy files of one bundle to the local disk."""
        ensure_utf8_names()
        with self.access.snapshot():
            super().get(*self._plain(args, lambda path: Path(path).is_dir()), **kwargs)

    @os_errors
    def get_file(self, rpath: str, lpath: Any, callback: Any = None, outfile: Any = None, **kwargs: Any) -> None:
        """Copy a file to the local disk with its mode and time, or create a folder."""
        extra = {} if callback is None else {"callback": callback}
        info = self.info(rpath)
        # A dangling symlink has no bytes.
        if info["type"] == "other" and outfile is None:
            Path(lpath).unlink(missing_ok=True)
            Path(lpath).symlink_to(info["destination"])
            return
        super().get_file(rpath, lpath, outfile=outfile, **extra, **kwargs)
        if outfile is None and info["type"] == "file" and isinstance(lpath, (str, os.PathLike)):
            Path(lpath).chmod(info["mode"])
            os.utime(lpath, ns=(info["mtime_ns"], info["mtime_ns"]))

    @os_errors
    def _open(
        self, path: str, mode: str = "rb", block_size: int | None = None, autocommit: bool = True, **kwargs: Any
    ) -> Any:
        at = SheafUrl.parse(path)
        kind, rest = mode[:1], "".join(sorted(mode[1:]))
        if kind not in "rwax" or rest not in ("b", "+b"):
            raise ValueError(f"invalid mode '{mode}'")
        if kind == "r" and rest == "b":
            return FileReader(self.access.raw(at), self, at, block_size)
        # A file that is being written can always be read, too.
        plain = "r+b" if kind == "r" else f"{kind}b"
        return self.access.writer(at, plain, autocommit=autocommit or self._intrans)

    def open(
        self,
        path: str,
        mode: str = "rb",
        block_size: int | None = None,
        cache_options: dict[str, Any] | None = None,
        compression: str | None = None,
        **kwargs: Any,
    ) -> Any:
        """Open a file, as :meth:`fsspec.AbstractFileSystem.open`. An exception inside a ``with`` discards what was written."""
        if "b" not in mode and "r" not in mode:
            text = {name: kwargs.pop(name) for name in ("encoding", "errors", "newline") if name in kwargs}
            binary = self.open(path, f"{mode.replace('t', '')}b", block_size, cache_options, compression, **kwargs)
            return Text(binary, **text)
        file = super().open(path, mode, block_size, cache_options, compression, **kwargs)
        return file if isinstance(file, (FileReader, WritingFile)) or mode == "rb" else discarding(file)

    # -- writing -------------------------------------------------------------------------------------------------------

    @os_errors
    def mkdir(self, path: str, create_parents: bool = True, **kwargs: Any) -> None:
        """Create a folder, or for the root of a bundle (``repo@name``) an empty branch."""
        at = SheafUrl.parse(path)

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
        """Create a folder and its parents, but never a branch, because programs call this before they write anything."""
        at = SheafUrl.parse(path)
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
        at = SheafUrl.parse(path)

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
        """Remove files, and with ``recursive`` folders with their contents. Makes one bundle."""

        def remove() -> None:
            for name in reversed(self.expand_path(path, recursive=maxdepth is not None, maxdepth=maxdepth)):
                self._remove(SheafUrl.parse(name), recursive)

        self.access.atomically(f"rm {SheafUrl.parse(path).path}" if isinstance(path, str) else "rm", remove)

    @os_errors
    def rm_file(self, path: str) -> None:
        """Remove one file."""
        at = SheafUrl.parse(path)
        self.access.atomically(f"rm {at.path}", lambda: self._remove(at, recursive=False))

    @os_errors
    def cp_file(self, path1: str, path2: str, **kwargs: Any) -> None:
        """Copy a file by reference, without reading its bytes, or create a folder."""
        source, at = SheafUrl.parse(path1), SheafUrl.parse(path2)

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
        """Copy a local file with its mode and time, or create a folder."""
        at = SheafUrl.parse(rpath)

        def put() -> None:
            if Path(lpath).is_dir():
                self.makedirs(rpath, exist_ok=True)
                return
            pending = self.access.pending(at)
            path = target(pending, at.path)
            if mode == "create" and pending.find(path) is not None:
                raise exists(at)
            pending.write(path, self.access.local_source(path, Path(lpath)))

        self.access.atomically(f"put {at.path}", put)

    @os_errors
    def pipe_file(self, path: str, value: bytes, mode: str = "overwrite", **kwargs: Any) -> None:
        """Write a file."""
        with self.open(path, "xb" if mode == "create" else "wb") as stream:
            stream.write(value)

    @os_errors
    def put(self, *args: Any, **kwargs: Any) -> None:
        """Copy local files. Makes one bundle."""
        ensure_utf8_names()
        self.access.atomically("put", lambda: super(SheafFileSystem, self).put(*args, **kwargs))

    @os_errors
    def copy(self, *args: Any, **kwargs: Any) -> None:
        """Copy files by reference, without reading their bytes. Makes one bundle."""
        plain = self._plain(args, self.isdir)
        self.access.atomically("copy", lambda: super(SheafFileSystem, self).copy(*plain, **kwargs))

    @os_errors
    def mv(self, *args: Any, **kwargs: Any) -> None:
        """Move files by reference, without reading their bytes. Makes one bundle."""
        if len(args) > 1 and all(isinstance(path, str) for path in args[:2]):
            old, new = map(SheafUrl.parse, args[:2])
            if self.access.is_inside(new, old):
                raise OSError(errno.EINVAL, "a folder can't be moved into itself", str(old), None, str(new))
        self.access.atomically("move", lambda: super(SheafFileSystem, self).mv(*args, **kwargs))

    @os_errors
    def pipe(self, *args: Any, **kwargs: Any) -> None:
        """Write files. Makes one bundle."""
        self.access.atomically("write", lambda: super(SheafFileSystem, self).pipe(*args, **kwargs))

    def _plain(self, args: tuple[Any, ...], is_folder: Callable[[str], bool]) -> tuple[Any, ...]:
        """Return the arguments of a copy, changed if the source is a file whose name looks like a glob.

        Then source and target become lists, in which fsspec doesn't expand globs.
        """
        if len(args) < 2 or not all(isinstance(path, str) for path in args[:2]):
            return args
        source, target, *rest = args
        if not (has_magic(source) and self.isfile(source)):
            return args
        inside = target.endswith("/") or is_folder(target)
        return [source], [f"{target.rstrip('/')}/{source.rpartition('/')[2]}" if inside else target], *rest

    # -- plumbing ------------------------------------------------------------------------------------------------------

    def _listing(self, at: SheafUrl, *, recursive: bool) -> Iterator[dict[str, Any]]:
        view, entry = self.access.entry(at)
        if entry.kind != Kind.FOLDER:
            yield _described(str(at), at.path, entry)
            return
        for found in view.list(entry.path, recursive=recursive):
            inner = join(at.path, relative(found.path, entry.path))
            yield _described(f"{at.bundle}/{inner}", inner, _shown(view, found))

    def _remove(self, at: SheafUrl, recursive: bool) -> None:
        pending = self.access.pending(at)
        entry = pending.find(at.path) if at.path else self.access.entry(at)[1]
        if entry is None:
            raise missing(at)
        if entry.kind == Kind.FOLDER and not recursive:
            raise is_folder(at)
        pending.remove(entry.path)


def _shown(view: View, entry: ManifestEntry) -> ManifestEntry:
    """Return the entry that a symlink leads to, itself if it is dangling."""
    return followed(view, entry.path) or entry if entry.kind == Kind.SYMLINK else entry


def _folder(name: str) -> dict[str, Any]:
    return {"name": name, "size": 0, "type": "directory"}


def _described(name: str, path: str, entry: ManifestEntry) -> dict[str, Any]:
    times = {"mtime": entry.mtime / 1e9, "mtime_ns": entry.mtime}
    if entry.kind == Kind.FOLDER:
        link = {"islink": True, "real": entry.path} if entry.path != path else {}
        return _folder(name) | {"mode": stat.S_IFDIR | entry.mode, **times, **link}
    if entry.kind == Kind.SYMLINK:  # a dangling symlink
        return {"name": name, "size": 0, "type": "other", "islink": True, "destination": entry.target, **times}
    info = {"name": name, "size": entry.size, "type": "file", "mode": entry.mode, **times}
    if entry.content != ZERO_HASH:
        info["content"] = entry.content.hex()
    return info | ({"islink": True} if entry.path != path else {})
