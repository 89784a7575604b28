"""The user's cache: its parts, their sizes, and the limit of cached objects. Everything in it can be fetched again."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from sheaf.engine.object_cache import Use, room_of, set_room, shrink, use_of
from sheaf.errors import Denied
from sheaf.local_errors import printable

__all__ = ["PARTS", "UserCache"]

#: The folders of a cache, with what is in each.
PARTS: Final = {
    "objects": "copies of remote manifests, indexes and logs",
    "blocks": "blocks of mounted files",
    "checks": "packs that checks have read",
    "stat": "hashes of unchanged local files",
    "folders": "bundles that local folders came from",
}


class UserCache:
    """The cache in a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def uses(self) -> dict[str, Use]:
        """Return the number and size of the files of each part."""
        return {part: use_of(self.folder / part) for part in PARTS}

    @property
    def limit(self) -> int:
        """The most bytes of cached objects of each store."""
        return room_of(self.folder)

    def set_limit(self, size: int) -> None:
        """Limit the cached objects of each store, and delete the least recently used beyond that. Raises Denied."""
        try:
            set_room(self.folder, size)
        except OSError as error:
            raise Denied(f"{printable(str(self.folder))} can't be written: {error.strerror}") from error
        for store in sorted((self.folder / "objects").glob("*")):
            shrink(store, size)

    def clear(self) -> int:
        """Delete all parts; returns the number of bytes freed."""
        freed = 0
        for part in PARTS:
            freed += use_of(self.folder / part).bytes
            import shutil

            shutil.rmtree(self.folder / part, ignore_errors=True)
            freed -= use_of(self.folder / part).bytes
        return freed
