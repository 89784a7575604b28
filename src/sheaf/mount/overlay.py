"""A writable file system on top of a bundle, or empty; written data goes to a spill on this machine.

Changes of names and attributes are recorded in a journal, contents are files of the spill. A commit reads contents
while programs write: a write to a file that a commit is reading goes to a copy of it.
"""

from __future__ import annotations

import errno
import itertools
import os
import shutil
import stat
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from sheaf.engine.manifest.tree import entry_at
from sheaf.errors import InvalidInput
from sheaf.fork import Lock, RLock
from sheaf.model.entries import Kind
from sheaf.model.paths import MAX_NAME, check_path
from sheaf.mount.bundles import BundleFs, Streamed
from sheaf.mount.control import CONTROL_INO, CONTROL_NAME, Control, ControlSession
from sheaf.mount.fuse.port import (
    ROOT_INO,
    TYPE_BITS,
    Attr,
    AttributeChange,
    Listing,
    Space,
    WaitPolicy,
    failed,
    missing,
)
from sheaf.mount.journal import Commit, Drop, Fill, Link, Make, Move, Op, Set, Spill
from sheaf.mount.open_files import OpenFile
from sheaf.mount.state import MountState, Node
from sheaf.storage.port import Buffer

__all__ = ["OverlayFs"]

_REMOVED: Final = 1024  # removed folders whose attributes are kept


@dataclass(slots=True)
class _Handle:
    """An opened file. ``lower``: reads it from the bundle below as long as the file is unchanged."""

    ino: int
    lower: Streamed | None = None
    session: ControlSession | None = None


class _Merged:
    """The entries of a folder when its listing begins, without those that are deleted during the listing."""

    is_stable = False

    def __init__(self, fs: OverlayFs, ino: int) -> None:
        self._fs = fs
        self._ino = ino
        self._names: list[tuple[str, int]] = []

    def entries(self, start: int) -> Iterator[tuple[str, Attr, int]]:
        if not start:
            self._names = self._fs.names(self._ino)
        for position in range(start, len(self._names)):
            name, ino = self._names[position]
            attr = self._fs.attr_if_there(self._ino, name, ino)
            if attr is not None:
                yield name, attr, position + 1


class OverlayFs:
    """A writable file system that implements the port on a :class:`MountState`.

    Thread-safe. It waits for the store only on threads where ``patience`` allows it.
    """

    is_writable = True

    def __init__(
        self, spill: Spill, lower: BundleFs | None, patience: WaitPolicy, now_ns: Callable[[], int], started: int
    ) -> None:
        self.state = MountState(lower, started)
        self.lock = RLock()
        self.spill = spill
        self.control: Control | None = None
        self.frozen: set[int] = set()  #: numbers of contents that a commit is reading
        self._patience = patience
        self._now = now_ns
        self._handles: dict[int, _Handle] = {}
        self._next = itertools.count(1)
        self._copying = Lock()
        self._removed: OrderedDict[int, Attr] = OrderedDict()  # folders that programs may still have open

    def replay(self) -> list[str]:
        """Replay the journal of a spill, and return the ids of attempted commits. Raises InvalidInput."""
        commits = []
        for op in self.spill.ops():
            if isinstance(op, Commit):
                commits.append(op.bundle)
            else:
                self.state.apply(op)
        used = {node.fill for node in self.state.nodes.values() if node.links > 0}
        for fill in self.spill.fills():
            if fill not in used:
                self.spill.drop(fill)
        return commits

    # -- looking -------------------------------------------------------------------------------------------------------

    def lookup(self, parent: int, name: str) -> Attr:
        with self.lock:
            if name == CONTROL_NAME and parent == ROOT_INO and self.control:
                return self.control.attr
            ino = self.state.find(parent, name)
            if ino is None:
                raise missing(name)
            return self.getattr(ino)

    def getattr(self, ino: int) -> Attr:
        with self.lock:
            if ino == CONTROL_INO and self.control:
                return self.control.attr
            node = self.state.nodes.get(ino)
            if node is not None:
                return self._attr(node)
            if ino in self._removed:
                return self._removed[ino]
            if self.state.lower is None:
                raise failed(errno.ENOENT)
            return self.state.lower.getattr(ino)

    def _attr(self, node: Node) -> Attr:
        mode = TYPE_BITS[node.kind] | node.mode
        if node.fill is not None:
            status = os.fstat(node.fd) if node.opens else self.spill.stat(node.fill)
            mtime, ctime = status.st_mtime_ns, status.st_ctime_ns
            return Attr(node.ino, mode, status.st_size, mtime, node.links, ctime=max(ctime, node.ctime))
        size = len((node.target or "").encode())
        if node.kind == Kind.FILE and self.state.lower is not None:
            size = self.state.lower.getattr(node.ino).size
        return Attr(node.ino, mode, size, node.mtime, node.links, ctime=max(node.mtime, node.ctime))

    def readlink(self, ino: int) -> str:
        with self.lock:
            node = self.state.nodes.get(ino)
            if node is not None:
                if node.target is None:
                    raise failed(errno.EINVAL)
                return node.target
            if self.state.lower is None:
                raise failed(errno.ENOENT)
            return self.state.lower.readlink(ino)

    def names(self, ino: int) -> list[tuple[str, int]]:
        """Return the current entries of a folder."""
        with self.lock:
            return list(self.state.names(ino))

    def attr_if_there(self, parent: int, name: str, ino: int) -> Attr | None:
        """Return the attributes of a name, None if the name now belongs to another node or is gone."""
        with self.lock:
            return self.getattr(ino) if self.state.find(parent, name) == ino else None

    def list(self, ino: int) -> Listing:
        with self.lock:
            if self.state.kind(ino) != Kind.FOLDER:
                raise failed(errno.ENOTDIR)
        return _Merged(self, ino)

    def space(self) -> Space:
        found = os.statvfs(self.spill.folder)
        unit = found.f_frsize / 4096
        return Space(int(found.f_blocks * unit), int(found.f_bavail * unit), found.f_files, found.f_favail)

    # -- files ---------------------------------------------------------------------------------------------------------

    def open(self, ino: int, *, write: bool = False, truncate: bool = False) -> int:
        if ino == CONTROL_INO and self.control:
            return self._add(_Handle(ino, None, ControlSession(self.control, self._patience)))
        if write or truncate:
            self._spilled(ino, is_emptied=truncate)
        with self.lock:
            node = self.state.nodes.get(ino)
            if node is not None and node.fill is not None:
                self._hold(node)
                if truncate:
                    self._truncate(node, 0)
                return self._add(_Handle(ino))
            return self._add(_Handle(ino, self._streamed(ino)))

    def _streamed(self, ino: int) -> Streamed:
        if self.state.lower is None:
            raise failed(errno.ENOENT)
        return Streamed(self.state.lower.reader, OpenFile(*self.state.lower.row(ino)))

    def _add(self, handle: _Handle) -> int:
        number = next(self._next)
        self._handles[number] = handle
        return number

    def is_direct(self, handle: int) -> bool:
        return self._handles[handle].session is not None

    def read(self, handle: int, offset: int, size: int) -> Buffer:
        opened = self._handles[handle]
        if opened.session is not None:
            return opened.session.read(offset, size)
        with self.lock:
            node = self.state.nodes.get(opened.ino)
            if node is not None and node.fill is not None:
                if opened.lower is not None:
                    # The file was opened before it was changed.
                    self._hold(node)
                    opened.lower = None
                return os.pread(node.fd, size, offset)
        if opened.lower is None:
            raise failed(errno.EBADF)
        return opened.lower.read(offset, size)

    def release(self, handle: int) -> None:
        opened = self._handles.pop(handle)
        if opened.session is not None:
            return
        with self.lock:
            if opened.lower is not None:
                self._gone(opened.ino)
                return
            node = self.state.nodes[opened.ino]
            node.opens -= 1
            if not node.opens:
                os.close(node.fd)
                node.fd = -1
                self._forget_if_gone(node)

    def _readers(self, ino: int) -> Sequence[_Handle]:
        """Return handles that opened a file of the bundle below before the file was changed."""
        return [handle for handle in self._handles.values() if handle.ino == ino and handle.lower is not None]

    def _hold(self, node: Node) -> None:
        """Keep the node's spill file open."""
        if not node.opens:
            node.fd = os.open(self.spill.path(node.fill or 0), os.O_RDWR | os.O_CLOEXEC)
        node.opens += 1

    def _forget_if_gone(self, node: Node) -> None:
        if node.links > 0 or node.opens or self._readers(node.ino):
            return
        self.state.nodes.pop(node.ino, None)
        if node.fill is not None and node.fill not in self.frozen:
            self.spill.drop(node.fill)

    def write(self, handle: int, offset: int, data: bytes) -> int:
        opened = self._handles[handle]
        if opened.session is not None:
            return opened.session.write(data)
        with self.lock:
            node = self.state.nodes[opened.ino]
            self._thaw(node)
            node.version += 1
            self.state.changes += 1
            done = 0
            try:
                while done < len(data):
                    done += os.pwrite(node.fd, memoryview(data)[done:], offset + done)
            except OSError:
                if not done:
                    raise
                # The program learns from the result how much was written, and gets the error at its next write. But
                # when the kernel writes back changes made through mmap, it looks at errors only: the next fsync reports
                # this one.
                node.cut = offset + done
                return done
            if offset == node.cut:
                node.cut = -1
            return done

    def fsync(self, handle: int) -> None:
        opened = self._handles[handle]
        node = self.state.nodes.get(opened.ino)
        if node is not None and node.fd >= 0:
            os.fsync(node.fd)
            if node.cut >= 0:
                node.cut = -1
                raise failed(errno.ENOSPC)
        self.spill.sync()

    def fsync_names(self) -> None:
        self.spill.sync()

    # -- spilling ------------------------------------------------------------------------------------------------------

    def _spilled(self, ino: int, *, is_emptied: bool) -> None:
        """Copy a file's content to the spill if it isn't there. Raises WouldWait if the content must be fetched."""
        with self.lock:
            if self._is_spilled(ino):
                return
            file = self._streamed(ino)
            if is_emptied or not file.file.size:
                self._fill(ino, lambda path: None)
                return
        self._patience.ask()
        with self._copying:
            with self.lock:
                if self._is_spilled(ino):
                    return
                fill = self._new_fill()
            entry = entry_at(file.file.leaf.batch, file.file.row)
            with self._dropped_on_failure(fill):
                with open(self.spill.path(fill), "wb") as out:
                    for block in file.reader.contents.blocks(entry):
                        out.write(block)
                os.utime(self.spill.path(fill), ns=(entry.mtime, entry.mtime))
                with self.lock:
                    self._do(Fill(ino, fill), ino)

    def _is_spilled(self, ino: int) -> bool:
        if self.state.kind(ino) != Kind.FILE:
            raise failed(errno.EISDIR if self.state.kind(ino) == Kind.FOLDER else errno.EINVAL)
        node = self.state.nodes.get(ino)
        return node is not None and node.fill is not None

    def _new_fill(self) -> int:
        fill = self.state.next_fill
        self.state.next_fill += 1
        return fill

    def _fill(self, ino: int, write: Callable[[str], object]) -> None:
        fill = self._new_fill()
        with self._dropped_on_failure(fill):
            os.close(os.open(self.spill.path(fill), os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
            write(self.spill.path(fill))
            self._do(Fill(ino, fill), ino)

    @contextmanager
    def _dropped_on_failure(self, fill: int) -> Iterator[None]:
        """Delete a content if the block fails. Nothing refers to it then, and on a full disk it would use the last room."""
        try:
            yield
        except BaseException:
            self.spill.drop(fill)
            raise

    def _thaw(self, node: Node) -> None:
        """Move a node to a copy of its content if a commit is reading it. Call this before the content changes."""
        if node.fill not in self.frozen:
            return
        old, opens = self.spill.path(node.fill or 0), node.opens
        self._fill(node.ino, lambda path: shutil.copy2(old, path))
        if opens:
            fd = os.open(self.spill.path(node.fill or 0), os.O_RDWR | os.O_CLOEXEC)
            os.close(node.fd)
            node.fd = fd

    def _truncate(self, node: Node, size: int) -> None:
        self._thaw(node)
        node.version += 1
        self.state.changes += 1
        os.truncate(self.spill.path(node.fill or 0), size)

    # -- names ---------------------------------------------------------------------------------------------------------

    def _do(self, op: Op, *touched: int) -> None:
        """Record an op in the journal and apply it. Whatever may wait or fail must come before this."""
        for ino in touched:
            self.state.touch(ino)
        self.spill.note(op)
        self.state.apply(op)

    def _free(self, parent: int, name: str) -> None:
        """Raise OSError unless a node can be created under a name: it must be valid and free."""
        try:
            check_path(name)
        except InvalidInput:
            raise failed(errno.ENAMETOOLONG if len(name.encode()) > MAX_NAME else errno.EINVAL) from None
        if self._is_control(parent, name) or self.state.find(parent, name) is not None:
            raise failed(errno.EEXIST)

    def _is_control(self, parent: int, name: str) -> bool:
        return parent == ROOT_INO and name == CONTROL_NAME

    def _make(self, parent: int, name: str, kind: Kind, mode: int, target: str | None = None) -> Node:
        """Create a node under a name. Raises OSError."""
        self._free(parent, name)
        ino = self.state.next_ino
        if kind != Kind.FILE:
            self._do(Make(parent, name, ino, kind, mode, self._now(), target), parent)
            return self.state.nodes[ino]
        fill = self._new_fill()
        with self._dropped_on_failure(fill):
            os.close(os.open(self.spill.path(fill), os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
            self._do(Make(parent, name, ino, kind, mode, self._now(), target, fill), parent)
        return self.state.nodes[ino]

    def create(self, parent: int, name: str, mode: int) -> tuple[Attr, int]:
        with self.lock:
            node = self._make(parent, name, Kind.FILE, mode)
            self._hold(node)
            return self._attr(node), self._add(_Handle(node.ino))

    def mkdir(self, parent: int, name: str, mode: int) -> Attr:
        with self.lock:
            return self._attr(self._make(parent, name, Kind.FOLDER, mode))

    def symlink(self, parent: int, name: str, target: str) -> Attr:
        with self.lock:
            return self._attr(self._make(parent, name, Kind.SYMLINK, 0o777, target))

    def link(self, ino: int, parent: int, name: str) -> Attr:
        with self.lock:
            if ino == CONTROL_INO:
                raise failed(errno.EPERM)
            self._free(parent, name)
            self._do(Link(parent, name, ino, self._now()), parent, ino)
            self._renamed(ino)
            return self.getattr(ino)

    def unlink(self, parent: int, name: str) -> None:
        with self.lock:
            if self._is_control(parent, name):
                raise failed(errno.EPERM)
            ino = self.state.get(parent, name)
            if self.state.kind(ino) == Kind.FOLDER:
                raise failed(errno.EISDIR)
            self._do(Drop(parent, name, self._now()), parent, *self._counted(ino))
            self._renamed(ino)
            self._gone(ino)

    def rmdir(self, parent: int, name: str) -> None:
        with self.lock:
            ino = self.state.get(parent, name)
            self._ensure_empty_folder(ino)
            attr = self.getattr(ino)
            self._do(Drop(parent, name, self._now()), parent)
            self._gone(ino)
            self._removed[ino] = attr._replace(links=0, ctime=self._now())
            while len(self._removed) > _REMOVED:
                self._removed.popitem(last=False)

    def _counted(self, ino: int | None) -> tuple[int, ...]:
        """Return the node number as a tuple if its link count will be needed after the name is gone, else ()."""
        return (ino,) if ino is not None and self._readers(ino) else ()

    def _ensure_empty_folder(self, ino: int) -> None:
        if self.state.kind(ino) != Kind.FOLDER:
            raise failed(errno.ENOTDIR)
        if next(self.state.names(ino), None) is not None:
            raise failed(errno.ENOTEMPTY)

    def _gone(self, ino: int | None) -> None:
        """Handle the removal of a node's name or of a reader; the node is dropped if it was the last one."""
        node = self.state.nodes.get(ino or 0)
        if node is None:
            return
        if node.links <= 0 and node.fill is not None:
            # Readers that opened the file before its change would otherwise show the bytes of the bundle below.
            for handle in self._readers(node.ino):
                self._hold(node)
                handle.lower = None
        self._forget_if_gone(node)

    def rename(self, parent: int, name: str, to_parent: int, to_name: str, *, replace: bool = True) -> None:
        with self.lock:
            if self._is_control(parent, name) or self._is_control(to_parent, to_name):
                raise failed(errno.EPERM)
            ino, there = self.state.get(parent, name), self.state.find(to_parent, to_name)
            if there is None:
                self._free(to_parent, to_name)
            elif not replace:
                raise failed(errno.EEXIST)
            elif there == ino:
                return
            elif self.state.kind(ino) == Kind.FOLDER:
                self._ensure_empty_folder(there)
            elif self.state.kind(there) == Kind.FOLDER:
                raise failed(errno.EISDIR)
            touched = (parent, to_parent, ino, *self._counted(there))
            self._do(Move(parent, name, to_parent, to_name, self._now()), *touched)
            self._renamed(ino)
            self._gone(there)

    def _renamed(self, ino: int | None) -> None:
        """Set the ctime of a node whose names have changed, because programs detect changes by it."""
        node = self.state.nodes.get(ino or 0)
        if node is not None:
            node.ctime = self._now()

    def setattr(self, ino: int, change: AttributeChange) -> Attr:
        if ino == CONTROL_INO and self.control:
            return self.control.attr
        if change.size is not None:
            self._spilled(ino, is_emptied=not change.size)
        with self.lock:
            node = self.state.touch(ino)
            if change.size is not None:
                self._truncate(node, change.size)
            mtime = self._now() if change.now else change.mtime
            if mtime is not None and node.fill is not None:
                os.utime(self.spill.path(node.fill), ns=(mtime, mtime))
                self.state.changes += 1
            elif mtime is not None:
                self._do(Set(ino, None, mtime), ino)
            if change.mode is not None and change.mode != node.mode:
                self._do(Set(ino, stat.S_IMODE(change.mode)), ino)
            node.ctime = self._now()
            return self._attr(node)
