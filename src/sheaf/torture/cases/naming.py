"""Valid and invalid keys."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from sheaf.errors import InvalidInput
from sheaf.storage.port import Created
from sheaf.torture.trial import Trial
from sheaf.torture.whole_store.claims import claim, claim_equal, claim_refused

__all__ = [
    "bad_keys_are_refused",
    "bad_prefixes_are_refused",
    "case_is_told_apart_by_folder",
    "odd_keys_are_taken",
    "the_url_is_one_line_without_query",
]

_ODD = ("a", "A-1_2.3/x", "..a/b..", ".a", "a" * 255, "x.y/-")
_BAD = ("", "/a", "a/", "a//b", ".", "..", "a/../b", "a/./b", "a b", "é", "a\n", "a\0", "a%41", "tmp/x", "a" * 256)
_BAD_PREFIXES = ("/", "a//", "../", "a b", "./x")


def odd_keys_are_taken(trial: Trial) -> None:
    long = "/".join(["d" * 99] * 10)[: trial.scale.longest_key].rstrip("/")
    for key in (*_ODD, long):
        claim_equal(trial.backend.create(key, b"x"), Created.CREATED, f"the response to a create of {key!r}")
        claim_equal(trial.backend.get(key), b"x", f"the object {key!r}")
        claim_equal(trial.keys(), [key], "the listing")
        trial.backend.delete(key)


def bad_keys_are_refused(trial: Trial) -> None:
    for key in _BAD:
        for call in _calls(trial, key):
            claim_refused(InvalidInput, call, f"the key {key!r}")
    claim_equal(trial.keys(), [], "the listing after rejected creates")


def _calls(trial: Trial, key: str) -> list[Callable[[], object]]:
    backend = trial.backend
    return [
        lambda: backend.create(key, b"x"),
        lambda: backend.get(key),
        lambda: backend.get_ranges(key, [(0, 1)]),
        lambda: backend.stat(key),
        lambda: backend.delete(key),
    ]


def bad_prefixes_are_refused(trial: Trial) -> None:
    for prefix in _BAD_PREFIXES:
        claim_refused(InvalidInput, partial(trial.keys, prefix), f"the prefix {prefix!r}")
        claim_refused(InvalidInput, partial(trial.backend.newest, prefix), f"the prefix {prefix!r}")


def case_is_told_apart_by_folder(trial: Trial) -> None:
    trial.backend.create("lower/abc", b"1")
    trial.backend.create("upper/ABC", b"2")
    found = (trial.backend.get("lower/abc"), trial.backend.get("upper/ABC"))
    claim_equal(found, (b"1", b"2"), "keys that differ in case, in different folders")


def the_url_is_one_line_without_query(trial: Trial) -> None:
    url = trial.backend.url
    claim("://" in url and not {"\n", "?", "@"} & set(url), f"the URL {url!r} has line breaks or options")
