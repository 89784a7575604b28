"""The files of a folder before it is saved: what may be deleted later, and what can't be saved."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from sheaf.model.entries import Kind
from sheaf.transfer.local.scan import Skipped, scan

__all__ = ["FileIdentity", "LocalFiles", "list_files"]


@dataclass(frozen=True, slots=True)
class FileIdentity:
    """A regular file at one moment. ``mtime`` in nanoseconds since 1970."""

    size: int
    mtime: int
    dev: int
    ino: int


@dataclass(slots=True)
class LocalFiles:
    """Paths below a folder. ``files``: regular files; ``symlinks``, ``folders``: saved, never deleted."""

    files: dict[str, FileIdentity] = field(default_factory=dict)
    symlinks: list[str] = field(default_factory=list)
    folders: list[str] = field(default_factory=list)
    skipped: list[Skipped] = field(default_factory=list)  #: what a bundle can't contain

    def saved_paths(self) -> Iterator[str]:
        """Yield all paths that a bundle can contain."""
        yield from self.files
        yield from self.symlinks
        yield from self.folders

    def older_than(self, before: int) -> Iterator[str]:
        """Yield the files that were last modified before a time in nanoseconds since 1970."""
        return (path for path, found in self.files.items() if found.mtime < before)


def list_files(folder: Path, *, exclude: Path | None, leave_out: frozenset[str]) -> LocalFiles:
    """List a folder without following symlinks. ``exclude``: a folder to skip; ``leave_out``: names to skip at the top.

    Raises NotFound, InvalidInput, Denied and Refused for the folder itself.
    """
    found = LocalFiles()
    for batch in scan(folder, on_error=found.skipped.append, exclude=exclude, leave_out=leave_out):
        columns = (column.tolist() for column in (batch.kind, batch.size, batch.mtime, batch.dev, batch.ino))
        for row, (kind, size, mtime, dev, ino) in enumerate(zip(*columns, strict=True)):
            path = batch.path(row)
            if kind == Kind.FILE:
                found.files[path] = FileIdentity(size, mtime, dev, ino)
            elif kind == Kind.SYMLINK:
                found.symlinks.append(path)
            else:
                found.folders.append(path)
    return found
