"""The file tree of a bundle, defined once: all doors that serve files are adapters of it.

Paths are ``/``-separated and relative; the root is the empty path. Nothing in this module writes.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from sheaf.errors import InvalidInput, NotFound
from sheaf.model.entries import Kind, ManifestEntry
from sheaf.model.paths import check_path, join, split

# Importing these modules takes 0.1 s, which callers that only list entries don't need.
if TYPE_CHECKING:
    from sheaf.engine.chunks.chunk_reader import Contents
    from sheaf.engine.manifest.reader import ManifestReader
    from sheaf.engine.manifest.tree import Tree

__all__ = ["ROOT", "BundleFile", "FileTree", "follow", "list_folder", "look_up"]

#: The root folder, which has no row of its own.
ROOT = ManifestEntry("", "", Kind.FOLDER, 0o755)
_HOPS = 40  # the most symlinks on the way to a file, as in Linux


def look_up(find: Callable[[str], ManifestEntry | None], path: str) -> ManifestEntry:
    """Return the entry of a path. ``find`` finds all paths but the root. Raises NotFound, InvalidInput."""
    path = path.strip("/")
    entry = find(check_path(path)) if path else ROOT
    if entry is None:
        raise NotFound(f"'{path}' not found in this bundle", "see `sheaf ls`")
    return entry


def list_folder(reader: ManifestReader, path: str = "", *, recursive: bool = False) -> Iterator[ManifestEntry]:
    """Yield the entries of a folder, in order; for a file or symlink only itself. Raises NotFound, InvalidInput."""
    entry = look_up(reader.find, path)
    if entry.kind != Kind.FOLDER:
        return iter((entry,))
    return reader.entries(entry.path, recursive=recursive)


def follow(find: Callable[[str], ManifestEntry | None], path: str) -> ManifestEntry | None:
    """Return the entry that a path leads to if all symlinks on the way are followed, never out of the bundle.

    ``find`` looks up one path without following links. None if a link leads nowhere, outside or in circles.
    """
    entry = find(path)
    if entry is not None and entry.kind != Kind.SYMLINK:
        return entry
    at, rest = "", path.split("/")[::-1]
    # Each symlink can add many components, so the limit is on components.
    for _ in range(_HOPS * 100):
        while rest and rest[-1] in ("", "."):
            rest.pop()
        if not rest:
            return find(at) if at else ROOT
        name = rest.pop()
        if name == "..":
            if not at:
                return None
            at = split(at)[0]
            continue
        entry = find(join(at, name))
        if entry is None:
            return None
        if entry.kind != Kind.SYMLINK:
            at = entry.path
        elif (entry.target or "/").startswith("/"):
            return None
        else:
            rest += (entry.target or "").split("/")[::-1]
    return None


class FileTree:
    """Looks up, lists and opens the entries of one bundle. Safe to use from many threads."""

    def __init__(self, tree: Tree, contents: Contents) -> None:
        self.tree = tree
        self.contents = contents

    def stat(self, path: str) -> ManifestEntry:
        """Return the entry of a path. Raises NotFound, InvalidInput."""
        return look_up(self.tree.find, path)

    def follow(self, path: str) -> ManifestEntry:
        """Return the entry that a path leads to if symlinks inside the bundle are followed. Raises NotFound, InvalidInput."""
        path = path.strip("/")
        entry = follow(self.tree.find, check_path(path)) if path else ROOT
        if entry is None:
            raise NotFound(f"'{path}' not found in this bundle", "see `sheaf ls`")
        return entry

    def list(self, path: str = "", *, recursive: bool = False) -> Iterator[ManifestEntry]:
        """Yield the entries of a folder, in order; for a file or symlink only itself. Raises NotFound."""
        return list_folder(self.tree, path, recursive=recursive)

    def open(self, path: str) -> BundleFile:
        """Open a file for reading. Raises NotFound, or InvalidInput if the path is not a file."""
        return self.open_entry(self.stat(path))

    def open_entry(self, entry: ManifestEntry) -> BundleFile:
        """Open a file whose entry, with its place, is known. Raises InvalidInput if it is not a file."""
        if entry.kind not in (Kind.FILE, Kind.EXTERNAL):
            raise InvalidInput(f"'{entry.path}' is a {entry.kind.name.lower()}, not a file")
        return BundleFile(self.contents, entry)


class BundleFile(io.RawIOBase):
    """A file of a bundle: seekable, every byte verified. Wrap it in ``io.BufferedReader`` for small reads."""

    def __init__(self, contents: Contents, entry: ManifestEntry) -> None:
        self.entry = entry
        self._contents = contents
        self._at = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Set the position, in bytes; reading beyond the end returns nothing. Raises ValueError if it would be negative."""
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self.entry.size}[whence]
        if base + offset < 0:
            raise ValueError("negative position")
        self._at = base + offset
        return self._at

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]
        """Read into a buffer, up to its size or the end of the file; return the number of bytes."""
        view = memoryview(buffer).cast("B")
        data = self._contents.read(self.entry, self._at, len(view))
        view[: len(data)] = data
        self._at += len(data)
        return len(data)

    def readall(self) -> bytes:
        """Read the rest of the file."""
        data = self._contents.read(self.entry, self._at)
        self._at += len(data)
        return data
