"""The state of a writable mount: a bundle, or nothing, with changes on top, applied op by op. No I/O.

A node of the bundle below keeps its number, and is kept in memory only after it has changed, together with its parent
folders, so that a walk from the root finds each change.
"""

from __future__ import annotations

import errno
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from sheaf.model.entries import Kind
from sheaf.model.paths import split
from sheaf.mount.bundles import BundleFs
from sheaf.mount.fuse.port import ROOT_INO, failed
from sheaf.mount.journal import Drop, Fill, Link, Make, Move, Op, Set

__all__ = ["FIRST_NEW", "MountState", "Node"]

#: Numbers from here on are of nodes that no bundle has.
FIRST_NEW: Final = 1 << 48


@dataclass(slots=True)
class Node:
    """A node that is new or has changed. ``fill``: the number of its content in the spill, None if it has none.

    ``below``: True if the node of the bundle below shows through. ``children``: names in a folder that are new or have
    changed, with their node numbers; None: the name was removed. ``version`` grows with each change of the content.
    ``fd``, ``opens``: the open file of its content, and by how many handles it is open. ``cut``: where a write ended
    that a full disk cut short, -1 if there was none or the rest was written since. ``ctime``: when this mount last
    changed its attributes, 0 for never; a bundle doesn't store such a time.
    """

    ino: int
    kind: Kind
    mode: int
    mtime: int
    below: bool
    target: str | None = None
    fill: int | None = None
    links: int = 1
    children: dict[str, int | None] = field(default_factory=dict)
    version: int = 0
    fd: int = -1
    opens: int = 0
    ctime: int = 0
    cut: int = -1


class MountState:
    """All nodes that are new or have changed. ``lower``: the bundle below, if there is one."""

    def __init__(self, lower: BundleFs | None, started: int) -> None:
        self.lower = lower
        self.nodes: dict[int, Node] = {}
        self.nodes[ROOT_INO] = Node(ROOT_INO, Kind.FOLDER, 0o755, started, lower is not None)
        self.next_ino = FIRST_NEW
        self.next_fill = 1
        self.changes = 0  #: number of applied ops

    # -- looking -------------------------------------------------------------------------------------------------------

    def shown(self, ino: int) -> BundleFs | None:
        """Return the bundle below if its names show through in a folder, else None."""
        node = self.nodes.get(ino)
        return self.lower if node is None or node.below else None

    def find(self, parent: int, name: str) -> int | None:
        """Return the node number of a name in a folder, None if there is none. Raises OSError (ENOTDIR)."""
        node = self.nodes.get(parent)
        if node is not None:
            if node.kind != Kind.FOLDER:
                raise failed(errno.ENOTDIR)
            if name in node.children:
                return node.children[name]
        lower = self.shown(parent)
        if lower is None:
            return None
        found = lower.find(lower.folder_path(parent), name)
        return found.ino if found else None

    def get(self, parent: int, name: str) -> int:
        """Return the node number of a name in a folder. Raises OSError (ENOENT, ENOTDIR)."""
        ino = self.find(parent, name)
        if ino is None:
            raise failed(errno.ENOENT)
        return ino

    def kind(self, ino: int) -> Kind:
        """Return the kind of a node."""
        node = self.nodes.get(ino)
        if node is not None:
            return node.kind
        if self.lower is None:
            raise failed(errno.ENOENT)
        leaf, row = self.lower.row(ino)
        return Kind(leaf.kind[row])

    def names(self, ino: int) -> Iterator[tuple[str, int]]:
        """Yield the entries of a folder: (name, node number)."""
        node = self.nodes.get(ino)
        changed = node.children if node is not None else {}
        lower = self.shown(ino)
        if lower is not None:
            for name, attr, _ in lower.list(ino).entries(0):
                if name not in changed:
                    yield name, attr.ino
        yield from ((name, child) for name, child in changed.items() if child is not None)

    # -- changing ------------------------------------------------------------------------------------------------------

    def touch(self, ino: int) -> Node:
        """Return a node, and keep it in memory from now on. Changes nothing visible. Raises OSError (ENOENT), WouldWait."""
        node = self.nodes.get(ino)
        if node is not None:
            return node
        if self.lower is None:
            raise failed(errno.ENOENT)
        leaf, row = self.lower.row(ino)
        folder, name = leaf.folder(row), leaf.name[row]
        parent = self.touch(self._folder_ino(folder))
        parent.children.setdefault(name, ino)
        kind = Kind(leaf.kind[row])
        node = Node(ino, kind, leaf.mode[row], leaf.mtime[row], True, leaf.target(row))
        self.nodes[ino] = node
        return node

    def _folder_ino(self, path: str) -> int:
        if not path or self.lower is None:
            return ROOT_INO
        found = self.lower.find(*split(path))
        if found is None:
            raise failed(errno.ENOENT)
        return found.ino

    def apply(self, op: Op) -> None:
        """Apply an op that was checked before. Touch all its nodes first, so that this never waits."""
        self.changes += 1
        match op:
            case Make(parent, name, ino, kind, mode, time, target, fill):
                self.nodes[ino] = Node(ino, Kind(kind), mode, time, False, target, fill)
                self.next_ino = max(self.next_ino, ino + 1)
                self.next_fill = max(self.next_fill, (fill or 0) + 1)
                self._put(parent, name, ino, time)
            case Link(parent, name, ino, time):
                self.touch(ino).links += 1
                self._put(parent, name, ino, time)
            case Drop(parent, name, time):
                self._unlinked(self.find(parent, name))
                self._put(parent, name, None, time)
            case Move(parent, name, to_parent, to_name, time):
                moved = self.find(parent, name)
                self._unlinked(self.find(to_parent, to_name))
                self._put(parent, name, None, time)
                self._put(to_parent, to_name, moved, time)
            case Set(ino, new_mode, mtime):
                node = self.touch(ino)
                node.mode = node.mode if new_mode is None else new_mode
                node.mtime = node.mtime if mtime is None else mtime
            case Fill(ino, fill):
                node = self.touch(ino)
                node.fill = fill
                node.version += 1
                self.next_fill = max(self.next_fill, fill + 1)

    def _put(self, parent: int, name: str, ino: int | None, time: int) -> None:
        node = self.touch(parent)
        if ino is None and not node.below:
            node.children.pop(name, None)
        else:
            node.children[name] = ino
        node.mtime = time

    def _unlinked(self, ino: int | None) -> None:
        if ino is not None and ino in self.nodes:
            self.nodes[ino].links -= 1
