"""One prepared store for all tests of a process; each works on its own copy."""

from __future__ import annotations

import pytest
from tests.crash.builders import World, build_world


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return build_world(tmp_path_factory.mktemp("world"))
