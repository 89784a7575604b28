"""The shipped suite on the backends that need no server."""

from __future__ import annotations

from pathlib import Path

import pytest

from sheaf.storage.folder.backend import FolderBackend
from sheaf.storage.memory import MemoryBackend
from sheaf.storage.open import open_backend
from sheaf.storage.port import Backend
from sheaf.testing.conformance import BackendConformance


class TestMemory(BackendConformance):
    @pytest.fixture
    def backend(self) -> Backend:
        return MemoryBackend()


class TestFolder(BackendConformance):
    @pytest.fixture
    def backend(self, tmp_path: Path) -> Backend:
        return FolderBackend(tmp_path / "made" / "on-demand")


class TestFolderWithoutDurability(BackendConformance):
    @pytest.fixture
    def backend(self, tmp_path: Path) -> Backend:
        return FolderBackend(tmp_path, durability="none")


class TestSharedFolder(BackendConformance):
    @pytest.fixture
    def backend(self, tmp_path: Path) -> Backend:
        return open_backend(f"file://{tmp_path}/s?shared=group&durability=none")
