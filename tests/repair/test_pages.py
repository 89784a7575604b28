"""Damaged pages of logs are written again from the records that they copy; they are no loss, and neither is their repair."""

from __future__ import annotations

import pytest
from tests.engine.builders import commit
from tests.repair.builders import PRIMARY, World, all_bytes, flip, named

from sheaf.engine.core import create_store
from sheaf.format import keys
from sheaf.testing.clock import SteeredClock


@pytest.fixture(scope="module")
def made() -> World:
    """A repo whose log has a page."""
    world = World({PRIMARY: named(PRIMARY)})
    create_store(world.primary, SteeredClock("store"))
    with world.process() as store:
        repo = store.create_repo("faces")
        id = commit(repo, {"a": b"a"})
        while repo._log.head().n < 1000:
            repo.set_label("v1", id)
        repo._log.roll()
    return world


def page_of(world: World) -> str:
    return next(key for key in all_bytes(world.primary) if "/pages/" in key)


@pytest.mark.parametrize("at", [5, 2000, -1])
def test_a_damaged_page_is_written_again(made: World, at: int) -> None:
    world = made.copy()
    key = page_of(made)
    flip(world.primary, key, at)
    found = world.repair().found.problems
    assert [(problem.key, problem.repairable, problem.remedies) for problem in found] == [(key, True, ("pages",))]
    before = all_bytes(world.primary)
    assert world.repair(pages=True, is_dry=True).written == [key] and all_bytes(world.primary) == before
    done = world.repair(pages=True)
    assert done.written == [key] and done.left.ok
    assert all_bytes(world.primary) == all_bytes(made.primary)


def test_a_page_whose_records_are_damaged_stays_as_it_is(made: World) -> None:
    world = made.copy()
    key = page_of(made)
    base = key.partition("pages/")[0]
    flip(world.primary, keys.log_record(base, 7))
    assert [problem.repairable for problem in world.repair().found.problems] == [True]  # the page has what it said
    flip(world.primary, key)
    before = all_bytes(world.primary)
    done = world.repair(pages=True)
    assert key in done.failed and not done.written and all_bytes(world.primary) == before
