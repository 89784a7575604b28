"""Leaves nothing behind that pytest could not remove: folders nested too deeply for it, or locked."""

from __future__ import annotations

import os
import subprocess
import tempfile
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


_NOBODY = 65534


@pytest.fixture
def humble() -> Iterator[Path]:
    """A folder of a user with no special rights, as whom the test runs."""
    with tempfile.TemporaryDirectory() as name:
        is_root = os.geteuid() == 0
        if is_root:
            os.chown(name, _NOBODY, -1)
            os.seteuid(_NOBODY)
        try:
            yield Path(name)
        finally:
            subprocess.run(["chmod", "-R", "u+rwx", name], check=True)
            if is_root:
                os.seteuid(0)
