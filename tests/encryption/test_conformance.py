"""The shipped suite on the encryption, before each kind of place."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.encryption.builders import covered

from sheaf.storage.folder.backend import FolderBackend
from sheaf.storage.memory import MemoryBackend
from sheaf.storage.open import open_backend
from sheaf.storage.port import Backend
from sheaf.storage.wrappers.retry import RetryBackend, RetryPolicy
from sheaf.testing.conformance import BackendConformance
from sheaf.testing.latency import LatencyBackend
from sheaf.torture.trial import Scale


class Suite(BackendConformance):
    """A listing says what objects take in the store, which is more than they hold."""

    scale = Scale(lists_sizes=False)

    def test_a_listing_says_what_objects_take(self, backend: Backend) -> None:
        backend.create("a/x", b"1")
        backend.create("b", b"22" * 1000)
        assert [stat.key for stat in backend.list(sort=True)] == ["a/x", "b"]
        assert [stat.size for stat in backend.list(sort=True)] == [64 + 256 + 16, 64 + 2048 + 16]


class TestOverMemory(Suite):
    @pytest.fixture
    def backend(self) -> Backend:
        return covered(MemoryBackend())


class TestOverAFolder(Suite):
    @pytest.fixture
    def backend(self, tmp_path: Path) -> Backend:
        return covered(FolderBackend(tmp_path / "s", durability="none"))


class TestOverABusyStore(Suite):
    """A create that is tried again is encrypted anew, and still recognised."""

    @pytest.fixture
    def backend(self) -> Backend:
        busy = LatencyBackend(MemoryBackend(), 0, busy=0.3, sleep=lambda _s: None)
        return RetryBackend(covered(busy), RetryPolicy(60, sleep=lambda _s: None))


class TestOverS3(Suite):
    scale = Scale(lists_sizes=False, many=30)

    @pytest.fixture
    def backend(self, s3_endpoint: str, fresh: str) -> Backend:
        return covered(open_backend(f"s3://bucket/{fresh}?endpoint={s3_endpoint}"))


class TestTwoProcesses(Suite):
    """What one writes the other reads; neither has the headers in memory that the other has made or deleted."""

    @pytest.fixture
    def backend(self) -> Backend:
        inner = MemoryBackend()
        writer, reader = covered(inner), covered(inner)

        class Both(type(reader)):  # type: ignore[misc]
            def create(self, key, data):  # type: ignore[no-untyped-def]
                return writer.create(key, data)

            def delete(self, key: str) -> None:
                writer.delete(key)

        reader.__class__ = Both
        return reader
