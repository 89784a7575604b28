"""A store in memory for each test."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from tests.erase.builders import new_backend, process

from sheaf.repo.store import Store
from sheaf.storage.memory import MemoryBackend


@pytest.fixture
def backend() -> MemoryBackend:
    return new_backend()


@pytest.fixture
def store(backend: MemoryBackend) -> Iterator[Store]:
    with process(backend, "first") as opened:
        yield opened
