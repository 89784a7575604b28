"""Encrypted objects: what they cost, and that nothing but what was written is ever read."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.encryption.builders import STORE_KEY, covered

from sheaf.errors import Corrupt, InvalidInput, Refused, SheafError, Unsupported
from sheaf.format.encrypted_v1 import HEADER, SEGMENT, TAG, ObjectCipher, StoreKey, padded, stored_size
from sheaf.storage.memory import MemoryBackend
from sheaf.storage.port import Created

DATA = random.Random(3).randbytes(3 * SEGMENT + 1234)
KEY = "packs/aa/object"
STEP = SEGMENT + TAG


@given(st.integers(0, 1 << 40))
def test_padding_costs_at_most_an_eighth(size: int) -> None:
    assert size <= padded(size) <= max(256, size * 1.12)
    assert padded(padded(size)) == padded(size)


def test_there_are_few_lengths() -> None:
    lengths = {padded(size) for size in range(1 << 16, 1 << 17)}
    assert len(lengths) <= 33


@given(st.integers(32 << 20, 1 << 33))
def test_large_objects_are_padded_by_a_quarter_of_a_mebibyte_at_most(size: int) -> None:
    assert padded(size) - size < 1 << 18


@given(st.binary(max_size=1000), st.integers(0, 3), st.integers(-2, 2))
def test_what_is_written_is_read(data: bytes, segments: int, more: int) -> None:
    data += DATA[: max(0, segments * SEGMENT + more)]
    inner = MemoryBackend()
    assert covered(inner).create(KEY, data) is Created.CREATED
    assert covered(inner).get(KEY) == data
    assert len(inner.get(KEY)) == stored_size(len(data))


@given(st.lists(st.tuples(st.integers(0, len(DATA)), st.integers(0, 70_000)), max_size=8))
def test_ranges_are_those_of_the_object(ranges: list[tuple[int, int]]) -> None:
    backend = covered(MemoryBackend())
    backend.create(KEY, DATA)
    asked = [(offset, min(length, len(DATA) - offset)) for offset, length in ranges]
    assert [bytes(b) for b in backend.get_ranges(KEY, asked)] == [DATA[at : at + length] for at, length in asked]


def test_a_range_reads_its_segments_and_no_more() -> None:
    from sheaf.storage.wrappers.count import CountBackend

    inner = CountBackend(MemoryBackend())
    covered(inner).create(KEY, DATA)
    reader = covered(inner)
    inner.reset()
    reader.get_ranges(KEY, [(SEGMENT + 10, 100)])
    assert (inner.tally().requests, inner.tally().bytes_in) == (2, HEADER + STEP)
    reader.get_ranges(KEY, [(SEGMENT - 1, 2), (0, 5)])
    assert (inner.tally().requests, inner.tally().bytes_in) == (3, HEADER + 3 * STEP)
    assert reader.stat(KEY)
    assert inner.tally().requests == 4


def test_the_same_bytes_are_never_encrypted_alike() -> None:
    one, two = MemoryBackend(), MemoryBackend()
    for inner in (one, two):
        covered(inner).create(KEY, bytes(5 * SEGMENT))
    first, second = one.get(KEY), two.get(KEY)
    stretches = [data[at : at + 16] for data in (first, second) for at in range(HEADER, len(data) - 16, 16)]
    assert len(set(stretches)) == len(stretches)


# -- damage ------------------------------------------------------------------------------------------------------------

Change = Callable[[bytes], bytes]


def flipped(at: int) -> Change:
    return lambda data: data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]


def swapped(one: int, two: int) -> Change:
    def change(data: bytes) -> bytes:
        at = [HEADER + n * STEP for n in range(5)]
        pieces = [data[at[n] : at[n + 1]] for n in range(4)]
        pieces[one], pieces[two] = pieces[two], pieces[one]
        return data[:HEADER] + b"".join(pieces)

    return change


def without(segment: int) -> Change:
    return lambda data: data[: HEADER + segment * STEP] + data[HEADER + (segment + 1) * STEP :]


SEGMENTS = range(4)
CHANGES: dict[str, Change] = {
    **{f"bit of byte {at} of the header": flipped(at) for at in (0, 4, 6, 8, 39, 40, 47, 48, 63)},
    **{f"bit of segment {n}": flipped(HEADER + n * STEP + 5) for n in SEGMENTS},
    **{f"bit of the tag of segment {n}": flipped(HEADER + (n + 1) * STEP - 1) for n in range(3)},
    **{f"segments {n} and {n + 1} swapped": swapped(n, n + 1) for n in range(2)},
    **{f"segment {n} missing": without(n) for n in SEGMENTS},
    "first segment twice": lambda data: (
        data[: HEADER + STEP] + data[HEADER : HEADER + STEP] + data[HEADER + 2 * STEP :]
    ),
    "last byte missing": lambda data: data[:-1],
    "cut after a segment": lambda data: data[: HEADER + 2 * STEP],
    "cut in the header": lambda data: data[:50],
    "nothing left": lambda data: b"",
    "a byte more": lambda data: data + b"\0",
    "a segment more": lambda data: data + data[HEADER : HEADER + STEP],
    "not encrypted": lambda data: DATA,
}


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("warm", [False, True], ids=["cold", "warm"])
def test_damage_is_an_error_that_names_the_object(change: str, warm: bool) -> None:
    inner = MemoryBackend()
    backend = covered(inner)
    backend.create(KEY, DATA)
    if warm:
        backend.get_ranges(KEY, [(0, 1)])
    changed = CHANGES[change](inner.get(KEY))
    inner.delete(KEY)
    inner.create(KEY, changed)
    with pytest.raises((Corrupt, Unsupported), match=KEY):
        backend.get(KEY)
    # who has read the header reads it no more, and what follows the end is no part of any range
    if change.endswith("more") or (warm and change.endswith("of the header")):
        assert bytes(backend.get_ranges(KEY, [(0, len(DATA))])[0]) == DATA
    else:
        with pytest.raises((Corrupt, Unsupported), match=KEY):
            backend.get_ranges(KEY, [(0, len(DATA))])
    assert backend.stat(KEY), "it is there, though"


def test_an_object_under_another_key_of_the_store_is_damage() -> None:
    inner = MemoryBackend()
    covered(inner).create(KEY, DATA)
    inner.create("packs/aa/other", inner.get(KEY))
    with pytest.raises(Corrupt, match="packs/aa/other"):
        covered(inner).get("packs/aa/other")


def test_a_segment_of_another_object_is_damage() -> None:
    inner = MemoryBackend()
    for key in (KEY, "packs/aa/other"):
        covered(inner).create(key, DATA)
    one, two = inner.get(KEY), inner.get("packs/aa/other")
    inner.delete(KEY)
    inner.create(KEY, one[: HEADER + STEP] + two[HEADER + STEP :])
    backend = covered(inner)
    assert bytes(backend.get_ranges(KEY, [(0, 10)])[0]) == DATA[:10]
    for ranges in ([(SEGMENT, 1)], [(0, len(DATA))]):
        with pytest.raises(Corrupt, match=KEY):
            backend.get_ranges(KEY, ranges)


@pytest.mark.parametrize("other", [StoreKey(bytes(32), STORE_KEY.store), StoreKey(STORE_KEY.key, "another store")])
def test_an_object_of_another_key_or_store_is_damage(other: StoreKey) -> None:
    inner = MemoryBackend()
    covered(inner).create(KEY, DATA)
    with pytest.raises(Corrupt, match=KEY):
        covered(inner, other).get(KEY)


def test_an_object_that_was_made_again_meanwhile_is_read_anew() -> None:
    inner = MemoryBackend()
    mine, other = covered(inner), covered(inner)
    mine.create(KEY, DATA)
    mine.get_ranges(KEY, [(0, 1)])
    other.delete(KEY)
    other.create(KEY, DATA)
    assert bytes(mine.get_ranges(KEY, [(0, 10)])[0]) == DATA[:10]


def test_a_version_to_come_is_refused_by_name() -> None:
    header = ObjectCipher.begin(STORE_KEY, KEY, bytes(32), 9).header
    for at in (4, 6):
        with pytest.raises(Unsupported, match=KEY):
            ObjectCipher.read(STORE_KEY, KEY, flipped(at)(header))


# -- what is hidden ----------------------------------------------------------------------------------------------------


HASH = bytes(range(32)).hex()


@pytest.mark.parametrize("key", [f"erased/{HASH}", f"index/0/3Jdnq4arcYx2Z5LPMzbeHikZRXT-{HASH}"])
def test_hashes_of_contents_in_keys_are_hidden(key: str) -> None:
    inner = MemoryBackend()
    backend = covered(inner)
    backend.create(key, b"x")
    (stored,) = inner.list()
    assert HASH not in stored.key
    assert len(stored.key) == len(key)
    for prefix in ("", key.split("/", maxsplit=1)[0] + "/", key[:-60]):
        assert [stat.key for stat in backend.list(prefix)] == [key]
        assert backend.newest(prefix) == key
    assert covered(inner).get(key) == b"x"
    assert not [*covered(inner, StoreKey(bytes(32), STORE_KEY.store)).list(key)]
    backend.delete(key)
    assert not [*inner.list()]


def test_hidden_names_are_listed_in_their_own_order() -> None:
    backend = covered(MemoryBackend())
    keys = [f"erased/{n:064x}" for n in range(50)]
    for key in keys:
        backend.create(key, b"")
    assert [stat.key for stat in backend.list("erased/", sort=True)] == keys


@pytest.mark.parametrize("key", ["sheaf.json", "log/1/2.json", "pages/1", "repos/a/log/1/2.json", "sessions/a.json"])
def test_records_stay_as_they_are(key: str) -> None:
    inner = MemoryBackend()
    covered(inner).create(key, b"readable")
    assert inner.get(key) == b"readable"
    assert covered(inner).get(key) == b"readable"


@pytest.mark.parametrize(
    "key", ["packs/x", "nodes/x", "repos/a/diamonds/log/x", "staging/x", "what/is/to/come", "logs/x"]
)
def test_everything_else_is_encrypted(key: str) -> None:
    inner = MemoryBackend()
    covered(inner).create(key, b"readable")
    assert b"readable" not in inner.get(key)


def test_whole_files_for_other_programs_are_refused() -> None:
    with pytest.raises(Refused, match="encrypted"):
        covered(MemoryBackend()).create(f"objects/00/3Jdnq4arcYx2Z5LPMzbeHikZRXT-{HASH}", b"x")


def test_errors_are_told_in_one_line_and_keys_are_not() -> None:
    inner = MemoryBackend()
    inner.create(KEY, b"junk" * 100)
    for read in (lambda: covered(inner).get(KEY), lambda: covered(inner).get_ranges(KEY, [(0, 1)])):
        with pytest.raises(SheafError) as caught:
            read()
        assert "\n" not in caught.value.message
    assert STORE_KEY.key.hex() not in repr(STORE_KEY)
    with pytest.raises(InvalidInput):
        covered(inner).get("../x")


def test_folders_hold_what_memory_holds(tmp_path: Path) -> None:
    from sheaf.storage.folder.backend import FolderBackend

    place = FolderBackend(tmp_path / "s", durability="none")
    covered(place).create(KEY, DATA)
    assert (tmp_path / "s" / KEY).stat().st_size == stored_size(len(DATA))
    assert covered(place).get(KEY) == DATA
