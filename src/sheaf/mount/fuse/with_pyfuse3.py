"""Connect a file system to the kernel through pyfuse3: one thread serves what is cached, others wait for stores."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import re
import signal
import stat
import sys
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import Future
from itertools import count
from pathlib import Path
from typing import Any, Final, TypeVar

import pyfuse3
import trio

from sheaf.mount.fuse.port import Attr, AttributeChange, Filesystem, Listing, WaitPolicy, WouldWait, errno_of
from sheaf.mount.mount_options import MountOptions

__all__ = ["serve"]

T = TypeVar("T")
_REMEMBERED: Final = 1 << 17  # entries of listings that stay cached
_READ_AHEAD_KB: Final = 1024
_SWITCH_S: Final = 0.0005  # seconds; short, so that the serving thread soon gets its turn between threads that fetch
_DOTS: Final = 2  # the first positions of a listing, "." and ".."
_UNKNOWN_INO: Final = 0xFFFFFFFF  # as in libfuse
_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def serve(fs: Filesystem, patience: WaitPolicy, mountpoint: Path, options: MountOptions) -> None:
    """Mount, serve until it is unmounted or a signal comes, and unmount. Raises RuntimeError if mounting fails."""
    names = {f"fsname={options.fsname}", f"subtype={options.type}", "default_permissions"}
    names |= {option for option, is_on in (("ro", not fs.is_writable), ("allow_other", options.allow_other)) if is_on}
    sys.setswitchinterval(_SWITCH_S)
    with _Signals() as signals:
        operations = _Operations(fs, patience, mountpoint)
        pyfuse3.init(operations, str(mountpoint), names)
        try:
            trio.run(_main, fs, patience, mountpoint, options, signals, operations.up)
        finally:
            pyfuse3.close(unmount=True)


async def _main(
    fs: Filesystem, patience: WaitPolicy, mountpoint: Path, options: MountOptions, signals: _Signals, up: trio.Event
) -> None:
    patience.serve_here()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_stop_on_signal, signals, mountpoint if fs.is_writable else None)
        nursery.start_soon(_when_up, up, options)
        await pyfuse3.main()
        nursery.cancel_scope.cancel()


class _Signals:
    """Catches the signals that end the mount, from before it is mounted, so that none is lost or interrupts other code."""

    def __init__(self) -> None:
        self._came = False
        self._event: trio.Event | None = None
        self._token: trio.lowlevel.TrioToken | None = None

    async def wait(self) -> None:
        """Wait until a signal has come."""
        self._event, self._token = trio.Event(), trio.lowlevel.current_trio_token()
        if not self._came:
            await self._event.wait()

    def _come(self, *_: object) -> None:
        self._came = True
        if self._token is not None and self._event is not None:
            with contextlib.suppress(trio.RunFinishedError):
                self._token.run_sync_soon(self._event.set)

    def __enter__(self) -> _Signals:
        self._before = {number: signal.signal(number, self._come) for number in _SIGNALS}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)


async def _stop_on_signal(signals: _Signals, flushed: Path | None) -> None:
    await signals.wait()
    if flushed is not None:
        await trio.to_thread.run_sync(_flush, flushed, abandon_on_cancel=True)
    pyfuse3.terminate()


async def _when_up(up: trio.Event, options: MountOptions) -> None:
    await up.wait()
    await trio.to_thread.run_sync(options.when_up, abandon_on_cancel=True)


def _flush(mountpoint: Path) -> None:
    """Make the kernel write back what programs changed through mmap."""
    with contextlib.suppress(OSError, AttributeError):
        fd = os.open(mountpoint, os.O_RDONLY)
        try:
            ctypes.CDLL(None).syncfs(fd)
        finally:
            os.close(fd)


def _read_more_at_once(mountpoint: Path) -> None:
    """Let the kernel request a megabyte at a time instead of 128 KiB. Only root may; otherwise nothing happens."""
    with contextlib.suppress(OSError):
        for device in _devices(mountpoint):
            for settings in Path("/sys/class/bdi").glob(f"{device}*"):
                (settings / "read_ahead_kb").write_text(str(_READ_AHEAD_KB))


def _devices(mountpoint: Path) -> Iterator[str]:
    """Yield the device numbers (``major:minor``) of what is mounted on a folder.

    They come from the kernel's list: a stat of the mounted folder would make an unmount fail as busy while it waits for
    the answer.
    """
    path = os.fsencode(mountpoint.absolute().parent.resolve() / mountpoint.name)
    for line in Path("/proc/self/mountinfo").read_bytes().splitlines():
        fields = line.split()
        # The kernel writes blanks, line ends and backslashes in paths as octal numbers.
        if re.sub(rb"\\([0-7]{3})", lambda found: bytes([int(found[1], 8)]), fields[4]) == path:
            yield fields[2].decode()


Ready = tuple[bytes, pyfuse3.EntryAttributes, int]  #: (name, attributes for the kernel, next position)


class _Opened:
    """An open folder: its entries in order, fetched as they are requested. A listing that never changes is kept whole."""

    def __init__(self, ino: int, listing: Listing, make: Callable[[str, Attr, int], Ready]) -> None:
        self.ino = ino
        self.listing = listing
        self.kept: list[Ready] = []
        self.is_whole = False  #: True if ``kept`` has all entries and they never change
        self._make = make
        self._next = 0
        self._begun: Iterator[tuple[str, Attr, int]] | None = None
        self._left: Ready | None = None

    def at(self, position: int) -> Ready | None:
        """Return the entry at a position, None at the end. Raises what the listing raises."""
        if self.is_whole:
            return self.kept[position] if position < len(self.kept) else None
        if self._left is not None and self._next == position:
            return self._left
        if self._begun is None or self._next != position or not position:
            self._begun, self.kept = self.listing.entries(position), self.kept[:position]
        try:
            found = next(self._begun, None)
        except BaseException:
            self._begun = None  # a generator that has raised can't be resumed
            raise
        if found is None:
            self.is_whole = self.listing.is_stable and len(self.kept) == position
            return None
        self._left, self._next = self._make(*found), position
        if self.listing.is_stable and len(self.kept) == position < _REMEMBERED:
            self.kept.append(self._left)
        return self._left

    def took(self) -> None:
        """Advance to the next entry, because the kernel has accepted this one."""
        if self._left is not None:
            self._next, self._left = self._left[2], None


class _Operations(pyfuse3.Operations):
    enable_writeback_cache = False

    def __init__(self, fs: Filesystem, patience: WaitPolicy, mountpoint: Path) -> None:
        super().__init__()
        self.up = trio.Event()  #: set when the kernel begins to send requests
        self._fs = fs
        self._mountpoint: Path | None = mountpoint  #: None once the kernel reads more at once
        self._uid, self._gid = os.getuid(), os.getgid()
        self._folders: dict[int, _Opened] = {}
        self._handles = count(1)
        self._kept: OrderedDict[int, _Opened] = OrderedDict()
        self._kept_entries = 0
        self._limit: trio.CapacityLimiter | None = None

    async def _wait_call(self, call: Callable[..., T], *args: Any) -> T:
        """Execute a call on a thread that may wait. Raises FUSEError."""
        try:
            return await self._wait(lambda: call(*args))
        except Exception as error:
            raise pyfuse3.FUSEError(errno_of(error)) from error

    async def _call(self, call: Callable[..., T], *args: Any, **named: Any) -> T:
        """Execute a call on this thread, or on one that may wait if it has to. Raises FUSEError."""
        try:
            try:
                return call(*args, **named)
            except WouldWait as wait:
                if wait.coming is None:
                    return await self._wait(lambda: call(*args, **named))
                await _done(wait.coming)
            return await self._wait(lambda: call(*args, **named))
        except pyfuse3.FUSEError:
            raise
        except Exception as error:
            raise pyfuse3.FUSEError(errno_of(error)) from error

    def _wait(self, call: Callable[[], T]) -> Awaitable[T]:
        if self._limit is None:
            self._limit = trio.CapacityLimiter(64)
        return trio.to_thread.run_sync(call, limiter=self._limit)

    def _entry(self, attr: Attr) -> pyfuse3.EntryAttributes:
        e = pyfuse3.EntryAttributes()
        e.st_ino, e.st_mode, e.st_size, e.st_nlink = attr.ino, attr.mode, attr.size, attr.links
        e.st_uid, e.st_gid = self._uid, self._gid
        e.st_atime_ns = e.st_mtime_ns = attr.mtime
        e.st_ctime_ns = attr.mtime if attr.ctime is None else attr.ctime
        e.st_blocks, e.st_blksize = -(-attr.size // 512), 131072
        e.entry_timeout = e.attr_timeout = attr.keep
        return e

    # -- looking -------------------------------------------------------------------------------------------------------

    async def lookup(self, parent_inode: int, name: bytes, ctx: Any) -> pyfuse3.EntryAttributes:
        try:
            return self._entry(await self._call(self._fs.lookup, parent_inode, _text(name, errno.ENOENT)))
        except pyfuse3.FUSEError as error:
            if error.errno != errno.ENOENT or self._fs.is_writable:
                raise
        absent = pyfuse3.EntryAttributes()
        absent.st_ino = 0
        absent.entry_timeout = (await self._call(self._fs.getattr, parent_inode)).keep
        return absent

    async def getattr(self, inode: int, ctx: Any) -> pyfuse3.EntryAttributes:
        return self._entry(await self._call(self._fs.getattr, inode))

    async def readlink(self, inode: int, ctx: Any) -> bytes:
        return (await self._call(self._fs.readlink, inode)).encode()

    async def forget(self, inode_list: Any) -> None:
        return None

    async def statfs(self, ctx: Any) -> pyfuse3.StatvfsData:
        space = await self._call(self._fs.space)
        data = pyfuse3.StatvfsData()
        data.f_bsize = data.f_frsize = 4096
        data.f_blocks, data.f_bfree, data.f_bavail = space.blocks, space.free, space.free
        data.f_files, data.f_ffree, data.f_favail = space.files, space.free_files, space.free_files
        data.f_namemax = 255
        return data

    # -- folders -------------------------------------------------------------------------------------------------------

    async def opendir(self, inode: int, ctx: Any) -> int:
        opened = self._kept.get(inode)
        if opened is None:
            opened = _Opened(inode, await self._call(self._fs.list, inode), self._made)
        handle = next(self._handles)
        self._folders[handle] = opened
        return handle

    def _made(self, name: str, attr: Attr, after: int) -> Ready:
        return name.encode(), self._entry(attr), after

    async def readdir(self, fh: int, start_id: int, token: Any) -> None:
        opened, reply = self._folders[fh], pyfuse3.readdir_reply
        dots = ((b".", opened.ino), (b"..", _UNKNOWN_INO))
        for after, (name, ino) in enumerate(dots[start_id:], start_id + 1):
            if not reply(token, name, _folder_entry(ino), after):
                return
        first = position = max(start_id - _DOTS, 0)
        while True:
            try:
                found = opened.at(position)
            except WouldWait:
                if position > first or start_id < _DOTS:
                    # The kernel accepts a short reply and asks again.
                    return
                found = await self._call(opened.at, position)
            except Exception as error:
                raise pyfuse3.FUSEError(errno_of(error)) from error
            if found is None or not reply(token, found[0], found[1], found[2] + _DOTS):
                return
            opened.took()
            position = found[2]

    async def releasedir(self, fh: int) -> None:
        opened = self._folders.pop(fh)
        if opened.is_whole and opened.ino not in self._kept:
            self._kept[opened.ino] = opened
            self._kept_entries += len(opened.kept)
            while self._kept_entries > _REMEMBERED:
                self._kept_entries -= len(self._kept.popitem(last=False)[1].kept)

    # -- files ---------------------------------------------------------------------------------------------------------

    def init(self) -> None:
        self.up.set()

    async def open(self, inode: int, flags: int, ctx: Any) -> pyfuse3.FileInfo:
        if self._mountpoint is not None:
            # Not before the first request: the kernel resets the value when it has connected to the file system.
            mountpoint, self._mountpoint = self._mountpoint, None
            await trio.to_thread.run_sync(_read_more_at_once, mountpoint)
        write = flags & os.O_ACCMODE != os.O_RDONLY
        handle = await self._call(self._fs.open, inode, write=write, truncate=bool(flags & os.O_TRUNC))
        return self._info(handle)

    def _info(self, handle: int) -> pyfuse3.FileInfo:
        is_direct = self._fs.is_direct(handle)
        return pyfuse3.FileInfo(fh=handle, keep_cache=not is_direct, direct_io=is_direct)

    async def read(self, fh: int, off: int, size: int) -> Any:
        try:
            return self._fs.read(fh, off, size)
        except WouldWait as wait:
            if wait.coming is not None:
                await _done(wait.coming)
            return await self._call(self._fs.read, fh, off, size)
        except Exception as error:
            raise pyfuse3.FUSEError(errno_of(error)) from error

    async def release(self, fh: int) -> None:
        await self._call(self._fs.release, fh)

    # -- writing -------------------------------------------------------------------------------------------------------

    async def create(
        self, parent_inode: int, name: bytes, mode: int, flags: int, ctx: Any
    ) -> tuple[pyfuse3.FileInfo, pyfuse3.EntryAttributes]:
        attr, handle = await self._call(self._fs.create, parent_inode, _text(name), mode & 0o7777)
        return self._info(handle), self._entry(attr)

    async def mknod(self, parent_inode: int, name: bytes, mode: int, rdev: int, ctx: Any) -> pyfuse3.EntryAttributes:
        if not stat.S_ISREG(mode):
            raise pyfuse3.FUSEError(errno.EPERM)
        attr, handle = await self._call(self._fs.create, parent_inode, _text(name), mode & 0o7777)
        await self._call(self._fs.release, handle)
        return self._entry(attr)

    async def write(self, fh: int, off: int, buf: bytes) -> int:
        return await self._call(self._fs.write, fh, off, buf)

    async def fsync(self, fh: int, datasync: bool) -> None:
        if self._fs.is_writable:
            await self._wait_call(self._fs.fsync, fh)

    async def fsyncdir(self, fh: int, datasync: bool) -> None:
        if self._fs.is_writable:
            await self._wait_call(self._fs.fsync_names)

    async def setattr(
        self, inode: int, attr: pyfuse3.EntryAttributes, fields: pyfuse3.SetattrFields, fh: int | None, ctx: Any
    ) -> pyfuse3.EntryAttributes:
        if (fields.update_uid and attr.st_uid != self._uid) or (fields.update_gid and attr.st_gid != self._gid):
            # Bundles store no owners.
            raise pyfuse3.FUSEError(errno.EPERM)
        change = AttributeChange(
            attr.st_size if fields.update_size else None,
            stat.S_IMODE(attr.st_mode) if fields.update_mode else None,
            attr.st_mtime_ns if fields.update_mtime else None,
        )
        return self._entry(await self._call(self._fs.setattr, inode, change))

    async def mkdir(self, parent_inode: int, name: bytes, mode: int, ctx: Any) -> pyfuse3.EntryAttributes:
        return self._entry(await self._call(self._fs.mkdir, parent_inode, _text(name), mode & 0o7777))

    async def symlink(self, parent_inode: int, name: bytes, target: bytes, ctx: Any) -> pyfuse3.EntryAttributes:
        return self._entry(await self._call(self._fs.symlink, parent_inode, _text(name), _text(target)))

    async def link(self, inode: int, new_parent_inode: int, new_name: bytes, ctx: Any) -> pyfuse3.EntryAttributes:
        return self._entry(await self._call(self._fs.link, inode, new_parent_inode, _text(new_name)))

    async def unlink(self, parent_inode: int, name: bytes, ctx: Any) -> None:
        await self._call(self._fs.unlink, parent_inode, _text(name))

    async def rmdir(self, parent_inode: int, name: bytes, ctx: Any) -> None:
        await self._call(self._fs.rmdir, parent_inode, _text(name))

    async def rename(
        self, parent_inode_old: int, name_old: bytes, parent_inode_new: int, name_new: bytes, flags: int, ctx: Any
    ) -> None:
        if flags & ~pyfuse3.RENAME_NOREPLACE:
            raise pyfuse3.FUSEError(errno.EINVAL)
        old, new = (parent_inode_old, _text(name_old)), (parent_inode_new, _text(name_new))
        await self._call(self._fs.rename, *old, *new, replace=not flags)


def _folder_entry(ino: int) -> pyfuse3.EntryAttributes:
    """Return attributes for "." or "..". The kernel uses only number and type of these entries."""
    entry = pyfuse3.EntryAttributes()
    entry.st_ino, entry.st_mode = ino, stat.S_IFDIR
    return entry


async def _done(coming: Future[None]) -> None:
    """Wait until a future is done, successfully or not."""
    event, token = trio.Event(), trio.lowlevel.current_trio_token()

    def wake(_: Future[None]) -> None:
        with contextlib.suppress(trio.RunFinishedError):
            token.run_sync_soon(event.set)

    coming.add_done_callback(wake)
    await event.wait()


def _text(name: bytes, otherwise: int = errno.EILSEQ) -> str:
    """Decode a name. Raises FUSEError (``otherwise``) if it isn't UTF-8, because bundles store UTF-8 only."""
    try:
        return name.decode()
    except UnicodeDecodeError:
        raise pyfuse3.FUSEError(otherwise) from None
