"""What of a store is encrypted: every object but those that say what happened when, and hashes of contents in keys."""

from __future__ import annotations

import re
from collections.abc import Callable

from sheaf.format import keys
from sheaf.format.encrypted_v1 import NameCipher, StoreKey

__all__ = ["HiddenNames", "is_plain", "may_be_hashed"]

#: Read by whoever brings a copy up to date, with or without the key; nothing in them is made of contents.
_PLAIN = (keys.CONFIG, "log/", "pages/", keys.SESSIONS, keys.REPLICA, keys.BEHIND, keys.SLOTS)
_PLAIN_OF_REPO = re.compile(rf"{keys.REPOS}[^/]+/(?:log|pages)/")

#: Folders with keys that end with the hash of what is in the object, or of a content.
_HASHED = (keys.INDEX, keys.ERASED)
_HASHED_KEY = re.compile(rf"((?:{keys.INDEX}|{keys.ERASED})(?:[^/]+/)*(?:[^/]+-)?)([0-9a-f]{{64}})")


def is_plain(key: str) -> bool:
    """True if an object stays as it is."""
    return key.startswith(_PLAIN) or _PLAIN_OF_REPO.match(key) is not None


class HiddenNames:
    """Keys as the engine knows them, and as the store does: there, hashes say nothing about contents."""

    def __init__(self, key: StoreKey) -> None:
        self._cipher = NameCipher(key)

    def hide(self, key: str) -> str:
        """The key in the store."""
        return self._with(key, self._cipher.hide)

    def show(self, key: str) -> str:
        """The key in the engine."""
        return self._with(key, self._cipher.show)

    def _with(self, key: str, change: Callable[[bytes], bytes]) -> str:
        match = _HASHED_KEY.fullmatch(key) if key.startswith(_HASHED) else None
        return f"{match[1]}{change(bytes.fromhex(match[2])).hex()}" if match else key


def may_be_hashed(prefix: str) -> bool:
    """True if keys with this prefix may have another order in the store."""
    return any(folder.startswith(prefix) or prefix.startswith(folder) for folder in _HASHED)
