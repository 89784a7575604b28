"""The keys that open an encrypted store."""

from __future__ import annotations

import builtins
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from sheaf.engine.clock import Clock, parse_time
from sheaf.engine.encryption.slots import add_slot, all_slots, remove_slot
from sheaf.format.encrypted_v1 import StoreKey
from sheaf.format.keyslot_v1 import KeySlot
from sheaf.storage.port import Backend

__all__ = ["KeyInfo", "Keys"]


@dataclass(frozen=True, slots=True)
class KeyInfo:
    """A key that opens a store. ``kind``: ``key`` or ``passphrase``; ``is_used``: it opened the store this time."""

    id: str
    kind: str
    time: datetime
    note: str
    is_used: bool


class Keys:
    """The keys of a store: :attr:`sheaf.Store.keys`.

    Each key decrypts the store's own key, which encrypts everything and never changes. Removing a key locks out users who
    have only that key, but not users who have opened the store with it and kept the store's own key.
    """

    def __init__(
        self, backend: Backend, key: StoreKey, slot: KeySlot, clock: Clock, ensure_writable: Callable[[], None]
    ) -> None:
        self._backend, self._key, self._slot, self._clock = backend, key, slot, clock
        self._ensure_writable = ensure_writable

    def list(self) -> builtins.list[KeyInfo]:
        """Return all keys, oldest first. Raises Corrupt."""
        return [self._info(slot) for slot in all_slots(self._backend)]

    def add(self, key: bytes | str, *, note: str = "") -> KeyInfo:
        """Add a key (32 random bytes) or passphrase (text) that opens the store. Raises InvalidInput."""
        self._ensure_writable()
        return self._info(add_slot(self._backend, self._key, key, self._clock, note))

    def remove(self, id: str) -> None:
        """Remove the key with this id. Raises NotFound; Refused for the last key."""
        self._ensure_writable()
        remove_slot(self._backend, id)

    def rotate(self, key: bytes | str, *, note: str = "") -> KeyInfo:
        """Replace the key that opened the store. Stored data is not rewritten.

        If it is interrupted, both keys open the store.
        """
        added, old = self.add(key, note=note), self._slot
        self._slot = next(slot for slot in all_slots(self._backend) if slot.id == added.id)
        self.remove(old.id)
        return self._info(self._slot)

    def _info(self, slot: KeySlot) -> KeyInfo:
        return KeyInfo(slot.id, slot.kind, parse_time(slot.time), slot.note, slot.id == self._slot.id)
