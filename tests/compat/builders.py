"""Entries that Sheaf reads and does not write."""

from __future__ import annotations

from sheaf.format.node_v1 import external_content
from sheaf.model.entries import Entry, ExternalPlace, Kind
from sheaf.model.paths import check_path, split


def external_entry(path: str, url: str, size: int, etag: str = "", mtime: int = 0) -> Entry:
    """The entry of a file elsewhere whose bytes nobody has hashed: its content stands for where it is and which it is."""
    folder, name = split(check_path(path))
    content = external_content(url, size, etag)
    return Entry(folder, name, Kind.EXTERNAL, 0o644, mtime, size, content, place=ExternalPlace(url, etag))
