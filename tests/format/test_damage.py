"""Whatever the bytes are, a decoder answers with a value, Corrupt or Unsupported."""

from __future__ import annotations

import struct

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.format.samples import samples

from sheaf.errors import Corrupt, Unsupported
from sheaf.format.envelope import SEALED_KINDS, header_span, sealed
from sheaf.format.sealed import seal

SAMPLES = samples()
KINDS = sorted(SAMPLES)
SEALED = [name for name in KINDS if SAMPLES[name].sealed]
LETTERS = {
    "page": "L",
    "condemned": "C",
    "moved": "M",
    "index": "I",
    "part": "R",
    "pack": "P",
    "leaf": "N",
    "inner": "N",
    "light-leaf": "N",
    "light-inner": "N",
}
NUMBERS = st.one_of(st.integers(-3, 40), st.sampled_from([2**31, 2**32, 2**40, 2**62, 2**63 - 1, 2**64, -(2**63)]))
TEXT = st.text(st.characters(codec="utf-8"), max_size=4)
VALUES = st.one_of(NUMBERS, st.none(), TEXT, st.lists(TEXT, max_size=3), st.floats())


def refused(name: str, data: bytes) -> bool:
    """Decode; whether it was refused in one of the two ways that are allowed."""
    try:
        SAMPLES[name].decode(data)
    except (Corrupt, Unsupported) as error:
        assert error.message
        return True
    return False


@pytest.mark.parametrize("name", KINDS)
def test_a_sample_is_read(name: str) -> None:
    assert not refused(name, SAMPLES[name].data)


@pytest.mark.parametrize("name", KINDS)
@given(data=st.binary(max_size=200))
def test_random_bytes_are_refused(name: str, data: bytes) -> None:
    if name != "frame":  # any byte sequence after a zero is a frame of uncompressed bytes
        assert refused(name, data)
    else:
        refused(name, data)


@pytest.mark.parametrize("name", KINDS)
@given(data=st.data())
def test_flipped_bits_raise_nothing_else(name: str, data: st.DataObject) -> None:
    raw = bytearray(SAMPLES[name].data)
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(raw) - 1))
        raw[at] ^= 1 << data.draw(st.integers(0, 7))
    if bytes(raw) != SAMPLES[name].data and SAMPLES[name].sealed:
        assert refused(name, bytes(raw))
    else:
        refused(name, bytes(raw))


@pytest.mark.parametrize("name", SEALED)
def test_every_single_bit_of_a_sealed_object_counts(name: str) -> None:
    raw = SAMPLES[name].data
    for bit in range(0, 8 * len(raw), max(1, len(raw) // 512)):
        flipped = bytearray(raw)
        flipped[bit // 8] ^= 1 << bit % 8
        assert refused(name, bytes(flipped)), bit


@pytest.mark.parametrize("name", ["light-leaf", "light-inner"])
@pytest.mark.parametrize("step", [7, pytest.param(1, marks=pytest.mark.slow)])
def test_no_single_bit_of_what_is_read_without_arrow_raises_anything_else(name: str, step: int) -> None:
    raw = SAMPLES[name].data
    for bit in range(0, 8 * len(raw), step):
        flipped = bytearray(raw)
        flipped[bit // 8] ^= 1 << bit % 8
        refused(name, bytes(flipped))


@pytest.mark.parametrize("name", KINDS)
@given(data=st.data())
def test_what_is_cut_or_spliced_raises_nothing_else(name: str, data: st.DataObject) -> None:
    raw = SAMPLES[name].data
    cut = data.draw(st.integers(0, len(raw)))
    put = data.draw(st.binary(max_size=16))
    skip = data.draw(st.integers(0, 64))
    refused(name, raw[:cut] + put + raw[cut + skip :])


@pytest.mark.parametrize("name", [name for name in KINDS if name not in LETTERS and name not in ("frame", "encrypted")])
def test_every_truncation_of_sealed_json_is_refused(name: str) -> None:
    raw = SAMPLES[name].data
    assert all(refused(name, raw[:length]) for length in range(len(raw)))


@pytest.mark.parametrize("name", sorted(LETTERS))
@given(data=st.data())
def test_headers_that_lie_raise_nothing_else(name: str, data: st.DataObject) -> None:
    """The fields of a header, changed; where the object is sealed, the seal is made again."""
    raw = SAMPLES[name].data
    start, end = header_span(raw)
    header = msgspec.json.decode(raw[start:end])
    for field in data.draw(st.lists(st.sampled_from(sorted(header)), min_size=1, max_size=2, unique=True)):
        header[field] = data.draw(VALUES)
    text = msgspec.json.encode(header)
    text += b" " * (-(start + len(text)) % 8)
    lie = raw[: start - 4] + struct.pack("<I", len(text)) + text + raw[end:]
    refused(name, sealed(lie[:-32]) if LETTERS[name] in SEALED_KINDS else lie)


@given(data=st.recursive(VALUES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner)))
def test_sealed_nonsense_raises_nothing_else(data: object) -> None:
    for name in ("store", "record", "session", "run-start", "run-end", "erased", "key"):
        fields = msgspec.json.decode(SAMPLES[name].data)
        del fields["sheaf"], fields["blake3"]
        for field in fields:
            refused(name, seal(name, fields | {field: data}))


@pytest.mark.parametrize("name", ["record", "session"])
def test_bottomless_nesting_is_refused(name: str) -> None:
    deep = msgspec.Raw(b"[" * 100_000 + b"]" * 100_000)
    assert refused(name, seal(name, {"n": 1, "state": deep, "id": deep}))
