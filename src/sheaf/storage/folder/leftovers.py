"""Leftovers of killed writers in a folder store: the files in ``tmp/``.

A writer holds a lock on its file while it works on it, and the system releases the lock when the process ends. So a file
that can be locked is a leftover, whichever machine its writer ran on; a process id would not show that. Where locks may
not be visible to other machines, the file must also be old.
"""

# Plain strings and calls of os: see backend.py.

from __future__ import annotations

import errno
import itertools
import os
from collections.abc import Iterator
from contextlib import contextmanager
from stat import S_ISREG

from sheaf.storage.folder.directories import Folders, Modes
from sheaf.storage.folder.oserrors import READING, WRITING, translated
from sheaf.storage.folder.syscalls import Syscalls
from sheaf.storage.key_rules import ASIDE
from sheaf.storage.port import Unfinished

__all__ = ["TemporaryFiles"]

_LOOK = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
_OLD_S = 3600.0  # since the last write; a writer whose file is removed nevertheless fails and creates nothing
_ATTEMPTS = 100  # to create a file that no other process removes; after that, the file system's locks can't be trusted
_MAY_LIVE = "its writer may still be running"
_MUST_BE_OLD = "its writer may be running on another machine, so it is removed once it is an hour old"


class TemporaryFiles:
    """The files in ``tmp/`` of a folder store: those of this process, and what other processes have left.

    ``locks_reach``: whether a lock that any machine holds is visible on this machine.
    """

    def __init__(self, base: str, calls: Syscalls, folders: Folders, modes: Modes, *, locks_reach: bool) -> None:
        self._base = base
        self._calls = calls
        self._folders = folders
        self._modes = modes
        self._locks_reach = locks_reach
        self._numbers = itertools.count()
        self._author = os.urandom(6).hex()

    def begin(self) -> tuple[str, int]:
        """Create a file and return its path and descriptor. No process removes it before the descriptor is closed."""
        for _ in range(_ATTEMPTS):
            path, fd = self._create()
            is_held = self._calls.lock(fd)
            # Between the creation and the lock another process may have removed the file as a leftover.
            if is_held is None or (is_held and os.path.lexists(path)):
                return path, fd
            self.end(path, fd)
        return self._create()

    def _create(self) -> tuple[str, int]:
        path = f"{self._base}/{ASIDE}/{os.getpid()}-{self._author}-{next(self._numbers)}"
        return path, self._folders.making(path, lambda: self._calls.create(path, self._modes.file))

    def end(self, path: str, fd: int) -> None:
        """Close and remove a file, whether it has a name in the store by now or not."""
        try:
            self._calls.unlink(path)
        except OSError:
            # It was renamed, or it stays as a leftover for gc. Neither does harm, since only names in the store count.
            pass
        finally:
            self._calls.close(fd)

    # -- leftovers of other processes ----------------------------------------------------------------------------------

    def unfinished(self, *, remove: bool) -> list[Unfinished]:
        """List or remove leftovers, as :meth:`Backend.unfinished` says."""
        with translated(f"list {ASIDE}/ of {self._base}", WRITING if remove else READING):
            names = self._names()
            if not names:
                return []
            # A full disk must not keep gc from freeing space, so a file is created only where its time is needed.
            now = self._now() if remove and not self._locks_reach else None
            return [found for name in names if (found := self._examine(name, now, remove=remove))]

    def _names(self) -> list[str]:
        try:
            return sorted(os.listdir(f"{self._base}/{ASIDE}"))  # noqa: PTH208
        except (FileNotFoundError, NotADirectoryError):
            return []

    def _now(self) -> float:
        """The time by the clock of the store's own file system, in seconds."""
        path, fd = self.begin()
        try:
            return os.fstat(fd).st_mtime
        finally:
            self.end(path, fd)

    def _examine(self, name: str, now: float | None, *, remove: bool) -> Unfinished | None:
        """Examine one file, and remove it if asked to and it is a leftover; None if it is gone by now."""
        path, key = f"{self._base}/{ASIDE}/{name}", f"{ASIDE}/{name}"
        try:
            found = os.lstat(path)
            if not S_ISREG(found.st_mode):
                return Unfinished(key, 0, "it is not a file, so no writer of a store created it")
            size = found.st_size if found.st_nlink == 1 else 0
            with self._locked(path) as is_held:
                if why := self._why_kept(is_held, now is not None and now - found.st_mtime >= _OLD_S):
                    return Unfinished(key, size, why)
                if remove:
                    self._calls.unlink(path)
                return Unfinished(key, size)
        except FileNotFoundError:
            return None
        except OSError as error:
            return Unfinished(key, 0, os.strerror(error.errno or errno.EIO))

    @contextmanager
    def _locked(self, path: str) -> Iterator[bool | None]:
        """Try to lock a file until the block ends, so that no process can begin to write to it. Yields True if that worked."""
        fd = os.open(path, _LOOK)
        try:
            yield self._calls.lock(fd, shared=True)
        finally:
            os.close(fd)

    def _why_kept(self, is_held: bool | None, is_old: bool) -> str:
        if is_held is False:
            return _MAY_LIVE
        if is_held and self._locks_reach:
            return ""
        return "" if is_old else _MUST_BE_OLD
