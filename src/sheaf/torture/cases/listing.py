"""Listings are complete, and sorted if requested."""

from __future__ import annotations

from functools import partial

from sheaf.storage.port import Stat
from sheaf.torture.trial import Trial
from sheaf.torture.whole_store.claims import claim_equal

__all__ = [
    "a_listing_has_keys_and_sizes",
    "a_listing_longer_than_a_page",
    "a_prefix_is_a_plain_string_prefix",
    "a_store_that_calls_itself_ordered_is",
    "an_empty_store_lists_nothing",
    "newest_does_not_look_beyond_the_prefix",
    "newest_is_the_least_key",
    "newest_passes_over_empty_folders",
    "sorted_is_bytewise_over_the_whole_key",
    "what_was_created_before_a_listing_is_in_it",
]


def an_empty_store_lists_nothing(trial: Trial) -> None:
    claim_equal(trial.keys(), [], "the listing of an empty store")
    claim_equal(trial.keys("a/b/"), [], "the listing of a folder of an empty store")
    claim_equal(trial.backend.newest("a/"), None, "the newest key of a folder of an empty store")
    claim_equal(trial.backend.newest(""), None, "the newest key of an empty store")


def a_listing_has_keys_and_sizes(trial: Trial) -> None:
    trial.backend.create("a/x", b"1")
    trial.backend.create("b", b"22")
    found = sorted(trial.backend.list(), key=lambda stat: stat.key)
    claim_equal([stat.key for stat in found], ["a/x", "b"], "the listing")
    if trial.scale.lists_sizes:
        claim_equal(found, [Stat("a/x", 1), Stat("b", 2)], "the listing")


def a_prefix_is_a_plain_string_prefix(trial: Trial) -> None:
    for key in ("ab/c", "abc", "abd/x/y", "ac", "b/ab"):
        trial.backend.create(key, b"")
    expected = {
        "ab": ["ab/c", "abc", "abd/x/y"],
        "ab/": ["ab/c"],
        "abd/x/": ["abd/x/y"],
        "abd/x/y": ["abd/x/y"],
        "abc/": [],
        "abcd": [],
    }
    for prefix, keys in expected.items():
        claim_equal(trial.keys(prefix), keys, f"the listing of {prefix!r}")


def sorted_is_bytewise_over_the_whole_key(trial: Trial) -> None:
    keys = ["a-b", "a.b", "a/b", "a/b-c", "a/b.d/e", "a/bb", "a0", "aB/c", "aa", "B", "a_"]
    for key in keys:
        trial.backend.create(key, b"")
    for prefix in ("", "a"):
        found = [stat.key for stat in trial.backend.list(prefix, sort=True)]
        claim_equal(found, sorted(key for key in keys if key.startswith(prefix)), f"the sorted listing of {prefix!r}")


def a_store_that_calls_itself_ordered_is(trial: Trial) -> None:
    keys = [f"{chr(97 + n % 5)}/{n * 7919 % 100:03}" for n in range(40)]
    for key in keys:
        trial.backend.create(key, b"")
    if trial.backend.ordered:
        found = [stat.key for stat in trial.backend.list()]
        claim_equal(found, sorted(keys), "the listing of a backend that declares ordered listings")


def a_listing_longer_than_a_page(trial: Trial) -> None:
    keys = [f"page/{n:05}" for n in range(trial.scale.many)]
    trial.at_once([partial(trial.backend.create, key, b"x") for key in keys])
    found = [stat.key for stat in trial.backend.list("page/", sort=True)]
    claim_equal(len(found), len(keys), f"the number of keys in a listing of {len(keys)}")
    claim_equal(found, keys, f"a listing of {len(keys)} keys")
    claim_equal(len(list(trial.backend.list("page/"))), len(keys), "the number of keys in an unsorted listing")
    claim_equal(trial.backend.newest("page/"), keys[0], "the least key of a long listing")


def newest_is_the_least_key(trial: Trial) -> None:
    last = 10**15 - 1
    numbered = [f"log/{str(last - n)[:12]}/{last - n}.json" for n in (0, 1, 2, 998, 999, 1_000, 1_001, 2_345)]
    for key in numbered:
        trial.backend.create(key, b"")
        claim_equal(trial.backend.newest("log/"), key, "the newest record of a log")
    claim_equal(trial.backend.newest("lo"), numbered[-1], "the least key of a prefix that is not a folder")
    claim_equal(trial.backend.newest("log/x"), None, "the least key of a prefix without keys")


def newest_passes_over_empty_folders(trial: Trial) -> None:
    for key in ("log/1/a", "log/2/b", "other"):
        trial.backend.create(key, b"")
    trial.backend.delete("log/1/a")
    claim_equal(trial.backend.newest("log/"), "log/2/b", "the least key after the first folder became empty")
    trial.backend.delete("log/2/b")
    claim_equal(trial.backend.newest("log/"), None, "the least key after all folders became empty")


def newest_does_not_look_beyond_the_prefix(trial: Trial) -> None:
    trial.backend.create("a/1", b"")
    trial.backend.create("c/1", b"")
    claim_equal(trial.backend.newest("b/"), None, "the least key of a folder between two others")


def what_was_created_before_a_listing_is_in_it(trial: Trial) -> None:
    for n in range(12):
        trial.backend.create(f"seen/{n:02}", b"")
        found = trial.keys("seen/")
        claim_equal(len(found), n + 1, "the number of keys in a listing begun after their creates")
