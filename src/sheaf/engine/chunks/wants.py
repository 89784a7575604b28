"""Chunks to fetch, and the callbacks for those that can't be read."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, NamedTuple

from sheaf.errors import Corrupt, NotFound, SheafError, Unsupported
from sheaf.format.store_v1 import MAX_CHUNK

__all__ = ["DAMAGE", "FRAME", "GAP", "OnDamaged", "OnErased", "Want"]

GAP: Final = 64 << 10  #: bytes; a gap of at most so many is fetched too, instead of with a second request
FRAME: Final = MAX_CHUNK + (1 << 20)  #: bytes of the longest frame: incompressible data may grow a little
#: Errors that concern some bytes only, so that others may be sound.
DAMAGE: Final = (Corrupt, NotFound, Unsupported)

OnErased = Callable[[int], object]  #: called with the tag of an erased chunk
OnDamaged = Callable[[int, SheafError], object]  #: called with the tag of a chunk that can't be read, and the error


class Want(NamedTuple):  # made for each small file: a frozen dataclass takes five times as long
    """A chunk to fetch: ``tag`` identifies it to the caller, then its location, hash and length in bytes (-1: any)."""

    tag: int
    pack: bytes
    offset: int
    stored: int
    hash: bytes
    length: int
