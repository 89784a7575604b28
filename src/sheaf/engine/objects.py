"""Read whole objects of a location, but none that is larger than its kind allows (:mod:`sheaf.format.limits`)."""

from __future__ import annotations

from sheaf.format.limits import limit_of
from sheaf.storage.port import Backend

__all__ = ["get_object", "get_stored"]

_HEADER = 1 << 16  # bytes that encryption adds to a small object, at most


def get_object(backend: Backend, key: str) -> bytes:
    """Return the object under a key. Raises NotFound; Corrupt if it is larger than any such object."""
    return backend.get(key, limit_of(key))


def get_stored(backend: Backend, key: str) -> bytes:
    """Return an object as it is stored, to copy it. Raises NotFound, Corrupt.

    The location may be encrypted, so the object may be larger by an eighth and a header.
    """
    most = limit_of(key)
    return backend.get(key, most + most // 8 + _HEADER)
