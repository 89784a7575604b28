"""Bytes in: cut, hashed, compressed, proven, packed."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import numpy as np
import pytest
from blake3 import blake3
from hypothesis import example, given
from hypothesis import strategies as st
from msgspec.structs import replace
from tests.engine.builders import TINY, Bench, entry_of, new_backend, noise

from sheaf.engine.chunks import compress
from sheaf.engine.chunks.chunk_reader import Contents
from sheaf.engine.chunks.compress import compress_chunks as compressed_frames
from sheaf.engine.chunks.dedup import ChunkIndex, load_segments
from sheaf.engine.chunks.ingest import Ingest, StoredFile
from sheaf.engine.chunks.pack_table import load_table
from sheaf.engine.chunks.pack_writer import PackSink
from sheaf.engine.core_limits import DEFAULT, Limits
from sheaf.errors import Bug, NoSpace, Refused
from sheaf.format import keys
from sheaf.format.frame_v1 import RAW, ZSTD
from sheaf.format.recipe_v1 import MAX_PART, decode_part
from sheaf.format.store_v1 import Chunker
from sheaf.model.entries import ChunkPlace, ManifestEntry, PlaceKind, RecipePlace
from sheaf.testing.faults import FaultyBackend

MIN, MAX = 16 * 1024, 256 * 1024
SIZES = [1, 2, MIN - 1, MIN, MIN + 1, MAX - 1, MAX, MAX + 1, 3 * MAX + 7]


@pytest.mark.parametrize("content", [noise, lambda size: bytes(size), lambda size: (b"text, " * size)[:size]])
@pytest.mark.parametrize("size", SIZES)
def test_what_goes_in_comes_out(content: object, size: int) -> None:
    assert callable(content)
    data: bytes = content(size)
    bench = Bench()
    entry = bench.store(data)
    assert (entry.content, entry.size) == (blake3(data).digest(), size)
    assert bench.read(entry) == data
    assert isinstance(entry.place, ChunkPlace) or size > MIN


def test_an_empty_file_has_no_place() -> None:
    bench = Bench()
    entries = [bench.store(b""), bench.store(b"", [0, 0, 0])]
    for entry in entries:
        assert (entry.size, entry.place, entry.content) == (0, None, blake3(b"").digest())
        assert bench.read(entry) == b""
    assert not list(bench.backend.list("packs/"))


def test_a_file_of_at_most_the_minimum_is_one_chunk_whatever_is_in_it() -> None:
    bench = Bench()
    for data in (bytes(MIN), noise(MIN), b"ab" * (MIN // 2)):
        entry = bench.store(data)
        assert isinstance(entry.place, ChunkPlace)
        assert bench.store(data, [1, 100]).place == entry.place, "the same through a stream"


def test_many_small_files_are_stored_at_once() -> None:
    bench = Bench()
    contents = [noise(n * 7, n) for n in range(300)] + [b"", b"twice", b"", b"twice"]
    placed = bench.ingest.store_whole(contents)
    bench.sink.flush()
    assert [bench.read(entry_of(one)) for one in placed] == contents
    assert placed[-1].offset == placed[-3].offset
    assert len(list(bench.backend.list("packs/"))) == 1


def test_columns_say_the_same_as_one_by_one() -> None:
    contents = [b"", noise(40), b"twice", noise(9000, 2), b"twice", b""]
    one_by_one, bench = Bench().ingest.store_whole(contents), Bench()
    files = bench.ingest.store_columns(bench.ingest.cut(contents))
    bench.sink.flush()
    for i, (data, other) in enumerate(zip(contents, one_by_one, strict=True)):
        assert (files.content[i].tobytes(), files.place[i]) == (other.content, other.place)
        assert (files.offset[i], files.stored[i]) == (other.offset, other.stored)
        if data:
            where = StoredFile(
                other.content, len(data), PlaceKind.CHUNK, files.pack[i].tobytes(), other.offset, other.stored
            )
            assert bench.read(entry_of(where)) == data
    assert bench.ingest.store_columns(bench.ingest.cut([])).content.shape == (0, 32)


RUNS = st.lists(st.tuples(st.booleans(), st.integers(1, 9_000)), max_size=8)  # True: noise


def mixed(runs: list[tuple[bool, int]], seed: int) -> bytes:
    """A content that consists of runs of noise and text."""
    return b"".join(
        noise(n, seed + i) if is_noise else (b"%d words, " % seed * n)[:n] for i, (is_noise, n) in enumerate(runs)
    )


def frames_of(bench: Bench, placed: StoredFile) -> list[tuple[bytes, int, bytes]]:
    """Hash, length and stored bytes of each chunk of a file."""
    rows = [(placed.content, placed.size, placed.pack, placed.offset, placed.stored)] if placed.size else []
    if placed.place == PlaceKind.RECIPE:
        entry = entry_of(placed)
        assert isinstance(entry.place, RecipePlace)
        rows = list(Contents(bench.core).leaves(entry, entry.place))
    return [
        (hash, length, bytes(bench.backend.get_ranges(keys.pack(pack), [(at, stored)])[0]))
        for hash, length, pack, at, stored in rows
    ]


def assert_stored_as_streams(chunker: Chunker, contents: list[bytes]) -> None:
    """Files that are stored together get the chunks and frames that each gets as a stream."""
    together, alone = Bench(chunker=chunker), Bench(chunker=chunker)
    placed = together.ingest.store_whole(contents)
    streamed = [alone.ingest.store_stream([content]) for content in contents]
    together.sink.flush()
    alone.sink.flush()
    for content, one, other in zip(contents, placed, streamed, strict=True):
        assert (one.content, one.size, one.place) == (other.content, other.size, other.place)
        assert together.read(entry_of(one)) == content
        if len(content) > chunker.min:
            assert frames_of(together, one) == frames_of(alone, other)


@given(st.lists(RUNS, max_size=5, unique_by=str))
@example([[(True, 60_000), (False, 40_000), (True, 9_000)], [(False, 90_000), (True, 90_000), (False, 2_000)]])
def test_files_that_are_stored_together_are_stored_as_streams(files: list[list[tuple[bool, int]]]) -> None:
    assert_stored_as_streams(TINY, [mixed(runs, seed) for seed, runs in enumerate(files)])


@pytest.mark.parametrize("content", [noise, lambda size: (b"text, " * size)[:size]])
def test_a_file_in_memory_is_stored_as_a_stream(content: Callable[[int], bytes]) -> None:
    assert_stored_as_streams(Chunker(), [content(size) for size in [0, 1, *SIZES, 1 << 20, 2 << 20]])


def test_files_of_several_chunks_are_looked_up_and_added_together(monkeypatch: pytest.MonkeyPatch) -> None:
    """A guard of the cost of files that are larger than one chunk: by the group, not by the file."""
    calls = Counter[str]()

    def counted(owner: type, name: str) -> None:
        call = getattr(owner, name)

        def counting(*args: object) -> object:
            calls[name] += 1
            return call(*args)

        monkeypatch.setattr(owner, name, counting)

    counted(ChunkIndex, "find")
    counted(PackSink, "add")
    bench = Bench()
    placed = bench.ingest.store_whole([noise(300_000, n) for n in range(20)] + [b"small"] * 3)
    assert [one.place for one in placed] == [PlaceKind.RECIPE] * 20 + [PlaceKind.CHUNK] * 3
    assert calls == {"find": 2, "add": 2}, "once for chunks, once for recipes"


def test_a_pack_grows_beyond_its_memory_for_its_last_chunk() -> None:
    bench = Bench(limits=Limits(pack_bytes=50_000, pack_room=1000))
    frames = [(blake3(data).digest(), len(data), RAW, data) for data in (noise(40_000), noise(70_000, 2), noise(5, 3))]
    places = bench.sink.add([*frames, frames[0]])
    bench.sink.flush()
    assert places[0] == places[3]
    assert [number for number, _, _ in places] == [0, 0, 1, 0]
    for (hash, size, _, data), (number, offset, stored) in zip(frames, places, strict=False):
        where = StoredFile(hash, size, PlaceKind.CHUNK, bench.index.packs[number], offset, stored)
        assert bench.read(entry_of(where)) == data


# -- recipes -----------------------------------------------------------------------------------------------------------


def recipe_of(bench: Bench, entry: ManifestEntry) -> list[tuple[bytes, int, bytes, int, int]]:
    assert isinstance(entry.place, RecipePlace)
    return list(Contents(bench.core).recipe_rows(entry.place))


def test_a_file_whose_chunks_fit_into_one_part_has_no_top() -> None:
    bench = Bench(chunker=TINY)
    entry = bench.store(noise(10_000))
    assert sum(row[1] for row in recipe_of(bench, entry)) == 10_000


def test_a_file_of_very_many_chunks_has_a_top() -> None:
    bench = Bench(chunker=TINY)
    data = noise(3_000_000)
    entry = bench.store(data)
    rows = recipe_of(bench, entry)
    assert len(rows) > MAX_PART
    assert sum(row[1] for row in rows) == 2 * len(data), "each byte stands in a chunk and in the part above it"
    assert bench.read(entry) == data


def test_a_part_is_cut_where_it_is_full() -> None:
    bench = Bench(chunker=TINY)
    data = bytes(MAX_PART * 4096 + 5000)  # equal chunks: no hash ends a part
    entry = bench.store(data)
    rows = recipe_of(bench, entry)
    assert rows[0][1] == MAX_PART * 4096
    assert bench.read(entry) == data


def test_a_row_says_which_packs_its_file_needs() -> None:
    bench = Bench(chunker=TINY, limits=Limits(pack_bytes=400_000))
    placed = bench.ingest.store_stream([noise(3_000_000)])
    bench.sink.flush()
    place = entry_of(placed).place
    assert isinstance(place, RecipePlace)
    rows = {*Contents(bench.core).recipe_rows(place), (placed.recipe, 0, placed.pack, placed.offset, placed.stored)}
    needed: dict[bytes, int] = {}
    for row in rows:
        needed[row[2]] = needed.get(row[2], 0) + row[4]
    assert placed.packs == needed
    assert len(needed) > 5


def test_parts_name_what_is_below_them() -> None:
    bench = Bench(chunker=TINY)
    entry = bench.store(noise(50_000))
    place = entry.place
    assert isinstance(place, RecipePlace)
    pack = bench.backend.get(keys.pack(place.pack))
    frame = pack[place.offset : place.offset + place.stored]
    part = frame[1:] if frame[:1] == RAW else b""
    if part:
        assert blake3(part).digest() == place.recipe
        assert decode_part(part, "part").level == 0


# -- cutting -----------------------------------------------------------------------------------------------------------


@given(st.integers(0, 30_000), st.lists(st.integers(0, 9_000), max_size=8), st.integers(1, 5_000))
def test_chunks_do_not_depend_on_how_the_bytes_arrive(size: int, blocks: list[int], window: int) -> None:
    data = noise(size, size)
    bench = Bench(chunker=TINY)
    whole = bench.store(data)
    core = replace(bench.core, limits=Limits(window_bytes=window))
    bench.ingest = Ingest(core, bench.sink, bench.index, frozenset())
    assert bench.store(data, blocks) == whole
    assert bench.read(whole) == data
    bench.core.close()


def test_an_insertion_moves_no_chunks_but_those_around_it() -> None:
    bench = Bench(chunker=TINY)
    data = noise(400_000)
    before = {row[0] for row in recipe_of(bench, bench.store(data))}
    after = [row[0] for row in recipe_of(bench, bench.store(data[:200_000] + b"inserted" + data[200_000:]))]
    assert len([hash for hash in after if hash not in before]) < 10


# -- compression -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [5_000, 600_000])
def test_text_is_stored_smaller_and_noise_is_not(size: int) -> None:
    for data, most in ((b"some text, again and again " * size, size // 4), (noise(size), size * 1.01 + 2_000)):
        bench = Bench()
        bench.store(data[:size])
        assert bench.sink.stored_bytes < most + 2_000


@given(
    st.lists(
        st.one_of(st.binary(min_size=1, max_size=50), st.integers(1, 99).map(lambda n: bytes(50 * n))), max_size=40
    )
)
def test_every_chunk_is_stored_so_that_it_comes_out(chunks: list[bytes]) -> None:
    hashes = [blake3(chunk).digest() for chunk in chunks]
    for adaptive in (False, True):
        frames = compressed_frames(chunks, hashes, adaptive=adaptive)
        assert len(frames) == len(chunks)
        assert all(codec in (RAW, ZSTD) for codec, _ in frames)
        assert all(bytes(data) == chunk for (codec, data), chunk in zip(frames, chunks, strict=True) if codec == RAW)


def test_text_is_compressed_wherever_noise_ends() -> None:
    for start in range(8, 24):
        chunks = [noise(30_000, n) if n < start else b"text %d, " % n * 3000 for n in range(32)]
        frames = compressed_frames(chunks, [blake3(chunk).digest() for chunk in chunks], adaptive=True)
        assert [codec for codec, _ in frames] == [RAW] * start + [ZSTD] * (32 - start)


def test_noise_is_hardly_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    honest, tried = compress._zstd.shrink_more, list[int]()

    def shrink(chunks: Any, threads: int) -> object:
        tried.extend(map(len, chunks))
        return honest(chunks, threads=threads)

    monkeypatch.setattr(compress._zstd, "shrink_more", shrink)
    chunks = [noise(70_000, n) for n in range(80)]
    compressed_frames(chunks, [blake3(chunk).digest() for chunk in chunks], adaptive=True)
    assert sum(tried) == 8 * 70_000 + 72 * 4096, "the first batch, and samples of the others"


def test_a_compressor_that_loses_a_bit_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    honest = compress._zstd.shrink
    monkeypatch.setattr(
        compress._zstd, "shrink", lambda chunks, threads: honest([b"wrong" + chunk[5:] for chunk in chunks])
    )
    bench = Bench()
    with pytest.raises(Bug, match="does not decompress"):
        bench.store(b"some text, again and again " * 100)


def test_memory_that_loses_a_bit_is_caught() -> None:
    data = noise(100)
    with pytest.raises(Bug, match="does not decompress"):
        compressed_frames([data[:-1] + b"?"], [blake3(data).digest()], adaptive=True)


# -- packs -------------------------------------------------------------------------------------------------------------


def test_packs_are_closed_when_they_are_full_and_each_has_its_own_bytes() -> None:
    bench = Bench(limits=Limits(pack_bytes=50_000))
    contents = [noise(9_000, n) for n in range(100)]
    placed = [one for at in range(0, 100, 10) for one in bench.ingest.store_whole(contents[at : at + 10])]
    bench.sink.flush()
    assert [bench.read(entry_of(one)) for one in placed] == contents
    sizes = [stat.size for stat in bench.backend.list("packs/")]
    assert len(sizes) >= 15
    assert max(sizes) < 62_000


def test_a_pack_ends_after_so_many_chunks() -> None:
    bench = Bench(limits=Limits(pack_chunks=10))
    contents = [noise(100, n) for n in range(35)]
    numbers = [bench.ingest.store_whole([content])[0].pack for content in contents]
    bench.sink.flush()
    assert [numbers.count(number) for number in dict.fromkeys(numbers)] == [10, 10, 10, 5]
    for content in contents:
        assert bench.ingest.store_whole([content])[0].pack in numbers
    assert len(list(bench.core.backend.list(keys.PACKS))) == 4


def test_packs_are_listed_as_soon_as_they_are_durable() -> None:
    bench = Bench(limits=Limits(pack_bytes=50_000))
    contents = [noise(9_000, n) for n in range(100)]
    for content in contents:
        bench.ingest.store_whole([content])
    while len(listed := load_segments(bench.core)) < 3:  # nothing was flushed: packs are written meanwhile
        time.sleep(0.01)
    found = ChunkIndex(listed, frozenset(), partial(load_table, bench.core)).find(
        [blake3(content).digest() for content in contents]
    )
    assert np.count_nonzero(found.pack >= 0) >= 3 * DEFAULT.list_packs


def test_packs_that_may_be_deleted_again_are_not_told_of() -> None:
    bench = Bench(limits=Limits(pack_bytes=50_000))
    sink = PackSink(bench.core, bench.session, bench.index, lists_early=False)
    for n in range(100):
        data = noise(9_000, n)
        sink.add([(blake3(data).digest(), len(data), RAW, data)])
    sink.flush()
    assert not load_segments(bench.core)
    sink.list_durable()
    assert len(load_segments(bench.core)) == 1


def test_an_upload_that_is_stopped_is_listed_and_takes_nothing_more() -> None:
    bench = Bench(limits=Limits(pack_bytes=50_000))
    bench.ingest.store_whole([noise(9_000, n) for n in range(7)])
    while not bench.sink._durable:
        time.sleep(0.01)
    assert not load_segments(bench.core)
    bench.sink.stop()
    ((_, segment),) = load_segments(bench.core)
    assert len(segment) == 6
    with pytest.raises(Refused, match="has ended"):
        bench.ingest.store_whole([noise(9_000, n) for n in range(7, 20)])


def test_many_threads_store_the_same_and_other_things() -> None:
    bench = Bench(chunker=TINY, limits=Limits(pack_bytes=300_000))
    shared = noise(100_000)

    def work(thread: int) -> list[tuple[bytes, ManifestEntry]]:
        own = [noise(5_000, 100 + thread * 10 + n) for n in range(10)]
        return [(data, entry_of(bench.ingest.store_bytes(data))) for data in [shared, *own]]

    with ThreadPoolExecutor(8) as threads:
        done = [pair for pairs in threads.map(work, range(8)) for pair in pairs]
    bench.sink.flush()
    for data, entry in done:
        assert bench.read(entry) == data
    assert bench.sink.new_bytes < 8 * 10 * 5_000 + 300_000


def test_a_full_disk_stops_an_upload_at_once() -> None:
    bench = Bench(
        FaultyBackend(new_backend(), {n: NoSpace("full") for n in range(1, 9999)}), limits=Limits(pack_bytes=50_000)
    )
    stored = 0
    with pytest.raises(NoSpace):
        for n in range(1000):
            bench.ingest.store_whole([noise(10_000, n)])
            stored += 1
    assert stored < 100
    with pytest.raises(NoSpace):
        bench.sink.flush()


def test_erased_content_does_not_come_back_unnoticed() -> None:
    for data in (b"personal", noise(100_000)):
        bench = Bench(erased=frozenset([blake3(data).digest()]))
        for blocks in ((), (10,)):
            with pytest.raises(Refused, match="was erased"):
                bench.store(data, blocks)
        assert bench.store(b"other").place is not None


def test_kinds_of_places_are_told_apart() -> None:
    bench = Bench()
    assert bench.ingest.store_bytes(b"").place == PlaceKind.NONE
    assert bench.ingest.store_bytes(b"x").place == PlaceKind.CHUNK
    assert bench.ingest.store_bytes(noise(MAX * 2)).place == PlaceKind.RECIPE
