"""Deleting, racing and resuming while a replica catches up; histories by chance; processes that are killed."""

from __future__ import annotations

import random
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.engine.builders import GENERATION, condemn, packs_of, replaced
from tests.replicas.builders import Place, World, build

import sheaf
from sheaf.errors import Corrupt, SheafError, Unavailable
from sheaf.format import keys
from sheaf.model.records import DeleteBundle
from sheaf.storage.memory import MemoryBackend
from sheaf.testing.invariants import assert_sound
from sheaf.transfer.progress import ProgressState

UPLOADER = Path(__file__).parents[1] / "crash" / "uploader.py"


def garbage(world: World) -> set[bytes]:
    """Packs of a bundle that is deleted and condemned, which gc has not swept yet."""
    with world.process() as store:
        repo = store.repo("faces")
        old = repo.bundle("branch:main")
        world.upload(store, "third", "next")
        repo.delete_branch("main")
        keep = repo.bundles()[-1]
        packs = packs_of(old) - packs_of(keep)
        backend = store._core.backend
        repo._context.log.append(lambda head: (DeleteBundle(old.id),))
        condemn(backend, dead=packs)
    return packs


def test_what_gc_deleted_leaves_the_replica_after_the_records_that_say_so(tmp_path: Path) -> None:
    world = build(tmp_path, "mem:b")
    packs = garbage(world)
    primary, replica = world.places["mem:a"], world.places["mem:b"]
    for key in map(keys.pack, packs):
        assert replica.stat(key) is not None
        primary.inner.delete(key)
    with world.process() as store:
        store.replicas.replicate()  # the generation goes on: nothing is deleted yet
        assert all(replica.stat(keys.pack(id)) for id in packs)
        primary.inner.delete(keys.condemned(GENERATION))
        (caught,) = store.replicas.replicate().values()
        assert caught.deleted >= len(packs) and caught.kept == 0
    assert not any(replica.stat(keys.pack(id)) for id in packs)
    assert replica.stat(keys.condemned(GENERATION)) is None


def test_what_the_primary_lost_by_accident_stays_in_the_replica_unless_told(tmp_path: Path) -> None:
    world = build(tmp_path, "mem:b")
    lost = next(stat.key for stat in world.places["mem:a"].inner.list(keys.PACKS))
    world.places["mem:a"].inner.delete(lost)
    with world.process() as store:
        assert [caught.kept for caught in store.replicas.replicate().values()] == [1]
        assert world.places["mem:b"].stat(lost)
        assert [caught.deleted for caught in store.replicas.replicate(prune=True).values()] == [1]
    assert world.places["mem:b"].stat(lost) is None


def test_a_replica_whose_disk_is_not_mounted_is_missing_and_gets_nothing_unless_told(tmp_path: Path) -> None:
    world = build(tmp_path, "mem:b", "mem:c", policy="primary")
    full, empty = world.places["mem:b"], Place(MemoryBackend(), "mem:b")
    world.places["mem:b"] = empty
    with world.process() as store:
        world.upload(store, "third", "next")
        assert [info.state for info in store.replicas.list()] == ["missing", "in step"]
        with pytest.raises(Unavailable, match="mem:b no longer contains a copy"):
            store.replicas.replicate()
        store.gc(grace=0)  # it passes deletions on
    assert not list(empty.inner.list())
    world.places["mem:b"] = full
    with world.process() as store:
        assert [info.state for info in store.replicas.list()] == ["behind", "in step"]
        store.replicas.replicate()
    world.places["mem:b"] = empty
    with world.process() as store:
        store.replicas.replicate(refill=True)
        assert [info.state for info in store.replicas.list()] == ["in step", "in step"]


def test_an_object_that_differs_is_damage_and_is_said(tmp_path: Path) -> None:
    world = build(tmp_path, "mem:b")
    key = next(stat.key for stat in world.places["mem:b"].inner.list(keys.NODES))
    replaced(world.places["mem:b"].inner, key, b"x")
    with world.process() as store, pytest.raises(Corrupt, match=key):
        store.replicas.replicate()


def test_deleting_while_a_replica_catches_up_makes_it_look_again(tmp_path: Path) -> None:
    world = build(tmp_path, "mem:b", policy="primary")
    world.places["mem:b"].is_cut = True
    packs = garbage(world)
    world.places["mem:b"].is_cut = False
    swept: list[str] = []

    def sweep(call: str, key: str) -> None:
        if call == "get" and key.startswith(keys.PACKS) and not swept:
            swept.extend(map(keys.pack, packs))
            for pack in swept:
                world.places["mem:a"].inner.delete(pack)

    world.places["mem:a"].at = sweep
    with world.process() as store:
        store.replicas.replicate()
    assert world.messages("mem:b") == ["next"]


def test_progress_is_told(tmp_path: Path) -> None:
    world = build(tmp_path)
    told: list[ProgressState] = []
    with world.process() as store:
        store.replicas.add("mem:b", progress=told.append)
    assert (told[-1].bytes, told[-1].files) == (told[-1].bytes_total, told[-1].files_total)


STEPS = ("upload", "label", "cut b", "cut c", "join b", "join c", "replicate", "policy", "repo")


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(steps=st.lists(st.sampled_from(STEPS), max_size=14), seed=st.integers(0, 1 << 20))
def test_by_chance(tmp_path_factory: pytest.TempPathFactory, steps: list[str], seed: int) -> None:
    rng = random.Random(seed)
    world = build(tmp_path_factory.mktemp("w"), "mem:b", "mem:c", policy="majority")
    acknowledged = ["first"]
    for n, step in enumerate(steps):
        try:
            with world.process() as store:
                match step.split():
                    case ["upload"]:
                        (world.folder / "third" / f"{n}").write_bytes(rng.randbytes(3000))
                        world.upload(store, "third", f"{n}")
                        acknowledged.append(f"{n}")
                    case ["label"]:
                        store.repo("faces").set_label(f"v{n}", "branch:main")
                    case ["repo"]:
                        store.create_repo(f"repo{n}")
                    case ["policy"]:
                        store.replicas.set_policy(rng.choice(["all", "majority", "primary"]))
                    case ["replicate"]:
                        store.replicas.replicate()
                    case [what, name]:
                        world.places[f"mem:{name}"].is_cut = what == "cut"
        except SheafError:
            pass
    for place in world.places.values():
        place.is_cut = False
    shown = {url: world.messages(url) for url in world.places}
    assert set(acknowledged) <= set(shown["mem:a"])
    for messages in shown.values():
        assert shown["mem:a"][: len(messages)] == messages
    if "policy" not in steps:  # a majority of three: one of the replicas has it
        assert set(acknowledged) <= {*shown["mem:b"], *shown["mem:c"]}
    survivor = max(("mem:b", "mem:c"), key=lambda url: len(shown[url]))
    world.places["mem:a"].is_cut = True
    with world.process(survivor) as store:
        store.replicas.promote()
        store.replicas.replicate()
        world.upload(store, "second", "after")
    assert world.messages("mem:b") == world.messages("mem:c") == [*shown[survivor], "after"]


def killed(command: list[str], after: int) -> list[str]:
    """The lines that a process had printed when it was killed, right after so many of them."""
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    with process:
        lines = [process.stdout.readline() for _ in range(after)]
        process.kill()
        lines += process.stdout.readlines()
    return [line.strip() for line in lines if line.endswith("\n")]


def test_what_a_killed_uploader_printed_is_in_the_replica_which_takes_over(tmp_path: Path) -> None:
    with sheaf.init(str(tmp_path / "a"), probe=False) as store:
        store.create_repo("faces")
        store.replicas.add(str(tmp_path / "b"), policy="all")
    printed: list[str] = []
    for n in range(4):
        (tmp_path / f"in{n}").mkdir()
        command = [sys.executable, str(UPLOADER), str(tmp_path / "a"), str(tmp_path / f"in{n}"), f"{n}"]
        printed += killed(command, 1 + n % 2)
    (tmp_path / "a").rename(tmp_path / "lost")
    with sheaf.connect(str(tmp_path / "b")) as store:
        assert set(printed) <= {bundle.id for bundle in store.repo("faces").bundles()}
        assert_sound(store)
        store.replicas.promote()
        store.repo("faces").upload(tmp_path / "in0", message="and on it goes").bundle.verify()


REPLICATOR = """
import sheaf, sys
with sheaf.connect(sys.argv[1]) as store:
    store.replicas.replicate(progress=lambda state: print(state.files, flush=True))
"""


def test_a_killed_replicate_leaves_an_older_state_and_goes_on(tmp_path: Path) -> None:
    with sheaf.init(str(tmp_path / "a"), probe=False) as store:
        repo = store.create_repo("faces")
        store.replicas.add(str(tmp_path / "b"), policy="primary")
        (tmp_path / "b").rename(tmp_path / "away")
        for n in range(3):
            (tmp_path / "in").mkdir(exist_ok=True)
            (tmp_path / "in" / f"{n}").write_bytes(random.Random(n).randbytes(100_000))
            repo.upload(tmp_path / "in", message=f"{n}")
    (tmp_path / "away").rename(tmp_path / "b")
    for after in (1, 3, 6):
        killed([sys.executable, "-c", REPLICATOR, str(tmp_path / "a")], after)
        with sheaf.connect(str(tmp_path / "b")) as store:
            assert_sound(store)
    with sheaf.connect(str(tmp_path / "a")) as store:
        store.replicas.replicate()
    with sheaf.connect(str(tmp_path / "b")) as store:
        assert [bundle.message for bundle in store.repo("faces").bundles()] == ["0", "1", "2"]
        assert_sound(store)
