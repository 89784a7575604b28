"""A store in memory, and folders to upload."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.engine.worlds import Place, new_backend


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(new_backend(), tmp_path)
