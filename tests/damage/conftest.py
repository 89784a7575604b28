"""A store in memory, and folders to upload."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.engine.builders import Place, new_backend
from tests.repair.builders import World, build


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(new_backend(), tmp_path)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> World:
    return build(tmp_path_factory.mktemp("world"))


@pytest.fixture
def world(made: World) -> World:
    """A store with a replica."""
    return made.copy()
