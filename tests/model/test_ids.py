"""KSUIDs and hashes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sheaf.errors import InvalidInput
from sheaf.model.ids import is_ksuid, is_version, ksuid, parse_hash

MOMENTS = st.integers(1_400_000_000, 1_400_000_000 + 2**32 - 1)
PAYLOADS = st.binary(min_size=16, max_size=16)


DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"


def seconds_in(text: str) -> int:
    """The Unix seconds in a KSUID, by its definition: the first four of its twenty bytes, since 2014-05-13."""
    number = sum(DIGITS.index(letter) * 62**at for at, letter in enumerate(reversed(text)))
    return int.from_bytes(number.to_bytes(20, "big")[:4], "big") + 1_400_000_000


def test_the_published_example() -> None:
    # the example of segmentio/ksuid's README
    assert ksuid(1_400_000_000 + 107_608_047, bytes.fromhex("B5A1CD34B5F99D1154FB6853345C9735")) == (
        "0ujtsYcgvSTl8PAuAdqWYSMnLOv"
    )


def test_the_limits() -> None:
    assert ksuid(1_400_000_000, bytes(16)) == "0" * 27
    highest = ksuid(1_400_000_000 + 2**32 - 1, b"\xff" * 16)
    assert highest == "aWgEPTl1tmebfsQzFP4bxwgy80V"
    assert is_ksuid(highest)
    assert not is_ksuid("aWgEPTl1tmebfsQzFP4bxwgy80W")


@given(a=st.tuples(MOMENTS, PAYLOADS), b=st.tuples(MOMENTS, PAYLOADS))
def test_texts_sort_as_their_bytes_do(a: tuple[int, bytes], b: tuple[int, bytes]) -> None:
    assert (ksuid(*a) < ksuid(*b)) == (a < b)
    assert is_ksuid(ksuid(*a))
    assert seconds_in(ksuid(*a)) == a[0]


@given(st.text(max_size=40))
def test_no_text_makes_the_shapes_fail(text: str) -> None:
    assert not (is_ksuid(text) and is_version(text))
    if is_ksuid(text):
        assert seconds_in(text) >= 1_400_000_000


@pytest.mark.parametrize(
    ("seconds", "payload"),
    [(1_500_000_000, b""), (1_500_000_000, bytes(17))],
)
def test_what_fits_no_ksuid_is_refused(seconds: int, payload: bytes) -> None:
    with pytest.raises(ValueError, match="16 bytes"):
        ksuid(seconds, payload)


@given(st.binary(min_size=32, max_size=32))
def test_a_hash_is_read_with_and_without_its_prefix(value: bytes) -> None:
    assert parse_hash(value.hex()) == parse_hash("b3:" + value.hex()) == value


@given(st.text(max_size=70))
def test_any_other_text_is_no_hash(text: str) -> None:
    try:
        assert len(parse_hash(text)) == 32
    except InvalidInput as error:
        assert not text.isprintable() or text in error.message


def test_a_short_version_needs_eight_digits() -> None:
    assert is_version("0123abcd")
    assert is_version("f" * 64)
    assert not any(map(is_version, ("0123abc", "f" * 65, "0123ABCD", "0123abcd\n", "")))


@pytest.mark.parametrize(("seconds", "nearest"), [(0, 1_400_000_000), (1 << 40, 1_400_000_000 + (1 << 32) - 1)])
def test_a_clock_out_of_range_counts_as_the_nearest_moment(seconds: int, nearest: int) -> None:
    assert seconds_in(ksuid(seconds, bytes(16))) == nearest
