"""Which objects are encrypted: all but those that record what happened when. Hashes of contents in keys are hidden."""

from __future__ import annotations

import re
from collections.abc import Callable

from sheaf.format import keys
from sheaf.format.encrypted_v1 import NameCipher, StoreKey

__all__ = ["HiddenNames", "is_plain", "may_be_hashed"]

#: Objects that are read to bring a replica up to date, with or without the key; they contain nothing derived from contents.
_PLAIN = (keys.CONFIG, "log/", "pages/", keys.SESSIONS, keys.REPLICA, keys.BEHIND, keys.SLOTS)
_PLAIN_OF_REPO = re.compile(rf"{keys.REPOS}[^/]+/(?:log|pages)/")

#: Folders with keys that end with the hash of an object's bytes or of a content.
_HASHED = (keys.INDEX, keys.ERASED)
_HASHED_KEY = re.compile(rf"((?:{keys.INDEX}|{keys.ERASED})(?:[^/]+/)*(?:[^/]+-)?)([0-9a-f]{{64}})")


def is_plain(key: str) -> bool:
    """True if an object is stored without encryption."""
    return key.startswith(_PLAIN) or _PLAIN_OF_REPO.match(key) is not None


class HiddenNames:
    """Translates between the engine's keys and the store's, in which hashes reveal nothing about contents."""

    def __init__(self, key: StoreKey) -> None:
        self._cipher = NameCipher(key)

    def hide(self, key: str) -> str:
        """Return the key in the store for a key of the engine."""
        return self._with(key, self._cipher.hide)

    def show(self, key: str) -> str:
        """Return the engine's key for a key in the store."""
        return self._with(key, self._cipher.show)

    def _with(self, key: str, change: Callable[[bytes], bytes]) -> str:
        match = _HASHED_KEY.fullmatch(key) if key.startswith(_HASHED) else None
        return f"{match[1]}{change(bytes.fromhex(match[2])).hex()}" if match else key


def may_be_hashed(prefix: str) -> bool:
    """True if keys with this prefix may have a different order in the store."""
    return any(folder.startswith(prefix) or prefix.startswith(folder) for folder in _HASHED)
