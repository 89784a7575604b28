"""Packs: frames, their table, and an id that can be derived again."""

from __future__ import annotations

import numpy as np
import pytest
import zstandard
from blake3 import blake3
from hypothesis import given
from hypothesis import strategies as st
from tests.format.samples import ID

from sheaf.errors import Corrupt, Unsupported
from sheaf.format.columns import hashes_of
from sheaf.format.frame_v1 import RAW, ZSTD, unframe
from sheaf.format.pack_v1 import TRAILER, check_head, decode_table, encode_head, encode_tail, pack_id


def packed(chunks: list[bytes], compress_chunks: bool) -> bytes:
    """A pack of these chunks."""
    frames = [ZSTD + zstandard.compress(chunk) if compress_chunks else RAW + chunk for chunk in chunks]
    hashes = hashes_of([blake3(chunk).digest() for chunk in chunks])
    tail = encode_tail(hashes, [len(chunk) for chunk in chunks], [len(frame) for frame in frames])
    return encode_head(ID, 3) + b"".join(frames) + tail


@given(chunks=st.lists(st.binary(max_size=50), max_size=20), compress_chunks=st.booleans(), more=st.integers(0, 99))
def test_what_was_packed_comes_out(chunks: list[bytes], compress_chunks: bool, more: int) -> None:
    pack = packed(chunks, compress_chunks)
    length = TRAILER.unpack(pack[-TRAILER.size :])[1] + TRAILER.size
    table = decode_table(pack[-min(len(pack), length + more) :], len(pack), "pack")
    spans = zip(table.offsets.tolist(), table.stored.tolist(), strict=True)
    assert [unframe(pack[at : at + size], "frame") for at, size in spans] == chunks
    assert [blake3(chunk).digest() for chunk in chunks] == [hash.tobytes() for hash in table.hashes]
    assert table.raw.tolist() == [len(chunk) for chunk in chunks]


def test_frames_begin_on_a_multiple_of_eight_where_the_table_says() -> None:
    pack = packed([b"one", b"two"], False)
    table = decode_table(pack, len(pack), "pack")
    assert table.offsets.tolist() == [len(encode_head(ID, 3)), len(encode_head(ID, 3)) + 4]
    assert table.offsets[0] % 8 == 0


@pytest.mark.parametrize("missing", [1, 8, 47, 48, 60])
def test_a_pack_that_lost_its_end_is_refused(missing: int) -> None:
    pack = packed([b"one", b"two"], False)
    with pytest.raises(Corrupt):
        decode_table(pack[:-missing], len(pack) - missing, "pack")


def test_a_table_that_lists_more_than_there_is_is_refused() -> None:
    tail = encode_tail(np.zeros((1, 32), np.uint8), [9], [1000])
    with pytest.raises(Corrupt, match="does not contain the frames"):
        decode_table(encode_head(ID, 0) + tail, len(encode_head(ID, 0)) + len(tail), "pack")


def test_an_id_says_whose_nth_pack_it_is() -> None:
    ids = [pack_id(ID, 0), pack_id(ID, 1), pack_id(ID[::-1], 0)]
    assert len(set(ids)) == 3
    check_head(packed([b"one"], False), pack_id(ID, 3), "pack")


def test_a_pack_under_the_name_of_another_is_noticed() -> None:
    with pytest.raises(Corrupt, match="another pack"):
        check_head(packed([b"one"], False), pack_id(ID, 4), "pack")


def test_an_ordinal_that_no_pack_has_is_refused() -> None:
    for ordinal in (-1, 1 << 32):
        with pytest.raises(Corrupt):
            check_head(encode_head(ID, ordinal), pack_id(ID, 0), "pack")


@given(content=st.binary(max_size=200), limit=st.integers(0, 200))
def test_no_frame_makes_more_than_was_asked_for(content: bytes, limit: int) -> None:
    frame = ZSTD + zstandard.compress(content)
    if len(content) <= limit:
        assert unframe(frame, "frame", limit) == content
    else:
        with pytest.raises(Corrupt, match="claims"):
            unframe(frame, "frame", limit)


def test_frames_that_make_no_sense_are_named() -> None:
    unsized = zstandard.ZstdCompressor(write_content_size=False).compress(b"x" * 100)
    for frame in (b"", ZSTD, ZSTD + b"x", ZSTD + unsized, ZSTD + zstandard.compress(b"x" * 100)[:-2]):
        with pytest.raises(Corrupt, match="the chunk"):
            unframe(frame, "the chunk")
    with pytest.raises(Unsupported, match="codec 02"):
        unframe(b"\2abc", "the chunk")
