from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sheaf.cli.output.text import full_size, go_time, human_size, quote, redact, short_time
from sheaf.errors import InvalidInput
from sheaf.settings.sizes import parse_size


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("train/1.jpg", "train/1.jpg"),
        ("été/größe.txt", "été/größe.txt"),
        ("a\nb", '"a\\nb"'),
        ("\x1b[2J", '"\\x1b[2J"'),
        ("\u202egpj.exe", '"\\u202egpj.exe"'),
        ('"quoted"', '"\\"quoted\\""'),
        ("back\\slash", "back\\slash"),
        ("tab\tand\\", '"tab\\tand\\\\"'),
        ("", ""),
    ],
)
def test_only_what_could_garble_a_line_is_quoted(text: str, shown: str) -> None:
    assert quote(text) == shown


@given(st.text())
def test_a_quoted_text_is_one_printable_line(text: str) -> None:
    assert len(quote(text).splitlines()) <= 1
    assert "\x1b" not in quote(text)


@given(st.text(), st.text())
def test_different_texts_are_shown_differently(one: str, other: str) -> None:
    assert (quote(one) == quote(other)) == (one == other)


def test_times_are_printed_as_go_prints_them() -> None:
    moment = datetime(2019, 3, 12, 15, 10, 24, 159704, timezone(timedelta(hours=-7)))
    assert go_time(moment) == "2019-03-12 22:10:24.159704 +0000 UTC"
    assert go_time(moment.replace(microsecond=500000)) == "2019-03-12 22:10:24.5 +0000 UTC"
    assert go_time(moment.replace(microsecond=0)) == "2019-03-12 22:10:24 +0000 UTC"
    assert short_time(datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)) == "2026-01-02 03:04:05Z"


@pytest.mark.parametrize(
    ("text", "size"), [("0", 0), ("500k", 512000), ("10MiB", 10 << 20), ("1.5G", 3 << 29), ("2MB/s", 2 << 20)]
)
def test_sizes_are_read(text: str, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "M", "-1", "10X", "1e6", "ten"])
def test_a_size_that_is_none_is_refused_by_name(text: str) -> None:
    with pytest.raises(InvalidInput, match=f"'{text}' is not a size"):
        parse_size(text)


@pytest.mark.parametrize(("size", "text"), [(0, "0 B"), (1023, "1023 B"), (1536, "1.5 KiB"), (5 << 40, "5.0 TiB")])
def test_sizes_are_written_for_people(size: int, text: str) -> None:
    assert human_size(size) == text


@pytest.mark.parametrize(
    ("size", "text"), [(0, "0 B"), (285, "285 B"), (1024, "1.0 KiB (1024 bytes)"), (1600000, "1.5 MiB (1600000 bytes)")]
)
def test_a_size_is_written_once_unless_its_unit_hides_digits(size: int, text: str) -> None:
    assert full_size(size) == text


def test_user_and_password_of_a_url_are_never_shown() -> None:
    assert redact("proxy http://me:secret@proxy:8080 failed") == "proxy http://…@proxy:8080 failed"
    assert redact("s3://bucket/a@b") == "s3://bucket/a@b"
