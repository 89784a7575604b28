"""The dedup index: a help, never a truth. Whatever is wrong with it costs space, and nothing else."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from blake3 import blake3
from tests.engine.builders import Place, Recorder, commit, condemn, flipped, noise, open_core, packs_of, replaced

from sheaf.engine.chunks.dedup import ChunkIndex, load_segments, write_index
from sheaf.engine.core import Core
from sheaf.engine.core_limits import DEFAULT, Limits
from sheaf.errors import Denied
from sheaf.format import keys
from sheaf.format.columns import U32, hashes_of
from sheaf.format.index_v1 import Segment, decode_index, sorted_segment
from sheaf.format.limits import limit_of
from sheaf.format.pack_v1 import PackTable
from sheaf.repo.bundle import Bundle
from sheaf.storage.port import LARGEST, Backend
from sheaf.testing.clock import SteeredClock
from sheaf.testing.invariants import assert_complete, assert_sound

FILES = {"small": b"small", "text": b"text " * 3000, "big": noise(900_000)}


def stored(place: Place, name: str) -> int:
    """Bytes of all objects of a kind."""
    return sum(stat.size for stat in place.backend.list(name))


def index_keys(backend: Backend) -> list[str]:
    return [stat.key for stat in backend.list("index/")]


def upload_elsewhere(place: Place, name: str) -> Bundle:
    """The files again, into a new repo: only the index can know of them."""
    return place.store().create_repo(name).upload(place.folder(name, FILES), message="m").bundle


def segment(rows: list[tuple[bytes, bytes, int, int]]) -> Segment:
    """An index of (hash, pack, offset, stored)."""
    packs = list(dict.fromkeys(row[1] for row in rows))
    columns = ([packs.index(row[1]) for row in rows], [row[2] for row in rows], [row[3] for row in rows])
    pack, offset, stored = (np.array(column, U32) for column in columns)
    return sorted_segment(hashes_of(packs), hashes_of([row[0] for row in rows]), pack, offset, stored)


# -- what is found -----------------------------------------------------------------------------------------------------


def test_what_one_repo_has_another_does_not_store_again(place: Place) -> None:
    first = place.repo().upload(place.folder("in", FILES), message="m")
    before = stored(place, "packs/")
    again = place.store().create_repo("other").upload(place.folder("again", FILES), message="m")
    assert first.new_bytes > 900_000
    assert (again.new_bytes, again.stored_bytes) == (0, 0)
    assert stored(place, "packs/") == before
    assert packs_of(again.bundle) == packs_of(first.bundle)


def test_what_stands_twice_in_a_folder_is_stored_once(place: Place) -> None:
    files = {f"copy-{n}": FILES["big"] for n in range(4)} | {f"s{n}": b"small" for n in range(400)}
    done = place.repo().upload(place.folder("in", files), message="m", concurrency=1)
    assert done.new_bytes < 1_000_000
    assert_complete(done.bundle)


def test_a_little_change_in_a_big_file_costs_little(place: Place) -> None:
    big = noise(4_000_000, 9)
    place.repo().upload(place.folder("in", {"big": big}), message="m")
    changed = place.folder("changed", {"big": big[:2_000_000] + b"!" + big[2_000_000:]})
    done = place.repo().upload(changed, message="m")
    assert done.new_bytes < 600_000
    assert_complete(done.bundle)


def test_a_segment_finds_what_it_lists_and_nothing_else() -> None:
    hashes = [blake3(bytes([n])).digest() for n in range(200)]
    near = [hash[:8] + bytes(24) for hash in hashes]  # alike in what is searched first
    listed = segment([(hash, b"p" * 32, n, n + 1) for n, hash in enumerate(hashes)])
    lengths, offsets = np.arange(1, 201), np.arange(200)
    table = PackTable(hashes_of(hashes), lengths, lengths, offsets)
    index = ChunkIndex([("name", listed)], frozenset(), lambda pack, rows: table)
    found = index.find([*hashes, *near])
    assert found.pack.tolist() == [0] * 200 + [-1] * 200
    assert found.offset.tolist()[:200] == list(range(200))
    assert index.find([]).pack.tolist() == []


def test_own_chunks_are_found_after_they_have_become_arrays() -> None:
    index = ChunkIndex([], frozenset(), limits=Limits(index_freeze=8))
    number = index.number(b"p" * 32)
    hashes = [blake3(bytes([n])).digest() for n in range(50)]
    for n, hash in enumerate(hashes):
        index.add(hash, number, n, 7)
    found = index.find(hashes)
    assert (found.offset.tolist(), set(found.stored.tolist())) == (list(range(50)), {7})


def test_many_threads_look_while_one_adds() -> None:
    index = ChunkIndex([], frozenset(), limits=Limits(index_freeze=16))
    hashes = [blake3(n.to_bytes(2, "big")).digest() for n in range(2000)]
    number = index.number(b"p" * 32)

    def look(_: int) -> bool:
        found = index.find(hashes)
        return all(
            offset == n for n, (pack, offset) in enumerate(zip(found.pack, found.offset, strict=True)) if pack >= 0
        )

    with ThreadPoolExecutor(4) as threads:
        looks = [threads.submit(look, n) for n in range(20)]
        for n, hash in enumerate(hashes):
            index.add(hash, number, n, 1)
        assert all(done.result() for done in looks)
    assert (index.find(hashes).pack >= 0).all()


# -- what is wrong with it ---------------------------------------------------------------------------------------------


def test_a_lost_index_costs_space_only(place: Place) -> None:
    place.repo().upload(place.folder("in", FILES), message="m")
    for key in index_keys(place.backend):
        place.backend.delete(key)
    assert_complete(upload_elsewhere(place, "other"))
    assert_sound(place.store())


def test_a_damaged_index_costs_space_only(place: Place) -> None:
    place.repo().upload(place.folder("in", FILES), message="m")
    (key,) = index_keys(place.backend)
    whole = place.backend.get(key)
    for n, at in enumerate(range(0, len(whole), 97)):
        replaced(place.backend, key, flipped(whole, at))
        assert_complete(upload_elsewhere(place, f"other{n}"))
    replaced(place.backend, key, whole)
    assert_sound(place.store())


def test_a_name_in_the_index_that_makes_no_sense_costs_space_only(place: Place) -> None:
    for key in ("index/0/rubbish", "index/x/y-z", "index/0"):
        place.backend.create(key, b"rubbish")
    assert_complete(upload_elsewhere(place, "other"))


def lies(place: Place, first: Bundle, kind: str) -> Segment:
    """An index object that is whole, and wrong about where the chunks of FILES are."""
    found = load_segments(open_core(place.backend))[0][1]
    rows = [
        (found.hashes[i].tobytes(), found.packs[found.pack[i]].tobytes(), int(found.offset[i]), int(found.stored[i]))
        for i in range(len(found))
    ]
    if kind == "no such pack":
        return segment([(hash, b"?" * 32, offset, length) for hash, _, offset, length in rows])
    if kind == "other places":
        return segment([(hash, pack, offset + 1, length) for hash, pack, offset, length in rows])
    if kind == "other lengths":
        return segment([(hash, pack, offset, length - 1) for hash, pack, offset, length in rows])
    return segment([(row[0], *other[1:]) for row, other in zip(rows, rows[::-1], strict=True)])


@pytest.mark.parametrize("kind", ["no such pack", "other places", "other lengths", "each other's places"])
def test_a_lying_index_costs_space_only(place: Place, kind: str) -> None:
    first = place.repo().upload(place.folder("in", FILES), message="m").bundle
    lie = lies(place, first, kind)
    for key in index_keys(place.backend):
        place.backend.delete(key)
    write_index(open_core(place.backend, "liar"), SteeredClock("liar").new_id(), lie)
    assert_complete(upload_elsewhere(place, "other"))
    found = place.store().check(read_data=True).problems
    assert found and all(problem.repairable and problem.kind == "index" for problem in found)


@pytest.mark.parametrize("damage", ["lost", "truncated", "table damaged"])
def test_what_was_in_a_broken_pack_is_stored_again(place: Place, damage: str) -> None:
    first = place.repo().upload(place.folder("in", FILES), message="m").bundle
    for pack in packs_of(first):
        key = keys.pack(pack)
        whole = place.backend.get(key)
        broken = {
            "lost": None,
            "truncated": whole[: len(whole) // 2],
            "table damaged": flipped(whole, len(whole) - 100),
        }
        replaced(place.backend, key, broken[damage])
    assert_complete(upload_elsewhere(place, "other"))


def test_a_lost_pack_comes_back_with_the_folder(place: Place) -> None:
    folder = place.folder("in", FILES)
    first = place.repo().upload(folder, message="m").bundle
    (pack,) = packs_of(first)
    replaced(place.backend, keys.pack(pack), None)
    assert_complete(place.repo().upload(folder, message="m", rehash=True).bundle)


# -- merging -----------------------------------------------------------------------------------------------------------


def test_sixteen_index_objects_become_one(place: Place) -> None:
    repo = place.repo()
    for n in range(17):
        commit(repo, {f"f{n}": noise(3000, n)})
    names = index_keys(place.backend)
    levels = sorted(key.split("/")[1] for key in names)
    assert levels == ["0", "1"]
    merged = next(key for key in names if key.startswith("index/1/"))
    header, whole = decode_index(place.backend.get(merged), merged)
    assert (len(header.replaces), len(whole)) == (16, 16)
    again = place.store().create_repo("other")
    assert again.upload(place.folder("again", {f"f{n}": noise(3000, n) for n in range(17)}), message="m").new_bytes == 0
    assert_sound(place.store())


def test_what_is_too_much_for_one_index_object_goes_into_several(place: Place) -> None:
    first = place.repo(limits=Limits(index_chunks=4)).upload(place.folder("in", FILES), message="m")
    names = index_keys(place.backend)
    sizes = [len(decode_index(place.backend.get(key), key)[1]) for key in names]
    assert len(sizes) > 2
    assert max(sizes) == 4
    assert first.new_bytes > 900_000
    again = place.store().create_repo("other").upload(place.folder("again", FILES), message="m")
    assert again.new_bytes == 0
    assert_sound(place.store())


def test_index_objects_are_not_merged_into_one_that_nobody_reads(place: Place) -> None:
    repo = place.repo(limits=Limits(index_chunks=15))
    for n in range(17):
        commit(repo, {f"f{n}": noise(3000, n)})
    assert {key.split("/")[1] for key in index_keys(place.backend)} == {"0"}


def test_the_largest_index_object_is_one_that_is_read() -> None:
    assert limit_of(keys.INDEX) > DEFAULT.index_chunks * 44 + (1 << 20) * 32  # with a million packs


def test_a_merge_leaves_out_what_is_condemned(place: Place) -> None:
    repo = place.repo()
    dead = packs_of(repo.bundle(commit(repo, {"f0": noise(3000, 0)})))
    moving = packs_of(repo.bundle(commit(repo, {"f1": noise(3000, 1)}))) - dead
    for n in range(2, 16):
        commit(repo, {f"f{n}": noise(3000, n)})
    condemn(place.backend, dead=dead, moving=moving)
    commit(place.repo(), {"f16": noise(3000, 16)}, branch="dev")
    merged = next(key for key in index_keys(place.backend) if key.startswith("index/1/"))
    listed = {pack.tobytes() for pack in decode_index(place.backend.get(merged), merged)[1].packs}
    assert len(listed) == 14
    assert not listed & (dead | moving)


def test_two_that_merge_at_the_same_time_do_no_harm(place: Place) -> None:
    repo = place.repo()
    for n in range(16):
        commit(repo, {f"f{n}": noise(3000, n)})
    before = {key: place.backend.get(key) for key in index_keys(place.backend)}
    commit(repo, {"one": b"one"})
    (merged,) = [key for key in index_keys(place.backend) if key.startswith("index/1/")]
    first = place.backend.get(merged)
    place.backend.delete(merged)
    for key, data in before.items():
        place.backend.create(key, data)
    commit(repo, {"two": b"two"})
    place.backend.create(merged, first)
    assert len([key for key in index_keys(place.backend) if key.startswith("index/1/")]) == 2
    again = place.store().create_repo("other")
    done = again.upload(place.folder("again", {f"f{n}": noise(3000, n) for n in range(16)}), message="m")
    assert done.new_bytes == 0
    assert_complete(done.bundle)


def test_who_may_not_delete_merges_each_index_object_once(place: Place) -> None:
    class Keeping(Recorder):
        def delete(self, key: str) -> None:
            raise Denied("no")

    place.repo()
    repo = place.repo(Keeping(place.backend))
    for n in range(35):
        commit(repo, {f"f{n}": noise(3000, n)})
    levels = [key.split("/")[1] for key in index_keys(place.backend)]
    assert (levels.count("0"), levels.count("1")) == (35, 2)
    commit(place.repo(), {"last": b"last"})
    levels = [key.split("/")[1] for key in index_keys(place.backend)]
    assert (levels.count("0"), levels.count("1")) == (4, 2)
    again = place.store().create_repo("other")
    assert again.upload(place.folder("again", {f"f{n}": noise(3000, n) for n in range(35)}), message="m").new_bytes == 0
    assert_sound(place.store())


def test_an_index_object_that_is_merged_away_meanwhile_is_looked_for_again(place: Place) -> None:
    place.repo().upload(place.folder("in", FILES), message="m")
    (old,) = index_keys(place.backend)

    class Merging(Recorder):
        def get(self, key: str, limit: int = LARGEST) -> bytes:
            if key == old and self.inner.stat(old):
                core = open_core(self.inner, "merger")
                write_index(core, "session", load_segments(core)[0][1], 1, (old,))
                self.inner.delete(old)
            return super().get(key, limit)

    done = place.store(Merging(place.backend)).create_repo("other").upload(place.folder("x", FILES), message="m")
    assert done.new_bytes == 0


def test_equal_index_objects_are_listed_under_their_hash(core: Core) -> None:
    listed = segment([(bytes(32), b"p" * 32, 1, 2)])
    key = write_index(core, "session", listed)
    assert key.endswith(blake3(core.backend.get(key)).hexdigest())
