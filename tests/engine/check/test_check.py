"""The check finds whatever is wrong, names it, and says whether anything is lost."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from msgspec.structs import replace
from tests.engine.builders import (
    Place,
    commit,
    condemn,
    descriptor,
    flipped,
    new_backend,
    nodes_of,
    noise,
    open_core,
    replaced,
)
from tests.engine.chunks.test_chunk_reader import move

from sheaf.engine.check.check import PackSelection, Problem, check_store
from sheaf.engine.chunks.dedup import load_segments, write_index
from sheaf.engine.core import Core
from sheaf.engine.log.record_log import repo_log
from sheaf.engine.manifest.node_store import pointer_of, root_of
from sheaf.engine.manifest.tree import Tree
from sheaf.engine.manifest.tree_writer import TreeWriter, leaves_of
from sheaf.engine.object_cache import FolderCache
from sheaf.format import keys
from sheaf.format.index_v1 import Segment
from sheaf.format.moved_v1 import encode_moved
from sheaf.format.pack_v1 import TRAILER
from sheaf.format.record_v1 import decode_record, encode_record
from sheaf.format.session_v1 import RunEnd, seal
from sheaf.model.entries import ChunkPlace
from sheaf.model.records import AddBundle, SetLabel
from sheaf.storage.memory import MemoryBackend
from sheaf.storage.port import Backend, Stat
from sheaf.testing.clock import SteeredClock

FILES = {"small": b"small", "folder/text": b"text " * 3000, "folder/big": noise(500_000)}


@pytest.fixture(scope="module")
def made() -> Backend:
    """A store with a bit of everything."""
    backend = new_backend()
    place = Place(backend, Path())
    repo = place.store().create_repo("faces")
    first = commit(repo, FILES)
    commit(repo, {"other": b"other"})
    repo.set_label("v1", first)
    diamond = repo.create_diamond()
    assert diamond.info.state == "initialized"
    store = place.store()
    run = store.runs.start(command=("train",), environment={})
    store.runs.end(run, "succeeded", exit_code=0)
    condemn(backend, dead=[bytes(32)])
    return backend


@pytest.fixture
def core(made: Backend) -> Core:
    copy = MemoryBackend()
    for stat in made.list():
        copy.create(stat.key, made.get(stat.key))
    return open_core(copy, "checker")


def problems(core: Core, *, read_data: bool = True) -> list[Problem]:
    return check_store(core, reading=PackSelection(share=1) if read_data else None).problems


def the_key(core: Core, prefix: str) -> str:
    return next(stat.key for stat in core.backend.list(prefix, sort=True))


def test_a_sound_store_has_no_problems(core: Core) -> None:
    for read_data in (False, True):
        report = check_store(core, reading=PackSelection(share=1) if read_data else None)
        assert report.ok
        assert report.counts["bundles"] == 2
        assert report.counts["packs"] == 2
        assert report.counts["records"] >= 4
    assert report.counts["chunks"] > 5


KINDS = ("log/", "repos/", "packs/", "nodes/", "index/", "sessions/", "runs/", "condemned/")


def needed(core: Core, prefix: str) -> list[Stat]:
    """The objects of a kind; of nodes only those that a bundle has, since an edit leaves an empty one behind."""
    state = repo_log(core, check_repo_ids(core)[0]).head().state
    roots = [pointer_of(bundle.root) for bundle in state.bundles.values()]
    nodes = {keys.node(node.id) for root in roots for node in leaves_of(nodes_of(core), root)}
    return [stat for stat in core.backend.list(prefix) if prefix != "nodes/" or stat.key in nodes]


@pytest.mark.parametrize("prefix", KINDS)
def test_every_turned_bit_is_found_and_named(core: Core, prefix: str) -> None:
    for stat in needed(core, prefix):
        whole = core.backend.get(stat.key)
        for at in range(0, len(whole), max(1, len(whole) // 40)):
            replaced(core.backend, stat.key, flipped(whole, at, at % 8))
            found = problems(core)
            assert found, f"{stat.key} at {at}"
            name = stat.key.rpartition("/")[2].removesuffix(".json")
            assert any(name in problem.key + problem.message for problem in found), (stat.key, at, found)
        replaced(core.backend, stat.key, whole)
    assert not problems(core)


@pytest.mark.parametrize("prefix", ["log/", "repos/", "packs/", "nodes/"])
@pytest.mark.parametrize("kept", [0, 1, 60])
def test_what_was_cut_short_is_found(core: Core, prefix: str, kept: int) -> None:
    key = next(stat.key for stat in needed(core, prefix) if "diamonds" not in stat.key)
    replaced(core.backend, key, core.backend.get(key)[:kept])
    for read_data in (False, True):
        assert not all(problem.repairable for problem in problems(core, read_data=read_data))


@pytest.mark.parametrize("prefix", ["packs/", "nodes/"])
def test_what_is_lost_is_found(core: Core, prefix: str) -> None:
    for stat in needed(core, prefix):
        whole = core.backend.get(stat.key)
        core.backend.delete(stat.key)
        for read_data in (False, True):
            found = problems(core, read_data=read_data)
            assert any(stat.key.rpartition("/")[2] in problem.key + problem.message for problem in found)
            assert not all(problem.repairable for problem in found)
        core.backend.create(stat.key, whole)


def test_a_lost_record_is_found(core: Core) -> None:
    logs = [stat.key for stat in core.backend.list("repos/") if "/log/" in stat.key]
    for key in sorted(logs)[1:]:
        whole = core.backend.get(key)
        core.backend.delete(key)
        assert problems(core), key
        core.backend.create(key, whole)


def test_a_damaged_index_is_no_loss(core: Core) -> None:
    key = the_key(core, "index/")
    replaced(core.backend, key, flipped(core.backend.get(key), 100))
    found = problems(core)
    assert key in {problem.key for problem in found}
    assert {(problem.kind, problem.repairable) for problem in found} == {("index", True)}


def test_a_lying_index_is_no_loss_and_is_found(core: Core) -> None:
    s = load_segments(core)[0][1]
    write_index(core, "liar", Segment(s.packs, s.hashes, s.pack, s.offset + 1, s.stored, s.lead))
    found = problems(core)
    assert found and all(problem.kind == "index" and problem.repairable for problem in found)


def test_a_table_that_is_damaged_is_found_without_reading_the_data(core: Core) -> None:
    key = the_key(core, "packs/")
    whole = core.backend.get(key)
    replaced(core.backend, key, flipped(whole, len(whole) - TRAILER.size - 5))
    assert problems(core, read_data=False)


# -- what is whole and wrong -------------------------------------------------------------------------------------------


def test_a_label_that_leads_nowhere_is_found(core: Core) -> None:
    repo = next(iter(check_repo_ids(core)))
    nowhere = descriptor(SteeredClock("nowhere").new_id())
    repo_log(core, repo).append(lambda head: (SetLabel("lost", nowhere.id, target=nowhere),))
    assert any("lost" in problem.message for problem in problems(core))


def check_repo_ids(core: Core) -> list[str]:
    return sorted({stat.key.split("/")[1] for stat in core.backend.list("repos/")})


def test_a_bundle_without_its_nodes_is_found(core: Core) -> None:
    lost = descriptor(SteeredClock("lost").new_id())
    repo_log(core, check_repo_ids(core)[0]).append(lambda head: (AddBundle(lost),))
    assert any(problem.kind == "node" for problem in problems(core))


def test_a_state_that_its_records_do_not_add_up_to_is_found(core: Core) -> None:
    repo = check_repo_ids(core)[0]
    key = core.backend.newest(f"repos/{repo}/log/")
    assert key is not None
    record = decode_record(core.backend.get(key), key)
    assert record.state is not None
    replaced(core.backend, key, encode_record(replace(record, state={**record.state, "labels": {}})))
    assert any(problem.kind == "log" for problem in problems(core))


def test_a_place_with_another_chunk_is_found_without_reading_the_data(core: Core) -> None:
    repo = repo_log(core, check_repo_ids(core)[0])
    bundle = next(iter(repo.head().state.bundles.values()))
    nodes = nodes_of(core)
    tree = Tree(nodes, pointer_of(bundle.root))
    rows = next(tree.batches())
    at = [i for i in range(rows.num_rows) if rows["place"][i].as_py() == 1]
    swapped = rows.to_pylist()
    for field in ("pack", "offset", "stored"):
        swapped[at[0]][field], swapped[at[1]][field] = swapped[at[1]][field], swapped[at[0]][field]
    root = TreeWriter(core, nodes, "writer").build([pa.RecordBatch.from_pylist(swapped, rows.schema)])
    new = replace(bundle, id=SteeredClock("new").new_id(), root=root_of(root))
    repo.append(lambda head: (AddBundle(new),))
    assert any(problem.kind == "pack" for problem in problems(core, read_data=False))


# -- packs that went elsewhere -----------------------------------------------------------------------------------------


def first_place(core: Core) -> ChunkPlace:
    bundle = repo_log(core, check_repo_ids(core)[0]).head().state
    root = next(b.root for b in bundle.bundles.values() if b.id == bundle.labels["v1"].bundle)
    entry = Tree(nodes_of(core), pointer_of(root)).find("small")
    assert entry is not None and isinstance(entry.place, ChunkPlace)
    return entry.place


def test_a_moved_pack_is_sound(core: Core) -> None:
    new = move(core.backend, move(core.backend, first_place(core).pack, "gc-1"), "gc-2")
    assert not [p for p in problems(core) if p.kind != "index"]
    key = keys.pack(new)
    replaced(core.backend, key, flipped(core.backend.get(key), 300))
    assert any(problem.key == key for problem in problems(core))
    replaced(core.backend, key, None)
    assert any(problem.kind == "pack" for problem in problems(core))


def test_what_was_erased_on_purpose_is_no_damage(core: Core) -> None:
    place = first_place(core)
    move(core.backend, place.pack, "gc-1", erase=[place.offset])
    report = check_store(core, reading=PackSelection(share=1))
    assert not [p for p in report.problems if p.kind != "index"]
    assert report.counts["erased chunks"] == 1


def test_what_was_not_carried_over_is_damage(core: Core) -> None:
    place = first_place(core)
    key = keys.moved(place.pack, 0)
    move(core.backend, place.pack, "gc-1")
    replaced(core.backend, key, encode_moved([]))
    assert any(problem.kind == "pack" and not problem.repairable for problem in problems(core))


# -- pages -------------------------------------------------------------------------------------------------------------


def test_a_damaged_page_is_no_loss(core: Core) -> None:
    log = repo_log(core, repo := check_repo_ids(core)[0])
    first = log.head().state.labels["v1"].bundle
    while log.head().n < 1000:
        log.append(lambda head: (SetLabel("v1", first),))
    log.roll()
    page = keys.log_page(keys.repo(repo), 0)
    whole = core.backend.get(page)
    assert not problems(core)
    for damaged in (flipped(whole, 5), flipped(whole, len(whole) // 2), whole[:-1], b""):
        replaced(core.backend, page, damaged)
        (problem,) = problems(core)
        assert (problem.key, problem.repairable) == (page, True)
    replaced(core.backend, page, whole)
    record = keys.log_record(keys.repo(repo), 5)
    replaced(core.backend, record, flipped(core.backend.get(record), 50))
    assert any(record in problem.message for problem in problems(core)), "the record counts, not its copy in a page"


# -- the rest ----------------------------------------------------------------------------------------------------------


def test_one_repo_can_be_checked_alone(core: Core) -> None:
    repo = check_repo_ids(core)[0]
    assert check_store(core, repo=repo).ok
    assert check_store(core, repo="nobody").counts.get("bundles", 0) == 0


def test_progress_is_told(core: Core) -> None:
    told: list[tuple[str, int]] = []
    check_store(core, on_progress=lambda what, done: told.append((what, done)))
    assert {what for what, _ in told} >= {"nodes", "packs"}


def test_an_end_without_a_beginning_is_found(core: Core) -> None:
    id = SteeredClock("run").new_id()
    core.backend.create(keys.run(id, "end"), seal("run-end", RunEnd(id, "2026", "failed")))
    assert any(id in problem.key + problem.message for problem in problems(core))


def test_nothing_is_changed_by_a_check(core: Core) -> None:
    before = {stat.key: core.backend.get(stat.key) for stat in core.backend.list()}
    check_store(core, reading=PackSelection(share=1))
    assert {stat.key: core.backend.get(stat.key) for stat in core.backend.list()} == before


def rewritten(core: Core, change: Callable[[dict[str, Any]], None]) -> None:
    """A bundle whose manifest a careless program wrote: its hashes are right, its rows are not."""
    log = repo_log(core, check_repo_ids(core)[0])
    bundle = next(iter(log.head().state.bundles.values()))
    nodes = nodes_of(core)
    rows = next(Tree(nodes, pointer_of(bundle.root)).batches())
    listed = rows.to_pylist()
    change(listed[0])
    root = TreeWriter(core, nodes, "writer").build([pa.RecordBatch.from_pylist(listed, rows.schema)])
    new = replace(bundle, id=SteeredClock("new").new_id(), version=root.logical.hex(), root=root_of(root))
    log.append(lambda head: (AddBundle(new),))


def test_a_name_that_leads_out_of_the_bundle_is_found(core: Core) -> None:
    rewritten(core, lambda row: row.update(name=".."))
    assert any(".." in problem.message for problem in problems(core))


def test_a_symlink_whose_target_is_not_what_was_hashed_is_found(core: Core) -> None:
    none = dict.fromkeys(("place", "pack", "offset", "stored", "recipe"))
    rewritten(core, lambda row: row.update({**none, "place": 0, "kind": 1, "target": "elsewhere"}))
    assert any(problem.kind == "node" for problem in problems(core))


def test_a_damaged_store_behind_a_sound_cache_is_found(core: Core, tmp_path: Path) -> None:
    cached = Core(core.backend, core.config, cache=FolderCache(tmp_path))
    assert check_store(cached).ok
    for key in [the_key(core, "log/"), the_key(core, "index/"), *(stat.key for stat in needed(core, "nodes/"))]:
        whole = core.backend.get(key)
        repo_log(cached, check_repo_ids(core)[0]).head()
        replaced(core.backend, key, flipped(whole, 60))
        assert check_store(cached).problems, key
        replaced(core.backend, key, whole)
