"""The fault injection itself: a test that can't fail proves nothing."""

from __future__ import annotations

import pytest

from sheaf.errors import Denied, NotFound, Unavailable
from sheaf.storage.memory import MemoryBackend
from sheaf.storage.port import Backend, Created
from sheaf.testing.faults import Crash, Fault, FaultyBackend, survives_every_crash


def test_each_fault_does_what_it_says() -> None:
    expected = {
        Fault.CRASH_BEFORE: (Crash, None),
        Fault.CRASH_AFTER: (Crash, b"1234"),
        Fault.TORN: (Crash, b"12"),
        Fault.LOST: (Unavailable, b"1234"),
        Fault.FAIL: (Unavailable, None),
    }
    for fault, (error, left) in expected.items():
        inner = MemoryBackend()
        with pytest.raises(error):
            FaultyBackend(inner, {1: fault}).create("k", [b"12", b"34"])
        assert (inner.get("k") if inner.stat("k") else None) == left


def test_a_crashed_process_does_nothing_more() -> None:
    faulty = FaultyBackend(MemoryBackend(), {2: Fault.CRASH_AFTER})
    faulty.create("a", b"")
    with pytest.raises(Crash):
        faulty.delete("a")
    assert faulty.inner.stat("a") is None
    for call in (lambda: faulty.get("a"), lambda: faulty.create("b", b""), lambda: faulty.list()):
        with pytest.raises(Crash):
            call()


def test_faults_without_a_crash_pass() -> None:
    faulty = FaultyBackend(MemoryBackend(), {1: Fault.FAIL, 2: Denied("no")}, {1: NotFound("gone")})
    with pytest.raises(Unavailable):
        faulty.create("a", b"")
    with pytest.raises(Denied):
        faulty.create("a", b"")
    assert faulty.create("a", b"1") is Created.CREATED
    with pytest.raises(NotFound):
        faulty.get("a")
    assert faulty.get("a") == b"1"
    assert faulty.written == 3


def test_the_newest_keys_can_be_hidden_from_listings() -> None:
    faulty = FaultyBackend(MemoryBackend(), hide_newest=1)
    for key in ("c", "b", "a"):
        faulty.create(key, b"")
    assert [stat.key for stat in faulty.list()] == ["b", "c"]
    assert faulty.newest("") == "b"
    assert faulty.get("a") == b""
    faulty.hide_newest = 0
    assert faulty.newest("") == "a"


ORDERS = [("blob", "tree", "ref"), ("blob", "ref", "tree"), ("tree", "ref", "blob"), ("ref", "tree", "blob")]


@pytest.mark.parametrize("order", ORDERS)
def test_only_the_right_order_of_writes_survives_every_crash(order: tuple[str, ...]) -> None:
    def operation(backend: Backend) -> None:
        for name in order:
            backend.create(name, b"")

    def check(backend: Backend) -> bool:
        names = {stat.key for stat in backend.list()}
        return "ref" not in names or names == {"blob", "tree", "ref"}

    if order[-1] == "ref":
        assert survives_every_crash(MemoryBackend, operation, check) == 3
    else:
        with pytest.raises(AssertionError, match=r"write \d: crash"):
            survives_every_crash(MemoryBackend, operation, check)


def test_what_a_check_raises_says_where() -> None:
    def check(backend: Backend) -> None:
        backend.get("b")

    with pytest.raises(NotFound) as caught:
        survives_every_crash(MemoryBackend, lambda backend: [backend.create(key, b"") for key in "ab"], check)
    assert caught.value.__notes__ == ["write 1: crash before the write"]
