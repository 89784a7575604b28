"""Recipes, the index, forwarding addresses, condemned lists, and columns."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.format.samples import ID, digest

from sheaf.errors import Corrupt, Unsupported
from sheaf.format import keys
from sheaf.format.columns import HASH, U32, decode_columns, encode_columns, hashes_of, leading
from sheaf.format.envelope import encode_envelope, sealed
from sheaf.format.index_v1 import decode_index, encode_index, sorted_segment
from sheaf.format.moved_v1 import decode_moved, encode_moved
from sheaf.format.recipe_v1 import MAX_PART, MIN_PART, Row, cut_parts, decode_part, decode_rows, encode_part
from sheaf.format.session_v1 import Condemned, decode_condemned, encode_condemned
from sheaf.format.store_v1 import MAX_CHUNK
from sheaf.model.ids import ksuid

HASHES = st.integers(0, 30).map(digest)
NUMBERS = st.integers(0, 2**32 - 1)
ROWS = st.lists(st.tuples(HASHES, st.integers(1, MAX_CHUNK), HASHES, NUMBERS, NUMBERS), min_size=1, max_size=30)


# -- recipes -----------------------------------------------------------------------------------------------------------


@given(level=st.sampled_from([0, 1]), rows=ROWS)
def test_a_part_comes_out_as_it_went_in(level: int, rows: list[Row]) -> None:
    part = decode_part(encode_part(level, rows), "part")
    assert part.level == level
    assert [part.row(i) for i in range(len(rows))] == rows
    assert len({pack.tobytes() for pack in part.packs}) == len(part.packs)


@given(rows=st.one_of(ROWS, st.just([(digest(i), 1 + i, digest(i % 3), i, i) for i in range(100)])))
def test_rows_are_those_of_the_part(rows: list[Row]) -> None:
    assert decode_rows(encode_part(0, rows), "part") == rows
    assert decode_rows(encode_part(1, rows), "part") is None


@given(rows=ROWS, cut=st.integers(1, 500), at=st.integers(0, 10_000), bit=st.integers(0, 7))
def test_rows_of_a_damaged_part_are_those_of_the_part_or_refused(rows: list[Row], cut: int, at: int, bit: int) -> None:
    whole = encode_part(0, rows)
    flipped = bytearray(whole)
    flipped[at % len(whole)] ^= 1 << bit
    for data in (whole[: -min(cut, len(whole))], bytes(flipped)):
        try:
            part = decode_part(data, "part")
        except (Corrupt, Unsupported):
            with pytest.raises((Corrupt, Unsupported)):
                decode_rows(data, "part")
        else:
            assert decode_rows(data, "part") == [part.row(i) for i in range(len(part.hashes))]


@pytest.mark.parametrize(
    ("level", "length"), [(0, 0), (1, 0), (0, MAX_CHUNK + 1), (1, MAX_PART * MAX_CHUNK + 1), (0, 2**64 - 1), (1, 2**63)]
)
def test_a_part_lists_no_piece_of_an_impossible_length(level: int, length: int) -> None:
    with pytest.raises(Corrupt, match="impossible length"):
        decode_part(encode_part(level, [(bytes(32), 1, bytes(32), 0, 0), (bytes(32), length, bytes(32), 0, 0)]), "part")


@given(
    runs=st.lists(st.tuples(st.booleans(), st.integers(1, 1500)), max_size=4),
    more=st.lists(st.booleans(), max_size=40),
    cut=st.integers(0, 2000),
)
def test_parts_are_cut_by_content(runs: list[tuple[bool, int]], more: list[bool], cut: int) -> None:
    ends = [end for end, count in runs for _ in range(count)] + more
    rows: list[Row] = [(bytes([0 if end else 1, n % 256]) * 16, n, bytes(32), 0, 0) for n, end in enumerate(ends)]
    parts = list(cut_parts(rows))
    assert [row for part in parts for row in part] == rows
    for part in parts[:-1]:
        assert MIN_PART <= len(part) <= MAX_PART
        assert part[-1][0][0] == 0 or len(part) == MAX_PART
        assert not any(row[0][0] == 0 for row in part[MIN_PART - 1 : -1])
    starts = {part[0][1] for part in parts}
    if cut in starts:  # what follows a cut doesn't depend on what was before it
        assert list(cut_parts(rows[cut:])) == [part for part in parts if part[0][1] >= cut]


# -- the index ---------------------------------------------------------------------------------------------------------


@given(entries=st.dictionaries(st.integers(0, 99).map(digest), st.tuples(st.integers(0, 3), NUMBERS, NUMBERS)))
def test_the_index_finds_what_it_holds(entries: dict[bytes, tuple[int, int, int]]) -> None:
    packs = hashes_of([digest(1000 + n) for n in range(4)])
    columns = [np.array([place[i] for place in entries.values()], U32) for i in range(3)]
    segment = sorted_segment(packs, hashes_of(list(entries)), *columns)
    header, found = decode_index(encode_index(ID, segment, ("a", "b")), "index")
    assert (header.session, header.replaces, len(found)) == (ID, ("a", "b"), len(entries))
    assert sorted(map(bytes, found.hashes)) == list(map(bytes, found.hashes))
    wanted = hashes_of([digest(n) for n in range(120)])
    for n, row in enumerate(found.find(wanted, leading(wanted)).tolist()):
        place = None if row < 0 else (int(found.pack[row]), int(found.offset[row]), int(found.stored[row]))
        assert place == entries.get(digest(n))


def test_hashes_that_begin_alike_are_not_mistaken_for_each_other() -> None:
    one, other = b"a" * 8 + b"1" * 24, b"a" * 8 + b"2" * 24
    number = np.array([0, 0], U32)
    segment = sorted_segment(hashes_of([digest(0)]), hashes_of([one, other]), number, number, number)
    wanted = hashes_of([other, one])
    assert segment.find(wanted, leading(wanted)).tolist() == [-1, 0]


# -- forwarding addresses ----------------------------------------------------------------------------------------------


@given(rows=st.dictionaries(NUMBERS, st.none() | st.tuples(HASHES, NUMBERS, NUMBERS), max_size=30), other=NUMBERS)
def test_forwarding_addresses_come_out(rows: dict[int, tuple[bytes, int, int] | None], other: int) -> None:
    moved = decode_moved(encode_moved([(old, *(new or (None, 0, 0))) for old, new in rows.items()]), "moved")
    for old, new in rows.items():
        assert moved.find(old) == new
    if other not in rows:
        with pytest.raises(KeyError):
            moved.find(other)


def test_two_addresses_of_one_chunk_are_refused() -> None:
    with pytest.raises(Corrupt, match="well-formed"):
        decode_moved(encode_moved([(8, digest(1), 8, 8), (8, digest(2), 8, 8)]), "moved")


# -- condemned ---------------------------------------------------------------------------------------------------------

SETS = st.frozensets(HASHES, max_size=8)
NONE: frozenset[bytes] = frozenset()


IDS = st.builds(ksuid, st.integers(0, 2**33), st.binary(min_size=16, max_size=16))
OBJECTS = st.builds(lambda folder, id: folder + id, st.sampled_from(["objects/00/", "receipts/"]), IDS)
HEADS = st.dictionaries(st.one_of(st.just(""), IDS), st.integers(-1, 9))
CONDEMNED = st.builds(Condemned, IDS, SETS, SETS, SETS, st.frozensets(OBJECTS), HEADS, SETS, st.text(max_size=30))


@given(CONDEMNED)
def test_condemned_lists_come_out(value: Condemned) -> None:
    assert decode_condemned(encode_condemned(value), "condemned") == value


def test_a_content_that_is_no_hash_is_refused() -> None:
    raw = encode_condemned(Condemned(ID, NONE, NONE, NONE, frozenset(), {}, frozenset({digest(1)})))
    for wrong in ("zz" * 32, "00"):
        lie = raw[:-32].replace(digest(1).hex().encode(), wrong.ljust(64).encode())
        with pytest.raises(Corrupt, match="not a hash"):
            decode_condemned(sealed(lie), "condemned")


def test_more_objects_can_be_condemned_than_fit_into_a_page() -> None:
    value = Condemned(
        ID, frozenset(), frozenset(), frozenset(), frozenset(f"objects/00/{ID}-{n:064}" for n in range(2000))
    )
    assert decode_condemned(encode_condemned(value), "condemned") == value


# -- columns -----------------------------------------------------------------------------------------------------------


@given(counts=st.lists(st.tuples(st.booleans(), st.integers(0, 9)), max_size=5), missing=st.integers(1, 9))
def test_columns_are_padded_to_eight_bytes(counts: list[tuple[bool, int]], missing: int) -> None:
    columns = [hashes_of([digest(n) for n in range(c)]) if wide else np.arange(c, dtype=U32) for wide, c in counts]
    spec = [(HASH if wide else U32, c) for wide, c in counts]
    data = encode_columns(columns)
    assert len(data) == sum(len(c.tobytes()) + -len(c.tobytes()) % 8 for c in columns)
    for before, after in zip(columns, decode_columns(data, spec, "x"), strict=True):
        assert (before == after).all()
    if spec and spec[-1][1] and missing <= len(columns[-1].tobytes()):
        short = data[: len(data) - -len(columns[-1].tobytes()) % 8 - missing]
        with pytest.raises(Corrupt, match="truncated"):
            decode_columns(short, spec, "x")


def test_the_order_of_leading_bytes_is_that_of_bytes() -> None:
    hashes = sorted(digest(n) for n in range(100))
    lead = leading(hashes_of(hashes))
    assert (lead[1:] > lead[:-1]).all()


def test_a_payload_that_is_not_there_is_refused() -> None:
    header = {"level": 0, "count": 2**40, "packs": 2**40}
    with pytest.raises(Corrupt, match="truncated"):
        decode_part(encode_envelope("R", header), "part")


# -- keys --------------------------------------------------------------------------------------------------------------


@given(a=st.integers(0, keys.MAX_RECORD), b=st.integers(0, keys.MAX_RECORD))
def test_the_newest_record_has_the_least_key(a: int, b: int) -> None:
    one, other = keys.log_record("repos/x/", a), keys.log_record("repos/x/", b)
    assert (one < other) == (a > b)
    assert keys.record_number(one) == a
    assert (keys.moved(digest(1), a) < keys.moved(digest(1), b)) == (a > b)
    assert (keys.log_page("", a // 1000) < keys.log_page("", b // 1000)) == (a // 1000 > b // 1000)


def test_a_folder_of_records_holds_a_thousand() -> None:
    folders = {keys.log_record("", n).rpartition("/")[0] for n in range(1000)}
    assert len(folders) == 1
    assert keys.log_record("", 1000).rpartition("/")[0] not in folders


def test_keys() -> None:
    hash = bytes(range(32))
    assert keys.pack(hash) == f"packs/00/{hash.hex()}"
    assert keys.node(hash) == f"nodes/00/{hash.hex()}"
    assert keys.stored_object(ID, hash) == f"objects/00/{ID}-{hash.hex()}"
    assert keys.index(2, ID, hash) == f"index/2/{ID}-{hash.hex()}"
    assert keys.moved(hash, 0) == f"moved/00/{hash.hex()}/999999999999999"
    assert keys.session(ID) == f"sessions/{ID}.json"
    assert keys.condemned(ID) == f"condemned/{ID}"
    assert keys.erased(hash) == f"erased/{hash.hex()}"
    assert keys.run(ID, "start") == f"runs/{ID}/start.json"
    assert keys.log_record("", 0) == "log/999999999999/999999999999999.json"
    assert keys.log_record(keys.repo(ID), 1001) == f"repos/{ID}/log/999999999998/999999999998998.json"
    assert keys.log_page("", 1) == "pages/999999999998"
