"""What is done after a commit for those who come next may stop anywhere: the commit stands, and nobody is in the way."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import pytest
from tests.crash.builders import clone, process

from sheaf.engine.core import create_store
from sheaf.errors import Denied, NoSpace, SheafError, Unavailable
from sheaf.repo.connect import connect
from sheaf.storage.memory import MemoryBackend
from sheaf.storage.port import Backend
from sheaf.testing.clock import SteeredClock
from sheaf.testing.faults import FaultyBackend, survives_every_crash
from sheaf.testing.invariants import assert_complete, assert_sound

INDEX_OBJECTS = 16  # so many of a level are merged
PAGE = 1000  # so many records are a page


@cache
def many_index_objects() -> MemoryBackend:
    """The next upload merges the index."""
    backend = MemoryBackend()
    create_store(backend, SteeredClock("store"))
    with process(backend, "builder") as store:
        store.create_repo("faces")
        for n in range(INDEX_OBJECTS):
            put(backend, f"builder {n}", f"f{n}", [])
    return backend


@cache
def many_records() -> MemoryBackend:
    """The next upload completes a page of the log."""
    backend = MemoryBackend()
    create_store(backend, SteeredClock("store"))
    with process(backend, "builder") as store:
        repo = store.create_repo("faces")
        put(backend, "builder 0", "f", [])
        while repo._log.head().n < PAGE - 2:
            repo.set_label("v1", "main")
    return backend


def put(backend: Backend, seed: str, path: str, acknowledged: list[str]) -> None:
    with process(backend, seed) as store, store.repo("faces").edit(message="m") as edit:
        edit.put(path, seed.encode() * 100)
        acknowledged.append(edit.commit().id)


worlds = pytest.mark.parametrize("world", [many_index_objects, many_records], ids=lambda world: world.__name__)


@worlds
def test_a_crash_while_tidying_loses_nothing(world: Callable[[], MemoryBackend]) -> None:
    acknowledged: list[str] = []
    before = {stat.key for stat in world().list("repos/")}

    def check(backend: Backend) -> None:
        with process(backend, "checker") as store:
            assert_sound(store)
            records = {stat.key for stat in backend.list("repos/") if "/log/" in stat.key} - before
            assert len(store.repo("faces").bundles()) == len(world_bundles(world)) + len(records)
        put(backend, "next", "next", [])
        with process(backend, "reader") as store:
            assert_sound(store)

    writes = survives_every_crash(
        lambda: clone(world()), lambda backend: put(backend, "actor", "x", acknowledged), check
    )
    assert writes > (INDEX_OBJECTS + 6 if world is many_index_objects else 6)


def world_bundles(world: Callable[[], MemoryBackend]) -> list[str]:
    with process(world(), "counter") as store:
        return [bundle.id for bundle in store.repo("faces").bundles()]


@worlds
@pytest.mark.parametrize("error", [Unavailable("gone"), Denied("no"), NoSpace("full")], ids=lambda error: error.kind)
def test_a_commit_succeeds_though_nothing_can_be_tidied(world: Callable[[], MemoryBackend], error: SheafError) -> None:
    counting = FaultyBackend(clone(world()))
    counted: list[int] = []
    with process(counting, "actor") as store, store.repo("faces").edit(message="m") as edit:
        edit.put("x", b"actor" * 100)
        edit._writer.tidy = lambda: counted.append(counting.written)  # type: ignore[method-assign]
        edit.commit()
    until = counted[0]
    faulty = FaultyBackend(clone(world()), dict.fromkeys(range(until + 1, 999), error))
    acknowledged: list[str] = []
    put(faulty, "actor", "x", acknowledged)
    assert faulty.written > until
    with process(faulty.inner, "reader") as store:
        assert_complete(store.repo("faces").bundle(acknowledged[0]))
        assert_sound(store)


def test_a_store_that_was_half_made_is_made() -> None:
    def check(backend: Backend) -> None:
        try:
            create_store(backend, SteeredClock("again"))
        except SheafError as error:
            assert error.kind == "already-exists"
        with process(backend, "reader") as store:
            assert_sound(store)

    writes = survives_every_crash(MemoryBackend, lambda backend: create_store(backend, SteeredClock("store")), check)
    assert writes == 1
    with connect("memory://half-made", create=True) as store:
        assert store.repos() == []
