"""A store in a folder of this machine: durable, create-only, without locks.

A new object is written aside, synced, and then given its name with ``link()``, which fails if the name is taken. So a
name leads to whole, durable bytes or to nothing, whatever happens in between.
"""

# Plain strings: a Path for each object costs more than the call.
# ruff: noqa: PTH116, PTH120, PTH121

from __future__ import annotations

import errno
import logging
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from stat import S_ISDIR
from typing import Literal

from sheaf.errors import NotFound, Refused
from sheaf.storage.buffers import check_ranges, check_reach, check_size, total, views
from sheaf.storage.folder.directories import Folders, Modes
from sheaf.storage.folder.leftovers import Aside
from sheaf.storage.folder.list_keys import walk
from sheaf.storage.folder.network_mounts import filesystem_type, is_local, is_network
from sheaf.storage.folder.oserrors import WRITING, translated
from sheaf.storage.folder.regular_files import ensure_no_link, opened, read_whole
from sheaf.storage.folder.syscalls import Syscalls
from sheaf.storage.key_rules import ASIDE, check_key, check_prefix
from sheaf.storage.port import LARGEST, Backend, Buffer, Created, Stat, Unfinished

__all__ = ["Durability", "FolderBackend"]

Durability = Literal["full", "none"]

_NO_LINKS = frozenset({errno.EPERM, errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOTSUP, errno.EMLINK, errno.EINVAL})
_log = logging.getLogger("sheaf")
_BLOCK = 1 << 20  # bytes compared at a time


class FolderBackend(Backend):
    """Objects are files below ``root``; ``root/tmp`` holds what is being written.

    With ``durability="full"`` an object survives a power cut once :meth:`create` has returned; with ``"none"`` it
    survives the end of the process. ``shared="group"`` lets the folder's group read and write; a writer who doesn't say so in
    a store that was made so does the same, and is warned.
    """

    ordered = False

    def __init__(
        self,
        root: str | Path,
        *,
        durability: Durability = "full",
        shared: Literal["", "group"] = "",
        syscalls: Syscalls | None = None,
    ) -> None:
        self.root = Path(root).absolute()
        self.url = self.root.as_uri()
        kind = filesystem_type(self.root)
        self.settle_s = 120.0 if is_network(kind) else 0.0
        self._calls = syscalls or Syscalls()
        self._durable = durability == "full"
        self._base = str(self.root)
        self._modes = Modes.of(shared, f"{self._base}/{ASIDE}")
        self._has_warned = not self._modes.inherited
        self._folders = Folders(self._base, self._calls, self._modes, durable=self._durable)
        self._real = {""}  #: folders that are no links; the store itself may be one
        self._aside = Aside(self._base, self._calls, self._folders, self._modes, locks_reach=is_local(kind))

    # ── writing ───────────────────────────────────────────────────────────────

    def create(self, key: str, data: Buffer | Sequence[Buffer]) -> Created:
        parts = views(data)
        path = self._path(check_key(key))
        with translated(f"write {key} in {self.url}", WRITING):
            with self._written_aside(parts) as aside:
                created = self._publish(aside, path)
            self._folders.sync(os.path.dirname(path))  # also if it was there: the caller relies on it
            if created:
                return Created.CREATED
            return Created.MINE if self._holds(path, parts) else Created.OTHER

    def replace(self, key: str, data: Buffer) -> None:
        path = self._path(check_key(key))
        with translated(f"replace {key} in {self.url}", WRITING):
            with self._written_aside(views(data)) as aside:
                self._folders.making(path, lambda: self._calls.rename(aside, path))
            self._folders.sync(os.path.dirname(path))

    @contextmanager
    def _written_aside(self, parts: Sequence[memoryview]) -> Iterator[str]:
        """The path of a file with these bytes, which is locked until it has its name in the store."""
        self._warn()
        aside, fd = self._aside.begin()
        try:
            if self._modes.exact:
                self._calls.chmod(aside, self._modes.file)
            self._calls.write(fd, parts)
            if self._durable:
                self._calls.sync_file(fd)
            else:
                self._calls.flush(fd)
            yield aside
        finally:
            self._aside.end(aside, fd)

    def _warn(self) -> None:
        if not self._has_warned:
            self._has_warned = True
            _log.warning(
                "%s: the store is shared with a group, so new files are shared, too; set shared=group", self.url
            )

    def _publish(self, aside: str, path: str) -> bool:
        """Gives the file its name; False if the name is taken by something else."""
        try:
            self._folders.making(path, lambda: self._calls.link(aside, path))
        except FileExistsError:
            return os.stat(aside).st_nlink > 1 and os.path.samefile(aside, path)  # a lost answer
        except OSError as error:
            if error.errno not in _NO_LINKS:
                raise
            return self._publish_by_rename(aside, path)
        return True

    def _publish_by_rename(self, aside: str, path: str) -> bool:
        try:
            self._folders.making(path, lambda: self._calls.rename_new(aside, path))
        except FileExistsError:
            return False
        except OSError as error:
            if error.errno not in _NO_LINKS:
                raise
            raise Refused(
                f"the file system of {self.url} does not support exclusive creation",
                "choose a folder on another disk, with link() or an exclusive rename",
            ) from error
        return True

    def _holds(self, path: str, parts: Sequence[memoryview]) -> bool:
        """True if the file has exactly these bytes."""
        with opened(path) as (fd, size):
            if size != total(parts):
                return False
            blocks = (part[at : at + _BLOCK] for part in parts for at in range(0, part.nbytes, _BLOCK))
            return all(_read_exactly(fd, block.nbytes) == block for block in blocks)

    def delete(self, key: str) -> None:
        path = self._path(check_key(key))
        with translated(f"delete {key} in {self.url}", WRITING):
            try:
                self._calls.unlink(path)
            except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
                return
            if self._durable:
                self._calls.sync_folder(os.path.dirname(path))

    def unfinished(self, *, remove: bool = False) -> Sequence[Unfinished]:
        return self._aside.unfinished(remove=remove)

    # ── reading ───────────────────────────────────────────────────────────────

    def get(self, key: str, limit: int = LARGEST) -> bytes:
        path = self._path(check_key(key))
        with self._reading(key), opened(path) as (fd, size):
            check_size(key, size, limit)
            return read_whole(fd, key, size, limit)

    def get_ranges(self, key: str, ranges: Sequence[tuple[int, int]]) -> Sequence[Buffer]:
        check_ranges(ranges)
        path = self._path(check_key(key))
        with self._reading(key), opened(path) as (fd, size):
            return [_pread(fd, key, size, offset, length) for offset, length in ranges]

    @contextmanager
    def _reading(self, key: str) -> Iterator[None]:
        try:
            with translated(f"read {key} in {self.url}"):
                yield
        except NotFound as error:
            raise NotFound(f"no object {key} in {self.url}") from error

    def stat(self, key: str) -> Stat | None:
        path = self._path(check_key(key))
        try:
            with translated(f"look up {key} in {self.url}"):
                found = os.lstat(path)
        except NotFound:
            return None
        return None if S_ISDIR(found.st_mode) else Stat(key, found.st_size)  # what is no file is there, too

    def list(self, prefix: str = "", *, sort: bool = False) -> Iterator[Stat]:
        return self._list(check_prefix(prefix), sort)

    def _list(self, prefix: str, sort: bool) -> Iterator[Stat]:
        self._path(prefix)
        with translated(f"list {prefix or 'all keys'} in {self.url}"):
            for key, entry in walk(self._base, prefix, sort=sort):
                try:
                    yield Stat(key, entry.stat(follow_symlinks=False).st_size)
                except FileNotFoundError:
                    continue  # deleted meanwhile

    def newest(self, prefix: str) -> str | None:
        self._path(check_prefix(prefix))
        with translated(f"list {prefix or 'all keys'} in {self.url}"):
            return next((key for key, _ in walk(self._base, prefix, sort=True)), None)

    def _path(self, key: str) -> str:
        """Where a key's file is. Raises Corrupt if a link stands in the place of one of its folders."""
        folder = key.rpartition("/")[0]
        if folder not in self._real:
            self._look_at(folder)
        return f"{self._base}/{key}"

    def _look_at(self, folder: str) -> None:
        above = folder.rpartition("/")[0]
        if above not in self._real:
            self._look_at(above)
        try:
            ensure_no_link(f"{self._base}/{folder}")
        except OSError:
            return  # none yet, or none that may be looked at: who needs it is told
        self._real.add(folder)


def _pread(fd: int, key: str, size: int, offset: int, length: int) -> bytes:
    check_size(key, length, LARGEST)
    if length > _BLOCK:  # room for all of it is made before it is read
        check_reach(key, size, offset, length)
    data = os.pread(fd, length, offset)
    if len(data) < length:
        check_reach(key, os.fstat(fd).st_size, offset, length)
        return data + _pread(fd, key, size, offset + len(data), length - len(data))  # a signal cut it short
    return data


def _read_exactly(fd: int, length: int) -> bytes:
    data = b""
    while len(data) < length and (more := os.read(fd, length - len(data))):
        data += more
    return data
