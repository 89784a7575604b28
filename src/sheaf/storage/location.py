"""The parts of a store's URL."""

from __future__ import annotations

from msgspec import Struct

from sheaf.storage.storage_options import StorageOptions

__all__ = ["Location"]


class Location(Struct, frozen=True):
    """A store's URL, split into parts. ``host``: the bucket, container or name; ``path`` has no slash at either end."""

    scheme: str
    host: str
    path: str
    options: StorageOptions
