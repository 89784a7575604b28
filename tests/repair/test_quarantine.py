"""Bundles that can't be read are quarantined by a record: nothing goes, what names them says so, and it can be undone."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from tests.engine.builders import commit
from tests.repair.builders import FIRST, OTHER, PRIMARY, REPLICA, World, all_but_notes, all_bytes, flip

from sheaf.engine.chunks.chunk_reader import Contents
from sheaf.engine.gc.collect import collect
from sheaf.engine.gc.grace import GracePeriod
from sheaf.engine.log.resolve import Quarantined
from sheaf.engine.repair.quarantine import Unreadable
from sheaf.errors import Conflict, Corrupt, NotFound, Refused
from sheaf.format import keys
from sheaf.model.entries import ChunkPlace, RecipePlace
from sheaf.repo.bundle import Bundle
from sheaf.repo.repair import RepairPlan, Repairs


def pack_of(bundle: Bundle, path: str) -> str:
    """Where gc has put the bytes of a file, or of its recipe, by now."""
    entry, core = bundle.tree.find(path), bundle.tree.nodes._core
    assert entry is not None and isinstance(entry.place, ChunkPlace | RecipePlace)
    if core.backend.stat(keys.pack(entry.place.pack)) is not None:
        return keys.pack(entry.place.pack)
    return keys.pack(Contents(core).locate(entry.place.pack, entry.place.offset)[0])


def damage_main(world: World) -> str:
    """Damage a file that only the newest bundle of faces has; returns that bundle's id."""
    with world.process() as store:
        bundle = store.repo("faces").bundle("main")
        key = pack_of(bundle, "other")
    flip(world.primary, key, 200)
    return bundle.id


def lose_root(world: World) -> str:
    """Lose the root of a bundle."""
    with world.process() as store:
        bundle = store.repo("faces").bundle("main")
    world.primary.delete(keys.node(bundle.tree.root.id))
    return bundle.id


each_damage = pytest.mark.parametrize("damage", [damage_main, lose_root], ids=lambda damage: damage.__name__)


@each_damage
def test_what_can_not_be_read_is_quarantined_and_nothing_else(world: World, damage: Callable[[World], str]) -> None:
    id = damage(world)
    before = all_bytes(world.primary)
    done = world.repair(quarantine=True)
    assert [(item.bundle, item.repo_name) for item in done.quarantined] == [(id, "faces")]
    new = set(all_but_notes(world.primary)) - set(before)
    assert len(new) == 1 and "/log/" in new.pop(), "one record, and nothing was taken away"
    assert not done.left.damaged and done.left.counts["bundles quarantined"] == 1
    assert world.repair(quarantine=True).quarantined == []


@each_damage
def test_then_only_the_index_may_lead_to_damage(world: World, damage: Callable[[World], str]) -> None:
    damage(world)
    assert world.repair(quarantine=True, index=True).left.ok
    with world.process() as store:
        assert store.check(read_data=True).ok


@each_damage
def test_whoever_names_it_is_told(world: World, damage: Callable[[World], str]) -> None:
    id = damage(world)
    world.repair(quarantine=True)
    with world.process() as store:
        repo = store.repo("faces")
        for ref in ("main", "branch:main", None):
            with pytest.raises(Quarantined, match=f"{id}.*quarantined: ") as caught:
                repo.bundle(ref)
            assert f"--bundle {id}" in caught.value.hint
        with pytest.raises(Quarantined), repo.edit(message="m"):
            pass
        with pytest.raises(Quarantined):
            repo.set_label("x", "main")
        assert repo.bundle("v1").read("text") == FIRST["text"]
        assert id in [bundle.id for bundle in repo.bundles()]
        assert id in repo.quarantined() and repo.quarantined()[id]
        assert next(bundle.id for bundle in repo.log("main")) == id
        assert repo.bundle("main~1").read("small") == b"small"


def test_what_is_left_can_be_read_by_its_id(world: World) -> None:
    id = damage_main(world)
    world.repair(quarantine=True)
    with world.process() as store:
        assert store.repo("faces").bundle(id).read("small") == b"small"


@each_damage
def test_uploads_go_on(world: World, damage: Callable[[World], str], tmp_path: Path) -> None:
    id = damage(world)
    world.repair(quarantine=True, index=True)
    (tmp_path / "other").write_bytes(OTHER)
    with world.process(cache=tmp_path / "cache") as store:
        made = store.repo("faces").upload(tmp_path, message="again", files=["other"]).bundle
        assert made.parents == (id,)
        assert store.repo("faces").bundle("main").read("other") == OTHER
        assert store.check(read_data=True).ok


@each_damage
def test_it_comes_back_when_its_data_is_back(world: World, made: World, damage: Callable[[World], str]) -> None:
    id = damage(world)
    world.repair(quarantine=True, index=True)
    with world.process() as store, pytest.raises(Refused, match="still can't be read"):
        store.repo("faces").undelete_bundle(id)
    for key, data in all_bytes(made.primary).items():
        if key.startswith(("packs/", "nodes/")):
            world.primary.replace(key, data)
    with world.process() as store:
        assert store.repo("faces").undelete_bundle(id).read("other") == OTHER
        assert store.repo("faces").bundle("main").id == id
        with pytest.raises(NotFound):
            store.repo("faces").undelete_bundle(id)
        report = store.check(read_data=True)
        assert not report.damaged and "bundles quarantined" not in report.counts
    assert world.read() == made.files


def test_from_a_replica_its_data_comes_back(world: World, made: World) -> None:
    """Also what only a bundle that is quarantined needs is fetched."""
    id = lose_root(world)
    world.repair(quarantine=True)
    assert not world.repair(from_replica=REPLICA).left.damaged
    with world.process() as store:
        assert store.repo("faces").undelete_bundle(id).read("other") == OTHER
    assert world.read() == made.files


def test_gc_keeps_what_is_left_of_it(world: World, made: World) -> None:
    id = damage_main(world)
    world.repair(quarantine=True)
    for stat in [*world.primary.list("condemned/"), *world.primary.list("sessions/")]:
        world.primary.delete(stat.key)
    with world.process() as store:
        collect(store._core, GracePeriod(0))
        assert store.repo("faces").bundle(id).read("small") == b"small"


def test_it_can_be_given_up(world: World) -> None:
    id = damage_main(world)
    world.repair(quarantine=True)
    with world.process() as store:
        repo = store.repo("faces")
        with pytest.raises(Conflict, match="branch:main"):
            repo.delete_bundle(id)
        repo.delete_branch("main")
        repo.delete_bundle(id)
        assert repo.quarantined() == {} and id not in [bundle.id for bundle in repo.bundles()]
        assert repo.newest().read("small") == b"small"
        assert "bundles quarantined" not in store.check().counts


def test_a_file_of_many_chunks(world: World) -> None:
    """Damage that the tables of packs don't show, in a part of a recipe or in one of the chunks."""
    with world.process() as store:
        bundle = store.repo("faces").bundle("v1")
        key = pack_of(bundle, "big")
    size = len(world.primary.get(key))
    for at in range(300, size - 1500, size // 9):
        then = world.copy()
        flip(then.primary, key, at)
        done = then.repair(quarantine=True)
        assert {item.repo_name for item in done.quarantined} == {"faces"} and len(done.quarantined) == 2, at
        assert not done.left.damaged


def test_bundles_that_do_not_need_what_is_damaged_are_left_alone(world: World) -> None:
    with world.process() as store:
        bundle = store.repo("faces").bundle("v1")
        commit(store.repo("plates"), {"same": FIRST["small"]})
        key = pack_of(bundle, "text")
    flip(world.primary, key, 300)
    names = {(item.repo_name, item.reason.split("'")[1]) for item in world.repair(quarantine=True).quarantined}
    assert names and all(path in ("big", "text", "copy") for _, path in names)


def test_whoever_does_not_agree_is_obeyed(world: World) -> None:
    damage_main(world)
    asked: list[Unreadable] = []

    def refuse(found: list[Unreadable]) -> None:
        asked.extend(found)
        raise Refused("user aborted")

    before = all_bytes(world.primary)
    assert len(world.repair(quarantine=True, is_dry=True, agree=refuse).quarantined) == 1
    assert all_bytes(world.primary) == before
    with pytest.raises(Refused):
        world.repair(quarantine=True, agree=refuse)
    assert len(asked) == 1 and all_but_notes(world.primary) == before


def test_a_bundle_that_is_deleted_meanwhile_is_no_matter(world: World) -> None:
    with world.process() as store:
        id = commit(store.repo("plates"), {"only": OTHER + b"!"}, branch="side")
        flip(world.primary, pack_of(store.repo("plates").bundle("side"), "only"), 200)

    def delete(found: list[Unreadable]) -> None:
        with world.process() as store:
            store.repo("plates").delete_branch("side")
            store.repo("plates").delete_bundle(id)

    assert world.repair(quarantine=True, agree=delete).quarantined == []


def test_replicas_hear_of_it(world: World) -> None:
    damage_main(world)
    world.repair(quarantine=True)
    with Repairs(world.replica, world.open, clock=world.clock()) as repairs:
        assert repairs.repair(RepairPlan()).left.counts["bundles quarantined"] == 1
        with pytest.raises(Refused):
            repairs.repair(RepairPlan(quarantine=True))
    assert world.places[PRIMARY].newest("log/") is not None


def test_a_gc_that_is_in_the_dark_says_why(world: World) -> None:
    """Without the root nobody knows what else the bundle needs, so nothing is deleted."""
    id = lose_root(world)
    world.repair(quarantine=True)
    before = all_bytes(world.primary)
    with world.process() as store:
        with pytest.raises(Corrupt) as caught:
            store.gc(grace=0, dry_run=True)
        assert f"faces@{id}" in caught.value.hint
    assert all_bytes(world.primary) == before


def test_lists_say_so(world: World) -> None:
    id = damage_main(world)
    world.repair(quarantine=True)
    with world.process() as store:
        repo = store.repo("faces")
        assert [bundle.id for bundle in repo.bundles() if bundle.quarantined] == [id]
        assert [branch.quarantined for branch in repo.branches()] == [True]
        assert [label.quarantined for label in repo.labels()] == [False]
