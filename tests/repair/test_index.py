"""The dedup index is built anew from the packs; what was there goes when the new one is there."""

from __future__ import annotations

import pytest
from tests.engine.builders import GENERATION, commit, condemn, noise
from tests.repair.builders import BIG, OTHER, REPLICA, World, all_bytes, flip

from sheaf.engine.chunks.dedup import load_segments, write_index
from sheaf.engine.core_limits import Limits
from sheaf.engine.gc.collect import collect
from sheaf.engine.gc.grace import GracePeriod
from sheaf.engine.repair.rebuild_index import rebuild_index
from sheaf.errors import Conflict
from sheaf.format import keys
from sheaf.format.index_v1 import Segment
from sheaf.model.ids import ksuid
from sheaf.model.records import VoidSession


def objects(world: World) -> list[str]:
    return [stat.key for stat in world.primary.list(keys.INDEX)]


def new_bytes(world: World, *, but: str = "") -> int:
    """What an upload of contents that are there already writes of them; ``but``: a file that is taken out."""
    with world.process() as store, store.repo("faces").edit(message="again") as edit:
        edit.put("again", BIG)
        edit.put("again too", OTHER)
        if but:
            edit.remove(but)
        edit.commit()
        return edit._writer.store.sink.new_bytes


def assert_rebuilt(world: World, sound: World) -> None:
    with world.process() as store:
        assert store.check(read_data=True).ok
    assert world.read() == sound.files
    assert new_bytes(world) < 10_000  # the recipe's own parts


@pytest.mark.parametrize("how", ["lost", "damaged", "lying", "all lost", "empty"])
def test_whatever_is_wrong_with_it(world: World, made: World, how: str) -> None:
    with world.process() as store:
        segments = load_segments(store._core)
        if how == "lying":
            s = segments[0][1]
            write_index(store._core, "liar", Segment(s.packs, s.hashes, s.pack, s.offset + 1, s.stored, s.lead))
    for key in objects(world) if how == "all lost" else objects(world)[:2]:
        if "lost" in how:
            world.primary.delete(key)
        elif how == "damaged":
            flip(world.primary, key)
        elif how == "empty":
            world.primary.replace(key, b"")
    with world.process() as store:
        found = store.check().problems
        assert found and all(problem.remedies == ("index",) for problem in found)
    old = objects(world)
    done = world.repair(index=True)
    assert done.index is not None and not done.failed
    assert done.index.removed == len(old) and not set(old) & set(objects(world))
    assert_rebuilt(world, made)


def test_it_takes_as_many_objects_as_are_needed(world: World, made: World) -> None:
    with world.process(limits=Limits(rebuild_chunks=3, rebuild_packs=2)) as store:
        done = rebuild_index(store._core)
    assert done.written == len(objects(world)) > 2
    assert {key.split("/")[1] for key in objects(world)} == {"0", "1"}
    assert_rebuilt(world, made)


def test_twice_is_no_more(world: World, made: World) -> None:
    world.repair(index=True)
    world.repair(index=True)
    assert len(objects(world)) == 1
    assert_rebuilt(world, made)


def test_a_pack_whose_table_is_damaged_is_left_out_and_named(world: World) -> None:
    key = next(stat.key for stat in world.primary.list(keys.PACKS))
    flip(world.primary, key, -60)
    done = world.repair(index=True, read_data=0)
    assert not done.left.ok and all(keys.ids_of([key])[0] not in _packs(segment) for segment in _segments(world))


def _segments(world: World) -> list[Segment]:
    with world.process() as store:
        return [segment for _, segment in load_segments(store._core)]


def _packs(segment: Segment) -> set[bytes]:
    return {pack.tobytes() for pack in segment.packs}


def test_nobody_finds_a_chunk_that_is_damaged(world: World) -> None:
    """Only then a second upload of what was damaged helps."""
    with world.process() as store:
        pack = store.repo("faces").bundle("main").tree.find("other").place.pack  # type: ignore[union-attr]
    flip(world.primary, keys.pack(pack), 100)
    assert new_bytes(world) < 10_000
    world.repair(index=True)
    assert new_bytes(world, but="other") >= len(OTHER)
    assert [files["again too"] for files in world.read().values() if "again too" in files] == [
        "corrupt",
        OTHER,
    ]


def test_what_is_condemned_stays_out(world: World) -> None:
    key = next(stat.key for stat in world.primary.list(keys.PACKS))
    (pack,) = keys.ids_of([key])
    condemn(world.primary, moving=[pack], name=ksuid(1_700_000_000, bytes([1] * 16)))
    world.repair(index=True)
    assert all(pack not in _packs(segment) for segment in _segments(world))


def test_gc_waits_for_it_and_takes_nothing_of_its_work(made: World) -> None:
    """A gc that begins while packs are listed ends the session, or waits; it never deletes what is then indexed."""
    for grace in (0.0, 3600.0):
        world = made.copy()
        world.primary.delete(f"condemned/{GENERATION}")
        for stat in list(world.primary.list(keys.SESSIONS)):
            world.primary.delete(stat.key)
        with world.process() as store:
            repo = store.create_repo("tmp")
            commit(repo, {"x": noise(5000)})
            repo.delete()  # its pack is garbage now

        def run_gc(world: World = world, grace: float = grace) -> None:
            with world.process() as store:
                collect(store._core, GracePeriod(grace, waits=False))

        with world.process() as store:
            if grace:
                rebuild_index(store._core, settle=run_gc)
            else:
                with pytest.raises(Conflict, match="gc ended this"):
                    rebuild_index(store._core, settle=run_gc)
        world.repair(index=True)
        assert_rebuilt(world, made)


def test_a_session_that_was_ended_stops_before_it_takes_anything_out(world: World) -> None:
    with world.process() as store:
        before = objects(world)

        def end() -> None:
            (session,) = [
                s for s in world.primary.list(keys.SESSIONS) if world.primary.get(s.key).find(b'"repair"') > 0
            ]
            store._log.append(lambda head: (VoidSession(session.key.split("/")[1].removesuffix(".json")),))

        with pytest.raises(Conflict):
            rebuild_index(store._core, settle=end)
        assert set(before) <= set(objects(world))


def test_beside_a_writer(world: World, made: World) -> None:
    """Somebody who began before goes on with the index that they know."""
    with world.process() as store:
        with store.repo("faces").edit(message="beside") as edit:
            edit.put("beside", BIG + b"!")
            world.repair(index=True)
            edit.put("late", noise(50_000))
            made_now = edit.commit()
        assert made_now.read("beside") == BIG + b"!"
        assert store.check(read_data=True).ok


def test_replicas_have_every_pack_before_anybody_can_find_it(world: World) -> None:
    """A pack that a dead writer left is on no replica; once it is in the index, somebody may commit what needs it."""
    with world.process() as store:
        commit(store.repo("faces"), {"lost": noise(80_000)})
    orphan = (set(all_bytes(world.primary)) & set(all_bytes(world.replica))) - {""}
    orphan = {key for key in orphan if key.startswith("packs/")}
    for key in orphan:
        world.replica.delete(key)
    world.repair(index=True)
    assert orphan <= set(all_bytes(world.replica))
    assert {k for k in all_bytes(world.replica) if k.startswith("index/")} == set(objects(world))


def test_a_replica_that_is_away_is_noted(world: World) -> None:
    world.away.add(REPLICA)
    world.repair(index=True)
    assert list(world.primary.list("behind/"))
    world.away.clear()
    with world.process() as store:
        store.replicas.replicate()
    assert not list(world.primary.list("behind/"))
