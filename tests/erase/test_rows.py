"""Rows that leave every version of a table."""

from __future__ import annotations

import io
import random
from collections.abc import Callable
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tests.crash.builders import clone
from tests.erase.builders import OTHER, Later, Now, core_of, new_backend, process, put, stored_bytes, traces

from sheaf.engine.gc.collect import collect
from sheaf.errors import Conflict, InvalidInput, NotFound, Refused
from sheaf.format import keys
from sheaf.format.session_v1 import Receipt
from sheaf.repo.bundle import Bundle
from sheaf.repo.store import Store
from sheaf.storage.memory import MemoryBackend
from sheaf.storage.port import Backend
from sheaf.testing.faults import survives_every_crash
from sheaf.testing.invariants import assert_sound

NAME = "anna-lindqvist"
WHERE = [("person", "==", NAME)]


def table(seed: int, rows: int = 6000, every: int = 500) -> pa.Table:
    """People with noise; each 500th row is of one of them, and a few are of nobody."""
    noise = random.Random(seed)
    people = [NAME if n % every == 3 else None if n % 700 == 1 else f"person {n}" for n in range(rows)]
    return pa.table({"n": range(rows), "person": people, "noise": [noise.randbytes(20) for _ in range(rows)]})


def parquet(rows: pa.Table, **options: Any) -> bytes:
    sink = io.BytesIO()
    options = {"row_group_size": 2000, "compression": "NONE", "use_dictionary": False, **options}
    pq.write_table(rows, sink, **options)
    return sink.getvalue()


def read(bundle: Bundle, path: str) -> pa.Table:
    return pq.read_table(io.BytesIO(bundle.read(path)))


def kept(rows: pa.Table) -> pa.Table:
    people = rows["person"].to_pylist()
    return rows.filter(pa.array([person != NAME for person in people]))


def forget(store: Store, repo: str = "r", pattern: str = "**/*.parquet", where: Any = WHERE) -> Receipt:
    return store.erasure.erase_rows(repo, pattern, where, reason="request 17", now=True)


def assert_forgotten(backend: Backend) -> None:
    assert not [where for where, data in stored_bytes(backend) if NAME.encode() in data]
    for prefix in (keys.CONDEMNED, keys.ERASING, keys.SESSIONS):
        assert not list(backend.list(prefix))


SMALL, BIG, MORE = table(1, 200, 50), table(2), table(3, 6500)


def test_rows_leave_every_version(backend: MemoryBackend, store: Store) -> None:
    repo = store.create_repo("r")
    first = put(repo, {"t/a.parquet": parquet(BIG), "t/small.parquet": parquet(SMALL), "other": OTHER})
    second = put(repo, {"t/a.parquet": parquet(MORE), "t/none.parquet": (none := parquet(kept(SMALL)))})
    assert [where for where, data in stored_bytes(backend) if NAME.encode() in data]
    receipt = forget(store)
    assert_forgotten(backend)
    after = repo.bundles()
    assert [(b.id, b.version, b.files, b.redacted) for b in after] == [
        (b.id, b.version, b.files, True) for b in (first, second)
    ]
    for bundle, rows in zip(after, (BIG, MORE), strict=True):
        assert read(bundle, "t/a.parquet") == kept(rows)
        assert read(bundle, "t/small.parquet") == kept(SMALL)
        assert bundle.read("other") == OTHER
        assert bundle.size == sum(entry.size for entry in bundle.ls(recursive=True))
    assert after[1].read("t/none.parquet") == none
    assert (receipt.rows, receipt.columns, len(receipt.contents)) == (12 + 13 + 4, ("person",), 3)
    assert {place.path for place in receipt.places} == {"t/a.parquet", "t/small.parquet"}
    assert NAME not in repr(receipt)
    assert_sound(store)
    with pytest.raises(NotFound, match="no row"):
        forget(store)


def test_an_old_version_can_not_come_back(backend: MemoryBackend, store: Store) -> None:
    repo = store.create_repo("r")
    put(repo, {"a.parquet": parquet(BIG)})
    forget(store)
    with pytest.raises(Refused, match="was erased"):
        put(repo, {"a.parquet": parquet(BIG)})
    assert_forgotten(backend)


def test_the_file_is_as_it_was_but_for_the_rows(store: Store) -> None:
    repo = store.create_repo("r")
    described = BIG.replace_schema_metadata({"who": "made it"})
    with repo.edit(message="m") as edit:
        attrs = {"sha256": "0" * 64, "md5": "0" * 32, "content-type": "application/parquet"}
        edit.put("a.parquet", parquet(described, compression="zstd"), mode=0o600, mtime_ns=7, attrs=attrs)
        edit.commit()
    forget(store)
    entry = repo.bundle().entry("a.parquet")
    assert (entry.mode, entry.mtime_ns, entry.attrs) == (0o600, 7, {"content-type": "application/parquet"})
    file = pq.ParquetFile(io.BytesIO(repo.bundle().read("a.parquet")))
    groups = [file.metadata.row_group(i) for i in range(file.metadata.num_row_groups)]
    assert [group.num_rows for group in groups] == [1996, 1996, 1996]
    assert {group.column(i).compression for group in groups for i in range(3)} == {"ZSTD"}
    assert file.read().replace_schema_metadata(None) == kept(BIG)
    assert file.schema_arrow.metadata[b"who"] == b"made it"


def test_the_same_content_elsewhere_is_replaced_too(backend: MemoryBackend, store: Store) -> None:
    put(store.create_repo("r"), {"a.parquet": parquet(BIG)})
    put(store.create_repo("q"), {"copy.bin": parquet(BIG), "not named.parquet": parquet(kept(MORE))})
    forget(store)
    assert_forgotten(backend)
    assert read(store.repo("q").bundle(), "copy.bin") == kept(BIG)
    assert_sound(store)


def test_one_of_several_conditions_and_all_of_some(store: Store) -> None:
    repo = store.create_repo("r")
    put(repo, {"a.parquet": parquet(BIG)})
    forget(store, where=[[("person", "==", NAME), ("n", "<", 600)], [("n", "in", [1000, 1001])]])
    people = read(repo.bundle(), "a.parquet")
    assert people.num_rows == BIG.num_rows - 2 - 2
    assert people["person"].to_pylist().count(NAME) == 12 - 2


def test_what_can_not_be_searched_is_refused_before_anything_is_done(backend: MemoryBackend, store: Store) -> None:
    repo = store.create_repo("r")
    put(repo, {"a.parquet": parquet(BIG), "b.parquet": b"no such thing", "c.txt": OTHER})
    before = {stat.key for stat in backend.list()}
    wrong: list[tuple[str, Any, type[Exception], str]] = [
        ("**", WHERE, InvalidInput, "can't search 'b.parquet'"),
        ("a.*", [("nobody", "==", 1)], InvalidInput, "no column 'nobody'"),
        ("a.*", [("n", "==", "text")], InvalidInput, "can't search"),
        ("a.*", [], InvalidInput, "condition is empty"),
        ("a.*", [("n", "~", 1)], InvalidInput, "invalid condition"),
        ("a.*", [("n",)], InvalidInput, "invalid condition"),
        ("none/*", WHERE, NotFound, "no file"),
        ("a.*", [("n", ">", 10_000)], NotFound, "no row"),
    ]
    for pattern, where, error, message in wrong:
        with pytest.raises(error, match=message):
            forget(store, pattern=pattern, where=where)
    with pytest.raises(InvalidInput, match="requires a reason"):
        store.erasure.erase_rows("r", "a.*", WHERE, reason=" ")
    assert {stat.key for stat in backend.list()} == before


def test_rows_names_and_files_of_one_bundle(backend: MemoryBackend, store: Store) -> None:
    repo = store.create_repo("r")
    put(repo, {"a.parquet": parquet(BIG), f"{NAME}.parquet": parquet(SMALL), "other": OTHER})
    store.erasure.erase(address=f"r@main:{NAME}.parquet", with_path=True, reason="x", now=True)
    forget(store)
    assert_forgotten(backend)
    bundle = repo.bundle()
    assert read(bundle, "a.parquet") == kept(BIG)
    assert len(bundle.verify().erased) == 1
    store.erasure.erase(address="r@main:a.parquet", reason="x", now=True)
    assert not traces(backend, parquet(kept(BIG)))
    assert_sound(store)


def test_deleted_bundles(backend: MemoryBackend, store: Store) -> None:
    repo = store.create_repo("r")
    first = put(repo, {"a.parquet": parquet(BIG), "other": OTHER})
    put(repo, {"a.parquet": parquet(MORE)})
    with repo.edit(message="without") as edit:
        edit.remove("a.parquet")
        last = edit.commit()
    repo.delete_bundle(f"bundle:{first.id}")
    forget(store)
    assert_forgotten(backend)
    back = repo.undelete_bundle(first.id)
    assert read(back, "a.parquet") == kept(BIG)
    assert not repo.bundle(f"bundle:{last.id}").redacted
    assert_sound(store)


def test_beside_an_edit_of_the_old_table(backend: MemoryBackend, store: Store) -> None:
    repo = store.create_repo("r")
    put(repo, {"a.parquet": parquet(BIG), "b.parquet": parquet(SMALL)})
    with process(backend, "late") as late, late.repo("r").edit(message="late") as edit:
        edit.put("late", b"late")
        with pytest.raises(Conflict, match="must wait for other sessions"):
            from sheaf.transfer.erase_rows import erase_rows

            erase_rows(core_of(store), repo.id, "*.parquet", WHERE, "x", Later())
        edit.commit()
    assert_sound(store)
    forget(store)
    assert_forgotten(backend)
    assert repo.bundle().message == "late" and repo.bundle().redacted
    assert read(repo.bundle(), "a.parquet") == kept(BIG)
    assert_sound(store)


# -- being stopped -----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def made() -> MemoryBackend:
    backend = new_backend()
    with process(backend, "maker") as store:
        repo = store.create_repo("r")
        put(repo, {"a.parquet": parquet(BIG), "other": OTHER})
        put(repo, {"a.parquet": parquet(SMALL)})
        put(store.create_repo("q"), {"copy": parquet(BIG)})
    return backend


def run(backend: Backend) -> None:
    with process(backend, "eraser") as store:
        forget(store)


def assert_whole(store: Store, *, is_done: bool) -> None:
    """All rows that are to stay are there."""
    tables = [("r", 0, "a.parquet", BIG), ("r", 1, "a.parquet", SMALL), ("q", 0, "copy", BIG)]
    for name, number, path, rows in tables:
        found = read(store.repo(name).bundles()[number], path)
        assert found == kept(rows) or (not is_done and found == rows)
    assert_sound(store)


def nothing(store: Store) -> None:
    return None


def gc(store: Store) -> None:
    collect(core_of(store), Now())


@pytest.mark.parametrize("meanwhile", [pytest.param(nothing, marks=pytest.mark.slow), gc], ids=["", "gc"])
def test_a_crash_loses_nothing_and_a_second_try_ends_it(
    made: MemoryBackend, meanwhile: Callable[[Store], object]
) -> None:
    def check(backend: Backend) -> None:
        with process(backend, "checker") as store:
            assert_whole(store, is_done=False)
            meanwhile(store)
        with process(backend, "again") as store:
            try:
                forget(store)
            except NotFound:  # all was done, or another gc has ended it
                assert not list(backend.list(keys.ERASING))
            assert_whole(store, is_done=True)
        assert_forgotten(backend)

    assert survives_every_crash(lambda: clone(made), run, check) > 15
