"""One path of a bundle, and the place where its bytes are."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from sheaf.model.ids import ZERO_HASH
from sheaf.model.paths import join

__all__ = [
    "EARLIEST",
    "LATEST",
    "MAX_MODE",
    "ChunkPlace",
    "Entry",
    "ExternalPlace",
    "Kind",
    "ObjectPlace",
    "Place",
    "PlaceKind",
    "RecipePlace",
    "clamp_time",
]


class Kind(enum.IntEnum):
    """What a path is. EXTERNAL is a file elsewhere whose bytes nobody has hashed yet."""

    FILE = 0
    SYMLINK = 1
    FOLDER = 2
    EXTERNAL = 3


class PlaceKind(enum.IntEnum):
    """How to find a file's bytes (the `place` column of a leaf)."""

    NONE = 0
    CHUNK = 1
    RECIPE = 2
    OBJECT = 3
    EXTERNAL = 4


@dataclass(frozen=True, slots=True)
class ChunkPlace:
    """The whole file is one chunk: ``stored`` bytes at ``offset`` of a pack."""

    pack: bytes
    offset: int
    stored: int


@dataclass(frozen=True, slots=True)
class RecipePlace:
    """A tree of parts that list the file's chunks; ``recipe`` is the BLAKE3 of the top part, itself a chunk."""

    recipe: bytes
    pack: bytes
    offset: int
    stored: int


@dataclass(frozen=True, slots=True)
class ObjectPlace:
    """The file is kept whole in ``objects/``, written by this session."""

    session: str


@dataclass(frozen=True, slots=True)
class ExternalPlace:
    """The bytes are elsewhere, referenced and not copied."""

    url: str
    etag: str = ""


Place = ChunkPlace | RecipePlace | ObjectPlace | ExternalPlace


#: Nanoseconds since 1970 that an entry can hold: the years 1677 to 2262.
EARLIEST: Final = -(1 << 63)
LATEST: Final = (1 << 63) - 1


#: Permission bits: an entry has no setuid, setgid or sticky bit.
MAX_MODE: Final = 0o777


def clamp_time(ns: int) -> int:
    """The nearest time that an entry can hold: some file systems know years beyond 2262."""
    return min(max(ns, EARLIEST), LATEST)


@dataclass(frozen=True, slots=True)
class Entry:
    """One path of a bundle.

    ``mode``: permission bits without setuid, setgid and sticky. ``mtime``: nanoseconds since 1970. ``size``: bytes.
    ``content``: BLAKE3-256 of the file; of a symlink's target; zeros for folders; for EXTERNAL, of its URL, size and ETag.
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
        """Folder and name, joined."""
        return join(self.folder, self.name)

    @property
    def executable(self) -> bool:
        """The owner's execute bit of a file: the only mode bit that is part of a version."""
        return self.kind in (Kind.FILE, Kind.EXTERNAL) and bool(self.mode & 0o100)
