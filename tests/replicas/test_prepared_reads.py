"""The state of replicas that is read in advance counts for one create, and only if nothing was written in between."""

from __future__ import annotations

import pytest

from sheaf.engine.clock import SystemClock
from sheaf.engine.context import Connected
from sheaf.engine.core import Core, create_store, open_store
from sheaf.engine.log.record_log import store_log
from sheaf.engine.replicas.replicated_backend import ReplicatedBackend
from sheaf.errors import Unsupported
from sheaf.format import keys
from sheaf.model.ids import ksuid
from sheaf.model.records import SetFeatures
from sheaf.storage.memory import MemoryBackend
from sheaf.storage.wrappers.count import Call, CountBackend

LOG_READ = Call("get", "log")
RECORD = keys.log_record("repos/r/", 0)
PREFIX = "repos/r/log/"


@pytest.fixture
def primary() -> CountBackend:
    return CountBackend(MemoryBackend())


@pytest.fixture
def whole(primary: CountBackend) -> ReplicatedBackend:
    config = create_store(primary, SystemClock())
    whole = ReplicatedBackend(primary, lambda url: MemoryBackend(), config, SystemClock(), lambda text: None)
    whole.prepare(PREFIX)
    primary.reset()
    return whole


def test_a_prepared_record_does_not_read_the_log_again(whole: ReplicatedBackend, primary: CountBackend) -> None:
    whole.create(RECORD, b"1")
    assert not primary.requests[LOG_READ]


def test_the_next_record_reads_it(whole: ReplicatedBackend, primary: CountBackend) -> None:
    whole.create(RECORD, b"1")
    whole.create(keys.log_record("repos/r/", 1), b"2")
    assert primary.requests[LOG_READ] == 1


def test_a_record_after_another_object_reads_it(whole: ReplicatedBackend, primary: CountBackend) -> None:
    whole.create(keys.pack(bytes(32)), b"pack")
    whole.create(RECORD, b"1")
    assert primary.requests[LOG_READ] == 1


def test_another_kind_of_object_reads_it(whole: ReplicatedBackend, primary: CountBackend) -> None:
    """It was prepared by a commit that was then refused, maybe long ago."""
    whole.create(keys.session(ksuid(0, bytes(16))), b"{}")
    assert primary.requests[LOG_READ] == 1
    assert whole.prepared is None


def test_a_check_outside_of_a_commit_reads_the_log_again(whole: ReplicatedBackend, primary: CountBackend) -> None:
    """What a commit has prepared may be old: the commit may have been refused."""
    config = open_store(primary)
    connected = Connected(Core(whole, config), None, whole)
    store_log(Core(primary, config)).append(lambda head: (SetFeatures((), ("later",)),))
    connected.ensure_writable(is_prepared=True)
    with pytest.raises(Unsupported, match="later"):
        connected.ensure_writable()
