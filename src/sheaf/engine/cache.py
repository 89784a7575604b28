"""Copies of immutable objects on this machine. Safe to delete at any time; whoever reads from it checks the hash."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Protocol

__all__ = ["Cache", "FolderCache", "NoCache"]


class Cache(Protocol):
    """Bytes under keys, perhaps."""

    def get(self, key: str) -> bytes | None:
        """The bytes, or None. They may be damaged."""
        ...

    def put(self, key: str, data: bytes) -> None:
        """Keep the bytes, if that is possible."""
        ...

    def drop(self, key: str) -> None:
        """Forget the bytes."""
        ...


class NoCache:
    """Keeps nothing: for stores that are on this machine anyway."""

    def get(self, key: str) -> bytes | None:
        return None

    def put(self, key: str, data: bytes) -> None:
        return None

    def drop(self, key: str) -> None:
        return None


class FolderCache:
    """One file an object, shared by processes: files appear by rename, whole. A full or read-only disk is no error."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def get(self, key: str) -> bytes | None:
        try:
            return (self._root / key).read_bytes()
        except OSError:
            return None

    def put(self, key: str, data: bytes) -> None:
        path = self._root / key
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            handle, aside = tempfile.mkstemp(dir=path.parent, prefix=".new-")
            with os.fdopen(handle, "wb") as file:
                file.write(data)
            Path(aside).replace(path)
        except OSError:
            return

    def drop(self, key: str) -> None:
        try:
            (self._root / key).unlink(missing_ok=True)
        except OSError:
            return
