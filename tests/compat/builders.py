"""Entries that Sheaf reads and does not write."""

from __future__ import annotations

from sheaf.format.node_v1 import external_content
from sheaf.model.entries import ExternalPlace, Kind, ManifestEntry
from sheaf.model.paths import check_path, split


def external_entry(path: str, url: str, size: int, etag: str = "", mtime: int = 0) -> ManifestEntry:
    """Return the entry of an external file, whose bytes were not hashed: its content is a hash of URL, size and ETag."""
    folder, name = split(check_path(path))
    content = external_content(url, size, etag)
    return ManifestEntry(folder, name, Kind.EXTERNAL, 0o644, mtime, size, content, place=ExternalPlace(url, etag))
