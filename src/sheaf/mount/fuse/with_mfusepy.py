"""Connect a file system to the kernel through mfusepy, which names nodes by path: for macFUSE, FUSE-T and Linux.

Each request comes on a thread of its own, so all of them may wait.
"""

from __future__ import annotations

import contextlib
import errno
import itertools
import os
import signal
import stat
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final, TypeVar

import mfusepy

from sheaf.mount.fuse.port import ROOT_INO, Attr, AttributeChange, Filesystem, Listing, WaitPolicy, errno_of, failed
from sheaf.mount.mount_options import MountOptions

__all__ = ["serve"]

T = TypeVar("T")
_HIDDEN: Final = ".fuse_hidden"
_LOOP_ENDED: Final = 8  # the exit status of libfuse's fuse_main() if a signal or an error ended its loop
#: As many as libfuse 3 starts at most; without a number its versions from 3.12 on complain of their own default.
_THREADS: Final = {"max_idle_threads": 10} if mfusepy.fuse_version_major == 3 else {}
_UNKNOWN_INO: Final = 0xFFFFFFFF  # as in libfuse
_UTIME_NOW: Final = (1 << 30) - 1
_UTIME_OMIT: Final = (1 << 30) - 2


def serve(fs: Filesystem, patience: WaitPolicy, mountpoint: Path, options: MountOptions) -> None:
    """Mount, serve until it is unmounted or a signal comes, and unmount. Raises RuntimeError if mounting fails."""
    keep = fs.getattr(ROOT_INO).keep
    on = {"ro": not fs.is_writable, "allow_other": options.allow_other, "default_permissions": True}
    operations = _Operations(fs, options)
    with _default_signals(), _ended(operations):
        mfusepy.FUSE(
            operations,
            str(mountpoint),
            raw_fi=True,
            errors="strict",
            foreground=True,
            fsname=options.fsname,
            subtype=options.type,
            kernel_cache=True,
            use_ino=True,
            attr_timeout=keep,
            entry_timeout=keep,
            negative_timeout=0 if fs.is_writable else keep,
            **{name: True for name, is_on in on.items() if is_on},
            **_THREADS,
        )


@contextlib.contextmanager
def _ended(operations: _Operations) -> Iterator[None]:
    """Suppress the error that libfuse 3 raises when a signal ends a mount, where libfuse 2 returns.

    The file system was mounted then, so the caller has to continue as after any unmount.
    """
    try:
        yield
    except RuntimeError as error:
        if not (operations.is_up and error.args == (_LOOP_ENDED,)):
            raise


@contextlib.contextmanager
def _default_signals() -> Iterator[None]:
    """Restore the default handlers of SIGTERM and SIGHUP while mounted.

    The library unmounts on these signals, but it only installs its handlers where the program has none.
    """
    before = {number: signal.signal(number, signal.SIG_DFL) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class _Operations(mfusepy.Operations):  # type: ignore[misc]
    use_ns = True

    def __init__(self, fs: Filesystem, options: MountOptions) -> None:
        self._fs = fs
        self._options = options
        self.is_up = False
        self._uid, self._gid = os.getuid(), os.getgid()
        self._folders: dict[int, Listing] = {}
        # Files that are open but have no name any more: (node number, handle) by the library's hidden path.
        self._hidden: dict[str, tuple[int, int]] = {}
        self._handles = itertools.count(1)

    def init(self, path: str) -> None:
        self.is_up = True
        threading.Thread(target=self._options.when_up, daemon=True).start()

    # -- paths ---------------------------------------------------------------------------------------------------------

    @staticmethod
    def _call(call: Callable[..., T], *args: Any, **named: Any) -> T:
        try:
            return call(*args, **named)
        except OSError:
            raise
        except Exception as error:
            raise failed(errno_of(error)) from error

    def _ino(self, path: str) -> int:
        if path in self._hidden:
            return self._hidden[path][0]
        ino = ROOT_INO
        for name in path.split("/"):
            if name:
                ino = self._call(self._fs.lookup, ino, name).ino
        return ino

    def _at(self, path: str) -> tuple[int, str]:
        folder, _, name = path.rpartition("/")
        return self._ino(folder), name

    def _stat(self, attr: Attr) -> dict[str, int]:
        ctime = attr.mtime if attr.ctime is None else attr.ctime
        times = {"st_atime": attr.mtime, "st_mtime": attr.mtime, "st_ctime": ctime}
        who = {"st_uid": self._uid, "st_gid": self._gid, "st_nlink": attr.links}
        size = {"st_size": attr.size, "st_blocks": -(-attr.size // 512), "st_blksize": 131072}
        return {"st_ino": attr.ino, "st_mode": attr.mode, **who, **size, **times}

    # -- looking -------------------------------------------------------------------------------------------------------

    def getattr(self, path: str, fh: Any = None) -> dict[str, int]:
        return self._stat(self._call(self._fs.getattr, self._ino(path)))

    def readlink(self, path: str) -> str:
        return self._call(self._fs.readlink, self._ino(path))

    def statfs(self, path: str) -> dict[str, int]:
        space = self._call(self._fs.space)
        blocks = {"f_blocks": space.blocks, "f_bfree": space.free, "f_bavail": space.free}
        files = {"f_files": space.files, "f_ffree": space.free_files, "f_favail": space.free_files}
        return {"f_bsize": 4096, "f_frsize": 4096, "f_namemax": 255, **blocks, **files}

    def opendir(self, path: str) -> int:
        listing = self._call(self._fs.list, self._ino(path))
        handle = next(self._handles)
        self._folders[handle] = listing
        return handle

    def readdir(self, path: str, fh: int) -> Iterator[tuple[str, dict[str, int], int]]:
        for name, ino in ((".", self._ino(path)), ("..", _UNKNOWN_INO)):
            # The entry needs a number: readers skip an entry without one.
            yield name, {"st_mode": stat.S_IFDIR, "st_ino": ino}, 0
        entries = self._folders[fh].entries(0)
        while (found := self._call(next, entries, None)) is not None:
            yield found[0], {"st_mode": found[1].mode, "st_ino": found[1].ino}, 0

    def releasedir(self, path: str, fh: int) -> int:
        self._folders.pop(fh, None)
        return 0

    # -- files ---------------------------------------------------------------------------------------------------------

    def open(self, path: str, fi: Any) -> int:
        write = fi.flags & os.O_ACCMODE != os.O_RDONLY
        handle = self._call(self._fs.open, self._ino(path), write=write, truncate=bool(fi.flags & os.O_TRUNC))
        return self._opened(handle, fi)

    def _opened(self, handle: int, fi: Any) -> int:
        fi.fh = handle
        fi.direct_io = self._fs.is_direct(handle)
        fi.keep_cache = not fi.direct_io
        return 0

    def read(self, path: str, size: int, offset: int, fi: Any) -> bytes:
        return bytes(self._call(self._fs.read, fi.fh, offset, size))

    def release(self, path: str, fi: Any) -> int:
        self._call(self._fs.release, fi.fh)
        return 0

    # -- writing -------------------------------------------------------------------------------------------------------

    def create(self, path: str, mode: int, fi: Any) -> int:
        return self._opened(self._call(self._fs.create, *self._at(path), stat.S_IMODE(mode))[1], fi)

    def mknod(self, path: str, mode: int, dev: int) -> int:
        if not stat.S_ISREG(mode):
            raise failed(errno.EPERM)
        self._call(self._fs.release, self._call(self._fs.create, *self._at(path), stat.S_IMODE(mode))[1])
        return 0

    def write(self, path: str, data: bytes, offset: int, fi: Any) -> int:
        return self._call(self._fs.write, fi.fh, offset, data)

    def fsync(self, path: str, datasync: int, fi: Any) -> int:
        self._call(self._fs.fsync, fi.fh)
        return 0

    def fsyncdir(self, path: str, datasync: int, fh: int) -> int:
        self._call(self._fs.fsync_names)
        return 0

    def truncate(self, path: str, length: int, fh: Any = None) -> int:
        return self._change(path, AttributeChange(size=length))

    def chmod(self, path: str, mode: int) -> int:
        return self._change(path, AttributeChange(mode=stat.S_IMODE(mode)))

    def chown(self, path: str, uid: int, gid: int) -> int:
        if uid not in (-1, self._uid) or gid not in (-1, self._gid):
            # Bundles store no owners.
            raise failed(errno.EPERM)
        return 0

    def utimens(self, path: str, times: tuple[int, int] | None = None) -> int:
        mtime = _UTIME_NOW if times is None else times[1]
        if mtime == _UTIME_OMIT:
            return 0
        return self._change(path, AttributeChange(now=True) if mtime == _UTIME_NOW else AttributeChange(mtime=mtime))

    def _change(self, path: str, change: AttributeChange) -> int:
        self._call(self._fs.setattr, self._ino(path), change)
        return 0

    def mkdir(self, path: str, mode: int) -> int:
        self._call(self._fs.mkdir, *self._at(path), stat.S_IMODE(mode))
        return 0

    def symlink(self, target: str, source: str) -> int:
        self._call(self._fs.symlink, *self._at(target), source)
        return 0

    def link(self, target: str, source: str) -> int:
        self._call(self._fs.link, self._ino(source), *self._at(target))
        return 0

    def unlink(self, path: str) -> int:
        if path in self._hidden:
            self._call(self._fs.release, self._hidden.pop(path)[1])
        else:
            self._call(self._fs.unlink, *self._at(path))
        return 0

    def rmdir(self, path: str) -> int:
        self._call(self._fs.rmdir, *self._at(path))
        return 0

    def rename(self, old: str, new: str) -> int:
        # The library renames an open file to such a name instead of unlinking it.
        if new.rpartition("/")[2].startswith(_HIDDEN):
            ino = self._ino(old)
            handle = self._call(self._fs.open, ino)
            self._call(self._fs.unlink, *self._at(old))
            self._hidden[new] = ino, handle
        else:
            self._call(self._fs.rename, *self._at(old), *self._at(new))
        return 0
