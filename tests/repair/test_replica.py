"""From a replica comes whatever was lost or damaged, and nothing that is not what it should be."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.repair.builders import PRIMARY, REPLICA, World, all_but_notes, all_bytes, flip

from sheaf.engine.object_cache import FolderCache
from sheaf.errors import Corrupt, InvalidInput, NotFound, Refused
from sheaf.format import keys
from sheaf.repo.connect import init
from sheaf.repo.repair import RepairPlan, Repairs
from sheaf.storage.folder.backend import FolderBackend

#: What nobody misses when it is lost, since it is only there now and then, or nothing leads to it.
UNNOTICED = ("condemned/", "erased/", "index/", "receipts/", "sessions/", "sheaf.json")
DERIVED = ("index/",)  #: for another repair


def of_the_store(world: World) -> list[str]:
    """The keys of all that the store has, but for what belongs to one place."""
    return [key for key in all_bytes(world.primary) if not key.startswith(("replica/", "behind/"))]


def needed(world: World) -> list[str]:
    """Of nodes and packs only those that a bundle has."""
    found = []
    for key in of_the_store(world):
        then = world.copy()
        then.primary.delete(key)
        if not key.startswith(("nodes/", "packs/")) or then.repair(quarantine=False).found.damaged:
            found.append(key)
    return found


def assert_mended(world: World, sound: World) -> None:
    with world.process() as store:
        assert not [p for p in store.check(read_data=True).problems if p.kind != "index"]
    assert world.read() == sound.files


@pytest.mark.parametrize("how", ["lost", "damaged"])
def test_every_object_comes_back(made: World, how: str) -> None:
    for key in needed(made):
        world = made.copy()
        if how == "lost":
            world.primary.delete(key)
        else:
            flip(world.primary, key)
        done = world.repair(from_replica=REPLICA)
        if how == "damaged" and key != keys.CONFIG:
            assert done.found.problems, key
        assert not [p for p in done.left.problems if p.kind != "index"], (key, done.left.problems)
        if not key.startswith(DERIVED) and not (
            how == "lost" and key.startswith(("condemned/", "sessions/", "repos/"))
        ):
            assert world.primary.get(key) == made.primary.get(key), key
        assert_mended(world, made)


@pytest.mark.parametrize("at", [0, 5, 40, -60, -1])
@pytest.mark.parametrize("prefix", ["packs/", "nodes/", "log/", "repos/", "moved/"])
def test_wherever_the_bit_is(made: World, prefix: str, at: int) -> None:
    for key in [key for key in needed(made) if key.startswith(prefix)]:
        world = made.copy()
        flip(world.primary, key, at)
        assert world.repair(from_replica=REPLICA).found.problems, (key, at)
        assert_mended(world, made)


def test_everything_at_once(made: World) -> None:
    world = made.copy()
    for n, key in enumerate(of_the_store(made)):
        if key.startswith("index/"):
            continue
        if n % 2 and not key.startswith("log/"):
            world.primary.delete(key)
        else:
            flip(world.primary, key)
    done = world.repair(from_replica=REPLICA, index=True)
    assert done.left.ok, done.left.problems
    assert_mended(world, made)


def test_the_replicas_of_the_log_are_asked_though_the_log_is_damaged(world: World, made: World, tmp_path: Path) -> None:
    with world.process(cache=tmp_path) as store:
        newest = store._core.backend.newest("log/")
        store.create_repo("late")
    assert newest is not None
    last = world.primary.newest("log/")
    assert last is not None and last != newest
    flip(world.primary, last)
    assert world.repair(from_replica="").left.ok  # the record before it names the replicas
    flip(world.primary, last)
    flip(world.primary, newest)
    with pytest.raises(NotFound, match="no known replica"):
        world.repair(from_replica="")
    with Repairs(world.primary, world.open, clock=world.clock(), cache=tmp_path) as repairs:
        assert repairs.repair(RepairPlan(from_replica="")).left.ok  # this user's cache does
    assert_mended(world, World({}, made.files))


def test_a_replica_that_is_damaged_too_is_not_believed(made: World) -> None:
    for key in needed(made):
        if key.startswith((*UNNOTICED, "runs/")):
            continue
        world = made.copy()
        flip(world.primary, key)
        flip(world.replica, key, 60)
        before = world.primary.get(key)
        try:
            done = world.repair(from_replica=REPLICA)
            assert done.left.problems and key in done.failed, (key, done.failed)
        except Corrupt as error:
            assert key == made.primary.newest("log/") == error.message.split()[0]
        assert world.primary.get(key) == before, key


def test_another_replica_is_asked_then(made: World) -> None:
    world = made.copy()
    third = "mem:c"
    with world.process() as store:
        store.replicas.add(third)
    for key in [key for key in needed(made) if key.startswith(("packs/", "nodes/"))]:
        flip(world.primary, key)
        flip(world.replica, key, 60)
        assert world.repair(from_replica="").left.ok
        flip(world.replica, key, 60)
    assert_mended(world, made)


def test_a_whole_object_that_belongs_elsewhere_is_not_believed(made: World) -> None:
    """A replica on which packs, nodes, records were mixed up."""
    for prefix in ("packs/", "nodes/", "log/", "repos/"):
        several = [key for key in needed(made) if key.startswith(prefix) and "/diamonds/" not in key]
        key, other = several[0], several[1]
        world = made.copy()
        world.replica.replace(key, made.primary.get(other))
        world.primary.delete(key)
        assert key in world.repair(from_replica=REPLICA).failed
        assert world.primary.stat(key) is None


def test_a_record_that_does_not_follow_is_not_believed(world: World) -> None:
    """The newest record of the primary is lost and it went on: the two have gone apart, and nothing is merged."""
    with world.process() as store:
        id = store.repo("faces").id
        store.repo("faces").set_label("on-both", "main")
    newest = world.primary.newest(keys.repo(id) + "log/")
    assert newest is not None and world.replica.stat(newest)
    world.primary.delete(newest)
    world.away.add(REPLICA)
    with world.process() as store:
        store.repo("faces").set_label("on-one", "main")
    world.away.clear()
    before = all_bytes(world.primary)
    assert world.repair(from_replica=REPLICA).failed
    assert all_bytes(world.primary) == before


def test_what_was_erased_does_not_come_back(world: World, tmp_path: Path) -> None:
    """The replica hasn't heard of the erasure; the address that says what became of the pack is lost."""
    moved = next(key for key in all_bytes(world.primary) if key.startswith("moved/"))
    pack = bytes.fromhex(moved.split("/")[2])
    world.primary.delete(moved)
    world.replica.delete(moved)
    world.replica.create(keys.pack(pack), b"what the replica still has")
    done = world.repair(from_replica=REPLICA)
    assert not done.left.ok and "was replaced" in done.failed[keys.pack(pack)]
    assert world.primary.stat(keys.pack(pack)) is None


def test_without_an_option_not_one_byte_changes(made: World, tmp_path: Path) -> None:
    for key in [None, *of_the_store(made)]:
        if key == keys.CONFIG:
            continue
        world = made.copy()
        if key is not None:
            flip(world.primary, key)
        before = all_bytes(world.primary), all_bytes(world.replica)
        world.repair(from_replica=REPLICA, is_dry=True)
        assert (all_bytes(world.primary), all_bytes(world.replica)) == before, key
        done = world.repair()
        assert (done.found.ok, done.fetched) == (done.left.ok, [])
        blamed = {keys.damaged(key or "")}
        if key and (moved := keys.moved_from(key)):
            blamed.add(keys.damaged(keys.pack(moved)))
        assert {stat.key for stat in world.primary.list(keys.DAMAGED)} <= blamed
        assert (all_but_notes(world.primary), all_bytes(world.replica)) == before, key


def test_what_would_be_done_is_what_is_done(made: World) -> None:
    for key in [key for key in needed(made) if not key.startswith(UNNOTICED)]:
        world = made.copy()
        flip(world.primary, key)
        would = world.repair(from_replica=REPLICA, index=True, is_dry=True)
        done = world.repair(from_replica=REPLICA, index=True)
        if not key.startswith("log/"):
            assert set(would.fetched) <= set(done.fetched) and key in would.fetched, key


def test_a_copy_is_mended_by_its_primary(world: World, made: World) -> None:
    for key in needed(made):
        if not key.startswith((*UNNOTICED, "repos/", "runs/")):
            flip(world.replica, key)
    with Repairs(world.replica, world.open, clock=world.clock()) as repairs:
        done = repairs.repair(RepairPlan(from_replica=PRIMARY), read_data=1)
        assert not [p for p in done.left.problems if p.kind != "index"]
        with pytest.raises(Refused, match="replica"):
            repairs.repair(RepairPlan(index=True))


def test_a_copy_does_not_run_ahead(world: World) -> None:
    """Records that it lacks at the end come by replication, after the data that they need."""
    world.away.add(REPLICA)
    with world.process() as store:
        store.repo("faces").set_label("v2", "main")
    world.away.clear()
    before = all_bytes(world.replica)
    with Repairs(world.replica, world.open, clock=world.clock()) as repairs:
        repairs.repair(RepairPlan(from_replica=PRIMARY))
    assert all_bytes(world.replica) == before


def test_a_promoted_replica_is_no_replica(world: World) -> None:
    with world.process(world.replica) as store:
        store.replicas.promote()
    for stat in list(world.primary.list("replica/")):
        world.primary.delete(stat.key)
    with pytest.raises(Refused, match="it accepts writes"):
        world.repair(from_replica=REPLICA)


def test_another_store_is_refused(world: World, tmp_path: Path) -> None:
    with init(str(tmp_path), probe=False) as store:
        other = store.url
    place = Repairs(world.primary, lambda url: FolderBackend(tmp_path))
    with place as repairs, pytest.raises(InvalidInput, match="another store"):
        repairs.repair(RepairPlan(from_replica=other))


def test_an_empty_place_is_no_damaged_store(world: World) -> None:
    for key in of_the_store(world):
        world.primary.delete(key)
    with pytest.raises(NotFound, match="no store"):
        world.repair(from_replica=REPLICA)
    assert not [key for key in all_bytes(world.primary) if not key.startswith(("replica/", "behind/"))]


def test_what_is_replaced_can_be_kept(world: World, tmp_path: Path) -> None:
    key = next(key for key in needed(world) if key.startswith("packs/"))
    flip(world.primary, key)
    damaged = world.primary.get(key)
    world.repair(from_replica=REPLICA, keep=tmp_path / "kept")
    assert (tmp_path / "kept" / key).read_bytes() == damaged


def test_a_cache_of_damaged_things_is_no_help(world: World, made: World, tmp_path: Path) -> None:
    """What a user's cache holds is not looked at."""
    key = next(key for key in needed(made) if key.startswith("nodes/"))
    FolderCache(tmp_path).put(key, b"nonsense")
    world.primary.delete(key)
    with Repairs(world.primary, world.open, clock=world.clock(), cache=tmp_path) as repairs:
        assert repairs.repair(RepairPlan(from_replica="")).left.ok
    assert_mended(world, made)
