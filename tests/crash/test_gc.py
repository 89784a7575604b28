"""gc, stopped before and after each of its writes: what lives can be read, and the next one takes all that is left."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import pytest
from tests.crash.builders import clone
from tests.garbage.interleavings import Stage, copy_of, delete, half_dead, new_store, several, upload
from tests.garbage.simulation import CLOCK, tiny, tiny_store

from sheaf.engine.gc.collect import collect
from sheaf.engine.gc.grace import GracePeriod
from sheaf.errors import Denied, NoSpace, SheafError, Unavailable
from sheaf.format import keys
from sheaf.format.session_v1 import Session, seal
from sheaf.storage.memory import MemoryBackend
from sheaf.storage.port import Backend, Buffer, Created
from sheaf.testing.clock import SteeredClock
from sheaf.testing.faults import Crash, Fault, FaultyBackend, survives_every_crash
from sheaf.testing.invariants import assert_sound
from sheaf.testing.schedule import Schedule


def world(scratch: Path) -> MemoryBackend:
    """Packs that are dead and half dead, some of which have moved before; somebody's session who has died."""
    schedule, stage = Schedule(), Stage(scratch)
    store = new_store(schedule)
    half_dead(stage, store)
    collect(store._core, GracePeriod(0))
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
    collect(tiny_store(backend, SteeredClock(seed, CLOCK))._core, GracePeriod(0))


def _assert_kept(backend: Backend) -> None:
    """Nothing is lost, and the next gcs take all that is left."""
    store = tiny_store(backend, SteeredClock("checker", CLOCK))
    assert_sound(store)
    for n in range(2):
        collected(backend, f"again {n}")
    assert_sound(tiny_store(backend, SteeredClock("afterwards", CLOCK)))
    rest = collect(store._core, GracePeriod(0), dry_run=True)
    assert (rest.packs, rest.moved, rest.nodes, rest.objects) == (0, 0, 0, 0)
    assert not list(backend.list(keys.CONDEMNED))


def test_gc_that_is_stopped_loses_nothing_and_leaves_nothing(tmp_path: Path) -> None:
    with tiny():
        before = world(tmp_path)
        writes = survives_every_crash(lambda: clone(before), lambda backend: collected(backend, "gc"), _assert_kept)
    assert writes >= 10


class _Watched(FaultyBackend):
    """Remembers what was written last."""

    last = ""

    def create(self, key: str, data: Buffer | Sequence[Buffer]) -> Created:
        if self.written < min(self._writes):
            self.last = key
        return super().create(key, data)


@pytest.mark.parametrize("fault", [Fault.LOST, Fault.FAIL, Fault.TORN, NoSpace("full"), Denied("no")], ids=str)
def test_gc_whose_writes_fail_loses_nothing(tmp_path: Path, fault: Fault | SheafError) -> None:
    """Half an object, as a place leaves it that breaks its promise, harms nothing once it is taken away."""
    with tiny():
        before = world(tmp_path)
        for nth in itertools.count(1):
            backend = clone(before)
            faulty = _Watched(backend, {nth: fault})
            with suppress(SheafError, Crash):
                collected(faulty, "gc")
            if faulty.written < nth:
                break
            if fault is Fault.TORN and before.stat(faulty.last) is None:
                backend.delete(faulty.last)
            _assert_kept(backend)
    assert nth > 10


@pytest.mark.parametrize("step", [4, pytest.param(1, marks=pytest.mark.slow)])
def test_gc_whose_reads_fail_loses_nothing(tmp_path: Path, step: int) -> None:
    with tiny():
        before = world(tmp_path)
        for nth in itertools.count(1, step):
            backend = clone(before)
            faulty = FaultyBackend(backend, reads={nth: Unavailable("away")})
            try:
                collected(faulty, "gc")
            except Unavailable:
                _assert_kept(backend)
            else:
                break
    assert nth > 30
