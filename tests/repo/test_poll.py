"""What is waited for, when it is seen, and what waiting costs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest

import sheaf
from sheaf.engine.log.resolve import Quarantined
from sheaf.errors import InvalidInput, NotFound, Unavailable
from sheaf.model.records import Author, SetAside
from sheaf.repo.repo import Repo
from sheaf.repo.store import Store
from sheaf.storage.open import open_backend
from sheaf.storage.wrappers.count import Call, CountBackend
from sheaf.transfer.bundles.poll import Polling, TimedOut, wait_for, wait_for_bundle
from sheaf.transfer.progress import ProgressState


@dataclass
class World:
    """Time that passes in pauses only; ``events``: what others do in the nth of them, from 1."""

    events: Mapping[int, Callable[[], object]] = field(default_factory=dict)
    pauses: list[float] = field(default_factory=list)

    def polling(self, timeout: float | None = 1e6) -> Polling:
        return Polling(timeout, now=lambda: sum(self.pauses), sleep=self.sleep)

    def sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.events.get(len(self.pauses), lambda: None)()


@pytest.fixture
def repo(tmp_path: Path) -> Repo:
    (tmp_path / "in").mkdir()
    (tmp_path / "in/a").write_text("a")
    repo = sheaf.connect(str(tmp_path / "store"), create=True, cache=None).create_repo("faces")
    repo.upload(tmp_path / "in", message="first")
    return repo


def beside(repo: Repo) -> Repo:
    """The same repo as another process sees it."""
    return sheaf.connect(repo.context.core.backend.url, cache=None).repo("faces")


def commit(repo: Repo, text: str) -> str:
    with repo.edit(message=text) as edit:
        edit.put("a", text.encode())
        return edit.commit().id


def test_a_label_is_seen_once_it_is_there(repo: Repo) -> None:
    other = beside(repo)
    world = World({3: lambda: other.set_label("v1", "main")})
    assert wait_for_bundle(repo.context, label="v1", polling=world.polling()).id == repo.bundle("main").id
    assert len(world.pauses) == 3


def test_what_is_there_already_takes_no_pause(repo: Repo) -> None:
    assert repo.wait_for(branch="main", timeout=0).id == repo.bundle("main").id


def test_a_branch_has_moved_once_it_is_beyond(repo: Repo) -> None:
    other, first = beside(repo), repo.bundle("main").id
    made: list[str] = []
    world = World({2: lambda: made.append(commit(other, "second"))})
    assert [wait_for_bundle(repo.context, branch="main", after=first, polling=world.polling()).id] == made
    assert repo.wait_for(branch="main", after="main~1", timeout=0).id == made[0], "any ref names the bundle"


def test_a_branch_that_moves_back_is_not_beyond(repo: Repo) -> None:
    other, first = beside(repo), repo.bundle("main").id
    second, third = commit(other, "second"), commit(other, "third")
    made: list[str] = []
    events = {1: lambda: other.set_branch("main", first), 2: lambda: made.append(commit(other, "another line"))}
    assert second != third
    found = wait_for_bundle(repo.context, branch="main", after=third, polling=World(events).polling())
    assert [found.id] == made


def test_the_bundle_to_wait_after_may_be_deleted(repo: Repo) -> None:
    first = repo.bundle("main").id
    second = commit(repo, "second")
    repo.set_branch("main", first)
    repo.delete_bundle(second)
    world = World({1: lambda: commit(beside(repo), "third")})
    found = wait_for_bundle(repo.context, branch="main", after=second, polling=world.polling())
    assert found.message == "third"


def test_a_bundle_that_never_was_is_not_waited_after(repo: Repo) -> None:
    with pytest.raises(NotFound, match="didn't find bundle"):
        repo.wait_for(branch="main", after="0" * 27, timeout=0)


def test_pauses_grow_up_to_a_limit_and_the_last_question_comes_at_the_end(repo: Repo) -> None:
    world = World()
    with pytest.raises(TimedOut, match=r"timed out after 1000 s: label 'v1' of repo faces does not exist") as caught:
        wait_for_bundle(repo.context, label="v1", polling=world.polling(1000))
    assert sum(world.pauses) == pytest.approx(1000)
    assert world.pauses[:-1] == sorted(world.pauses[:-1])
    assert (world.pauses[0], max(world.pauses)) == (0.5, 30.0)
    assert len(world.pauses) < 100
    assert isinstance(caught.value, Unavailable)


def test_it_is_seen_at_the_last_moment(repo: Repo) -> None:
    other = beside(repo)
    world = World({2: lambda: other.set_label("v1", "main")})
    wait_for_bundle(repo.context, label="v1", polling=world.polling(0.6))
    assert world.pauses == [0.5, pytest.approx(0.1)]


def test_each_question_is_one_request(repo: Repo) -> None:
    counted = CountBackend(open_backend(repo.context.core.backend.url))
    store = Store(counted, author=Author("t"), cache=None)
    there, world = store.repo("faces"), World()
    there.branches()
    counted.reset()
    with pytest.raises(TimedOut):
        wait_for_bundle(there.context, label="v1", polling=world.polling(2.5))
    assert counted.requests == {Call("get", "repos"): len(world.pauses) + 1}


def test_a_repo_need_not_exist_yet(repo: Repo) -> None:
    store = sheaf.connect(repo.context.core.backend.url, cache=None)
    other = sheaf.connect(repo.context.core.backend.url, cache=None)

    def make() -> None:
        commit(other.create_repo("people"), "first")

    found = wait_for(store.connected, "people", branch="main", polling=World({2: make}).polling())
    assert found.id == other.repo("people").bundle().id
    with pytest.raises(TimedOut, match="repo nobody does not exist"):
        wait_for(store.connected, "nobody", label="v1", polling=World().polling(1))


def test_a_repo_that_is_deleted_is_not_waited_for(repo: Repo) -> None:
    other = beside(repo)
    with pytest.raises(NotFound, match="repo faces was deleted"):
        wait_for_bundle(repo.context, label="v1", polling=World({3: other.delete}).polling())


def test_a_bundle_that_is_quarantined_is_said_to_be(repo: Repo) -> None:
    bundle = repo.bundle("main")
    repo.context.log.append(lambda head: (SetAside(bundle.id, "lost"),))
    with pytest.raises(Quarantined, match="is quarantined: lost"):
        repo.wait_for(branch="main", timeout=0)


@pytest.mark.parametrize(
    "choice",
    [{}, {"label": "v1", "branch": "main"}, {"label": "v1", "after": "main"}, {"label": ""}, {"branch": "a b"}],
)
def test_what_could_never_happen_is_refused(repo: Repo, choice: dict[str, str]) -> None:
    with pytest.raises(InvalidInput):
        repo.wait_for(**choice, timeout=0)  # type: ignore[arg-type]
    for timeout in (-1, float("nan")):
        with pytest.raises(InvalidInput):
            repo.wait_for(label="v1", timeout=timeout)


def test_each_question_is_progress(repo: Repo) -> None:
    seen: list[ProgressState] = []
    other = beside(repo)
    world = World({1: lambda: other.set_label("v1", "main")})
    wait_for_bundle(repo.context, label="v1", polling=world.polling(), progress=seen.append)
    assert [(state.phase, state.files) for state in seen] == [("wait", 1)]
