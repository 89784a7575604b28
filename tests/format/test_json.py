"""Sealed JSON, records, pages and merge patches."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
import zstandard
from blake3 import blake3
from hypothesis import given
from hypothesis import strategies as st
from tests.format.samples import ID, TIME, record

from sheaf.errors import Corrupt, Unsupported
from sheaf.format.envelope import decode_envelope, encode_envelope, header_span, sealed
from sheaf.format.record_v1 import (
    PAGE_RECORDS,
    decode_ops,
    decode_page,
    decode_record,
    encode_page,
    encode_record,
    merge,
    patch,
)
from sheaf.format.session_v1 import Notice, RunEnd, RunStart, Session, seal, unseal
from sheaf.format.store_v1 import Chunker, StoreConfig, decode_config, encode_config
from sheaf.model.ids import ksuid
from sheaf.model.records import AddBundle, Author, Record, RepoOp, SetLabel, StoreOp

TEXT = st.text(st.characters(codec="utf-8"), max_size=6)
IDS = st.builds(ksuid, st.integers(0, 2**33), st.binary(min_size=16, max_size=16))
HASHES = st.binary(min_size=32, max_size=32).map(bytes.hex)
AUTHORS = st.builds(Author, TEXT, TEXT)
PLAIN: st.SearchStrategy[Any] = st.recursive(
    st.integers(-(2**53), 2**53) | TEXT | st.booleans(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=12,
)
OBJECTS: st.SearchStrategy[dict[str, Any]] = st.dictionaries(TEXT, PLAIN, max_size=4)
TEXTS = st.lists(TEXT, max_size=3).map(tuple)

SEALED: dict[str, st.SearchStrategy[Any]] = {
    "session": st.builds(Session, IDS, IDS | st.just(""), TEXT, TEXT, st.integers(-1, 9), AUTHORS, TEXT),
    "run-start": st.builds(RunStart, IDS, TEXT, TEXTS, TEXTS, st.dictionaries(TEXT, TEXT, max_size=3), AUTHORS),
    "run-end": st.builds(RunEnd, IDS, TEXT, TEXT, st.none() | st.integers(-9, 255), TEXTS, TEXT),
    "erased": st.builds(Notice, HASHES, TEXT, TEXT, AUTHORS),
}


@pytest.mark.parametrize("kind", sorted(SEALED))
@given(data=st.data())
def test_what_was_sealed_comes_out(kind: str, data: st.DataObject) -> None:
    value = data.draw(SEALED[kind])
    raw = seal(kind, value)
    assert unseal(raw, kind, type(value), kind) == value
    assert raw.startswith(b'{"sheaf":"' + kind.encode() + b'/1"')
    body, _, rest = raw.rpartition(b',"blake3":"')
    assert rest == blake3(body).hexdigest().encode() + b'"}\n'
    assert msgspec.json.decode(raw)["sheaf"] == f"{kind}/1"


def test_an_object_of_another_kind_is_not_taken_for_a_newer_one() -> None:
    raw = seal("session", Session(ID, ID, "upload", TIME, 3))
    with pytest.raises(Corrupt, match="x is not a record but a 'session'"):
        decode_record(raw, "x")
    newer = raw.replace(b"session/1", b"session/2")
    body = newer.rpartition(b',"blake3":"')[0]
    newer = body + b',"blake3":"' + blake3(body).hexdigest().encode() + b'"}\n'
    with pytest.raises(Unsupported, match="session/2"):
        unseal(newer, "session", Session, "x")


def test_fields_of_a_later_version_are_ignored() -> None:
    fields = msgspec.to_builtins(record(3)) | {"later": {"a": [1]}}
    assert decode_record(seal("record", fields), "x") == record(3)


def test_a_store_with_another_hash_or_chunker_is_refused_by_name() -> None:
    config = StoreConfig(ID, TIME)
    assert decode_config(encode_config(config)) == config
    for other in (StoreConfig(ID, TIME, "sha256"), StoreConfig(ID, TIME, chunker=Chunker("rabin"))):
        with pytest.raises(Unsupported, match=r"sha256|rabin"):
            decode_config(encode_config(other))


@pytest.mark.parametrize("size", [-1, 0, 63, 262145, 1 << 40])
def test_a_store_whose_pieces_no_chunk_can_have_is_refused(size: int) -> None:
    with pytest.raises(Unsupported, match="cuts files"):
        decode_config(encode_config(StoreConfig(ID, TIME, chunker=Chunker(sqlite=size))))


def test_fields_of_a_later_chunker_are_ignored() -> None:
    fields = msgspec.to_builtins(StoreConfig(ID, TIME))
    fields["chunker"]["later"] = 4096
    assert decode_config(seal("store", fields)) == StoreConfig(ID, TIME)


# -- records -----------------------------------------------------------------------------------------------------------


@given(n=st.integers(0, 2**50), state=OBJECTS, delta=st.booleans(), author=AUTHORS, text=TEXT)
def test_a_record_comes_out_as_it_went_in(
    n: int, state: dict[str, Any], delta: bool, author: Author, text: str
) -> None:
    base = Record(n, text, text, TIME, author, (msgspec.to_builtins(SetLabel(text, None)),))
    whole = msgspec.structs.replace(base, **({"since": 0, "delta": state} if delta else {"state": state}))
    assert decode_record(encode_record(whole), "r") == whole


def test_an_operation_that_is_not_known_is_refused_by_name() -> None:
    for ops in (RepoOp, StoreOp):
        with pytest.raises(Unsupported, match="merge-repos"):
            decode_ops([{"op": "merge-repos"}], tuple[ops, ...], "record 3")  # type: ignore[valid-type]


def test_operations_are_named_in_kebab_case() -> None:
    assert msgspec.to_builtins(SetLabel("a", None)) == {"op": "set-label", "name": "a", "bundle": None}
    assert AddBundle.__struct_config__.tag == "add-bundle"


def test_a_page_holds_a_thousand_records_without_their_states() -> None:
    records = [record(n) for n in range(5000, 5000 + PAGE_RECORDS)]
    page = encode_page(records)
    assert decode_page(page, "p") == [msgspec.structs.replace(r, state=None) for r in records]
    assert encode_page([msgspec.structs.replace(r, state={"x": 1}) for r in records]) == page


@pytest.mark.parametrize("numbers", [range(999), range(1, 1001), [*range(999), 1000]])
def test_a_page_of_other_records_is_refused(numbers: list[int]) -> None:
    page = encode_page([record(n) for n in numbers])
    lie = {"first": 0, "size": msgspec.json.decode(page[slice(*header_span(page))])["size"]}
    start, end = header_span(page)
    assert start < end
    with pytest.raises(Corrupt, match="does not contain the records"):
        decode_page(sealed(encode_envelope("L", lie) + page[end:-32]), "p")


def test_a_page_cant_grow_beyond_what_it_says() -> None:
    bomb = zstandard.compress(bytes(1 << 24))
    with pytest.raises(Corrupt, match="claims 16777216 bytes, but at most 100"):
        decode_page(sealed(encode_envelope("L", {"first": 0, "size": 100}) + bomb), "p")


# -- merge patches -----------------------------------------------------------------------------------------------------


@given(old=OBJECTS, new=OBJECTS)
def test_a_patch_leads_from_one_state_to_the_other(old: dict[str, Any], new: dict[str, Any]) -> None:
    change = patch(old, new)
    assert merge(old, change) == new
    assert merge(new, change) == new
    assert (change == {}) == (old == new)


@pytest.mark.parametrize(
    ("target", "change", "result"),
    [  # the examples of RFC 7396, appendix A, that patch an object
        ({"a": "b"}, {"a": "c"}, {"a": "c"}),
        ({"a": "b"}, {"b": "c"}, {"a": "b", "b": "c"}),
        ({"a": "b"}, {"a": None}, {}),
        ({"a": "b", "b": "c"}, {"a": None}, {"b": "c"}),
        ({"a": ["b"]}, {"a": "c"}, {"a": "c"}),
        ({"a": "c"}, {"a": ["b"]}, {"a": ["b"]}),
        ({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}, {"a": {"b": "d"}}),
        ({"a": [{"b": "c"}]}, {"a": [1]}, {"a": [1]}),
        ({"a": "foo"}, {"b": {"a": {"c": None}}}, {"a": "foo", "b": {"a": {}}}),
        ({"e": None}, {"a": 1}, {"e": None, "a": 1}),
        ([1, 2], {"a": "b", "c": None}, {"a": "b"}),
        ({}, {"a": {"bb": {"ccc": None}}}, {"a": {"bb": {}}}),
    ],
)
def test_merging_is_that_of_the_rfc(target: Any, change: Any, result: Any) -> None:
    assert merge(target, change) == result


# -- envelopes ---------------------------------------------------------------------------------------------------------


@given(header=st.dictionaries(TEXT, st.integers(0, 9), max_size=4), payload=st.binary(max_size=40))
def test_a_payload_begins_at_a_multiple_of_eight(header: dict[str, int], payload: bytes) -> None:
    head = encode_envelope("P", header)
    assert len(head) % 8 == 0
    assert header_span(head)[1] == len(head)
    whole = sealed(encode_envelope("M", header) + payload)
    for kind, data in (("P", head + payload), ("M", whole)):
        found, rest = decode_envelope(data, kind, dict[str, int], "x")
        assert (found, bytes(rest)) == (header, payload)


def test_a_header_may_be_long() -> None:
    header = {"objects": ["objects/00/" + "x" * 92] * 10_000}
    assert decode_envelope(encode_envelope("I", header), "I", dict[str, list[str]], "x")[0] == header


def test_versions_and_flags_that_are_not_known_are_refused_by_name() -> None:
    head = bytearray(encode_envelope("P", {}))
    for at, match in ((4, "version 3"), (6, "flags 2")):
        newer = head.copy()
        newer[at] ^= 2
        with pytest.raises(Unsupported, match=match):
            decode_envelope(bytes(newer), "P", dict[str, int], "x")
