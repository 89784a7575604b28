"""fsspec's own suites for file systems."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from fsspec.tests import abstract

import sheaf
from sheaf.fsspec import SheafFileSystem


class Fixtures(abstract.AbstractFixtures):
    @pytest.fixture
    def fs(self, fs: SheafFileSystem) -> SheafFileSystem:
        return fs

    @pytest.fixture
    def fs_path(self, fs: SheafFileSystem, repo: sheaf.Repo) -> str:
        fs.mkdir(f"{repo.name}@main")
        fs.mkdir(f"{repo.name}@main/scratch")
        return f"{repo.name}@main/scratch"

    @pytest.fixture
    def fs_join(self) -> Callable[..., str]:
        return lambda *parts: "/".join(part.rstrip("/") if part is not parts[-1] else part for part in parts)


class TestCopy(abstract.AbstractCopyTests, Fixtures):
    pass


class TestGet(abstract.AbstractGetTests, Fixtures):
    pass


class TestPut(abstract.AbstractPutTests, Fixtures):
    pass


class TestOpen(abstract.AbstractOpenTests, Fixtures):
    pass


class TestPipe(abstract.AbstractPipeTests, Fixtures):
    pass
