"""Erasing beside uploads that run at the same time."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from tests.engine.builders import Recorder
from tests.erase.builders import (
    BIG,
    OTHER,
    SECRET,
    Later,
    Now,
    core_of,
    hash_of,
    process,
    put,
    readable,
    traces,
)

from sheaf.engine.erase.erasure import erase
from sheaf.engine.erase.receipts import receipts
from sheaf.engine.gc.collect import collect
from sheaf.engine.gc.grace import Decision
from sheaf.errors import Conflict, Refused
from sheaf.format import keys
from sheaf.format.session_v1 import Session
from sheaf.repo.edit import Edit
from sheaf.repo.store import Store
from sheaf.storage.memory import MemoryBackend
from sheaf.testing.invariants import assert_sound


class During(Now):
    """Lets somebody act while the erasure waits, once."""

    def __init__(self, act: Callable[[], object]) -> None:
        self._act: Callable[[], object] | None = act

    def __call__(self, sessions: list[Session]) -> Decision:
        if self._act is None:
            return Decision.END
        act, self._act = self._act, None
        act()
        return Decision.WAIT


CONTENTS = frozenset(bytes.fromhex(hash_of(content)) for content in (SECRET, BIG))


def began(store: Store) -> Edit:
    """An upload that has stored the secret, in packs of its own, and has not committed."""
    for stat in list(core_of(store).backend.list(keys.INDEX)):
        core_of(store).backend.delete(stat.key)  # so that it is stored again
    edit = store.repo("r").edit(message="late")
    edit.__enter__()
    edit.put("late/secret", SECRET)
    edit.put("late/big", BIG)
    edit.put("late/other", b"late")
    edit._writer.store.sink.flush()
    return edit


def test_an_upload_that_had_begun_is_waited_for_and_erased_from(backend: MemoryBackend, store: Store) -> None:
    repo = store.create_repo("r")
    first = put(repo, {"secret": SECRET, "big": BIG, "other": OTHER})
    with process(backend, "late") as late:
        edit = began(late)

        def commit() -> None:
            edit.commit()
            edit.__exit__(None, None, None)

        receipt = erase(core_of(store), CONTENTS, "x", During(commit))
    last = repo.bundle()
    assert last.message == "late"
    assert readable(first, [SECRET, BIG]) == {"other": OTHER}
    assert readable(last, [SECRET, BIG]) == {"other": OTHER, "late/other": b"late"}
    assert {place.path for place in receipt.places} == {"secret", "big", "late/secret", "late/big"}
    assert not traces(backend, SECRET) + traces(backend, BIG)
    assert_sound(store)


def test_packs_are_looked_for_when_nobody_can_add_to_them(backend: MemoryBackend, store: Store) -> None:
    """Else a stop after the first list would leave what was stored too late, and no gc would know of it."""
    put(store.create_repo("r"), {"secret": SECRET, "other": OTHER})
    for stat in list(backend.list(keys.INDEX)):
        backend.delete(stat.key)  # so that it is stored again
    recorder = Recorder(backend)
    with process(backend, "late") as late, process(recorder, "eraser") as eraser:
        edit = late.repo("r").edit(message="late")
        edit.__enter__()

        def commit() -> None:
            edit.put("late/secret", SECRET)
            edit.put("late/big", BIG)
            edit.commit()
            edit.__exit__(None, None, None)

        erase(core_of(eraser), frozenset([bytes.fromhex(hash_of(SECRET))]), "x", During(commit))
    assert len([key for call, key in recorder.calls if call == "create" and key.startswith(keys.CONDEMNED)]) == 1
    assert readable(store.repo("r").bundle(), [SECRET]) == {"other": OTHER, "late/big": BIG}
    assert not traces(backend, SECRET)


def test_an_upload_that_stands_still_is_ended(backend: MemoryBackend, store: Store) -> None:
    repo = store.create_repo("r")
    put(repo, {"secret": SECRET, "big": BIG, "other": OTHER})
    with process(backend, "late") as late:
        edit = began(late)
        store.erasure.erase(content=[hash_of(SECRET), hash_of(BIG)], reason="x", now=True)
        with pytest.raises(Conflict, match="gc ended this"):
            edit.commit()
        edit.__exit__(None, None, None)
        with pytest.raises(Refused, match="was erased"), late.repo("r").edit(message="again") as again:
            again.put("late/secret", SECRET)
    assert not traces(backend, SECRET) + traces(backend, BIG)
    collect(core_of(store), Now())
    assert readable(repo.bundle(), [SECRET, BIG]) == {"other": OTHER}
    assert_sound(store)


def test_an_upload_that_begins_meanwhile_is_refused_and_keeps_the_rest(backend: MemoryBackend, store: Store) -> None:
    repo = store.create_repo("r")
    put(repo, {"secret": SECRET, "big": BIG, "other": OTHER})
    with process(backend, "late") as late, process(backend, "new") as new:
        edit = began(late)

        def upload() -> None:
            with new.repo("r").edit(message="new") as later:
                with pytest.raises(Refused, match="was erased"):
                    later.put("secret again", SECRET)
                later.put("new", OTHER)  # it is in a pack that is about to be replaced
                later.commit()

        erase(core_of(store), CONTENTS, "x", During(upload))
        edit.__exit__(None, None, None)
    assert readable(repo.bundle(), [SECRET, BIG]) == {"other": OTHER, "new": OTHER}
    assert not traces(backend, SECRET) + traces(backend, BIG)
    assert_sound(store)


def test_who_will_not_wait_is_told_and_nothing_is_lost(backend: MemoryBackend, store: Store) -> None:
    repo = store.create_repo("r")
    bundle = put(repo, {"secret": SECRET, "other": OTHER})
    contents = frozenset([bytes.fromhex(hash_of(SECRET))])
    with process(backend, "late") as late:
        with late.repo("r").edit(message="late") as edit:
            edit.put("late", b"late")
            with pytest.raises(Conflict, match="must wait for other sessions"):
                erase(core_of(store), contents, "x", Later())
            assert bundle.read("secret") == SECRET
            assert not receipts(core_of(store))
        assert_sound(store)
        erase(core_of(store), contents, "x", Later())
    assert not traces(backend, SECRET)
    assert readable(bundle, [SECRET]) == {"other": OTHER}


def test_who_stores_it_in_spite_of_the_notice_is_told_of_to_whoever_erases(
    backend: MemoryBackend, store: Store
) -> None:
    repo = store.create_repo("r")
    put(repo, {"secret": SECRET, "other": OTHER})
    contents = frozenset([bytes.fromhex(hash_of(SECRET))])
    with process(backend, "stubborn") as other:

        class Stubborn(Now):
            def settle(self, seconds: float) -> None:
                """Called in each generation."""
                with other.repo("r").edit(message="again", allow_erased=True) as edit:
                    edit.put("again", SECRET)
                    edit.commit()

        with pytest.raises(Conflict, match="other writers keep storing"):
            erase(core_of(store), contents, "x", Stubborn())
    store.erasure.erase(content=hash_of(SECRET), reason="x", now=True)
    assert not traces(backend, SECRET)
    assert_sound(store)


def test_readers_go_on_reading_while_packs_are_replaced(backend: MemoryBackend, store: Store) -> None:
    repo = store.create_repo("r")
    put(repo, {"secret": SECRET, "big": BIG, "other": OTHER})
    with process(backend, "reader") as reading:
        bundle = reading.repo("r").bundle()
        with bundle.open("big") as stream:
            start = stream.read(100_000)
            store.erasure.erase(content=hash_of(SECRET), reason="x", now=True)
            assert start + stream.read() == BIG
        assert readable(bundle, [SECRET]) == {"big": BIG, "other": OTHER}
        with bundle.open("big") as stream:
            assert stream.read(10) == BIG[:10]
