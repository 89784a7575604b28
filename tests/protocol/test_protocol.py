"""Every order of steps of small casts: nothing that a bundle needs is ever gone, and garbage goes when all have ended.

Anybody may stop for ever at any step, and any commit may land late or never. `pytest -s` prints states and traces.
"""

from __future__ import annotations

import pkgutil
from dataclasses import fields
from pathlib import Path

import pytest
from tests.protocol.builders import LARGE, NEEDED, QUICK, SPARE
from tests.protocol.fakes import Rules
from tests.protocol.search import search

import sheaf

SOURCE = Path(sheaf.__file__).parent
LIMIT = 1_500_000  #: states of a large cast

each_lateness = pytest.mark.parametrize("stale", [False, True], ids=["", "late listings"])


@each_lateness
@pytest.mark.parametrize("name", QUICK)
def test_nothing_is_lost(name: str, stale: bool) -> None:
    found = search(QUICK[name], Rules(stale=stale))
    print(f"{name}: {found}")
    assert found.is_whole and not found.lost, found
    assert found.states > 300


@pytest.mark.slow
@each_lateness
@pytest.mark.parametrize("name", LARGE)
def test_nothing_is_lost_among_more(name: str, stale: bool) -> None:
    found = search(LARGE[name], Rules(stale=stale), LIMIT)
    print(f"{name}: {found}")
    assert not found.lost, found


@pytest.mark.parametrize("rule", NEEDED)
def test_without_a_rule_something_is_lost(rule: str) -> None:
    rules = Rules(**{rule: False, "stale": rule == "settles"})
    found = search({**QUICK, **LARGE}[NEEDED[rule]], rules)
    print(f"without {rule}, {found}")
    assert found.lost
    assert found.trace


@pytest.mark.parametrize("rule", SPARE)
@pytest.mark.parametrize("name", QUICK)
def test_some_rules_are_there_to_spare(name: str, rule: str) -> None:
    assert not search(QUICK[name], Rules(**{rule: False})).lost


def test_every_rule_is_accounted_for() -> None:
    assert {field.name for field in fields(Rules)} - {"stale"} == NEEDED.keys() | set(SPARE)


def test_steps_are_named_after_the_engine() -> None:
    """What the model does has its place in the code."""
    steps = {
        line.partition(": ")[2]
        for rule in ("counts_the_past", "gc_sees_that_it_is_void", "undeletes_only_what_is_whole", "settles")
        for line in search(QUICK[NEEDED[rule]], Rules(**{rule: False, "stale": True})).trace
        if not line.startswith("the ")
    }
    assert len(steps) > 15
    for step in steps:
        module, _, name = step.partition(".")
        (file,) = (path for layer in ("engine", "format") for path in (SOURCE / layer).rglob(f"{module}.py"))
        where = ".".join(file.relative_to(SOURCE.parent).with_suffix("").parts)
        assert pkgutil.resolve_name(f"{where}:{name}"), step
