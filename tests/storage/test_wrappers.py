"""What each wrapper adds; that it passes everything else on is in the conformance suite."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from sheaf.errors import Corrupt, Denied, InvalidInput, Refused, Unavailable
from sheaf.storage.memory import MemoryBackend
from sheaf.storage.port import LARGEST, Created, Stat
from sheaf.storage.wrappers.count import Call, CountBackend, spans
from sheaf.storage.wrappers.prefix import PrefixBackend
from sheaf.storage.wrappers.rate_limit import LimitBackend, Throttle
from sheaf.storage.wrappers.readonly import ReadOnlyBackend
from sheaf.storage.wrappers.retry import RetryBackend, RetryPolicy
from sheaf.storage.wrappers.wrapper import WrapperBackend
from sheaf.testing.faults import Fault, FaultyBackend
from sheaf.testing.latency import LatencyBackend

# ── retry ─────────────────────────────────────────────────────────────────────


def policy(retries: int, slept: list[float]) -> RetryPolicy:
    return RetryPolicy(retries, first_s=1, longest_s=5, sleep=slept.append, jitter=lambda: 0.5)


def test_pauses_grow_and_are_bounded() -> None:
    slept: list[float] = []
    faulty = FaultyBackend(MemoryBackend(), reads=dict.fromkeys(range(1, 6), Unavailable("busy")))
    faulty.inner.create("k", b"1")
    assert RetryBackend(faulty, policy(5, slept)).get("k") == b"1"
    assert slept == [0.5, 1.0, 2.0, 2.5, 2.5]


def test_the_last_failure_is_told() -> None:
    faulty = FaultyBackend(MemoryBackend(), reads={n: Unavailable(f"busy {n}") for n in range(1, 9)})
    with pytest.raises(Unavailable, match="busy 3"):
        RetryBackend(faulty, policy(2, [])).get("k")


@pytest.mark.parametrize("error", [Denied("no"), Corrupt("flipped"), Refused("no")])
def test_nothing_but_unavailable_is_tried_again(error: Exception) -> None:
    slept: list[float] = []
    faulty = FaultyBackend(MemoryBackend(), reads={1: error})  # type: ignore[dict-item]
    with pytest.raises(type(error)):
        RetryBackend(faulty, policy(5, slept)).get("k")
    assert not slept


def test_a_create_whose_answer_was_lost_is_mine() -> None:
    faulty = FaultyBackend(MemoryBackend(), {1: Fault.LOST, 2: Fault.FAIL})
    assert RetryBackend(faulty, policy(5, [])).create("k", b"1") is Created.MINE


def test_a_broken_listing_hands_out_each_key_once() -> None:
    class Breaks(WrapperBackend):
        left = 3

        def list(self, prefix: str = "", *, sort: bool = False) -> Iterator[Stat]:
            for n, stat in enumerate(self.inner.list(prefix, sort=sort)):
                if n == 5 and self.left:
                    self.left -= 1
                    raise Unavailable("busy")
                yield stat

    inner = MemoryBackend()
    for n in range(9):
        inner.create(f"k{n}", b"")
    assert [stat.key for stat in RetryBackend(Breaks(inner), policy(3, [])).list()] == [f"k{n}" for n in range(9)]


# ── limit ─────────────────────────────────────────────────────────────────────


def test_callers_wait_for_what_earlier_ones_took() -> None:
    now, slept = [100.0], list[float]()
    throttle = Throttle(10 << 20, clock=lambda: now[0], sleep=slept.append)
    backend = LimitBackend(MemoryBackend(), throttle, throttle)
    backend.create("a", bytes(50 << 20))
    assert not slept
    backend.create("record", bytes(2 << 10))  # little doesn't wait, but is counted
    assert not slept
    backend.create("b", bytes(20 << 20))
    assert slept == pytest.approx([5 + 2 / (10 << 10)])
    now[0] += 60
    backend.get("a")
    assert len(slept) == 1
    backend.get_ranges("a", [(0, 10), (20, 10)])
    assert slept[1:] == [5.0]


def test_each_way_has_its_own_limit() -> None:
    slept: list[float] = []
    up, down = (Throttle(1, clock=lambda: 0, sleep=slept.append) for _ in range(2))
    backend = LimitBackend(MemoryBackend(), up, down)
    backend.create("a", b"123")
    backend.get("a")
    assert not slept


# ── prefix, read-only ─────────────────────────────────────────────────────────


def test_a_prefix_keeps_out_of_the_rest() -> None:
    outer = MemoryBackend("prefix-test")
    outer.create("a/x", b"outside")
    inner = PrefixBackend(outer, "a/b")
    inner.create("x", b"inside")
    assert outer.get("a/b/x") == b"inside"
    assert [stat.key for stat in inner.list()] == ["x"]
    assert inner.url == "memory://prefix-test/a/b"
    for key in ("../x", "a/../../x"):
        with pytest.raises(InvalidInput):
            inner.get(key)
    for folder in ("", "/", "..", "a//b"):
        with pytest.raises(InvalidInput):
            PrefixBackend(outer, folder)


def test_read_only_refuses_to_write() -> None:
    inner = MemoryBackend()
    inner.create("k", b"1")
    backend = ReadOnlyBackend(inner)
    with pytest.raises(Refused, match="write new"):
        backend.create("new", b"")
    with pytest.raises(Refused, match="delete k"):
        backend.delete("k")
    assert backend.get("k") == b"1"


# ── count ─────────────────────────────────────────────────────────────────────


def test_requests_and_bytes_are_counted_by_folder() -> None:
    backend = CountBackend(MemoryBackend())
    backend.create("packs/a", [b"12", b"345"])
    backend.create("log/1", b"1")
    backend.get("packs/a")
    backend.get_ranges("packs/a", [(0, 1), (2, 1)])
    assert backend.requests[Call("create", "packs")] == 1
    assert backend.bytes_out[Call("create", "packs")] == 5
    packs = backend.tally("packs")
    assert (packs.requests, packs.bytes_out, packs.bytes_in) == (3, 5, 7)
    assert backend.tally().requests == 4
    backend.reset()
    assert backend.tally().requests == 0


def test_a_listing_is_a_request_a_page() -> None:
    backend = CountBackend(MemoryBackend())
    for n in range(2_500):
        backend.inner.create(f"k/{n:04}", b"")
    assert len(list(backend.list("k/"))) == 2_500
    assert backend.requests[Call("list", "k")] == 3
    next(iter(backend.list("k/")))
    assert backend.requests[Call("list", "k")] == 4


def test_calls_made_at_once_are_one_round_trip() -> None:
    class Meanwhile(WrapperBackend):
        """Makes another call during each get of "slow"."""

        counted: CountBackend

        def get(self, key: str, limit: int = LARGEST) -> bytes:
            if key == "slow":
                self.counted.get("fast")
            return self.inner.get(key, limit)

    inner = Meanwhile(MemoryBackend())
    backend = inner.counted = CountBackend(inner)
    for key in ("slow", "fast"):
        inner.inner.create(key, b"")
    backend.get("slow")
    assert (backend.tally().requests, backend.tally().round_trips) == (2, 1)
    backend.get("fast")
    assert backend.tally().round_trips == 2


@pytest.mark.parametrize(
    ("ranges", "count"),
    [
        ([], 0),
        ([(0, 0)], 0),
        ([(0, 10)], 1),
        ([(5, 5), (0, 5)], 1),
        ([(0, 10), (110, 10)], 1),
        ([(0, 10), (111, 10)], 2),
        ([(0, 500), (10, 5), (550, 1)], 1),
    ],
)
def test_near_ranges_are_one_request(ranges: list[tuple[int, int]], count: int) -> None:
    assert spans(ranges, gap=100) == count


# ── far away ──────────────────────────────────────────────────────────────────


def test_latency_pauses_before_each_call() -> None:
    slept: list[float] = []
    backend = LatencyBackend(MemoryBackend(), 0.02, sleep=slept.append)
    backend.create("k", b"")
    backend.get("k")
    backend.newest("")
    assert slept == [0.02] * 3
