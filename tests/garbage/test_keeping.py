"""gc that keeps what was deleted lately, and says what can't be restored after it."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import pytest
from tests.garbage.interleavings import (
    ALL,
    Scene,
    Stage,
    delete,
    gc,
    half_dead,
    interruptions,
    play,
    several,
    undelete,
    upload,
)
from tests.garbage.simulation import tiny

import sheaf
from sheaf.engine.gc.collect import Collected, collect, finish
from sheaf.engine.gc.grace import GracePeriod
from sheaf.engine.sessions.sessions import end_session, list_sessions, open_store_session
from sheaf.errors import Refused
from sheaf.format import keys
from sheaf.format.session_v1 import decode_condemned
from sheaf.testing.clock import SteeredClock

DAY = 86_400
WEEK = 7 * DAY


def noise(seed: int, size: int) -> bytes:
    return bytes((n * n * 31 + seed * 7 + n // 256 * 13 + n // 65_536 * (seed + 5)) % 251 for n in range(size))


@dataclass
class World:
    scratch: Path
    clock: SteeredClock = field(default_factory=SteeredClock)

    def __post_init__(self) -> None:
        self.store = sheaf.init(str(self.scratch / "store"), clock=self.clock, probe=False)
        self.repo = self.store.create_repo("faces")

    def upload(self, name: str, **files: bytes) -> str:
        folder = self.scratch / name
        folder.mkdir()
        for path, content in files.items():
            (folder / path).write_bytes(content)
        return self.repo.upload(folder, message=name, branch=None).bundle.id

    def delete(self, id: str, then_days: float = 0) -> None:
        self.repo.delete_bundle(f"bundle:{id}")
        self.clock.tick(then_days * DAY)

    def gc(self, keep_days: float = 0, *, dry_run: bool = False) -> Collected:
        return self.store.gc(grace=0, keep_deleted=keep_days * DAY, dry_run=dry_run)

    def assert_sound(self) -> None:
        assert self.store.check(read_data=True).ok


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def lost(done: Collected) -> list[str]:
    return [gone.bundle.id for gone in done.lost]


def test_what_was_deleted_lately_is_kept_whole_and_goes_when_its_time_is_over(world: World) -> None:
    gone = world.upload("gone", a=noise(1, 90_000))
    world.upload("stays", b=noise(2, 9_000))
    world.delete(gone, then_days=3)
    assert lost(world.gc(7)) == []
    world.repo.undelete_bundle(gone).verify()
    world.delete(gone, then_days=8)
    assert lost(world.gc(7, dry_run=True)) == [gone]
    assert lost(world.gc(7)) == [gone]
    with pytest.raises(Refused):
        world.repo.undelete_bundle(gone)
    world.assert_sound()


def test_without_being_told_nothing_is_kept_even_of_the_future(world: World) -> None:
    gone = world.upload("gone", a=noise(1, 90_000))
    world.clock.tick(WEEK)
    world.delete(gone, then_days=-7)  # by a machine whose clock is ahead
    assert lost(world.gc(1, dry_run=True)) == []
    assert lost(world.gc()) == [gone]


def test_a_repo_that_was_deleted_lately_comes_back_with_all_it_had(world: World) -> None:
    old = world.upload("old", a=noise(1, 90_000))
    kept = world.upload("kept", b=noise(2, 90_000))
    world.delete(old, then_days=6)
    world.repo.delete()
    world.clock.tick(2 * DAY)
    assert lost(world.gc(7)) == [old]  # deleted long ago, though the repo was not
    world.store.undelete_repo("faces").bundle(f"bundle:{kept}").verify()
    world.assert_sound()


def test_another_gc_finishes_a_generation_by_the_policy_it_was_begun_with(world: World) -> None:
    """The pack that three bundles share is rewritten: what a kept one needs of it has to move, whoever does it."""
    files = {
        name: noise(seed, size) for name, seed, size in (("big", 1, 200_000), ("one", 2, 9_000), ("two", 3, 9_000))
    }
    whole = world.upload("whole", **files)
    kept = world.upload("kept", one=files["one"])
    alive = world.upload("alive", two=files["two"])
    world.delete(whole, then_days=30)
    world.delete(kept, then_days=3)
    core = world.store.connected.core
    busy = open_store_session(core, "upload")
    begun = collect(core, GracePeriod(WEEK, False), keep_deleted=WEEK)
    key = keys.condemned(begun.pending[0])
    assert decode_condemned(core.backend.get(key), key).moving_packs
    end_session(core, busy.id)
    done = Collected()
    assert finish(core, key, GracePeriod(0), done)
    assert (done.moved, lost(done)) == (1, [whole])
    world.repo.undelete_bundle(kept).verify()
    world.repo.bundle(f"bundle:{alive}").verify()
    assert not list_sessions(core)
    world.assert_sound()


def test_a_generation_that_was_begun_without_keeping_is_finished_so(world: World) -> None:
    gone = world.upload("gone", a=noise(1, 90_000))
    world.delete(gone)
    core = world.store.connected.core
    busy = open_store_session(core, "upload")
    assert collect(core, GracePeriod(WEEK, False)).pending
    end_session(core, busy.id)
    assert lost(world.gc(7)) == [gone]
    world.assert_sound()


def test_a_kept_bundle_that_is_damaged_already_stops_no_gc(world: World) -> None:
    broken, gone = world.upload("broken", a=noise(1, 90_000)), world.upload("gone", b=noise(2, 90_000))
    root = world.repo.bundle(f"bundle:{broken}").tree.root.id
    world.delete(gone, then_days=8)
    world.delete(broken)
    world.store.connected.core.backend.delete(keys.node(root))
    assert lost(world.gc(7)) == [gone]
    world.assert_sound()


def test_what_a_living_bundle_has_too_is_not_lost(world: World) -> None:
    one = world.upload("folder", a=noise(1, 90_000))
    other = world.repo.upload(world.scratch / "folder", message="the same", branch=None).bundle
    world.delete(one)
    assert lost(world.gc(dry_run=True)) == lost(world.gc()) == []
    assert world.repo.undelete_bundle(one).tree.root.id == other.tree.root.id
    world.assert_sound()


# -- beside others -----------------------------------------------------------------------------------------------------


def keeping(stage: Stage, store: sheaf.Store) -> None:
    collect(store.connected.core, GracePeriod(0), keep_deleted=WEEK)


#: What lives needs little of the pack, and so does what was deleted lately: the pack moves, or not, as a gc was told.
both_gone = several(half_dead, delete("half"))
KEEPING = {
    "an undelete beside a gc that keeps": Scene(both_gone, undelete("half"), several(keeping, keeping)),
    "a gc that keeps and one that doesn't": Scene(both_gone, keeping, several(gc, gc)),
    "a gc that doesn't and one that keeps": Scene(both_gone, gc, several(keeping, undelete("half"), keeping)),
    "a gc that keeps beside a delete and an upload": Scene(
        half_dead, keeping, several(delete("half"), upload("again", ALL), keeping)
    ),
}


@pytest.mark.parametrize("name", KEEPING)
def test_gcs_of_two_minds_take_nothing_that_is_needed(name: str, tmp_path: Path) -> None:
    with tiny():
        for plan in interruptions(KEEPING[name], tmp_path)[::9]:
            play(KEEPING[name], plan, tmp_path)
