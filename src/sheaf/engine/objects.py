"""Whole objects of a place: none is read that is larger than its kind allows (:mod:`sheaf.format.limits`)."""

from __future__ import annotations

from sheaf.format.limits import limit_of
from sheaf.storage.port import Backend

__all__ = ["get_object", "get_stored"]

_HEADER = 1 << 16  # bytes that encryption adds to a small object, at most


def get_object(place: Backend, key: str) -> bytes:
    """The object under a key. Raises NotFound; Corrupt if it is larger than any such object."""
    return place.get(key, limit_of(key))


def get_stored(place: Backend, key: str) -> bytes:
    """The same of a place that may be encrypted, which takes an eighth more at most: to be copied, not to be read."""
    most = limit_of(key)
    return place.get(key, most + most // 8 + _HEADER)
