"""The keys of a store: what opens it, what doesn't, and that no crash locks anybody out."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.crash.builders import clone
from tests.encryption.builders import KEY, new_store, opened

from sheaf.engine.core import create_store
from sheaf.engine.encryption import slots
from sheaf.errors import (
    AlreadyExists,
    Conflict,
    Corrupt,
    Denied,
    InvalidInput,
    NotFound,
    Refused,
    SheafError,
    Unsupported,
)
from sheaf.format import keys
from sheaf.format.encrypted_v1 import StoreKey
from sheaf.format.keyslot_v1 import KeySlot, Secret, Work, decode_slot, encode_slot, unwrap, wrap
from sheaf.format.sealed import seal
from sheaf.format.store_v1 import decode_config
from sheaf.repo.access.unlock import Opener
from sheaf.repo.store import Store
from sheaf.storage.memory import MemoryBackend
from sheaf.storage.port import Backend
from sheaf.testing.clock import SteeredClock
from sheaf.testing.faults import Crash, Fault, FaultyBackend

OTHER = bytes(range(1, 33))
SLOT = KeySlot("3Jdnq4arcYx2Z5LPMzbeHikZRXT", "key", "2026-11-21T01:02:03.000004Z", bytes(32).hex())
CHEAP = Work(16, 1, 1)


@pytest.fixture(autouse=True)
def cheap() -> Iterator[None]:
    """Passphrases that cost nothing to try."""
    with mock.patch.object(slots, "_WORK", CHEAP):
        yield


@pytest.fixture
def backend() -> Backend:
    return new_store()


def opens(backend: Backend, secret: Secret) -> bool:
    try:
        with opened(backend, secret):
            return True
    except Denied:
        return False


def test_a_store_is_opened_by_its_key_alone(backend: Backend) -> None:
    assert opens(backend, KEY)
    for wrong in (OTHER, bytes(32), "a passphrase", KEY.hex()):
        assert not opens(backend, wrong)


def test_who_has_no_key_is_told_what_to_do(backend: Backend, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("SHEAF_KEY", raising=False)
    with pytest.raises(Denied, match="no key was given") as caught:
        Store(backend)
    assert "SHEAF_KEY_FILE" in caught.value.hint
    with pytest.raises(Denied, match="can't be opened with the given") as caught:
        opened(backend, OTHER)
    assert "key " in caught.value.hint
    assert OTHER.hex() not in str(caught.value) + caught.value.hint


@pytest.mark.parametrize("bad", [b"", b"short", bytes(33), ""])
def test_what_can_be_no_key_is_refused(bad: Secret) -> None:
    with pytest.raises(InvalidInput):
        new_store(secret=bad)


def test_a_key_for_a_store_that_is_not_encrypted_is_refused() -> None:
    backend = MemoryBackend()
    create_store(backend, SteeredClock("store"))
    with pytest.raises(Refused, match="not encrypted"):
        opened(backend)
    with Store(backend) as store, pytest.raises(Refused, match="not encrypted"):
        _ = store.keys


def test_a_passphrase_may_be_typed_in_several_ways() -> None:
    backend = new_store(secret="café au lait")
    assert opens(backend, "cafe\u0301 au lait")
    assert not opens(backend, "cafe au lait")


def test_a_person_is_asked_last(backend: Backend, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("SHEAF_KEY", raising=False)
    asked: list[str] = []

    def ask(what: str) -> str:
        asked.append(what)
        return "please"

    with pytest.raises(Denied):
        Store(backend, unlock=Opener(ask=ask))  # it takes no passphrase
    with opened(backend) as store:
        store.keys.add("please")
    monkeypatch.setenv("SHEAF_KEY", KEY.hex())
    Store(backend, unlock=Opener(ask=ask)).close()
    assert not asked
    monkeypatch.delenv("SHEAF_KEY")
    Store(backend, unlock=Opener(ask=ask)).close()
    assert len(asked) == 1


def test_keys_come_and_go(backend: Backend) -> None:
    with opened(backend) as store:
        store.create_repo("r")
        first = store.keys.list()[0]
        assert (first.kind, first.is_used) == ("key", True)
        added = store.keys.add("words", note="of mine")
        assert (added.kind, added.note, added.is_used) == ("passphrase", "of mine", False)
        store.keys.remove(first.id)
    assert not opens(backend, KEY)
    with opened(backend, "words", "second") as store:
        assert [info.name for info in store.repos()] == ["r"]
        assert [key.id for key in store.keys.list()] == [added.id]
        with pytest.raises(Refused, match="the last one"):
            store.keys.remove(added.id)
        with pytest.raises(NotFound):
            store.keys.remove(first.id)


def test_rotating_writes_one_object_and_deletes_one(backend: Backend) -> None:
    with opened(backend) as store:
        store.create_repo("r").edit(message="m").__enter__().commit()
    before = {stat.key: backend.get(stat.key) for stat in backend.list()}
    with opened(backend, seed="second") as store:
        store.keys.rotate(OTHER)
    after = {stat.key: backend.get(stat.key) for stat in backend.list()}
    assert len(before.keys() - after.keys()) == len(after.keys() - before.keys()) == 1
    assert all(after[key] == data for key, data in before.items() if key in after)
    assert opens(backend, OTHER)
    assert not opens(backend, KEY)


def test_a_rotation_that_is_stopped_locks_nobody_out(backend: Backend) -> None:
    assert isinstance(backend, MemoryBackend)
    for fault in (Fault.CRASH_BEFORE, Fault.CRASH_AFTER, Fault.LOST, Fault.FAIL):
        for nth in itertools.count(1):
            place = clone(backend)
            faulty = FaultyBackend(place, {nth: fault})
            try:
                with opened(faulty) as store:
                    store.keys.rotate(OTHER)
            except (Crash, SheafError):
                assert opens(place, KEY) or opens(place, OTHER), f"{fault}, write {nth}"
                secret = KEY if opens(place, KEY) else OTHER
                with opened(place, secret, "again") as store:
                    store.keys.rotate(OTHER)
            assert opens(place, OTHER)
            assert not opens(place, KEY)
            if faulty.written < nth:
                break


def test_two_people_who_remove_each_others_key_leave_one(backend: Backend) -> None:
    with opened(backend) as one:
        first, second = one.keys.list()[0], one.keys.add(OTHER)
        with opened(backend, OTHER, "two") as two:
            real = MemoryBackend.delete

            def meanwhile(self: MemoryBackend, key: str) -> None:
                real(self, key)
                if key == keys.slot(first.id):
                    real(self, keys.slot(second.id))

            with mock.patch.object(MemoryBackend, "delete", meanwhile), pytest.raises(Conflict):
                two.keys.remove(first.id)
    assert opens(backend, KEY)


@pytest.mark.parametrize("damage", [lambda data: data[:-5], lambda data: data.replace(b"3", b"4", 1), lambda data: b""])
def test_a_damaged_slot_is_not_called_a_wrong_key(backend: Backend, damage: Any) -> None:
    (stat,) = backend.list(keys.SLOTS)
    data = damage(backend.get(stat.key))
    backend.delete(stat.key)
    backend.create(stat.key, data)
    with pytest.raises(Corrupt, match=stat.key):
        opened(backend)


def test_a_damaged_slot_keeps_nobody_else_out(backend: Backend) -> None:
    with opened(backend) as store:
        store.keys.add(OTHER)
    (first, _) = slots.all_slots(backend)
    backend.delete(keys.slot(first.id))
    backend.create(keys.slot(first.id), b"junk")
    assert opens(backend, OTHER)
    with pytest.raises(Corrupt, match=first.id):
        opened(backend)
    with opened(backend, OTHER, "second") as store, pytest.raises(Corrupt, match=first.id):
        assert [problem.key for problem in store.check().problems] == [keys.slot(first.id)]
        store.keys.list()
    with opened(backend, OTHER, "third") as store:
        store.keys.remove(first.id)
        assert store.check().ok


def test_a_store_without_slots_is_damaged(backend: Backend) -> None:
    for stat in [*backend.list(keys.SLOTS)]:
        backend.delete(stat.key)
    with pytest.raises(Corrupt, match="its keys/ is empty"):
        opened(backend)


# -- making a store ----------------------------------------------------------------------------------------------------


def test_there_is_a_whole_store_or_none() -> None:
    for fault in (Fault.CRASH_BEFORE, Fault.CRASH_AFTER):
        for nth in itertools.count(1):
            place = MemoryBackend()
            faulty = FaultyBackend(place, {nth: fault})
            try:
                new_store(faulty)
            except Crash:
                if place.stat(keys.CONFIG) is None:
                    if place.newest("log/") is not None:  # nobody makes a readable store of its remains
                        with pytest.raises(Refused):
                            create_store(place, SteeredClock("plain"))
                    create = SteeredClock("again")
                    slots.create_encrypted_store(place, create, KEY)
            assert opens(place, KEY), f"{fault}, write {nth}"
            if faulty.written < nth:
                break


def test_there_is_no_second_store_in_a_place(backend: Backend) -> None:
    before = {stat.key for stat in backend.list()}
    with pytest.raises(AlreadyExists):
        slots.create_encrypted_store(backend, SteeredClock("other"), OTHER)
    with pytest.raises(AlreadyExists):
        create_store(backend, SteeredClock("plain"))
    assert {stat.key for stat in backend.list()} == before
    assert decode_config(backend.get(keys.CONFIG)).is_encrypted


def test_a_program_that_does_not_know_encryption_refuses_by_name(backend: Backend) -> None:
    for known in ("READ_FEATURES", "WRITE_FEATURES"):
        with (
            mock.patch(f"sheaf.engine.context.{known}", frozenset()),
            pytest.raises(Unsupported, match="encryption"),
            opened(backend, seed=known) as store,
        ):
            store.create_repo("r")


def test_without_the_library_it_says_what_to_install(backend: Backend) -> None:
    with mock.patch.dict("sys.modules", {"cryptography": None}), pytest.raises(Unsupported) as caught:
        opened(backend)
    assert "sheaf-data[encryption]" in caught.value.hint


# -- slots as bytes ----------------------------------------------------------------------------------------------------


@given(st.binary(min_size=32, max_size=32), st.binary(min_size=32, max_size=32) | st.text(min_size=1, max_size=9))
@settings(max_examples=30)
def test_what_is_wrapped_is_unwrapped_by_the_same_secret_in_the_same_store(key: bytes, secret: Secret) -> None:
    kind = ("passphrase", CHEAP) if isinstance(secret, str) else ("key", None)
    blank = msgspec.structs.replace(SLOT, kind=kind[0], scrypt=kind[1])
    slot = decode_slot(encode_slot(wrap(StoreKey(key, "s"), secret, blank)), "slot")
    assert unwrap(slot, "s", secret) == StoreKey(key, "s")
    assert unwrap(slot, "other", secret) is None
    assert unwrap(msgspec.structs.replace(slot, id="other"), "s", secret) is None
    assert unwrap(slot, "s", OTHER if isinstance(secret, str) else "words") is None


@pytest.mark.parametrize(
    "odd",
    [
        {"salt": "xyz"},
        {"salt": "00"},
        {"wrapped": "00" * 47},
        {"kind": "passphrase"},
        {"scrypt": CHEAP},
    ],
)
def test_what_is_no_slot_is_damage(odd: dict[str, Any]) -> None:
    slot = msgspec.structs.replace(wrap(StoreKey(KEY, "s"), OTHER, SLOT), **odd)
    with pytest.raises(Corrupt):
        decode_slot(seal("key", slot), "slot")


@pytest.mark.parametrize(
    ("n", "r", "p"),
    [(1 << 40, 8, 1), (1 << 20, 1 << 20, 1), (1 << 14, 8, 1 << 20), (3, 8, 1), (0, 0, 0), (-2, 8, 1)],
)
def test_a_slot_cannot_exhaust_the_machine(n: int, r: int, p: int) -> None:
    slot = msgspec.structs.replace(SLOT, kind="passphrase", scrypt=Work(n, r, p), wrapped=bytes(48).hex())
    with pytest.raises(Unsupported):
        decode_slot(seal("key", slot), "slot")


def test_what_is_written_by_default_is_borne_and_read() -> None:
    slot = msgspec.structs.replace(SLOT, kind="passphrase", scrypt=Work())
    made = wrap(StoreKey(KEY, "s"), "words", slot)
    assert unwrap(decode_slot(encode_slot(made), "slot"), "s", "words") == StoreKey(KEY, "s")
