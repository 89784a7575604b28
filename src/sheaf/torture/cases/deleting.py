"""Deletes and replaces take effect, and change nothing else."""

from __future__ import annotations

from functools import partial

from sheaf.errors import NotFound, Unsupported
from sheaf.storage.port import Created, Stat
from sheaf.torture.trial import Trial, pattern
from sheaf.torture.whole_store.claims import claim_equal, claim_refused

__all__ = [
    "a_deleted_key_is_free_again",
    "a_deleted_object_is_gone",
    "delete_may_be_repeated",
    "deleting_a_folder_name_deletes_nothing",
    "what_was_replaced_has_the_new_bytes",
]


def a_deleted_object_is_gone(trial: Trial) -> None:
    trial.backend.create("x/gone", b"1")
    trial.backend.create("x/kept", b"2")
    trial.backend.delete("x/gone")
    claim_equal(trial.backend.stat("x/gone"), None, "the stat of a deleted object")
    claim_equal(trial.keys(), ["x/kept"], "the listing after a delete")
    claim_refused(NotFound, partial(trial.backend.get, "x/gone"), "reading a deleted object")


def delete_may_be_repeated(trial: Trial) -> None:
    trial.backend.create("gone", b"1")
    for _ in range(2):
        trial.backend.delete("gone")
    trial.backend.delete("never/was")
    trial.backend.delete("gone/deeper")


def a_deleted_key_is_free_again(trial: Trial) -> None:
    trial.backend.create("key", b"1")
    trial.backend.delete("key")
    claim_equal(trial.backend.create("key", b"2"), Created.CREATED, "the response to a create of a deleted key")
    claim_equal(trial.backend.get("key"), b"2", "an object created after its key was deleted")


def deleting_a_folder_name_deletes_nothing(trial: Trial) -> None:
    trial.backend.create("a/b", b"1")
    trial.backend.delete("a")
    claim_equal(trial.backend.get("a/b"), b"1", "an object after its folder's name was deleted")


def what_was_replaced_has_the_new_bytes(trial: Trial) -> None:
    trial.backend.create("x/damaged", b"damaged")
    trial.backend.create("x/other", b"other")
    data = pattern(10_000)
    try:
        trial.backend.replace("x/damaged", data)
    except Unsupported:
        # The location can't replace objects. Repair reports that when it needs to.
        return
    claim_equal(trial.backend.get("x/damaged"), data, "a replaced object")
    claim_equal(trial.backend.stat("x/damaged"), Stat("x/damaged", len(data)), "the stat of a replaced object")
    claim_equal(trial.backend.get("x/other"), b"other", "an object next to a replaced one")
    claim_equal(trial.backend.create("x/damaged", b"late"), Created.OTHER, "the response to a create of a replaced key")
