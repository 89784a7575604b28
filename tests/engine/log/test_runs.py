"""Recorded executions: a beginning and an end, each written once."""

from __future__ import annotations

import pytest
from tests.engine.builders import Place, flipped, replaced

from sheaf.errors import AlreadyExists, Corrupt, NotFound
from sheaf.format import keys
from sheaf.repo.store import Store
from sheaf.storage.wrappers.retry import RetryBackend, RetryPolicy
from sheaf.testing.clock import SteeredClock
from sheaf.testing.faults import Fault, FaultyBackend


@pytest.fixture
def store(place: Place) -> Store:
    return place.store()


def test_a_run_begins_and_ends(store: Store) -> None:
    id = store.runs.start(command=("train", "-x"), inputs=("faces@bundle:x",), environment={"PYTHON": "3.11"})
    start, end = store.runs.get(id)
    assert (start.command, start.inputs, start.environment, end) == (
        ("train", "-x"),
        ("faces@bundle:x",),
        {"PYTHON": "3.11"},
        None,
    )
    store.runs.end(id, "failed", exit_code=3, outputs=("faces@bundle:y",))
    _, end = store.runs.get(id)
    assert end is not None
    assert (end.outcome, end.exit, end.outputs) == ("failed", 3, ("faces@bundle:y",))
    assert store.runs.list() == [id]


def test_an_end_is_said_once(place: Place, store: Store) -> None:
    id = store.runs.start(environment={})
    store.runs.end(id, "succeeded", exit_code=0)
    with pytest.raises(AlreadyExists, match=id):
        place.store().runs.end(id, "failed", exit_code=1)
    _, end = store.runs.get(id)
    assert end is not None and end.outcome == "succeeded"


def test_what_never_began_does_not_end(store: Store) -> None:
    id = SteeredClock("nobody").new_id()
    for ask in (lambda: store.runs.end(id, "failed"), lambda: store.runs.get(id)):
        with pytest.raises(NotFound, match=id):
            ask()


def test_a_lost_answer_is_no_second_end(place: Place, store: Store) -> None:
    id = store.runs.start(environment={})
    faulty = RetryBackend(FaultyBackend(place.backend, {1: Fault.LOST}), RetryPolicy(sleep=lambda seconds: None))
    place.store(faulty).runs.end(id, "succeeded")
    assert store.runs.get(id)[1] is not None


def test_a_damaged_run_is_named(place: Place, store: Store) -> None:
    id = store.runs.start(environment={})
    key = keys.run(id, "start")
    replaced(place.backend, key, flipped(place.backend.get(key), 40))
    with pytest.raises(Corrupt, match=key):
        store.runs.get(id)


def test_runs_are_listed_oldest_first(place: Place, store: Store) -> None:
    ids = [place.store().runs.start(environment={}) for _ in range(5)]
    assert store.runs.list() == ids
