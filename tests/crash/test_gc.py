"""gc, stopped before and after each of its writes: what lives can be read, and the next one takes all that is left."""

from __future__ import annotations

from pathlib import Path

from tests.crash.worlds import clone
from tests.garbage.scenes import Stage, copy_of, delete, half_dead, new_store, several, upload
from tests.garbage.worlds import CLOCK, tiny

from sheaf.engine.gc import collect
from sheaf.engine.patience import Patience
from sheaf.format import keys
from sheaf.format.session_v1 import Session, seal
from sheaf.storage.memory import MemoryBackend
from sheaf.storage.port import Backend
from sheaf.testing.clock import SteeredClock
from sheaf.testing.faults import survives_every_crash
from sheaf.testing.invariants import assert_sound
from sheaf.testing.schedule import Schedule, store_without_threads


def world(scratch: Path) -> MemoryBackend:
    """Packs that are dead and half dead, some of which have moved before; somebody's session who has died."""
    schedule, stage = Schedule(), Stage(scratch)
    store = new_store(schedule)
    half_dead(stage, store)
    collect(store._core, Patience(0))
    several(copy_of("half", "b"), upload("more", {"x": b"x" * 3000, "y": bytes(range(256)) * 9}), delete("half"))(
        stage, store
    )
    repo = store.repo("faces")
    session = Session(
        SteeredClock("dead").new_id(), repo.id, "upload", store._core.now(), 0, store._core.author, "host"
    )
    store._core.create(keys.session(session.id), seal("session", session))
    delete("more")(stage, store)
    return clone(schedule.store)


def collected(backend: Backend, seed: str) -> None:
    """One gc by a new process."""
    collect(store_without_threads(backend, SteeredClock(seed, CLOCK))._core, Patience(0))


def test_gc_that_is_stopped_loses_nothing_and_leaves_nothing(tmp_path: Path) -> None:
    with tiny():
        before = world(tmp_path)

        def check(backend: Backend) -> None:
            store = store_without_threads(backend, SteeredClock("checker", CLOCK))
            assert_sound(store)
            for n in range(2):
                collected(backend, f"again {n}")
            assert_sound(store_without_threads(backend, SteeredClock("afterwards", CLOCK)))
            rest = collect(store._core, Patience(0), dry_run=True)
            assert (rest.packs, rest.moved, rest.nodes, rest.objects) == (0, 0, 0, 0)
            assert not list(backend.list(keys.CONDEMNED))

        writes = survives_every_crash(lambda: clone(before), lambda backend: collected(backend, "gc"), check)
    assert writes > 10
