"""What does not belong into a store, and lies there all the same: it is named, or it is no matter. Never a traceback."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from tests.engine.builders import Place, commit

from sheaf.errors import SheafError
from sheaf.storage.memory import MemoryBackend
from sheaf.testing.invariants import assert_complete

PLACES = (
    "log/0-rubbish",
    "log/000000000000/rubbish.json",
    "repos/rubbish",
    "repos/REPO/rubbish",
    "repos/REPO/log/0-rubbish",
    "repos/REPO/log/999999999999/0.json",
    "repos/REPO/pages/rubbish",
    "repos/REPO/diamonds/rubbish",
    "repos/REPO/diamonds/rubbish/rubbish",
    "sessions/rubbish",
    "sessions/rubbish.json",
    "condemned/rubbish",
    "erased/rubbish",
    "index/rubbish",
    "index/0/rubbish",
    "moved/rubbish",
    "moved/00/rubbish/rubbish",
    "runs/rubbish",
    "runs/rubbish/rubbish",
    "packs/rubbish",
    "nodes/rubbish",
    "objects/rubbish",
    "rubbish",
)

#: Where it may be an error: it could be what gc has written, or the newest record.
TELLING = ("log", "condemned", "erased", "repos/REPO/log")


def everything(place: Place) -> list[Callable[[], object]]:
    """What people do with a store."""
    return [
        lambda: place.store().repos(),
        lambda: place.store().info(),
        lambda: place.repo().bundles(),
        lambda: place.repo().bundle("main").read("a"),
        lambda: place.repo().labels(),
        lambda: place.repo().label_history(),
        lambda: place.repo().diamonds(),
        lambda: place.store().runs.list(),
        lambda: commit(place.repo(), {"b": b"b"}),
        lambda: place.repo().upload(place.folder("in", {"c": b"c"}), message="m"),
        lambda: place.repo().create_diamond().add_split(place.folder("in", {"c": b"c"})),
    ]


@pytest.mark.parametrize("where", PLACES)
@pytest.mark.parametrize("content", [b"", b"rubbish", b"{}"])
def test_rubbish_is_named_or_no_matter(place: Place, where: str, content: bytes) -> None:
    repo = place.repo()
    commit(repo, {"a": b"a"})
    key = where.replace("REPO", repo.id)
    place.backend.create(key, content)
    for action in everything(place):
        try:
            action()
        except SheafError as error:
            assert where.startswith(TELLING), error
            assert "rubbish" in error.message or key in error.message, error
    report = place.store().check(read_data=True) if not where.startswith("log/") else None
    for problem in report.problems if report else []:
        assert "rubbish" in problem.key + problem.message or key in problem.key + problem.message
    if not where.startswith(TELLING):
        assert_complete(place.repo().bundle("main"))
    assert isinstance(place.backend, MemoryBackend)
