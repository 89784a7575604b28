"""Where files are cut depends on their bytes, not on how these arrive."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.compat.independent_format import chunk_lengths
from tests.compat.vectors import stream

from sheaf.engine.chunks.cut_file import cut_file
from sheaf.format.store_v1 import Chunker

#: Random bytes, a run that is cut at the limit only, and numbered lines.
DATA = stream("a", 900_000) + bytes(700_001) + b"".join(b"%09d\n" % n for n in range(40_000)) + stream("b", 300_000)
LENGTHS = chunk_lengths(DATA)


def cut(blocks: list[bytes], window: int) -> list[int]:
    """The lengths of the chunks that an upload makes of these blocks."""
    return [len(chunk) for chunks in cut_file(Chunker(), blocks, window) for chunk in chunks]


@settings(max_examples=25)
@given(
    cuts=st.lists(st.integers(0, len(DATA)), max_size=12), window=st.sampled_from([1 << 18, 300_001, 1 << 20, 8 << 20])
)
def test_blocks_of_any_size_give_the_same_chunks(cuts: list[int], window: int) -> None:
    at = [0, *sorted(cuts), len(DATA)]
    assert cut([DATA[a:b] for a, b in pairwise(at)], window) == LENGTHS


@pytest.mark.parametrize(
    "length", [1, 16_383, 16_384, 16_385, 65_535, 65_536, 65_537, 262_143, 262_144, 262_145, 600_000]
)
def test_files_of_any_length(length: int) -> None:
    for data in (bytes(length), DATA[:length]):
        assert cut([data], 8 << 20) == chunk_lengths(data)


def test_what_follows_an_insertion_is_cut_as_before() -> None:
    before, after = chunk_lengths(DATA[:900_000]), chunk_lengths(b"new" + DATA[:900_000])
    assert before[-3:] == after[-3:]
    assert sum(after) == sum(before) + 3
