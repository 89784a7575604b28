"""Files that are changed in one range: the same as those stored whole, with the chunks before and after it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace
from tests.engine.builders import TINY, Bench, entry_of, noise

from sheaf.engine.chunks.chunk_reader import Contents
from sheaf.engine.chunks.dedup import ChunkIndex
from sheaf.engine.chunks.ingest import Ingest, StoredFile
from sheaf.engine.chunks.pack_writer import PackSink
from sheaf.engine.chunks.splice_file import StoredEntry, splice_file
from sheaf.model.entries import RecipePlace


def blocks(data: bytes, size: int = 700) -> Iterator[bytes]:
    for at in range(0, len(data), size):
        yield data[at : at + size]


def stored(bench: Bench, content: bytes) -> StoredFile:
    placed = bench.ingest.store_bytes(content)
    bench.sink.flush()
    return placed


def spliced(bench: Bench, old: StoredFile, offset: int, length: int, data: bytes) -> StoredFile:
    before = StoredEntry(entry_of(old), old.packs)
    placed = splice_file(bench.ingest, Contents(bench.core), before, offset, length, blocks(data))
    bench.sink.flush()
    return placed


def another(bench: Bench) -> Bench:
    """Another session in the same store, which finds no chunk in its index."""
    other = Bench(bench.backend, chunker=bench.chunker)
    other.index = ChunkIndex([], frozenset())
    other.sink = PackSink(other.core, bench.core.clock.new_id(), other.index)
    other.ingest = Ingest(other.core, other.sink, other.index, frozenset())
    return other


def uses(bench: Bench, placed: StoredFile) -> dict[bytes, int]:
    """What a file needs of each pack, counted from its recipe; equal parts count once."""
    place = entry_of(placed).place
    assert isinstance(place, RecipePlace)
    contents = Contents(bench.core)
    top = (place.recipe, placed.size, place.pack, place.offset, place.stored)
    found: Counter[bytes] = Counter()
    for row in {top, *contents.parts_of(place)}:
        found[row[2]] += row[4]
    for _, row in contents.chunks_between(entry_of(placed), place, 0, placed.size):
        found[row[2]] += row[4]
    return dict(sorted(found.items()))


@given(
    size=st.sampled_from([0, 1, 200, 3_000, 60_000, 120_000]),
    data=st.binary(max_size=40) | st.sampled_from([300, 5_000, 30_000]).map(lambda size: noise(size, 9)),
    where=st.floats(0, 1),
    length=st.floats(0, 1) | st.just(0.0),
    is_database=st.booleans(),
)
def test_a_changed_file_is_the_one_that_is_stored_whole(
    size: int, data: bytes, where: float, length: float, is_database: bool
) -> None:
    bench = Bench(chunker=msgspec.structs.replace(TINY, sqlite=128) if is_database else TINY)
    content = (b"SQLite format 3\0" * is_database + noise(size))[:size]
    offset = int(where * size)
    gone = int(length * (size - offset))
    old = stored(bench, content)
    new = spliced(bench, old, offset, gone, data)
    expected = content[:offset] + data + content[offset + gone :]
    whole = stored(bench, expected)
    assert replace(new, packs={}) == replace(whole, packs={})
    assert bench.read(entry_of(new)) == expected
    if new.packs:
        assert new.packs == uses(bench, new)


@pytest.mark.parametrize(("offset", "length", "data"), [(2_000_000, 0, b"x"), (1_000_000, 5, b"12345"), (77, 900, b"")])
def test_only_chunks_around_a_change_are_stored(offset: int, length: int, data: bytes) -> None:
    bench = Bench(chunker=TINY)
    old = stored(bench, noise(2_000_000))
    before = bench.ingest.new_bytes
    other = another(bench)
    new = spliced(other, old, offset, length, data)
    assert other.ingest.new_bytes < 100_000 < before
    assert len(set(new.packs) & set(old.packs)) == len(old.packs)
    content = noise(2_000_000)
    assert other.read(entry_of(new)) == content[:offset] + data + content[offset + length :]
