"""A store in memory for each test."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.engine.builders import Place, new_backend, open_core

from sheaf.engine.core import Core


@pytest.fixture
def core() -> Iterator[Core]:
    opened = open_core(new_backend())
    yield opened
    opened.close()


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    made = Place(new_backend(), tmp_path)
    made.store().create_repo("faces")
    yield made
    for store in made.stores:
        store.close()
