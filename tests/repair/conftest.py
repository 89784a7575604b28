"""A store with a replica, and copies of it to be damaged."""

from __future__ import annotations

import pytest
from tests.repair.builders import World, build


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> World:
    return build(tmp_path_factory.mktemp("world"))


@pytest.fixture
def world(made: World) -> World:
    return made.copy()
