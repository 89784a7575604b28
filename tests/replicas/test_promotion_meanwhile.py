"""A promotion between two readings that a writer makes together: it must not commit to the old primary any more."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
from tests.replicas.builders import Place, World, build

from sheaf.engine.clock import SystemClock
from sheaf.engine.core import Core, open_store
from sheaf.engine.log.record_log import repo_log, store_log
from sheaf.engine.replicas.replicated_backend import ReplicatedBackend
from sheaf.errors import Refused
from sheaf.format import keys
from sheaf.storage.memory import MemoryBackend

WAIT_S = 60


class Primary(Place):
    """A primary that reports when its notices have been listed."""

    def __init__(self, world: World) -> None:
        super().__init__(world.places["mem:a"], "mem:a")
        self.world = world
        self.has_listed = threading.Event()

    def newest(self, prefix: str) -> str | None:
        found = super().newest(prefix)
        if prefix == keys.REPLICA:
            self.has_listed.set()
        return found

    def promote_before(self, key: str, after: threading.Event) -> None:
        """Promote the replica before a key is read, but after an event."""

        def promote(call: str, asked: str) -> None:
            if call == "get" and asked == key:
                self.at = lambda call, key: None
                assert after.wait(WAIT_S)
                with self.world.process("mem:b") as store:
                    store.replicas.promote()

        self.has_listed.clear()
        self.at = promote


@pytest.fixture
def primary(tmp_path: Path) -> Primary:
    return Primary(build(tmp_path, "mem:b", policy="primary"))


@pytest.fixture
def core(primary: Primary) -> Core:
    """A writer that can reach the primary only."""
    config = open_store(primary)
    away = Place(MemoryBackend(), "mem:b")
    away.is_cut = True
    whole = ReplicatedBackend(primary, lambda url: away, config, SystemClock(), lambda text: None)
    return Core(whole, config)


def test_a_commit_that_was_prepared_before_the_log_was_closed_is_refused(primary: Primary, core: Core) -> None:
    log = repo_log(core, next(iter(store_log(core).head().state.repos)))
    key = keys.log_record(keys.repo(next(iter(store_log(core).head().state.repos))), log.head().n + 1)
    is_prepared = threading.Event()
    primary.promote_before(key, is_prepared)
    with pytest.raises(Refused, match="is a replica of mem:b"):
        log.append(lambda head: (), concurrently=is_prepared.set)
    assert primary.world.messages("mem:b") == ["first"]


def test_a_notice_is_found_if_the_store_log_has_grown_since_it_was_listed(primary: Primary, core: Core) -> None:
    core.backend.prepare(keys.SESSIONS)
    primary.promote_before(keys.log_record(keys.STORE_LOG, store_log(core).head().n + 1), primary.has_listed)
    with pytest.raises(Refused, match="is a replica of mem:b"):
        core.backend.prepare(keys.SESSIONS)
