"""Entries of a bundle, and the placements of their bytes."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from typing import Final

from msgspec import Struct, field

from sheaf.model.ids import ZERO_HASH
from sheaf.model.paths import join

__all__ = [
    "EARLIEST",
    "LATEST",
    "MAX_MODE",
    "ChunkPlace",
    "ExternalPlace",
    "Kind",
    "ManifestEntry",
    "ObjectPlace",
    "Place",
    "PlaceKind",
    "RecipePlace",
    "clamp_time",
]


class Kind(enum.IntEnum):
    """The type of a path. EXTERNAL: a file in an external location whose bytes were never hashed."""

    FILE = 0
    SYMLINK = 1
    FOLDER = 2
    EXTERNAL = 3


class PlaceKind(enum.IntEnum):
    """How to find a file's bytes (column `place` of a leaf)."""

    NONE = 0
    CHUNK = 1
    RECIPE = 2
    OBJECT = 3
    EXTERNAL = 4


class ChunkPlace(Struct, frozen=True):
    """The whole file is one chunk: ``stored`` bytes at ``offset`` of a pack."""

    pack: bytes
    offset: int
    stored: int


class RecipePlace(Struct, frozen=True):
    """The file has many chunks, which a tree of parts lists. ``recipe``: BLAKE3 of the top part, which is itself a chunk."""

    recipe: bytes
    pack: bytes
    offset: int
    stored: int


class ObjectPlace(Struct, frozen=True):
    """The file is stored whole in ``objects/``, written by this session."""

    session: str


class ExternalPlace(Struct, frozen=True):
    """The bytes are in an external location that is referenced, not copied."""

    url: str
    etag: str = ""


Place = ChunkPlace | RecipePlace | ObjectPlace | ExternalPlace


#: The range of times in an entry, in nanoseconds since 1970: the years 1677 to 2262.
EARLIEST: Final = -(1 << 63)
LATEST: Final = (1 << 63) - 1


#: Permission bits of an entry; it has no setuid, setgid or sticky bit.
MAX_MODE: Final = 0o777


def clamp_time(ns: int) -> int:
    """The nearest time that an entry can have, in nanoseconds since 1970: some file systems have years beyond 2262."""
    return min(max(ns, EARLIEST), LATEST)


class ManifestEntry(Struct, frozen=True):
    """One path of a bundle.

    ``mode``: permission bits without setuid, setgid and sticky. ``mtime``: nanoseconds since 1970. ``size``: bytes.
    ``content``: BLAKE3-256 of the file or of a symlink's target; zeros for folders; for EXTERNAL, of its URL, size and ETag.
    """

    folder: str
    name: str
    kind: Kind
    mode: int = 0o644
    mtime: int = 0
    size: int = 0
    content: bytes = ZERO_HASH
    target: str | None = None
    attrs: Mapping[str, str] = field(default_factory=dict)
    place: Place | None = None

    @property
    def path(self) -> str:
        """The folder and the name, joined."""
        return join(self.folder, self.name)

    @property
    def executable(self) -> bool:
        """True if a file's owner may execute it: the only mode bit that is part of a version."""
        return self.kind in (Kind.FILE, Kind.EXTERNAL) and bool(self.mode & 0o100)
