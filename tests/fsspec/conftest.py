"""A store in memory, behind a file system of its own."""

from __future__ import annotations

from collections.abc import Iterator
from uuid import uuid4

import pytest

import fsspec
import sheaf
from sheaf.fsspec import SheafFileSystem


@pytest.fixture
def url() -> str:
    return f"memory://{uuid4()}"


@pytest.fixture
def store(url: str) -> Iterator[sheaf.Store]:
    with sheaf.init(url, probe=False) as store:
        yield store


@pytest.fixture
def repo(store: sheaf.Store) -> sheaf.Repo:
    return store.create_repo("acme/faces")


@pytest.fixture
def fs(url: str, repo: sheaf.Repo) -> Iterator[SheafFileSystem]:
    fsspec.register_implementation("sheaf", SheafFileSystem, clobber=True)
    fs = SheafFileSystem(store=url, name="ada", skip_instance_cache=True)
    yield fs
    fs.access.connection.close()
