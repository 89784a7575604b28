"""Logs, descriptors and trees that somebody made to do harm."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from blake3 import blake3
from msgspec.structs import replace
from tests.engine.builders import replaced
from tests.hostile.builders import SESSION, TIME, Hostile, batch_of

from sheaf.engine.log.record_log import repo_log
from sheaf.engine.manifest.node_store import root_of
from sheaf.engine.object_cache import FolderCache
from sheaf.errors import Corrupt, InvalidInput, SheafError, Unsupported
from sheaf.format import keys
from sheaf.format.record_v1 import encode_record
from sheaf.format.sealed import seal
from sheaf.format.store_v1 import decode_config
from sheaf.model.entries import Kind, ManifestEntry
from sheaf.model.nodes import Pointer
from sheaf.model.records import Author, Record

FILE = ManifestEntry("", "x", Kind.FILE, content=blake3(b"").digest())


def said(store: Hostile, id: str) -> str:
    """What comes of listing a bundle and of reading a path of it: errors of ours, in one line."""
    lines = []
    for action in (lambda tree: list(tree.entries()), lambda tree: tree.find("x")):
        with pytest.raises(SheafError) as info:
            action(store.repo().bundle(id).tree)
        lines.append(info.value.message)
    assert not any("\n" in line for line in lines)
    return lines[0]


@pytest.mark.parametrize("field", ["id", "logical", "full"])
@pytest.mark.parametrize("value", ["", "zz", "../../x", "0" * 63, "0" * 1_000_000, "\0"])
def test_roots_that_are_no_hashes(field: str, value: str) -> None:
    store = Hostile()
    root = msgspec.structs.replace(root_of(store.leaf(batch_of([FILE]))), **{field: value})
    said(store, store.bundle(root))


@pytest.mark.parametrize("field", ["level", "rows", "size", "length"])
@pytest.mark.parametrize("value", [-1, 2**31, 2**60, 2**63 - 1])
def test_roots_with_impossible_numbers(field: str, value: int) -> None:
    store = Hostile()
    root = msgspec.structs.replace(root_of(store.leaf(batch_of([FILE]))), **{field: value})
    if (field, value) not in {("size", 2**31), ("size", 2**60), ("size", 2**63 - 1)}:  # only a sum, for people
        said(store, store.bundle(root))


def test_a_tower_of_nodes_has_an_end() -> None:
    store = Hostile()
    pointer = replace(store.leaf(batch_of([FILE])), name="x")
    for level in range(1, 40):
        pointer = replace(store.inner([pointer], level), name="x")
    assert "impossible" in said(store, store.bundle(pointer))


@pytest.mark.parametrize("change", [{"rows": 2**60}, {"rows": -1}, {"length": 0}, {"name": ".."}, {"prefix": "../.."}])
def test_children_that_lie(change: dict[str, object]) -> None:
    store = Hostile()
    first = replace(store.leaf(batch_of([FILE])), name="x")
    said(store, store.bundle(store.inner([replace(first, **change)], 1)))


def test_a_node_that_counts_itself_many_times() -> None:
    """What multiplies without end must at least ascend, which equal children don't."""
    store = Hostile()
    pointer = replace(store.leaf(batch_of([FILE])), name="x")
    for level in range(1, 6):
        pointer = replace(store.inner([pointer] * 4096, level), name="x")
    assert "out of order" in said(store, store.bundle(pointer))


def test_a_child_at_the_wrong_level() -> None:
    store = Hostile()
    leaf = replace(store.leaf(batch_of([FILE])), name="x")
    said(store, store.bundle(store.inner([leaf], 2)))


def test_parents_in_circles() -> None:
    store = Hostile()
    root = store.leaf(batch_of([FILE]))
    id = store.bundle(root)
    circle = store.bundle(root, id=SESSION, parents=(SESSION,))
    repo = store.repo()
    with pytest.raises(Corrupt, match="cyclic parent chain"):
        repo.bundle(f"bundle:{circle}~999999999")
    with pytest.raises(Corrupt, match="cyclic parent chain"):
        list(repo.log(circle))
    assert repo.bundle(id).id == id


def first_record(store: Hostile) -> str:
    """The key of the repo's newest record."""
    found = store.backend.newest(f"{keys.repo(repo_of(store))}log/")
    assert found is not None
    return found


def repo_of(store: Hostile) -> str:
    """The id of the only repo."""
    return next(store.backend.list(keys.REPOS)).key.split("/")[1]


@pytest.mark.parametrize("depth", [100, 300, 900, 2000, 100_000])
@pytest.mark.parametrize("field", ["state", "delta", "ops"])
def test_nesting_in_records(depth: int, field: str) -> None:
    store = Hostile()
    deep = msgspec.Raw(b'{"a":' * depth + b"1" + b"}" * depth)
    record = {"n": 1, "write": "w", "prev": "", "time": TIME, "author": {}, "ops": [], "since": 0}
    record[field] = [deep] if field == "ops" else deep
    store.backend.create(keys.log_record(keys.repo(repo_of(store)), 1), seal("record", record))
    try:
        list(repo_log(store.core, repo_of(store)).records())
    except SheafError as error:
        assert "\n" not in error.message
    else:
        assert depth < 1000  # fields that nobody knows are ignored, as long as they are JSON


@pytest.mark.parametrize("since", [-1, -(2**62), 1, 2, 10**14, 10**15, 2**62])
def test_records_that_build_on_none(since: int) -> None:
    store = Hostile()
    record = Record(1, "w", "", TIME, Author(), (), since=since, delta={})
    store.backend.create(keys.log_record(keys.repo(repo_of(store)), 1), encode_record(record))
    with pytest.raises(SheafError):
        repo_log(store.core, repo_of(store)).head()


@pytest.mark.parametrize("n", [-1, 10**15, 2**63 - 1])
def test_records_with_other_numbers(n: int) -> None:
    store = Hostile()
    replaced(store.backend, first_record(store), encode_record(Record(n, "w", "", TIME, Author(), (), state={})))
    with pytest.raises(SheafError):
        repo_log(store.core, repo_of(store)).head()


@pytest.mark.parametrize("time", ["", "yesterday", "0000-00-00T00:00:00Z", "9999999-01-01", "\n" * 5])
def test_times_that_are_none(time: str) -> None:
    store = Hostile()
    id = store.bundle(store.leaf(batch_of([FILE])), time=time)
    bundle = store.repo().bundle(id)
    with pytest.raises(SheafError):
        _ = bundle.time


@pytest.mark.parametrize("key", ["../x", "repos/../../x/log/1", "/etc/passwd", "a\0b", "a/../b", "a//b", ""])
def test_no_key_leads_out_of_a_cache(key: str, tmp_path: Path) -> None:
    victim = tmp_path / "x"
    victim.write_bytes(b"mine")
    cache = FolderCache(tmp_path / "cache")
    for action in (cache.get, cache.drop, lambda key: cache.put(key, b"theirs")):
        with pytest.raises(InvalidInput):
            action(key)
    assert victim.read_bytes() == b"mine"


@pytest.mark.parametrize(
    "chunker",
    [
        {"min": 0},
        {"min": -1},
        {"min": 2**20},
        {"avg": 0},
        {"max": 2**60},
        {"max": 1},
        {"avg": 2**63 - 1},
        {"normalization": 9},
        {"seed": 1},
    ],
)
def test_chunkers_that_can_not_be(chunker: dict[str, int]) -> None:
    config = {"id": SESSION, "created": TIME, "hash": "blake3", "chunker": {"name": "fastcdc-2020", **chunker}}
    with pytest.raises(Unsupported):
        decode_config(seal("store", config))


def test_a_pointer_without_a_node() -> None:
    store = Hostile()
    said(store, store.bundle(Pointer(bytes(32), 1, 0, "", 1, 0, bytes(32), bytes(32))))
