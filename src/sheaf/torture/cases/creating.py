"""Objects are created whole and once, and are never replaced."""

from __future__ import annotations

from functools import partial

from sheaf.storage.port import Buffer, Created, Stat
from sheaf.torture.trial import MIB, Trial, pattern
from sheaf.torture.whole_store.claims import claim, claim_equal

__all__ = [
    "a_changed_buffer_does_not_change_the_object",
    "a_large_object",
    "a_second_create_of_other_bytes_changes_nothing",
    "a_second_create_of_the_same_bytes_is_mine",
    "an_empty_object_is_an_object",
    "an_object_reads_back",
    "many_buffers_are_one_object",
    "more_buffers_than_one_system_call_takes",
    "nearly_the_same_bytes_are_other",
    "nothing_acknowledged_is_lost",
    "of_creators_of_equal_bytes_all_succeed",
    "of_many_creators_one_wins",
    "sizes",
    "threads_write_in_new_folders",
    "wide_buffers_are_bytes",
]

_RACES = 6
_ACKNOWLEDGED = 120


def an_object_reads_back(trial: Trial) -> None:
    claim_equal(trial.backend.create("a/b", b"hello"), Created.CREATED, "the response to a first create")
    claim_equal(trial.backend.get("a/b"), b"hello", "a new object")


def a_second_create_of_the_same_bytes_is_mine(trial: Trial) -> None:
    trial.backend.create("key", b"same")
    claim_equal(trial.backend.create("key", b"same"), Created.MINE, "the response to a repeated create")


def a_second_create_of_other_bytes_changes_nothing(trial: Trial) -> None:
    trial.backend.create("key", b"first")
    answer = trial.backend.create("key", b"secon")
    claim(trial.backend.get("key") == b"first", "a second create of a key replaced the object")
    claim_equal(answer, Created.OTHER, "the response to a second create of a key")


def nearly_the_same_bytes_are_other(trial: Trial) -> None:
    trial.backend.create("key", b"first")
    for other in (b"firs", b"first!", b"", b"First"):
        claim_equal(
            trial.backend.create("key", other), Created.OTHER, f"the response to a create of {other!r} over b'first'"
        )


def an_empty_object_is_an_object(trial: Trial) -> None:
    backend = trial.backend
    claim_equal(backend.create("empty", b""), Created.CREATED, "the response to a create of an empty object")
    claim_equal(backend.create("empty", []), Created.MINE, "the response to the same create")
    claim_equal(backend.create("empty", b"x"), Created.OTHER, "the response to a create of other bytes")
    claim_equal(backend.get("empty"), b"", "an empty object")
    claim_equal(backend.stat("empty"), Stat("empty", 0), "the stat of an empty object")


def sizes(trial: Trial) -> None:
    for size in (1, 4096, MIB):
        data = trial.stored(f"sized-{size}", size)
        claim_equal(trial.backend.get(f"sized-{size}"), data, f"an object of {size} bytes")


def a_large_object(trial: Trial) -> None:
    data = pattern(trial.scale.large)
    claim_equal(trial.backend.create("large", data), Created.CREATED, "the response to the create of a large object")
    claim_equal(trial.backend.stat("large"), Stat("large", len(data)), "the stat of a large object")
    claim_equal(trial.backend.get("large"), data, "a large object")
    claim_equal(trial.backend.create("large", data), Created.MINE, "the response to the same create")


def many_buffers_are_one_object(trial: Trial) -> None:
    data = pattern(300_000)
    parts: list[Buffer] = [data[:1], b"", bytearray(data[1:1000]), memoryview(data)[1000:250_000], data[250_000:]]
    claim_equal(trial.backend.create("parts", parts), Created.CREATED, "the response to a create from several buffers")
    claim_equal(trial.backend.get("parts"), data, "an object made of several buffers")
    claim_equal(trial.backend.create("parts", data), Created.MINE, "the response to the same create from one buffer")


def more_buffers_than_one_system_call_takes(trial: Trial) -> None:
    data = pattern(5_000)
    trial.backend.create("crumbs", [data[at : at + 1] for at in range(len(data))])
    claim_equal(trial.backend.get("crumbs"), data, "an object made of 5,000 buffers")


def wide_buffers_are_bytes(trial: Trial) -> None:
    wide = memoryview(pattern(80)).cast("Q")
    trial.backend.create("wide", wide)
    claim_equal(trial.backend.get("wide"), wide.tobytes(), "an object made of a buffer of 8-byte items")


def a_changed_buffer_does_not_change_the_object(trial: Trial) -> None:
    buffer = bytearray(b"before")
    trial.backend.create("key", buffer)
    buffer[:] = b"after!"
    claim_equal(trial.backend.get("key"), b"before", "an object whose buffer was changed afterwards")


def of_many_creators_one_wins(trial: Trial) -> None:
    bodies = [f"writer {n}".encode() for n in range(trial.scale.threads)]
    for race in range(_RACES):
        key = f"race-{race}"
        answers = trial.at_once([partial(trial.backend.create, key, body) for body in bodies])
        winners = [body for body, answer in zip(bodies, answers, strict=True) if answer is not Created.OTHER]
        claim(len(winners) == 1, f"{len(winners)} of {len(bodies)} concurrent creates of one key succeeded")
        claim_equal(trial.backend.get(key), winners[0], "the object of the successful create")


def of_creators_of_equal_bytes_all_succeed(trial: Trial) -> None:
    answers = trial.at_once([lambda: trial.backend.create("race", b"equal")] * trial.scale.threads)
    claim_equal(answers.count(Created.CREATED), 1, "the number of creates of equal bytes that returned CREATED")
    claim_equal(
        answers.count(Created.MINE), trial.scale.threads - 1, "the number of creates of equal bytes that returned MINE"
    )


def threads_write_in_new_folders(trial: Trial) -> None:
    keys = [f"new/{n % 7}/{n % 3}/k{n}" for n in range(40)]
    answers = trial.at_once([partial(trial.backend.create, key, key.encode()) for key in keys])
    claim_equal(set(answers), {Created.CREATED}, "the responses to creates in new folders")
    claim_equal(
        [stat.key for stat in trial.backend.list("new/", sort=True)], sorted(keys), "the listing of new folders"
    )
    for key in keys:
        claim_equal(trial.backend.get(key), key.encode(), f"the object {key}")


def nothing_acknowledged_is_lost(trial: Trial) -> None:
    keys = [f"kept/{n:03}" for n in range(_ACKNOWLEDGED)]
    trial.at_once([partial(trial.backend.create, key, key.encode()) for key in keys])
    lost = [key for key in keys if trial.backend.stat(key) is None]
    claim(not lost, f"{len(lost)} of {len(keys)} objects are missing, although their creates were acknowledged")
    for key in keys:
        claim_equal(trial.backend.get(key), key.encode(), f"the object {key}")
