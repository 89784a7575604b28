"""A check says which files a damage hits: those that can't be read, no others, whoever shares their bytes."""

from __future__ import annotations

from collections.abc import Iterable

import pytest
from tests.check.builders import HARM, bundles, packs, readable
from tests.engine.builders import commit, noise, open_core
from tests.engine.chunks.test_chunk_reader import move
from tests.repair.builders import World, build, flip

from sheaf.engine.check.report import Problem
from sheaf.engine.chunks.verify_pack import read_whole
from sheaf.engine.core_limits import Limits
from sheaf.format import keys
from sheaf.repo.store import Store

ALL = Limits(problem_files=1000)  #: every file is named


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> World:
    world = build(tmp_path_factory.mktemp("made"))
    with world.process(limits=ALL) as store:  # a big file whose chunks another one has, in another repo
        commit(store.repo("plates"), {"longer": noise(700_000, 3) + b"and more"})
        commit(store.repo("faces"), {"folder/longer": noise(700_000, 3) + b"and another end"})
    return world


def lost(store: Store) -> set[str]:
    """What can't be read, found out file by file."""
    return {f"{bundle.repo_name}@{bundle.id}:{path}" for bundle in bundles(store) for path in readable(bundle)[1]}


def named(problems: Iterable[Problem]) -> set[str]:
    return {place for problem in problems for place in problem.needed_by}


def assert_named(world: World) -> int:
    """How many files can't be read: a check names just those."""
    with world.process(limits=ALL) as store:
        bad, report = lost(store), store.check(read_data=True)
    assert named(report.problems) == bad
    for problem in report.problems:
        assert problem.files == len(problem.needed_by) == len(set(problem.needed_by))
        assert problem.bundles == len({place.partition(":")[0] for place in problem.needed_by})
    return len(bad)


@pytest.mark.parametrize("how", HARM)
def test_of_each_pack(made: World, how: str) -> None:
    hit = 0
    for n, key in enumerate(packs(made)):
        world = made.copy()
        world.primary.url = f"mem:{how}{n}"
        HARM[how](world.primary, key)
        hit += assert_named(world)
    assert hit or how in ("head", "table")


def test_of_each_chunk_of_a_pack(made: World) -> None:
    """Files that share some chunks are hit together, others alone; and the lists of chunks are chunks, too."""
    core = open_core(made.copy().primary)
    key = max(packs(made), key=lambda key: len(made.primary.get(key)))
    table, _, _ = read_whole(core, keys.ids_of([key])[0])
    counts = set()
    for n, (offset, stored) in enumerate(zip(table.offsets.tolist(), table.stored.tolist(), strict=True)):
        world = made.copy()
        world.primary.url = f"mem:chunk{n}"
        flip(world.primary, key, offset + stored // 2)
        counts.add(assert_named(world))
    assert len(counts - {0}) > 1


def test_of_packs_that_chunks_were_moved_to(made: World) -> None:
    hit = 0
    for n, gone in enumerate(packs(made)):
        world = made.copy()
        world.primary.url = f"mem:moved{n}"
        once = move(world.primary, keys.ids_of([gone])[0], f"gc-{n}")
        twice = move(world.primary, once, f"gc-{n}-again")
        assert assert_named(world) == 0
        flip(world.primary, keys.pack(twice), 73)
        hit += assert_named(world)
        world.primary.delete(keys.pack(twice))
        hit += assert_named(world)
    assert hit


def test_of_two_packs_and_a_node(made: World) -> None:
    world = made.copy()
    for key in packs(world)[:2]:
        flip(world.primary, key)
    with world.process(limits=ALL) as store:
        first = store.check(read_data=True)
        root = next(bundles(store)).tree.root.id  # nodes that gc would take are nobody's
    assert len([problem for problem in first.problems if problem.needed_by]) == 2
    world.primary.delete(keys.node(root))
    with world.process(limits=ALL) as store:
        (problem,) = (each for each in store.check().problems if each.kind == "node")
        broken = {bundle.id for bundle in bundles(store)}
    assert problem.needed_by and {place.partition("@")[2] for place in problem.needed_by} <= broken


def test_only_the_first_ones_are_kept_and_all_are_counted(made: World) -> None:
    world = made.copy()
    for key in packs(world):
        world.primary.delete(key)
    with world.process(limits=Limits(problem_files=2)) as store:
        bad, report = lost(store), store.check()
    assert max(len(problem.needed_by) for problem in report.problems) == 2
    assert max(problem.files for problem in report.problems) > 2 and named(report.problems) < bad


def test_of_one_repo_only_its_own_are_named(made: World) -> None:
    world = made.copy()
    for key in packs(world):
        world.primary.delete(key)
    with world.process(limits=ALL) as store:
        report = store.check(repo="plates")
    assert named(report.problems) and all(place.startswith("plates@") for place in named(report.problems))
