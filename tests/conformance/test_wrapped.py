"""The shipped suite on every wrapper, each over the memory backend."""

from __future__ import annotations

import pytest

from sheaf.storage.memory import MemoryBackend
from sheaf.storage.port import Backend
from sheaf.storage.wrappers.count import CountBackend
from sheaf.storage.wrappers.logged import LogBackend
from sheaf.storage.wrappers.prefix import PrefixBackend
from sheaf.storage.wrappers.rate_limit import LimitBackend, Throttle
from sheaf.storage.wrappers.readonly import ReadOnlyBackend
from sheaf.storage.wrappers.retry import RetryBackend, RetryPolicy
from sheaf.storage.wrappers.wrapper import WrapperBackend
from sheaf.testing.conformance import BackendConformance
from sheaf.testing.faults import FaultyBackend
from sheaf.testing.latency import LatencyBackend
from sheaf.torture.trial import Scale


class TestWrapper(BackendConformance):
    @pytest.fixture
    def backend(self) -> Backend:
        return WrapperBackend(MemoryBackend())


class TestPrefix(BackendConformance):
    scale = Scale(longest_key=900)  # a prefix takes room

    @pytest.fixture
    def backend(self) -> Backend:
        outer = MemoryBackend()
        for key in ("stor", "store-2/a", "store.a", "a", "z"):
            outer.create(key, b"of somebody else")
        return PrefixBackend(outer, "/store/")


class TestCount(BackendConformance):
    @pytest.fixture
    def backend(self) -> Backend:
        return CountBackend(MemoryBackend())


class TestLog(BackendConformance):
    @pytest.fixture
    def backend(self) -> Backend:
        return LogBackend(MemoryBackend())


class TestLimit(BackendConformance):
    @pytest.fixture
    def backend(self) -> Backend:
        throttle = Throttle(1_000, clock=lambda: 0.0, sleep=lambda _s: None)
        return LimitBackend(MemoryBackend(), throttle, throttle)


class TestRetryOverABusyStore(BackendConformance):
    @pytest.fixture
    def backend(self) -> Backend:
        busy = LatencyBackend(MemoryBackend(), 0, busy=0.3, sleep=lambda _s: None)
        return RetryBackend(busy, RetryPolicy(60, sleep=lambda _s: None))


class TestFaultless(BackendConformance):
    @pytest.fixture
    def backend(self) -> Backend:
        return FaultyBackend(MemoryBackend())


class TestReadOnly(BackendConformance):
    """Everything but writing: the objects are put beside it."""

    class Beside(ReadOnlyBackend):
        def create(self, key, data):  # type: ignore[no-untyped-def]
            return self.inner.create(key, data)

        def delete(self, key: str) -> None:
            self.inner.delete(key)

    @pytest.fixture
    def backend(self) -> Backend:
        return self.Beside(MemoryBackend())
