"""Copies of golden stores, so that nothing can change those that are kept."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """A test that asks for ``golden`` runs for each golden store of its module."""
    if "golden" in metafunc.fixturenames:
        metafunc.parametrize("golden", metafunc.module.GOLDEN, ids=lambda path: path.name, indirect=True)


@pytest.fixture
def golden(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    shutil.copytree(request.param, tmp_path / "golden")
    return tmp_path / "golden"
