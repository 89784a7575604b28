"""Each object of a store that has all kinds is deleted in turn: a check names it, or it is one that may be absent."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.engine.builders import commit
from tests.repair.builders import World, all_bytes, build

from sheaf.engine.check.check import check_store
from sheaf.engine.core import Core, open_store
from sheaf.engine.gc.mark import BundleRoots, Reach, live_bundles
from sheaf.engine.manifest.node_store import Nodes
from sheaf.errors import SheafError
from sheaf.format import keys
from sheaf.format.replica_v1 import Behind
from sheaf.format.sealed import seal
from sheaf.model.ids import ksuid

#: What may be absent, and why. All else is named.
ABSENT = {
    "index/": "the index is derived: what is not listed costs space, and is said as such",
    "sessions/": "a session ends by being deleted",
    "condemned/": "a generation of gc ends so, too",
    "behind/": "a note ends when the replica has caught up",
    "diamond": "a diamond that is not committed is nobody's yet; its objects end with it",
    "run end": "a run may have been cut off before its end",
    "moved/": "an address matters as long as a bundle needs a chunk of its pack, and is said then",
    "newest record": "a log without its newest records is an older log (docs/guarantees.md)",
}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    made = build(tmp_path_factory.mktemp("world"))
    for stat in list(made.primary.list(keys.CONDEMNED)):
        made.primary.delete(stat.key)  # while gc is at work, a notice may wait for its receipt
    note = seal("behind", Behind("mem:c", "x", "2026-01-01T00:00:00Z"))
    made.primary.create(keys.behind("0" * 16, ksuid(1_700_000_000, bytes(16))), note)
    with made.process() as store:
        repo = store.repo("plates")
        id = repo.bundle().id
        while repo._log.head().n < 1000:
            repo.set_label("v1", id)
        commit(repo, {"late": b"late"})
        commit(repo, {"later": b"later"})
        commit(store.repo("faces"), {"last": b"last"})
    return made


def kind_of(key: str, newest: set[str]) -> str:
    if key in newest:
        return "newest record"
    if "/diamonds/" in key:
        return "diamond"
    if key.startswith(keys.RUNS):
        return "run end" if key.endswith("end.json") else "run start"
    if key.startswith(keys.REPOS):
        return key.split("/")[2] + "/"
    return key.partition("/")[0] + "/" * ("/" in key)


def garbage(world: World) -> set[str]:
    """Packs and nodes that no bundle needs: those of an open diamond, of what was erased, and of trees that were replaced."""
    core = Core(world.primary, open_store(world.primary))
    reach = Reach(Nodes(core))
    reach.add(BundleRoots(live_bundles(core)[0], []))
    needed = {*map(keys.node, reach.seen), *map(keys.pack, reach.packs)}
    return {stat.key for kind in (keys.NODES, keys.PACKS) for stat in world.primary.list(kind)} - needed


def said_without(world: World, key: str) -> str:
    """What a check says when this object is gone."""
    place = world.copy().primary
    place.delete(key)
    try:
        report = check_store(Core(place, open_store(place)))
    except SheafError as error:
        return error.message
    return "\n".join([*report.counts, *(f"{problem.key} {problem.message}" for problem in report.problems)])


def test_a_store_that_has_lost_nothing(world: World) -> None:
    assert check_store(Core(world.primary, open_store(world.primary))).ok


def test_each_object_in_turn(world: World) -> None:
    found = all_bytes(world.primary)
    unneeded = garbage(world)
    bases = {key.partition("log/")[0] for key in found if "log/" in key}
    newest = {head for base in bases if (head := world.primary.newest(f"{base}log/"))}
    kinds: dict[str, list[str]] = {}
    for key in found.keys() - unneeded:
        kinds.setdefault(kind_of(key, newest), []).append(key)
    assert {"log/", "pages/", "packs/", "nodes/", "erased/", "receipts/", "run start", "sheaf.json"} <= kinds.keys()
    for kind, listed in kinds.items():
        if kind not in ABSENT:
            for key in listed[:20]:  # a log of a thousand records is said to lack each in the same way
                said = said_without(world, key)
                name = key.split("/")[1] if kind == "run start" else key.rpartition("/")[2].removesuffix(".json")
                assert name in said or (kind == "receipts/" and "erasures without receipts" in said), (
                    f"{key}: {said or 'nothing is said'}"
                )


def test_a_page_that_is_lost_is_written_again(world: World) -> None:
    attacked = world.copy()
    (key,) = (key for key in all_bytes(attacked.primary) if "/pages/" in key)
    whole = attacked.primary.get(key)
    attacked.primary.delete(key)
    (problem,) = attacked.repair(0.0).found.problems
    assert (problem.key, problem.repairable, problem.missing, problem.remedies) == (key, True, True, ("pages",))
    done = attacked.repair(0.0, pages=True)
    assert done.written == [key] and done.left.ok and attacked.primary.get(key) == whole


def test_a_notice_that_is_lost_comes_back_from_a_replica(world: World) -> None:
    attacked = world.copy()
    (key,) = (stat.key for stat in attacked.primary.list(keys.ERASED))
    attacked.primary.delete(key)
    done = attacked.repair(0.0, from_replica="")
    assert [problem.key for problem in done.found.problems] == [key]
    assert done.left.ok and attacked.primary.stat(key) is not None


def test_an_erasure_without_a_receipt_is_done_again(world: World, tmp_path: Path) -> None:
    attacked = world.copy()
    (receipt,) = (stat.key for stat in attacked.primary.list(keys.RECEIPTS))
    (notice,) = (stat.key for stat in attacked.primary.list(keys.ERASED))
    attacked.primary.delete(receipt)
    found = attacked.repair(0.0).found
    assert found.ok and found.counts["erasures without receipts"] == 1
    with attacked.process(cache=tmp_path) as store:
        store.erasure.erase(content=[notice.removeprefix(keys.ERASED)], reason="again", now=True)
        assert "erasures without receipts" not in store.check().counts
