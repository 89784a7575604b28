"""Commits, catching up and promotions, stopped at every call of every place."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest
from tests.replicas.builders import World, build

from sheaf.errors import SheafError, Unavailable
from sheaf.repo.bundle import Bundle
from sheaf.repo.store import Store
from sheaf.testing.faults import Crash, Fault, FaultyBackend

Act = Callable[[World, Store], object]
FAULTS = (Fault.CRASH_BEFORE, Fault.CRASH_AFTER, Fault.LOST, Fault.FAIL)


def stopped(world: World, act: Act, at: str = "mem:a") -> Iterator[tuple[str, World, bool]]:
    """The world after each fault at each write to each place, and whether the act was acknowledged."""
    for url, fault in itertools.product(("mem:a", "mem:b"), FAULTS):
        for nth in itertools.count(1):
            then = world.copy()
            faulty: list[FaultyBackend] = []

            def wrap(
                place: object, nth: int = nth, fault: Fault = fault, faulty: list[FaultyBackend] = faulty
            ) -> FaultyBackend:
                if not faulty:
                    faulty.append(FaultyBackend(place, {nth: fault}))  # type: ignore[arg-type]
                return faulty[0]

            then.wrap[url] = wrap
            acknowledged = False
            try:
                with then.process(at) as store:
                    act(then, store)
                    acknowledged = True
            except (Crash, SheafError):
                pass
            then.wrap.clear()
            yield f"{url}, write {nth}: {fault.value}", then, acknowledged
            if not faulty or faulty[0].written < nth:
                break


@pytest.mark.parametrize("policy", ["all", "majority", "primary"])
def test_a_commit_that_is_stopped_leaves_every_place_whole(tmp_path: Path, policy: str) -> None:
    world = build(tmp_path, "mem:b", policy=policy)
    for where, then, acknowledged in stopped(world, lambda world, store: world.upload(store)):
        primary, replica = then.messages("mem:a"), then.messages("mem:b")
        assert primary[: len(replica)] == replica, where
        assert "up" in primary or not acknowledged, where
        assert "up" in replica or not acknowledged or policy == "primary", where
        with then.process() as store:
            then.upload(store, "third", "next") if policy != "primary" else None
            store.replicas.replicate()
        assert then.messages("mem:a") == then.messages("mem:b"), where
        assert then.bare("mem:a") == then.bare("mem:b"), where


def late(tmp_path: Path) -> World:
    """A world whose replica has missed some commits."""
    world = build(tmp_path, "mem:b", policy="primary")
    world.places["mem:b"].is_cut = True
    with world.process() as store:
        world.upload(store)
        world.upload(store, "third", "third")
        store.repo("faces").set_label("v1", "branch:main")
        store.create_repo("other")
    world.places["mem:b"].is_cut = False
    return world


def test_catching_up_that_is_stopped_leaves_an_older_state_and_goes_on(tmp_path: Path) -> None:
    for where, then, _ in stopped(late(tmp_path), lambda world, store: store.replicas.replicate()):
        everything = ["first", "up", "third"]
        shown = then.messages("mem:b")
        assert everything[: len(shown)] == shown, where
        with then.process() as store:
            store.replicas.replicate()
        assert then.messages("mem:b") == everything, where
        assert then.bare("mem:a") == then.bare("mem:b"), where


def test_adding_a_replica_can_be_stopped_and_repeated(tmp_path: Path) -> None:
    world = build(tmp_path)
    for where, then, _ in stopped(world, lambda world, store: store.replicas.add("mem:b", policy="all")):
        with then.process() as store:
            store.replicas.add("mem:b", policy="all")
            then.upload(store)
        assert then.messages("mem:a") == then.messages("mem:b") == ["first", "up"], where


def test_a_promotion_that_is_stopped_leaves_at_most_one_primary_and_can_be_repeated(tmp_path: Path) -> None:
    world = build(tmp_path, "mem:b")
    for where, then, _ in stopped(world, lambda world, store: store.replicas.promote(), at="mem:b"):
        writable = 0
        for url in ("mem:a", "mem:b"):
            again = then.copy()
            with again.process(url) as store:
                try:
                    store.create_repo("probe")
                    writable += 1
                except SheafError:
                    pass
        assert writable <= 1, where
        with then.process("mem:b") as store:
            try:
                store.replicas.promote()
            except SheafError as error:
                assert "already the primary" in error.message, where
                store.replicas.replicate()
            then.upload(store)
        assert then.messages("mem:b") == ["first", "up"], where


def add(to: list[str], bundle: Bundle) -> None:
    to.append(bundle.id)


def destroyed(world: World, url: str) -> Iterator[tuple[str, World, bool]]:
    """The world after the primary went at each call of a place in an upload, and whether that was acknowledged."""
    for nth in itertools.count(1):
        then, calls = world.copy(), itertools.count(1)
        acknowledged: list[str] = []
        last = 0

        def destroy(call: str, key: str, then: World = then, nth: int = nth, calls: Iterator[int] = calls) -> None:
            nonlocal last
            last = next(calls)
            then.places["mem:a"].is_cut |= last == nth

        then.places[url].at = destroy
        try:
            with then.process() as store:
                folder = then.folder / "second"
                store.repo("faces").upload(folder, message="up", on_commit=partial(add, acknowledged))
        except Unavailable:
            pass
        then.places[url].at = lambda call, key: None
        then.places["mem:a"].is_cut = True
        yield f"{url}, call {nth}", then, bool(acknowledged)
        if last < nth:
            return


@pytest.mark.parametrize("url", ["mem:a", "mem:b"])
def test_when_the_primary_is_destroyed_nothing_committed_is_lost(tmp_path: Path, url: str) -> None:
    """At any call of the primary or of the replica: so also between the replica's pack and its bundle."""
    world = build(tmp_path, "mem:b")
    for where, then, acknowledged in destroyed(world, url):
        shown = then.messages("mem:b")
        assert "up" in shown or not acknowledged, where
        with then.process("mem:b") as store:
            store.replicas.promote()
            then.upload(store, "third", "after")
        assert then.messages("mem:b") == [*shown, "after"], where


def test_all_calls_are_tried(tmp_path: Path) -> None:
    """The loops above would be worth nothing if an upload made no calls."""
    world, calls = build(tmp_path, "mem:b"), []
    world.places["mem:b"].at = lambda call, key: calls.append((call, key.split("/")[0]))
    with world.process() as store:
        world.upload(store)
    assert {("create", "packs"), ("create", "nodes"), ("create", "index"), ("create", "repos")} <= set(calls)
