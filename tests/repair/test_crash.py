"""Each repair is stopped at every storage call that it makes: run again, it ends well; and beside others it harms nobody."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.engine.builders import commit, noise
from tests.repair.builders import FIRST, REPLICA, World, all_bytes, build, flip
from tests.repair.test_quarantine import damage_main, lose_root

from sheaf.errors import NoSpace, SheafError, Unavailable
from sheaf.format import keys
from sheaf.repo.store import Store
from sheaf.storage.port import Backend
from sheaf.testing.faults import Crash, Fault, FaultyBackend
from sheaf.testing.powercut import survives_every_power_cut

Damage = Callable[[World], object]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> World:
    return build(tmp_path_factory.mktemp("world"))


def damage_all(world: World) -> None:
    """Something of each kind is damaged or lost, the newest record of each log among them."""
    for n, key in enumerate(sorted(all_bytes(world.primary))):
        if key.startswith(("replica/", "behind/", "index/")):
            continue
        if n % 3 and not key.startswith(("log/", "sessions/", "condemned/")):
            world.primary.delete(key)
        else:
            flip(world.primary, key)


def damage_index(world: World) -> None:
    listed = [stat.key for stat in world.primary.list(keys.INDEX)]
    flip(world.primary, listed[0])
    world.primary.delete(listed[1])


def damage_two(world: World) -> None:
    damage_main(world)
    with world.process() as store:
        root = store.repo("plates").bundle("main").tree.root.id
    flip(world.primary, keys.node(root))


CASES: dict[str, tuple[Damage, dict[str, Any]]] = {
    "from-replica": (damage_all, {"from_replica": REPLICA}),
    "index": (damage_index, {"index": True}),
    "quarantine": (damage_two, {"quarantine": True, "index": True}),
    "all": (damage_all, {"from_replica": REPLICA, "index": True, "pages": True, "quarantine": True}),
}
each_case = pytest.mark.parametrize(("damage", "plan"), CASES.values(), ids=CASES.keys())
FAULTS = (
    Fault.CRASH_BEFORE,
    pytest.param(Fault.CRASH_AFTER, marks=pytest.mark.slow),  # as a crash before the next write
    Fault.LOST,
    Fault.FAIL,
    NoSpace("full"),
)


def damaged(made: World, damage: Damage) -> World:
    world = made.copy()
    damage(world)
    return world


def end_of(made: World, damage: Damage, plan: dict[str, Any]) -> tuple[World, int]:
    """The world after a repair that nothing disturbs, and how many writes that takes."""
    world = damaged(made, damage)
    counting = FaultyBackend(world.primary)
    assert not world.repair(backend=counting, **plan).left.damaged
    return world, counting.written


@each_case
@pytest.mark.parametrize("fault", FAULTS, ids=str)
def test_stopped_at_any_write_it_ends_well_the_next_time(
    made: World, damage: Damage, plan: dict[str, Any], fault: Fault | SheafError
) -> None:
    undisturbed, writes = end_of(made, damage, plan)
    expected = undisturbed.read()
    assert writes >= 2
    is_crash = fault in (Fault.CRASH_BEFORE, Fault.CRASH_AFTER)
    for nth in range(1, writes + 1, 1 if is_crash or writes < 20 else 3):
        world = damaged(made, damage)
        faulty = FaultyBackend(world.primary, {nth: fault})
        try:
            world.repair(backend=faulty, **plan)
        except (Crash, Unavailable, NoSpace):
            pass
        done = world.repair(**plan)
        assert not done.left.damaged and not done.failed, (nth, done.left.problems)
        if "index" in plan:
            assert done.left.ok, (nth, done.left.problems)
        assert world.read() == expected, nth


def test_a_record_is_there_at_every_moment(made: World) -> None:
    """Somebody who looks while the newest record is replaced finds it, damaged or sound, and never takes its number."""
    world = made.copy()
    with world.process() as early:
        repo = early.repo("faces")
        repo.set_label("seen", "main")
        newest = world.primary.newest(keys.repo(repo.id) + "log/")
        assert newest is not None
        flip(world.primary, newest)

        class Watched(FaultyBackend):
            def replace(self, key: str, data: object) -> None:
                assert world.primary.stat(key) is not None
                super().replace(key, data)  # type: ignore[arg-type]
                assert world.primary.stat(key) is not None

            def delete(self, key: str) -> None:
                assert "/log/" not in key
                super().delete(key)

        assert world.repair(backend=Watched(world.primary), from_replica=REPLICA).left.ok
        repo.set_label("after", "main")
    with world.process() as store:
        assert {label.name for label in store.repo("faces").labels()} >= {"seen", "after"}
        assert store.check().ok


class Between(FaultyBackend):
    """Does something before the nth write."""

    def __init__(self, inner: Backend, nth: int, action: Callable[[], object]) -> None:
        super().__init__(inner)
        self.nth = nth
        self.action = action

    def _mutate(self, action: Callable[[], object], torn: Callable[[], None]) -> object:  # type: ignore[override]
        if self.written + 1 == self.nth:
            self.nth = 0
            self.action()
        return super()._mutate(action, torn)


def somebody_works(world: World) -> None:
    """An upload, a label, and a gc that waits for nobody."""
    try:
        with world.process() as store:
            repo = store.repo("plates")
            commit(repo, {"meanwhile": noise(30_000, 9), "copy of big": FIRST["big"]}, branch="side")
            repo.set_label("meanwhile", "branch:side")
            _collect(store)
    except SheafError:
        pass  # the store is damaged: whoever meets that is told


def _collect(store: Store) -> None:
    store.gc(grace=0.0)


@each_case
def test_beside_somebody_who_writes_and_collects(made: World, damage: Damage, plan: dict[str, Any]) -> None:
    _, writes = end_of(made, damage, plan)
    for nth in range(1, writes + 1):
        world = damaged(made, damage)
        between = Between(world.primary, nth, lambda world=world: somebody_works(world))  # type: ignore[misc]
        try:
            world.repair(backend=between, **plan)
        except SheafError as error:
            assert error.kind == "conflict", (nth, error)  # gc has ended it
        done = world.repair(**plan)
        assert not done.left.damaged and not done.failed, (nth, done.left.problems)
        found = world.read()
        for id, files in made.files.items():
            for path, data in files.items():
                assert "quarantine" in plan or found[id][path] == data, (nth, id, path)
        with world.process() as store:
            if any(label.name == "meanwhile" for label in store.repo("plates").labels()):
                assert store.repo("plates").bundle("meanwhile").read("meanwhile") == noise(30_000, 9)


def test_lose_root_is_what_it_says(made: World) -> None:
    world = made.copy()
    lose_root(world)
    assert [p.missing for p in world.repair().found.problems] == [True]


def test_no_power_cut_leaves_a_key_free_or_half_written(tmp_path: Path) -> None:
    key, bad, good = "log/999/999.json", b"damaged" * 100, b"sound" * 300

    def operation(backend: Backend, acknowledged: list[Any]) -> None:
        backend.create(key, bad)
        acknowledged.append(bad)
        backend.replace(key, good)
        acknowledged.append(good)

    def check(backend: Backend, acknowledged: list[Any]) -> None:
        if acknowledged:
            assert backend.get(key) in (acknowledged[-1], good)

    assert survives_every_power_cut(tmp_path, operation, check) > 10
