"""Leaves nothing behind that pytest could not remove: folders nested too deeply for it, or locked."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture
def removable(tmp_path: Path) -> Iterator[Path]:
    """A folder in which anything may be made."""
    folder = tmp_path / "removable"
    folder.mkdir()
    yield folder
    subprocess.run(["chmod", "-R", "u+rwx", str(folder)], check=True)
    subprocess.run(["rm", "-rf", str(folder)], check=True)
