"""Where a store is: its URL, taken apart."""

from __future__ import annotations

from dataclasses import dataclass

from sheaf.storage.storage_options import StorageOptions

__all__ = ["Location"]


@dataclass(frozen=True, slots=True)
class Location:
    """A store's URL, taken apart. ``host`` is the bucket, container or name; ``path`` has no slash at either end."""

    scheme: str
    host: str
    path: str
    options: StorageOptions
