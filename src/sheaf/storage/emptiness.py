"""Check whether a location is empty, apart from what probes have left there."""

from __future__ import annotations

import os
from collections.abc import Container, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final
from urllib.parse import unquote, urlsplit

from sheaf.errors import NotFound
from sheaf.storage.folder.oserrors import translated
from sheaf.storage.key_rules import ASIDE
from sheaf.storage.port import Backend

__all__ = ["foreign_in", "remove_folders"]

#: Beginnings of the names that file systems, NFS clients and the Finder create themselves.
_THEIRS: Final = ("lost+found", ".nfs", ".DS_Store")


def foreign_in(backend: Backend, ours: Container[str]) -> str | None:
    """Find the first foreign object or file in a location; None if there is none. ``ours``: first segments of keys to ignore.

    In a folder this includes files that no store would contain, such as those whose names can't be keys.
    """
    return next((name for name in _names(backend) if name.partition("/")[0] not in ours), None)


def _names(backend: Backend) -> Iterator[str]:
    folder = _folder_of(backend)
    if folder is None:
        yield from (stat.key for stat in backend.list())
        return
    try:
        with translated(f"list {backend.url}"):
            names = sorted(entry.name for entry in folder.iterdir())
    except NotFound:
        return
    yield from (name for name in names if name != ASIDE and not name.startswith(_THEIRS))


def remove_folders(backend: Backend, base: str) -> None:
    """Remove the empty folders that keys below ``base`` have left, if the backend is a folder."""
    root = _folder_of(backend)
    if root is None:
        return
    for folder, _, _ in os.walk(root / base, topdown=False):
        _remove(Path(folder))
    _remove(root / base.partition("/")[0])


def _remove(folder: Path) -> None:
    # A folder that isn't empty contains the files of another process's probe, which must stay.
    with suppress(OSError):
        folder.rmdir()


def _folder_of(backend: Backend) -> Path | None:
    parts = urlsplit(backend.url)
    return Path(unquote(parts.path)) if parts.scheme == "file" else None
