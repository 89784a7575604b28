"""The keys of an encrypted store: what opens it."""

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
    """The keys of one store, as :attr:`sheaf.Store.keys` hands them out.

    A key opens the store's own key, with which everything in it is encrypted and which never changes. So removing a key
    keeps those out who have nothing but that key; whoever has opened the store with it may have kept the store's key.
    """

    def __init__(
        self, backend: Backend, key: StoreKey, slot: KeySlot, clock: Clock, refuse_writes: Callable[[], None]
    ) -> None:
        self._backend, self._key, self._slot, self._clock = backend, key, slot, clock
        self._refuse_writes = refuse_writes

    def list(self) -> builtins.list[KeyInfo]:
        """All of them, oldest first. Raises Corrupt."""
        return [self._info(slot) for slot in all_slots(self._backend)]

    def add(self, key: bytes | str, *, note: str = "") -> KeyInfo:
        """From now on this key (32 random bytes) or passphrase (text) opens the store, too. Raises InvalidInput."""
        self._refuse_writes()
        return self._info(add_slot(self._backend, self._key, key, self._clock, note))

    def remove(self, id: str) -> None:
        """From now on the key with this id doesn't open the store. Raises NotFound, Refused for the last one."""
        self._refuse_writes()
        remove_slot(self._backend, id)

    def rotate(self, key: bytes | str, *, note: str = "") -> KeyInfo:
        """Put this key in the place of the one that opened the store. What is stored is not written again.

        If it is stopped halfway, both keys open the store.
        """
        added, old = self.add(key, note=note), self._slot
        self._slot = next(slot for slot in all_slots(self._backend) if slot.id == added.id)
        self.remove(old.id)
        return self._info(self._slot)

    def _info(self, slot: KeySlot) -> KeyInfo:
        return KeyInfo(slot.id, slot.kind, parse_time(slot.time), slot.note, slot.id == self._slot.id)
