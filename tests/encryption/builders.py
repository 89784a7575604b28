"""Encrypted stores, and the worlds of other tests with encrypted stores in them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any
from unittest import mock

import msgspec
import pytest
from tests.garbage import simulation as garbage

from sheaf.engine.clock import Clock
from sheaf.engine.encryption.encrypted_backend import EncryptedBackend
from sheaf.engine.encryption.slots import add_slot, create_encrypted_store
from sheaf.format import keys
from sheaf.format.encrypted_v1 import StoreKey
from sheaf.format.store_v1 import ENCRYPTION, StoreConfig, encode_config
from sheaf.repo.access.unlock import Opener
from sheaf.repo.store import Store
from sheaf.storage.memory import MemoryBackend
from sheaf.storage.port import Backend
from sheaf.testing.clock import SteeredClock
from sheaf.testing.schedule import Schedule

KEY = bytes(range(32))
STORE_KEY = StoreKey(bytes(range(100, 132)), "the store's id")
#: Where tests of other folders make the stores that they work on.
_MAKERS = ("tests.crash.builders", "tests.replicas.builders", "tests.stateful.test_store")


def covered(inner: Backend, key: StoreKey = STORE_KEY) -> EncryptedBackend:
    """A place with the encryption before it."""
    return EncryptedBackend(inner, key)


def new_store(backend: Backend | None = None, secret: bytes | str = KEY) -> Backend:
    """A place with an empty, encrypted store."""
    backend = backend or MemoryBackend()
    create_encrypted_store(backend, SteeredClock("store"), secret)
    return backend


def opened(backend: Backend, secret: bytes | str = KEY, seed: str = "process", **more: Any) -> Store:
    """A process that has an encrypted store open."""
    return Store(backend, clock=SteeredClock(seed, 1_790_000_000), unlock=Opener(key=secret), **more)


def plain_of(store: Store) -> Backend:
    """What the engine sees of a store."""
    return store._core.backend


# -- other worlds ------------------------------------------------------------------------------------------------------


@contextmanager
def encrypted_worlds() -> Iterator[None]:
    """Within it the worlds of other tests make encrypted stores, and everybody opens them."""

    def create(backend: Backend, clock: Clock) -> StoreConfig:
        return create_encrypted_store(backend, clock, KEY)

    with ExitStack() as stack:
        for module in _MAKERS:
            stack.enter_context(mock.patch(f"{module}.create_store", create))
        stack.enter_context(mock.patch("tests.garbage.simulation._make", _make))
        stack.enter_context(mock.patch("tests.garbage.simulation._begin", _begin))
        patch = stack.enter_context(pytest.MonkeyPatch.context())
        patch.setenv("SHEAF_KEY", KEY.hex())
        yield


_plain_begin = garbage._begin


def _make(schedule: Schedule, config: StoreConfig) -> None:
    """As a schedule's store is made, encrypted."""
    add_slot(schedule.store, StoreKey(bytes(32), config.id), KEY, SteeredClock("slot"), random=bytes)
    schedule.store.create(keys.CONFIG, encode_config(msgspec.structs.replace(config, encryption=ENCRYPTION)))


def _begin(world: garbage.World, past: str) -> None:
    """As a schedule begins; no listing is so late that the key is not there yet."""
    _plain_begin(world, past)
    place = world.schedule.store
    slots = [stat.key for stat in place.list(keys.SLOTS)]
    assert slots
    place._born.update(dict.fromkeys(slots, -1000))
