"""Two generations at once that disagree on a pack: for one of them it is dead, for the other it only moves."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.garbage.interleavings import ALL, SHORT, Stage, delete, new_store, several, upload
from tests.garbage.simulation import CLOCK, tiny, tiny_store

from sheaf.engine.core import Core
from sheaf.engine.gc.collect import Collected, _Mark, collect, finish
from sheaf.engine.gc.grace import GracePeriod
from sheaf.engine.object_cache import FolderCache
from sheaf.format import keys
from sheaf.format.session_v1 import encode_condemned
from sheaf.storage.wrappers.wrapper import WrapperBackend
from sheaf.testing.clock import SteeredClock
from sheaf.testing.faults import Crash
from sheaf.testing.schedule import Schedule

half_dead = several(upload("all", ALL), upload("half", {"a": SHORT, "d": b"d"}), delete("all"))


class StopsAtNodes(WrapperBackend):
    """Dies before it deletes a node."""

    def delete(self, key: str) -> None:
        if key.startswith(keys.NODES):
            raise Crash("before a node")
        self.inner.delete(key)


def condemned(core: Core) -> str:
    """Mark, and create the list: what a gc does that dies then."""
    found = _Mark(core, 0.5).condemned()
    core.create(keys.condemned(found.generation), encode_condemned(found))
    return keys.condemned(found.generation)


@pytest.mark.parametrize("is_cached", [False, True], ids=["stopped halfway", "with nodes in a cache"])
def test_a_pack_that_another_generation_has_deleted_does_not_move(is_cached: bool, tmp_path: Path) -> None:
    schedule, stage, clock = Schedule(), Stage(tmp_path), SteeredClock("gc", CLOCK)
    with tiny():
        store = new_store(schedule)
        half_dead(stage, store)
        first = tiny_store(schedule.backend("first"), clock, tmp_path / "cache")._core
        assert isinstance(first.cache, FolderCache)
        moving = _Mark(first, 0.5).condemned()
        assert moving.moving_packs
        delete("half")(stage, store)
        first.create(keys.condemned(moving.generation), encode_condemned(moving))
        clock.tick()
        backend = schedule.backend("second")
        second = tiny_store(backend if is_cached else StopsAtNodes(backend), clock)._core
        if is_cached:
            assert finish(second, condemned(second), GracePeriod(0), Collected())
        else:
            with pytest.raises(Crash):
                finish(second, condemned(second), GracePeriod(0), Collected())
        last = first if is_cached else tiny_store(backend, clock)._core
        for _ in range(2):
            collect(last, GracePeriod(0))
        assert not [stat.key for kind in (keys.CONDEMNED, keys.PACKS, keys.NODES) for stat in backend.list(kind)]
