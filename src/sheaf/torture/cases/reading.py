"""Objects and byte ranges read back as written."""

from __future__ import annotations

import random
from functools import partial

from sheaf.errors import Corrupt, InvalidInput, NotFound
from sheaf.storage.port import Stat
from sheaf.torture.trial import MIB, Trial
from sheaf.torture.whole_store.claims import claim_equal, claim_refused

__all__ = [
    "a_closed_context_gives_itself",
    "a_missing_object_is_not_found",
    "a_range_of_an_empty_object_is_corrupt",
    "a_range_past_the_end_is_corrupt",
    "adjacent_and_overlapping_ranges",
    "an_object_beyond_the_limit_is_corrupt",
    "an_object_is_read_as_soon_as_it_is_created",
    "hundreds_of_ranges",
    "negative_ranges_are_refused",
    "no_ranges_are_no_answer",
    "ranges_come_in_the_order_asked",
    "ranges_of_a_missing_object_are_not_found",
    "ranges_of_no_length_are_empty",
    "stat_tells_key_and_size",
    "threads_read_at_once",
]


def an_object_is_read_as_soon_as_it_is_created(trial: Trial) -> None:
    for n in range(8):
        key, data = f"read/{n}", b"x" * n
        claim_equal(trial.backend.stat(key), None, "the stat of an object before its create")
        trial.backend.create(key, data)
        claim_equal(trial.backend.stat(key), Stat(key, n), "the stat of an object right after its create")
        claim_equal(trial.backend.get(key), data, "an object right after its create")


def an_object_beyond_the_limit_is_corrupt(trial: Trial) -> None:
    trial.backend.create("a/long", b"x" * 100)
    for limit in (100, 101, 1 << 30):
        claim_equal(trial.backend.get("a/long", limit), b"x" * 100, f"an object of 100 bytes, read up to {limit}")
    for limit in (0, 1, 99):
        read = partial(trial.backend.get, "a/long", limit)
        claim_refused(Corrupt, read, f"an object of 100 bytes, read up to {limit}", "a/long")
    trial.backend.create("a/empty", b"")
    claim_equal(trial.backend.get("a/empty", 0), b"", "an empty object, read up to 0")


def a_missing_object_is_not_found(trial: Trial) -> None:
    trial.backend.create("a/b", b"x")
    for key in ("nothing", "a", "a/b/c", "a/bb", "b/a"):
        claim_refused(NotFound, partial(trial.backend.get, key), f"reading {key}, which does not exist", key)
        claim_equal(trial.backend.stat(key), None, f"the stat of {key}, which does not exist")


def stat_tells_key_and_size(trial: Trial) -> None:
    trial.backend.create("x/y", b"12345")
    claim_equal(trial.backend.stat("x/y"), Stat("x/y", 5), "the stat of an object")
    claim_equal(trial.backend.stat("x"), None, "the stat of a folder")


def ranges_come_in_the_order_asked(trial: Trial) -> None:
    data = trial.stored("ranged", 2 * MIB)
    _claim_ranges(trial, data, [(5, 10), (0, 1), (len(data) - 3, 3), (1_000_000, 70_000), (5, 10)])


def adjacent_and_overlapping_ranges(trial: Trial) -> None:
    data = trial.stored("ranged", 10_000)
    _claim_ranges(trial, data, [(0, 100), (100, 100), (150, 100), (100, 50), (0, 10_000)])


def hundreds_of_ranges(trial: Trial) -> None:
    data = trial.stored("ranged", MIB)
    _claim_ranges(trial, data, [(at, 333) for at in random.Random(1).sample(range(MIB - 333), 300)])


def ranges_of_no_length_are_empty(trial: Trial) -> None:
    data = trial.stored("ranged", 100)
    _claim_ranges(trial, data, [(0, 0), (50, 10), (500, 0)])
    _claim_ranges(trial, data, [(0, 0)])


def no_ranges_are_no_answer(trial: Trial) -> None:
    _claim_ranges(trial, trial.stored("ranged", 100), [])


def _claim_ranges(trial: Trial, data: bytes, ranges: list[tuple[int, int]]) -> None:
    found = trial.read("ranged", ranges)
    claim_equal(len(found), len(ranges), "the number of byte ranges returned")
    for (at, length), part in zip(ranges, found, strict=True):
        claim_equal(part, data[at : at + length], f"the {length} bytes at offset {at}")


def a_range_past_the_end_is_corrupt(trial: Trial) -> None:
    trial.stored("ranged", 100)
    for ranges in ([(0, 101)], [(100, 1)], [(5_000, 1)], [(0, 10), (95, 10)]):
        read = partial(trial.backend.get_ranges, "ranged", ranges)
        claim_refused(Corrupt, read, f"the ranges {ranges} of an object of 100 bytes", "ranged")


def a_range_of_an_empty_object_is_corrupt(trial: Trial) -> None:
    trial.backend.create("empty", b"")
    claim_refused(Corrupt, partial(trial.backend.get_ranges, "empty", [(0, 1)]), "a range of an empty object")


def ranges_of_a_missing_object_are_not_found(trial: Trial) -> None:
    for ranges in ([(0, 1)], [(0, 1), (10, 10)]):
        read = partial(trial.backend.get_ranges, "nothing", ranges)
        claim_refused(NotFound, read, "ranges of an object that does not exist", "nothing")


def negative_ranges_are_refused(trial: Trial) -> None:
    trial.stored("ranged", 10)
    for bad in ((-1, 1), (0, -1)):
        claim_refused(InvalidInput, partial(trial.backend.get_ranges, "ranged", [bad]), f"the range {bad}")


def threads_read_at_once(trial: Trial) -> None:
    data = trial.stored("shared", 200_000)
    reads = [partial(trial.read, "shared", [(at, 1000)]) for at in range(0, 160_000, 1000)]
    expected = [[data[at : at + 1000]] for at in range(0, 160_000, 1000)]
    claim_equal(trial.at_once(reads), expected, "the bytes read by concurrent threads")


def a_closed_context_gives_itself(trial: Trial) -> None:
    with trial.backend as same:
        claim_equal(same is trial.backend, True, "the backend as a context manager")
        same.create("key", b"x")
