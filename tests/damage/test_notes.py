"""Notes of damage: who writes them, who can't, and who takes them away."""

from __future__ import annotations

import pytest
from tests.damage.test_reuse import FILES, content, notes, rot
from tests.engine.builders import Place, commit, noise, replaced
from tests.repair.builders import REPLICA, World, flip

from sheaf.engine.core import Core, open_store
from sheaf.engine.sessions.damage import note_damage
from sheaf.errors import Corrupt, Denied
from sheaf.format import keys
from sheaf.model.records import SetFeatures
from sheaf.repo.repair import Repaired, RepairPlan, Repairs
from sheaf.storage.port import Backend, Created
from sheaf.storage.wrappers.wrapper import WrapperBackend
from sheaf.testing.clock import SteeredClock


class ReadOnly(WrapperBackend):
    """Credentials that may read."""

    def create(self, key: str, data: object) -> Created:
        raise Denied("no rights to write")


def repair(backend: Backend, **plan: object) -> Repaired:
    with Repairs(backend, lambda url: backend, clock=SteeredClock("repair", 1_900_000_000)) as repairs:
        return repairs.repair(RepairPlan(**plan))  # type: ignore[arg-type]


@pytest.fixture
def damaged(place: Place) -> Place:
    """A store whose only pack is damaged, in the big file."""
    place.store().create_repo("faces")
    commit(place.repo(), FILES)
    rot(place.backend)
    return place


def test_who_may_only_read_is_told_of_the_damage_all_the_same(damaged: Place) -> None:
    with pytest.raises(Corrupt, match="is damaged"):
        damaged.repo(ReadOnly(damaged.backend)).bundle("main").read("big")
    assert not damaged.store(ReadOnly(damaged.backend)).check(read_data=True).ok
    assert notes(damaged.backend) == []


def test_a_store_that_newer_programs_write_to_gets_no_notes(damaged: Place) -> None:
    store = damaged.store()
    store._log.append(lambda head: (SetFeatures((), ("unheard-of",)),))
    with pytest.raises(Corrupt, match="is damaged"):
        damaged.repo().bundle("main").read("big")
    assert notes(damaged.backend) == []


def test_a_check_names_what_is_noted_and_reads_it(damaged: Place) -> None:
    with pytest.raises(Corrupt):
        damaged.repo().bundle("main").read("big")
    report = damaged.store().check()
    assert report.noted == notes(damaged.backend)
    assert [problem.key for problem in report.problems] == report.noted, "it reads what it is told of"


def test_the_note_of_a_sound_object_is_no_damage_and_goes_with_a_repair(place: Place) -> None:
    place.store().create_repo("faces")
    commit(place.repo(), FILES)
    packs = [stat.key for stat in place.backend.list(keys.PACKS)]
    core = Core(place.backend, open_store(place.backend), clock=SteeredClock("a reader"))
    for key in packs:
        note_damage(core, key, "the cable was loose")
    report = place.store().check()
    assert (report.ok, report.noted) == (True, packs)
    assert repair(place.backend, is_dry=True).sound == packs
    assert notes(place.backend) == packs
    done = repair(place.backend)
    assert (done.sound, done.left.noted) == (packs, [])
    assert notes(place.backend) == []


def test_a_repair_from_a_replica_takes_the_note_away(world: World) -> None:
    (key, *_) = [stat.key for stat in world.primary.list(keys.PACKS) if stat.size > 100_000]
    flip(world.primary, key)
    with world.process() as store, pytest.raises(Corrupt):
        store.repo("faces").bundle("v1").read("big")
    assert notes(world.primary) == [key]
    assert key in {problem.key for problem in world.repair(read_data=0).left.problems}
    assert notes(world.primary) == [key]
    done = world.repair(read_data=0, from_replica="")
    assert key in done.fetched
    assert done.sound == [key]
    assert notes(world.primary) == []
    assert world.read() == world.files


def test_notes_belong_to_one_place(world: World) -> None:
    (key, *_) = [stat.key for stat in world.primary.list(keys.PACKS) if stat.size > 100_000]
    flip(world.primary, key)
    with world.process() as store:
        assert not store.check(read_data=True).ok
        store.replicas.replicate()
    assert notes(world.primary) == [key]
    assert notes(world.replica) == []


def test_a_replica_takes_no_notes(world: World) -> None:
    (key, *_) = [stat.key for stat in world.replica.list(keys.PACKS) if stat.size > 100_000]
    flip(world.replica, key)
    with world.process(world.open(REPLICA)) as store, pytest.raises(Corrupt):
        store.repo("faces").bundle("v1").read("big")
    assert notes(world.replica) == []


def test_gc_deletes_notes_with_their_objects(damaged: Place) -> None:
    first = damaged.repo().bundle("main").id
    assert not damaged.store().check(read_data=True).ok
    lost = keys.node(bytes(32))
    note_damage(Core(damaged.backend, open_store(damaged.backend)), lost, "it is missing")
    assert len(notes(damaged.backend)) == 2
    repo = damaged.repo()
    repo.upload(damaged.folder("folder", FILES), message="again")
    repo.delete_bundle(first)
    damaged.store().gc()
    assert notes(damaged.backend) == []
    assert content(damaged.repo().bundle("main")) == FILES


def test_gc_leaves_a_damaged_pack_that_is_half_dead(damaged: Place) -> None:
    repo = damaged.repo()
    first = repo.bundle("main").id
    with repo.edit(message="less") as edit:
        edit.remove("a/other")
        edit.remove("a/small")
        edit.commit()
    rest_of = repo.bundle("main").id
    commit(repo, {"x": b"x"}, branch="other")
    damaged.repo().delete_bundle(first)
    with pytest.raises(Corrupt):  # it finds the damage
        damaged.store().gc(below=1.0)
    assert len(notes(damaged.backend)) == 1
    assert damaged.store().gc(below=1.0).moved == 0
    assert [stat.key for stat in damaged.backend.list(keys.CONDEMNED)] == []
    assert {entry.path for entry in damaged.repo().bundle(rest_of).ls()} == {"a", "big"}


def test_a_note_that_nobody_can_read_counts_and_is_reported(damaged: Place) -> None:
    (pack,) = [stat.key for stat in damaged.backend.list(keys.PACKS)]
    replaced(damaged.backend, keys.damaged(pack), b"rubbish")
    damaged.backend.create("damaged/../x".replace("../", "packs/"), b"rubbish")
    report = damaged.store().check()
    assert {"damaged/packs/x", keys.damaged(pack)} <= {problem.key for problem in report.problems}
    damaged.repo().upload(damaged.folder("folder", FILES), message="again")
    assert content(damaged.repo().bundle("main")) == FILES


@pytest.mark.parametrize("another", [False, True], ids=["", "another address is damaged"])
def test_packs_that_lead_to_a_damaged_one_are_not_reused_either(place: Place, *, another: bool) -> None:
    place.store().create_repo("faces")
    files = {"keep": noise(30_000, 7), "drop": noise(90_000, 8)}
    cache = place.scratch / "cache"
    folder = place.folder("folder", files)
    repo = place.repo(cache=cache)
    first = repo.upload(folder, message="first").bundle.id
    (folder / "drop").unlink()
    repo.upload(folder, message="second")
    place.repo().delete_bundle(first)
    assert place.store().gc().moved == 1
    (new,) = rot(place.backend, at=0.5)
    with pytest.raises(Corrupt):
        place.repo().bundle("main").read("keep")
    assert notes(place.backend) == [new]
    if another:
        place.backend.create(keys.moved(bytes(32), 1), b"nonsense")
    place.repo(cache=cache).upload(folder, message="third")
    assert content(place.repo().bundle("main")) == {"keep": files["keep"]}


def test_a_session_asks_for_notes_once(place: Place) -> None:
    from tests.engine.builders import Recorder

    place.store().create_repo("faces")
    recorder = Recorder(place.backend)
    place.repo(recorder).upload(place.folder("folder", FILES), message="first")
    assert recorder.calls.count(("list", keys.DAMAGED)) == 1
    assert recorder.at("create", keys.SESSIONS) < recorder.at("list", keys.DAMAGED)


def test_the_note_of_a_pack_whose_address_was_lost_goes_when_it_is_back(world: World) -> None:
    (address,) = [stat.key for stat in world.primary.list(keys.MOVED)]
    world.primary.delete(address)
    pack = keys.pack(keys.moved_from(address) or b"")
    with world.process() as store:
        assert not store.check().ok
    assert notes(world.primary) == [pack]
    assert world.repair(read_data=0, from_replica="").sound == [pack]
    assert notes(world.primary) == []
