"""A folder with old and new files, a store, and a watcher through which a test acts at each step of a run."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

import sheaf
from sheaf.datamover.deletion_limits import DeletionBudget
from sheaf.datamover.folder_move import FolderMove, MovedFolder, MoveRequest
from sheaf.repo.bundle import Bundle
from sheaf.repo.repo import Repo

OLD = {"old": b"old", "sub/a": b"first", "sub/deep/b": b"second", "sub/big": b"x" * 5_000_000}
NEW = {"new": b"new", "sub/c": b"third"}
LONG_AGO = 1_000_000_000 * 10**9
BEFORE = 1_100_000_000 * 10**9
Hook = Callable[[str], object]


def write(path: Path, data: bytes, mtime: int | None = LONG_AGO) -> Path:
    """Write a file, and make it old unless ``mtime`` is None."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    if mtime is not None:
        os.utime(path, ns=(mtime, mtime))
    return path


def files_in(folder: Path) -> dict[str, bytes]:
    """The regular files below a folder."""
    found = (path for path in sorted(folder.rglob("*")) if path.is_file() and not path.is_symlink())
    return {str(path.relative_to(folder)): path.read_bytes() for path in found}


@dataclass
class Steps:
    """Notes each step of a run and calls the hook with its name, such as ``removable old``."""

    top: Path
    hook: Hook = lambda step: None
    steps: list[str] = field(default_factory=list)
    removed: list[str] = field(default_factory=list)
    saved: list[str] = field(default_factory=list)

    def _at(self, step: str) -> None:
        self.steps.append(step)
        self.hook(step)

    def progress(self, title: str) -> None:
        self._at(f"progress {title}")

    def listed(self, paths: Iterator[str]) -> None:
        self.paths = list(paths)
        self._at("listed")

    def committed(self, bundle: Bundle) -> None:
        self._at("committed")

    def uploaded(self, paths: Iterator[str]) -> None:
        self.saved = list(paths)
        self._at("uploaded")

    def removable(self, path: str) -> None:
        name = os.path.relpath(path, self.top)
        self.removed.append(name)
        self._at(f"removable {name}")


@dataclass
class World:
    """A folder and a repo to move it to."""

    top: Path
    repo: Repo
    url: str
    _opened: list[sheaf.Store] = field(default_factory=list)

    def again(self) -> Repo:
        """The repo of a store that is opened without a cache."""
        store = sheaf.connect(self.url)
        self._opened.append(store)
        return store.repo("moved")

    def request(self, **fields: Any) -> MoveRequest:
        given = {"unlink": True, "budget": DeletionBudget(), "label": "moved-1", "message": "m", "before": BEFORE}
        return MoveRequest(repo=self.repo, proof_repo=self.again, **{"folder": self.top, **given, **fields})

    def move(self, hook: Hook = lambda step: None, **fields: Any) -> tuple[MovedFolder, Steps]:
        steps = Steps(self.top, hook)
        return FolderMove(self.request(**fields), steps).run(), steps

    def reasons(self, moved: MovedFolder) -> dict[str, str]:
        return {each.path: each.reason for each in moved.kept}

    def close(self) -> None:
        for store in self._opened:
            store.close()


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    url = f"memory://{tmp_path}"
    top = tmp_path / "data"
    for name, data in OLD.items():
        write(top / name, data)
    for name, data in NEW.items():
        write(top / name, data, None)
    with sheaf.init(url, probe=False, cache=tmp_path / "cache") as store:
        made = World(top, store.create_repo("moved"), url)
        yield made
        made.close()
