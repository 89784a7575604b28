"""The rules for keys. Every backend checks them before it reads or writes anything."""

from __future__ import annotations

import re

from sheaf.errors import InvalidInput

__all__ = ["ASIDE", "check_key", "check_prefix", "is_segment"]

#: The top folder in which backends keep unfinished writes. No key is in it and no listing shows it.
ASIDE = "tmp"

_KEY_MAX = 1000  # bytes: S3 allows 1,024, and a prefix may come before our keys
_SEGMENT_MAX = 255  # bytes: the limit of file systems
_RULE = "use segments of [A-Za-z0-9._-] joined by '/'"
_SEGMENT = re.compile(r"[A-Za-z0-9._-]{1,255}", re.ASCII)
_PREFIX = re.compile(r"[A-Za-z0-9._/-]*", re.ASCII)


def is_segment(name: str) -> bool:
    """True if a file name can be a segment of a key."""
    return name not in {".", ".."} and _SEGMENT.fullmatch(name) is not None


def check_key(key: str) -> str:
    """Return the key. Raises ``InvalidInput`` if it breaks the port's rules."""
    segments = key.split("/")
    if len(key) > _KEY_MAX or not all(map(is_segment, segments)):
        raise InvalidInput(f"not a key: {_shown(key)}", _RULE)
    if segments[0] == ASIDE:
        raise InvalidInput(f"not a key: {_shown(key)}", f"{ASIDE}/ is reserved for unfinished writes")
    return key


def check_prefix(prefix: str) -> str:
    """Return the prefix. Raises ``InvalidInput`` if no key could start with it."""
    folders = prefix.split("/")[:-1]
    if _PREFIX.fullmatch(prefix) is None or not all(map(is_segment, folders)):
        raise InvalidInput(f"not a prefix of keys: {_shown(prefix)}", _RULE)
    return prefix


def _shown(key: str) -> str:
    return repr(key if len(key) <= _SEGMENT_MAX else key[:_SEGMENT_MAX] + "…")
