"""An erasure that is stopped at every write that it makes."""

from __future__ import annotations

import pytest
from tests.crash.builders import clone
from tests.erase.builders import (
    BIG,
    NEAR,
    OTHER,
    SECRET,
    Now,
    assert_survives_lost_answers,
    core_of,
    hash_of,
    identities,
    new_backend,
    process,
    put,
    readable,
    traces,
)

from sheaf.engine.gc.collect import collect
from sheaf.errors import SheafError
from sheaf.format import keys
from sheaf.repo.store import Store
from sheaf.storage.memory import MemoryBackend
from sheaf.storage.port import Backend
from sheaf.testing.faults import Fault, survives_every_crash
from sheaf.testing.invariants import assert_sound

FILES = {"secret": SECRET, "a/secret": SECRET, "big": BIG, "near": NEAR, "other": OTHER}
GONE = [hash_of(SECRET), hash_of(BIG)]


@pytest.fixture(scope="module")
def made() -> MemoryBackend:
    """Two packs: one that was moved before, one that wasn't."""
    backend = new_backend()
    with process(backend, "maker") as store:
        repo = store.create_repo("r")
        put(repo, FILES)
        store.erasure.erase(content=hash_of(OTHER), reason="before", now=True)
        put(store.create_repo("q"), {"copy": SECRET, "more": OTHER[:700]})
        for stat in list(backend.list(keys.INDEX)):
            backend.delete(stat.key)
        put(repo, {"again": BIG})
    return backend


def erase_all(store: Store) -> None:
    store.erasure.erase(content=GONE, reason="x", now=True)


def run(backend: Backend) -> None:
    with process(backend, "eraser") as store:
        erase_all(store)


def assert_kept(store: Store, *, is_done: bool) -> None:
    """All that is not to be erased is there; what is to be is whole, or says that it is gone."""
    assert_sound(store)
    for info in store.repos():
        for bundle in store.repo(info.name).bundles():
            for entry in bundle.ls(recursive=True):
                if entry.kind != "file":
                    continue
                try:
                    assert hash_of(bundle.read(entry.path)) == entry.content
                    assert not (is_done and entry.content in GONE)
                except SheafError as error:
                    assert error.kind == "erased" and entry.content in (*GONE, hash_of(OTHER))


def test_a_crash_loses_nothing_and_a_second_try_ends_it(made: MemoryBackend) -> None:
    with process(made, "before") as store:
        before = identities(store)

    def check(backend: Backend) -> None:
        with process(backend, "checker") as store:
            assert_kept(store, is_done=False)
            assert identities(store) == before
        with process(backend, "again") as store:
            receipt = store.erasure.erase(content=GONE, reason="again", now=True)
            assert receipt.places
            assert_kept(store, is_done=True)
            assert identities(store) == before
        assert not traces(backend, SECRET)
        assert not list(backend.list(keys.CONDEMNED))

    assert survives_every_crash(lambda: clone(made), run, check) > 10


def test_once_its_list_is_there_any_gc_ends_it(made: MemoryBackend) -> None:
    def check(backend: Backend) -> None:
        is_begun = bool(list(backend.list(keys.CONDEMNED)))
        with process(backend, "collector") as store:
            collect(core_of(store), Now())
            assert_kept(store, is_done=is_begun)
            assert not list(backend.list(keys.CONDEMNED))
        if is_begun:
            assert not traces(backend, SECRET)

    survives_every_crash(lambda: clone(made), run, check)


@pytest.mark.parametrize("fault", [Fault.LOST, Fault.FAIL])
def test_a_lost_answer_is_no_harm(made: MemoryBackend, fault: Fault) -> None:
    def check(store: Store) -> None:
        assert_kept(store, is_done=True)
        assert not traces(core_of(store).backend, SECRET)

    assert_survives_lost_answers(made, fault, erase_all, check)


def test_nobody_can_be_erased_by_halves(made: MemoryBackend) -> None:
    backend = clone(made)
    run(backend)
    with process(backend, "reader") as store:
        gone = [SECRET, BIG, OTHER]
        bundle = store.repo("r").bundle()
        assert readable(bundle, gone) == {"near": NEAR}
        assert readable(store.repo("q").bundle(), gone) == {"more": OTHER[:700]}
