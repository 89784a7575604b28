"""The most bytes that an object may have, by its key (docs/format/v1.md, "Constants"). Larger ones aren't read or written."""

from __future__ import annotations

from typing import Final

from sheaf.errors import Refused
from sheaf.format import keys

__all__ = [
    "LIMITS",
    "MAX_CHILDREN",
    "MAX_ROWS",
    "MAX_WEIGHT",
    "MIN_CHILDREN",
    "MIN_ROWS",
    "OTHER",
    "ensure_fits",
    "limit_of",
]

#: Of a node: rows and bytes of a leaf, children of an inner node (docs/format/v1.md, "Constants").
MIN_ROWS, MAX_ROWS, MAX_WEIGHT = 1024, 16384, 1 << 20
MIN_CHILDREN, MAX_CHILDREN = 256, 4096

_MIB: Final = 1 << 20
OTHER: Final = 1024 * _MIB  #: for keys of unknown kinds, which are copied to replicas

#: By the beginning of the key. In memory a decoded object may occupy several times as much.
LIMITS: Final[dict[str, int]] = {
    keys.CONFIG: 1 * _MIB,
    keys.SLOTS: 1 * _MIB,
    keys.SESSIONS: 1 * _MIB,
    keys.REPLICA: 1 * _MIB,
    keys.BEHIND: 1 * _MIB,
    keys.ERASED: 1 * _MIB,
    keys.DAMAGED: 1 * _MIB,
    keys.RUNS: 16 * _MIB,
    "log/": 32 * _MIB,
    "pages/": 64 * _MIB,
    keys.REPOS: 64 * _MIB,  # records, pages, diamonds
    keys.MOVED: 64 * _MIB,
    keys.NODES: 256 * _MIB,
    keys.PACKS: 256 * _MIB,
    keys.CONDEMNED: 256 * _MIB,
    keys.ERASING: 256 * _MIB,
    keys.RECEIPTS: 256 * _MIB,
    keys.INDEX: 1024 * _MIB,
    keys.OBJECTS: 1024 * _MIB,
}
_REPO_RECORD: Final = "/log/"


def limit_of(key: str) -> int:
    """The most bytes that the object with this key may have."""
    folder, slash, _ = key.partition("/")
    if folder + slash == keys.REPOS and _REPO_RECORD in key:
        return LIMITS["log/"]
    return LIMITS.get(folder + slash, OTHER)


def ensure_fits(key: str, size: int) -> None:
    """Raise Refused for an object that is larger than readers accept."""
    if size > (most := limit_of(key)):
        raise Refused(f"{key} would have {size} bytes, but at most {most} are allowed", "do less in one step")
