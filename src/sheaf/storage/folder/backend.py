"""A store in a folder of this machine: durable, create-only, without locks.

A new object is written to ``tmp/``, synced, and then linked to its name with ``link()``, which fails if the name exists.
So a name always refers to complete, durable bytes or to nothing, whatever happens in between.
"""

# Plain strings: creating a Path for each object costs more than the call itself.
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
from sheaf.storage.folder.leftovers import TemporaryFiles
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
    """Stores objects as files below ``root``; ``root/tmp`` contains what is being written.

    With ``durability="full"`` an object survives a power cut once :meth:`create` has returned; with ``"none"`` it
    survives the end of the process. ``shared="group"`` lets the folder's group read and write. Without it, a writer in a
    store that was created as shared shares its files, too, and logs a warning.
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
        self._real = {""}  #: folders that are known not to be links; the root itself may be one
        self._temporary = TemporaryFiles(
            self._base, self._calls, self._folders, self._modes, locks_reach=is_local(kind)
        )

    # ── writing ───────────────────────────────────────────────────────────────

    def create(self, key: str, data: Buffer | Sequence[Buffer]) -> Created:
        parts = views(data)
        path = self._path(check_key(key))
        with translated(f"write {key} in {self.url}", WRITING):
            with self._written_temporarily(parts) as temporary:
                created = self._publish(temporary, path)
            # Sync even if the object existed already: another process may have created it without syncing it yet, and
            # the caller relies on it being durable.
            self._folders.sync(os.path.dirname(path))
            if created:
                return Created.CREATED
            return Created.MINE if self._holds(path, parts) else Created.OTHER

    def replace(self, key: str, data: Buffer) -> None:
        path = self._path(check_key(key))
        with translated(f"replace {key} in {self.url}", WRITING):
            with self._written_temporarily(views(data)) as temporary:
                self._folders.making(path, lambda: self._calls.rename(temporary, path))
            self._folders.sync(os.path.dirname(path))

    @contextmanager
    def _written_temporarily(self, parts: Sequence[memoryview]) -> Iterator[str]:
        """Yield the path of a new file with these bytes. It stays locked until the block ends, so that nobody removes it."""
        self._warn()
        temporary, fd = self._temporary.begin()
        try:
            if self._modes.exact:
                self._calls.chmod(temporary, self._modes.file)
            self._calls.write(fd, parts)
            if self._durable:
                self._calls.sync_file(fd)
            else:
                self._calls.flush(fd)
            yield temporary
        finally:
            self._temporary.end(temporary, fd)

    def _warn(self) -> None:
        if not self._has_warned:
            self._has_warned = True
            _log.warning(
                "%s: the store is shared with a group, so new files are shared, too; set shared=group", self.url
            )

    def _publish(self, temporary: str, path: str) -> bool:
        """Give the file its name; return False if another file has it."""
        try:
            self._folders.making(path, lambda: self._calls.link(temporary, path))
        except FileExistsError:
            # On network file systems link() can succeed and its answer get lost; then a retry reports that it exists.
            return os.stat(temporary).st_nlink > 1 and os.path.samefile(temporary, path)
        except OSError as error:
            if error.errno not in _NO_LINKS:
                raise
            return self._publish_by_rename(temporary, path)
        return True

    def _publish_by_rename(self, temporary: str, path: str) -> bool:
        try:
            self._folders.making(path, lambda: self._calls.rename_new(temporary, path))
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
        """True if the file contains exactly these bytes."""
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
        return self._temporary.unfinished(remove=remove)

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
        # Anything but a folder occupies its key, even if it isn't a regular file.
        return None if S_ISDIR(found.st_mode) else Stat(key, found.st_size)

    def list(self, prefix: str = "", *, sort: bool = False) -> Iterator[Stat]:
        return self._list(check_prefix(prefix), sort)

    def _list(self, prefix: str, sort: bool) -> Iterator[Stat]:
        self._path(prefix)
        with translated(f"list {prefix or 'all keys'} in {self.url}"):
            for key, entry in walk(self._base, prefix, sort=sort):
                try:
                    yield Stat(key, entry.stat(follow_symlinks=False).st_size)
                except FileNotFoundError:
                    # It was deleted while we were listing.
                    continue

    def newest(self, prefix: str) -> str | None:
        self._path(check_prefix(prefix))
        with translated(f"list {prefix or 'all keys'} in {self.url}"):
            return next((key for key, _ in walk(self._base, prefix, sort=True)), None)

    def _path(self, key: str) -> str:
        """The path of a key's file. Raises Corrupt if one of its folders is a symbolic link."""
        folder = key.rpartition("/")[0]
        if folder not in self._real:
            self._check_links(folder)
        return f"{self._base}/{key}"

    def _check_links(self, folder: str) -> None:
        above = folder.rpartition("/")[0]
        if above not in self._real:
            self._check_links(above)
        try:
            ensure_no_link(f"{self._base}/{folder}")
        except OSError:
            # The folder does not exist yet or may not be read. The call that uses the path raises that error.
            return
        self._real.add(folder)


def _pread(fd: int, key: str, size: int, offset: int, length: int) -> bytes:
    check_size(key, length, LARGEST)
    # os.pread allocates the whole length before it reads, so a bad length must be rejected first.
    if length > _BLOCK:
        check_reach(key, size, offset, length)
    data = os.pread(fd, length, offset)
    if len(data) < length:
        check_reach(key, os.fstat(fd).st_size, offset, length)
        # A signal can cut a read short.
        return data + _pread(fd, key, size, offset + len(data), length - len(data))
    return data


def _read_exactly(fd: int, length: int) -> bytes:
    data = b""
    while len(data) < length and (more := os.read(fd, length - len(data))):
        data += more
    return data
