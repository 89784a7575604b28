"""What is written on this machine is its owner's alone, whatever the umask says."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.engine.builders import commit, noise

from sheaf.engine.core import create_store
from sheaf.engine.object_cache import FolderCache, set_room
from sheaf.repo.store import Store
from sheaf.settings.configfile import save
from sheaf.storage.folder.backend import FolderBackend
from sheaf.storage.memory import MemoryBackend
from sheaf.testing.clock import SteeredClock


@pytest.fixture(params=[0, 0o022, 0o027])
def umask(request: pytest.FixtureRequest) -> Iterator[int]:
    before = os.umask(request.param)
    yield request.param
    os.umask(before)


def open_to_others(root: Path) -> list[str]:
    """Whatever at or below a folder others, or the group, may read, write or enter."""
    found = [root, *root.rglob("*")]
    assert len(found) > 1
    return [str(path) for path in found if path.lstat().st_mode & 0o077 and not path.is_symlink()]


def filled(backend: FolderBackend | MemoryBackend, cache: Path, tmp_path: Path) -> None:
    """Upload, download, update: all that leaves files."""
    create_store(backend, SteeredClock("made"))
    with Store(backend, clock=SteeredClock("a"), cache=cache) as store:
        repo = store.create_repo("faces")
        commit(repo, {"a/b": b"b", "c": noise(100_000)})
        repo.bundle().download(tmp_path / "got")
        repo.bundle().update(tmp_path / "got")
        source = tmp_path / "source"
        source.mkdir()
        (source / "x").write_bytes(b"x")
        repo.upload(source, message="m")


@pytest.mark.usefixtures("umask")
def test_a_local_store(tmp_path: Path) -> None:
    root = tmp_path / "above" / "store"
    filled(FolderBackend(root, durability="none"), tmp_path / "cache", tmp_path)
    assert open_to_others(root) == []
    assert root.parent.stat().st_mode & 0o022 == 0


@pytest.mark.usefixtures("umask")
def test_caches_and_all_above_them_that_was_made(tmp_path: Path) -> None:
    cache = tmp_path / "home" / ".cache" / "sheaf"
    filled(FolderBackend(tmp_path / "store", durability="none"), cache, tmp_path)
    FolderCache(cache / "objects").put("nodes/00/x", b"x")
    set_room(cache, 1 << 20)
    assert open_to_others(tmp_path / "home") == []


@pytest.mark.usefixtures("umask")
def test_the_configuration(tmp_path: Path) -> None:
    file = tmp_path / "home" / ".config" / "sheaf" / "config.yaml"
    save(file, {"store": "s3://b"})
    assert open_to_others(tmp_path / "home") == []
    file.chmod(0o666)
    save(file, {"store": "s3://c"})
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_a_download_is_no_wider_than_the_bundle_says(tmp_path: Path, umask: int) -> None:
    filled(FolderBackend(tmp_path / "store", durability="none"), tmp_path / "cache", tmp_path)
    for path in (tmp_path / "got").rglob("*"):
        assert path.stat().st_mode & 0o022 == 0, umask
    assert not list(tmp_path.glob(".got*"))


@pytest.mark.usefixtures("umask")
def test_a_shared_store_is_the_group_s_and_nobody_else_s(tmp_path: Path) -> None:
    root = tmp_path / "store"
    filled(FolderBackend(root, durability="none", shared="group"), tmp_path / "cache", tmp_path)
    assert [str(path) for path in (root, *root.rglob("*")) if path.lstat().st_mode & 0o007] == []
