"""Where files are cut: databases into pieces of one size, all others by their contents."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from blake3 import blake3
from hypothesis import given
from hypothesis import strategies as st
from tests.encryption.builders import new_store as new_encrypted_store
from tests.engine.builders import Bench, new_backend, noise

from sheaf.engine.chunks.chunk_reader import Contents
from sheaf.engine.chunks.cut_file import cut_file
from sheaf.engine.chunks.files_in_memory import FilesInMemory
from sheaf.engine.core import open_store
from sheaf.format.store_v1 import NEW_STORE_CHUNKER, Chunker, StoreConfig, decode_config, encode_config
from sheaf.model.entries import RecipePlace

DATABASE = b"SQLite format 3\0" + noise(100_000)
SMALL = Chunker(min=256, avg=1024, max=4096, sqlite=512)


def lengths(chunker: Chunker, data: bytes, block: int = 1 << 20, window: int = 1 << 20) -> list[int]:
    blocks = (data[at : at + block] for at in range(0, len(data), block))
    chunks = [chunk for found in cut_file(chunker, blocks, window) for chunk in found]
    assert b"".join(chunks) == data
    return list(map(len, chunks))


def test_a_database_is_cut_into_pieces_of_one_size() -> None:
    assert lengths(NEW_STORE_CHUNKER, DATABASE) == [8192] * 12 + [100_016 - 12 * 8192]


@given(size=st.integers(0, 9000), is_database=st.booleans())
def test_a_file_in_memory_is_cut_as_a_stream(size: int, is_database: bool) -> None:
    data = (DATABASE if is_database else DATABASE[1:])[:size]
    assert FilesInMemory([data], SMALL).chunk_sizes == lengths(SMALL, data)


def test_older_stores_cut_a_database_like_any_file() -> None:
    assert lengths(Chunker(), DATABASE) == lengths(Chunker(), b"SQLite format 4\0" + DATABASE[16:])
    assert lengths(NEW_STORE_CHUNKER, DATABASE[1:]) == lengths(Chunker(), DATABASE[1:])


@given(size=st.integers(0, 9000), block=st.integers(1, 3000), window=st.integers(1, 3000), is_database=st.booleans())
def test_blocks_and_windows_do_not_move_cuts(size: int, block: int, window: int, is_database: bool) -> None:
    data = (DATABASE if is_database else DATABASE[1:])[:size]
    assert lengths(SMALL, data, block, window) == lengths(SMALL, data)


@given(size=st.integers(0, SMALL.min))
def test_a_file_of_at_most_the_minimum_is_one_chunk(size: int) -> None:
    assert lengths(SMALL, DATABASE[:size], block=7) == [size] * (size > 0)


def database(path: Path, *statements: str) -> bytes:
    with sqlite3.connect(path) as db:
        for statement in statements:
            db.execute(statement)
    db.close()
    return path.read_bytes()


def test_a_new_version_of_a_database_stores_the_pages_that_changed(tmp_path: Path) -> None:
    rows = "with recursive n(i) as (select 1 union all select i + 1 from n where i < 20000) "
    first = database(
        tmp_path / "db",
        "create table t (i integer primary key, b blob)",
        f"{rows} insert into t select i, randomblob(100) from n",
    )
    second = database(tmp_path / "db", "update t set b = randomblob(100) where i % 2000 = 0")
    grown = {}
    for chunker in (Chunker(), NEW_STORE_CHUNKER):
        bench = Bench(chunker=chunker)
        bench.store(first)
        before = bench.sink.new_bytes
        entry = bench.store(second)
        assert bench.read(entry) == second
        grown[chunker] = bench.sink.new_bytes - before
    assert grown[NEW_STORE_CHUNKER] < 12 * 8192 + 25_000 < grown[Chunker()] / 3, (
        "ten pages, the first one, and the recipe"
    )


def test_pieces_are_chunks_of_a_recipe() -> None:
    bench = Bench(chunker=NEW_STORE_CHUNKER)
    place = bench.store(DATABASE).place
    assert isinstance(place, RecipePlace)
    rows = list(Contents(bench.core).recipe_rows(place))
    assert [row[0] for row in rows] == [blake3(DATABASE[at : at + 8192]).digest() for at in range(0, 100_016, 8192)]


# -- the store's configuration -----------------------------------------------------------------------------------------


def test_new_stores_cut_databases_and_older_ones_do_not() -> None:
    assert open_store(new_backend()).chunker == open_store(new_encrypted_store()).chunker == NEW_STORE_CHUNKER
    old = encode_config(StoreConfig("id", "2026"))
    assert b"sqlite" not in old
    assert decode_config(old).chunker == Chunker()
