"""Bytes out: any range of any file, wherever its chunks have gone, and nothing that is not what it should be."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence

import pytest
from blake3 import blake3
from hypothesis import given
from hypothesis import strategies as st
from tests.engine.builders import TINY, Bench, flipped, noise, replaced

from sheaf.engine.chunks.chunk_reader import Contents, Erased
from sheaf.engine.chunks.spans import in_order, spans
from sheaf.engine.chunks.wants import Want
from sheaf.errors import Corrupt, SheafError, Unsupported
from sheaf.format import keys
from sheaf.format.columns import hashes_of
from sheaf.format.moved_v1 import encode_moved
from sheaf.format.pack_v1 import decode_table, encode_head, encode_tail, pack_id
from sheaf.format.store_v1 import Chunker
from sheaf.model.entries import ChunkPlace, ExternalPlace, Kind, ManifestEntry, ObjectPlace, RecipePlace
from sheaf.storage.memory import MemoryBackend
from sheaf.storage.port import Backend, Buffer

DATA = noise(60_000)


@pytest.fixture(scope="module")
def bench() -> Bench:
    return Bench(chunker=TINY)


@pytest.fixture(scope="module")
def entries(bench: Bench) -> dict[str, tuple[ManifestEntry, bytes]]:
    """One file of each kind of place."""
    long = noise(1_500_000, 2)
    whole = b"kept whole"
    bench.backend.create(keys.stored_object("session", blake3(whole).digest()), whole)
    kept = ManifestEntry("", "kept", Kind.FILE, size=10, content=blake3(whole).digest(), place=ObjectPlace("session"))
    return {
        "chunk": (bench.store(b"one chunk"), b"one chunk"),
        "recipe": (bench.store(DATA), DATA),
        "recipe with a top": (bench.store(long), long),
        "object": (kept, whole),
        "empty": (bench.store(b""), b""),
    }


# -- ranges ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["chunk", "recipe", "recipe with a top", "object", "empty"])
@given(data=st.data())
def test_any_range_is_what_slicing_gives(
    bench: Bench, entries: dict[str, tuple[ManifestEntry, bytes]], kind: str, data: st.DataObject
) -> None:
    entry, whole = entries[kind]
    start = data.draw(st.integers(0, len(whole) + 3))
    length = data.draw(st.none() | st.integers(0, 50_000) | st.just(1 << 40))
    expected = whole[start:] if length is None else whole[start : start + length]
    assert bench.read(entry, start, length) == expected
    assert b"".join(Contents(bench.core).blocks(entry, start, length)) == expected


def test_a_range_at_every_boundary(bench: Bench, entries: dict[str, tuple[ManifestEntry, bytes]]) -> None:
    entry, whole = entries["recipe"]
    assert isinstance(entry.place, RecipePlace)
    contents = Contents(bench.core)
    ends = [0, *itertools.accumulate(row[1] for row in contents.recipe_rows(entry.place))]
    assert ends[-1] == len(whole)
    edges = sorted({edge + step for edge in ends for step in (-1, 0, 1) if 0 <= edge + step <= len(whole)})
    for i, start in enumerate(edges):
        for end in edges[i : i + 5]:
            assert contents.read(entry, start, end - start) == whole[start:end]


def test_the_same_chunk_many_times_is_no_confusion() -> None:
    bench = Bench(chunker=TINY)
    data = bytes(30_000) + noise(3_000) + bytes(30_000) + noise(3_000)
    assert bench.read(bench.store(data)) == data


def test_chunks_of_two_packs_in_turns_are_two_requests(monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench(chunker=Chunker(sqlite=8192))
    pages = [b"SQLite format 3\0" + noise(8176), *(noise(8192, n) for n in range(1, 400))]
    bench.store(b"".join(pages))
    pages[1::2] = [noise(8192, 1000 + n) for n in range(200)]
    entry = bench.store(b"".join(pages))
    requests = list[str]()
    honest = MemoryBackend.get_ranges

    def counted(self: MemoryBackend, key: str, ranges: Sequence[tuple[int, int]]) -> Sequence[Buffer]:
        requests.append(key)
        return honest(self, key, ranges)

    monkeypatch.setattr(MemoryBackend, "get_ranges", counted)
    assert bench.read(entry) == b"".join(pages)
    assert len(requests) <= 6, "the recipe, its parts, and one for each pack"


@given(order=st.permutations(range(12)), where=st.lists(st.tuples(st.integers(0, 2), st.integers(0, 40)), min_size=12))
def test_chunks_come_in_the_order_in_which_they_are_wanted(order: list[int], where: list[tuple[int, int]]) -> None:
    wants = [Want(i, bytes([where[i][0]]) * 32, where[i][1] << 12, 4096, b"", 4096) for i in order]
    grouped = list(spans(wants))
    assert all(want is wants[n] for numbers, span in grouped for n, want in zip(numbers, span, strict=True))
    assert all(len({want.pack for want in span}) == 1 for _, span in grouped)
    assert all(a.offset <= b.offset for _, span in grouped for a, b in itertools.pairwise(span))
    assert [want for group in in_order(grouped) for want in group] == wants


def test_a_file_elsewhere_says_so(bench: Bench) -> None:
    entry = ManifestEntry("", "x", Kind.EXTERNAL, size=3, place=ExternalPlace("https://example.org/x", "etag"))
    with pytest.raises(Unsupported, match=r"example\.org"):
        bench.read(entry)


# -- packs that were replaced ------------------------------------------------------------------------------------------


def frames_of(backend: Backend, pack: bytes) -> list[tuple[int, bytes, int, bytes]]:
    """(offset, hash, raw length, frame) of each chunk of a pack."""
    data = backend.get(keys.pack(pack))
    table = decode_table(data, len(data), "pack")
    columns = zip(table.offsets.tolist(), table.stored.tolist(), table.hashes, table.raw.tolist(), strict=True)
    return [(at, hash.tobytes(), raw, data[at : at + stored]) for at, stored, hash, raw in columns]


def write_pack(
    backend: Backend, session: str, frames: Iterable[tuple[int, bytes, int, bytes]]
) -> tuple[bytes, dict[int, int]]:
    """A pack with these frames, the last one first; returns its id and where each old offset is now."""
    body, moved = encode_head(session, 0), {}
    chosen = list(frames)[::-1]
    for old, _, _, frame in chosen:
        moved[old] = len(body)
        body += frame
    lengths = [len(frame) for _, _, _, frame in chosen]
    body += encode_tail(hashes_of([hash for _, hash, _, _ in chosen]), [raw for _, _, raw, _ in chosen], lengths)
    backend.create(keys.pack(id := pack_id(session, 0)), body)
    return id, moved


def move(backend: Backend, pack: bytes, session: str, *, erase: Iterable[int] = (), n: int = 0) -> bytes:
    """What gc does with a pack that is half dead, or that holds what is to be erased; returns the new pack."""
    frames = frames_of(backend, pack)
    gone = set(erase)
    new, places = write_pack(backend, session, [frame for frame in frames if frame[0] not in gone])
    rows = [(at, None if at in gone else new, places.get(at, 0), len(frame)) for at, _, _, frame in frames]
    backend.create(keys.moved(pack, n), encode_moved(rows))
    backend.delete(keys.pack(pack))
    return new


def only_pack(backend: Backend) -> bytes:
    (key,) = [stat.key for stat in backend.list("packs/")]
    return bytes.fromhex(key.rpartition("/")[2])


@pytest.mark.parametrize("hops", [1, 2, 8])
def test_a_reader_follows_a_pack_to_where_it_went(hops: int) -> None:
    bench = Bench(chunker=TINY)
    entries = {data: bench.store(data) for data in (b"one chunk", DATA)} if hops else {}
    for hop in range(hops):
        for stat in list(bench.backend.list("packs/")):
            move(bench.backend, bytes.fromhex(stat.key.rpartition("/")[2]), f"gc-{hop}-{stat.key[-8:]}")
    for data, entry in entries.items():
        assert bench.read(entry) == data
        assert bench.read(entry, 5, 1000) == data[5:1005]


def test_a_shorter_way_is_taken_when_gc_has_written_one() -> None:
    bench = Bench()
    entry = bench.store(b"one chunk")
    first = only_pack(bench.backend)
    second = move(bench.backend, first, "gc-1")
    third = move(bench.backend, second, "gc-2")
    assert isinstance(entry.place, ChunkPlace)
    frames = frames_of(bench.backend, third)
    rows = [(entry.place.offset, third, frames[0][0], len(frames[0][3]))]
    bench.backend.create(keys.moved(first, 1), encode_moved(rows))
    for stat in list(bench.backend.list(keys.moved(second, 0).rpartition("/")[0])):
        bench.backend.delete(stat.key)
    assert bench.read(entry) == b"one chunk"


def test_a_way_that_does_not_end_is_not_followed_for_ever() -> None:
    bench = Bench()
    entry = bench.store(b"one chunk")
    for hop in range(9):
        move(bench.backend, only_pack(bench.backend), f"gc-{hop}")
    with pytest.raises(Corrupt, match="more than 8 times"):
        bench.read(entry)


def test_a_pack_that_moves_while_it_is_read_is_found() -> None:
    bench = Bench(chunker=TINY)
    entry = bench.store(DATA)
    contents = Contents(bench.core)
    assert contents.read(entry, 0, 10) == DATA[:10]
    move(bench.backend, only_pack(bench.backend), "gc-1")
    assert contents.read(entry) == DATA
    move(bench.backend, only_pack(bench.backend), "gc-2")
    assert contents.read(entry) == DATA


def test_what_was_erased_says_so_and_everything_else_is_there() -> None:
    bench = Bench()
    personal, other = bench.store(b"personal"), bench.store(b"other")
    bench.sink.flush()
    assert isinstance(personal.place, ChunkPlace)
    move(bench.backend, personal.place.pack, "gc-1", erase=[personal.place.offset])
    with pytest.raises(Erased, match="erased"):
        bench.read(personal)
    assert bench.read(other) == b"other"


def test_what_nobody_carried_over_is_damage() -> None:
    bench = Bench()
    entry = bench.store(b"one chunk")
    pack = only_pack(bench.backend)
    bench.backend.create(keys.moved(pack, 0), encode_moved([]))
    bench.backend.delete(keys.pack(pack))
    with pytest.raises(Corrupt, match=pack.hex()):
        bench.read(entry)


def test_a_lost_pack_is_named() -> None:
    bench = Bench()
    entry = bench.store(b"one chunk")
    pack = only_pack(bench.backend)
    bench.backend.delete(keys.pack(pack))
    with pytest.raises(Corrupt, match=pack.hex()):
        bench.read(entry)


def test_a_forwarding_address_is_not_believed_blindly() -> None:
    bench = Bench()
    entry, other = bench.store(b"one chunk"), bench.store(b"two chunk")
    assert isinstance(entry.place, ChunkPlace) and isinstance(other.place, ChunkPlace)
    wrong = [(entry.place.offset, other.place.pack, other.place.offset, other.place.stored)]
    bench.backend.create(keys.moved(entry.place.pack, 0), encode_moved(wrong))
    bench.backend.delete(keys.pack(entry.place.pack))
    with pytest.raises(Corrupt):
        bench.read(entry)


# -- damage ------------------------------------------------------------------------------------------------------------


def assert_never_wrong(bench: Bench, key: str, wanted: dict[bytes, ManifestEntry], step: int) -> None:
    """Whatever bit of an object turns over, a reader gets the right bytes or an error; returns how many errors."""
    whole = bench.backend.get(key)
    errors = 0
    for at in range(0, len(whole), step):
        replaced(bench.backend, key, flipped(whole, at, at % 8))
        for data, entry in wanted.items():
            try:
                assert bench.read(entry) == data
            except SheafError as error:
                assert isinstance(error, Corrupt | Unsupported), error
                assert key.rpartition("/")[2] in error.message or "recipe" in error.message
                errors += 1
    replaced(bench.backend, key, whole)
    assert errors


def test_no_bit_of_a_pack_can_turn_unnoticed() -> None:
    bench = Bench(chunker=TINY)
    wanted = {data: bench.store(data) for data in (b"one chunk", b"text " * 200, noise(6_000))}
    for stat in list(bench.backend.list("packs/")):
        assert_never_wrong(bench, stat.key, wanted, 7)


def test_no_bit_of_an_object_can_turn_unnoticed() -> None:
    bench = Bench()
    whole = b"kept whole"
    key = keys.stored_object("session", blake3(whole).digest())
    bench.backend.create(key, whole)
    entry = ManifestEntry("", "kept", Kind.FILE, size=10, content=blake3(whole).digest(), place=ObjectPlace("session"))
    assert_never_wrong(bench, key, {whole: entry}, 1)


def test_no_bit_of_a_forwarding_address_can_turn_unnoticed() -> None:
    bench = Bench()
    entry = bench.store(b"one chunk")
    pack = only_pack(bench.backend)
    move(bench.backend, pack, "gc-1")
    (stat,) = bench.backend.list("moved/")
    whole = bench.backend.get(stat.key)
    for at in range(len(whole)):
        replaced(bench.backend, stat.key, flipped(whole, at, at % 8))
        with pytest.raises((Corrupt, Unsupported), match=stat.key):
            bench.read(entry)


@pytest.mark.parametrize("kept", [0, 1, 30, 100])
def test_a_pack_that_was_cut_short_is_named(kept: int) -> None:
    bench = Bench()
    entry = bench.store(noise(5_000))
    key = keys.pack(only_pack(bench.backend))
    replaced(bench.backend, key, bench.backend.get(key)[:kept])
    with pytest.raises(Corrupt, match=key):
        bench.read(entry)


def test_a_manifest_that_lies_about_a_size_is_not_believed() -> None:
    bench = Bench(chunker=TINY)
    for data in (b"one chunk", DATA):
        entry = bench.store(data)
        for size in (len(data) - 1, len(data) + 1):
            lie = ManifestEntry("", "file", Kind.FILE, size=size, content=entry.content, place=entry.place)
            with pytest.raises(Corrupt):
                bench.read(lie)


def test_a_recipe_of_another_file_is_not_believed() -> None:
    bench = Bench(chunker=TINY)
    one, other = bench.store(DATA), bench.store(noise(60_000, 3))
    assert isinstance(one.place, RecipePlace) and isinstance(other.place, RecipePlace)
    place = RecipePlace(one.place.recipe, other.place.pack, other.place.offset, other.place.stored)
    with pytest.raises(Corrupt):
        bench.read(ManifestEntry("", "file", Kind.FILE, size=one.size, content=one.content, place=place))
