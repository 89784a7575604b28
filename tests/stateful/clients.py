"""Who works on the store in these tests, and what they may expect."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from tests.stateful.fakes import MeddlingBackend

from sheaf.engine.commit.diamonds import Mode
from sheaf.errors import SheafError
from sheaf.repo.repo import Repo
from sheaf.repo.store import Store
from sheaf.storage.memory import MemoryBackend
from sheaf.testing.clock import SteeredClock
from sheaf.testing.model_repo import ModelEntry, Tree, with_folders

CLIENTS = ("alice", "bob")


class Client:
    """One process that works on the store: it keeps its own idea of every log."""

    def __init__(self, backend: MemoryBackend, name: str) -> None:
        self.backend = MeddlingBackend(backend)
        self.name = name
        self.clock = SteeredClock(name)
        self.opened = 0
        self.open()

    def open(self) -> None:
        """Start anew, knowing nothing."""
        self.opened += 1
        self.store = Store(self.backend, clock=self.clock)
        self.repos: dict[str, Repo] = {}

    def repo(self, id: str, name: str) -> Repo:
        """A repo with what this client knew of it when it used it last."""
        if id not in self.repos:
            self.repos[id] = self.store.repo(name)
        return self.repos[id]

    def close(self) -> None:
        self.store.close()


@contextmanager
def as_expected(expected: SheafError | None) -> Iterator[None]:
    """The block raises the category of error that the model raised, or none."""
    if expected is None:
        yield
        return
    with pytest.raises(type(expected)):
        yield


def outcome(action: Callable[[], object]) -> SheafError | None:
    try:
        action()
    except SheafError as error:
        return error
    return None


def other_than(client: str) -> str:
    return next(name for name in CLIENTS if name != client)


def joined(one: Tree, two: Tree, mode: Mode) -> dict[str, ModelEntry] | None:
    """What two splits become, the second of which is later; None if they can't be joined."""
    both = [path for path in one if path in two and one[path] != two[path]]
    if any("folder" in (one[path].kind, two[path].kind) for path in both):
        return None
    if both and mode == "forbids-conflicts":
        return None
    concurrently = {"enable-conflicts": ".conflicts/one/", "enable-checkpoints": ".checkpoints/one/"}.get(mode)
    kept = {concurrently + path: one[path] for path in both} if concurrently else {}
    return with_folders({**one, **two, **kept})
