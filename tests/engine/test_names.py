"""Repos, labels and branches: what several people do to them at once."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from tests.engine.builders import Interrupted, Place, commit

from sheaf.engine.clock import Clock
from sheaf.engine.core import create_store
from sheaf.errors import AlreadyExists, Conflict, NotFound
from sheaf.model.records import SetLabel
from sheaf.repo import connect as connecting
from sheaf.repo.connect import connect
from sheaf.repo.repo import Repo
from sheaf.storage.port import Backend, Buffer, Created
from sheaf.storage.wrappers.wrapper import WrapperBackend


@pytest.fixture
def repo(place: Place) -> Repo:
    repo = place.repo()
    commit(repo, {"a": b"a"})
    commit(repo, {"a": b"b"})
    return repo


class Afterwards(WrapperBackend):
    """Somebody else acts right after the next record was created."""

    def __init__(self, inner: Backend, action: object) -> None:
        super().__init__(inner)
        self.action = action

    def create(self, key: str, data: Buffer | Sequence[Buffer]) -> Created:
        answer = super().create(key, data)
        if "/log/" in key and callable(self.action):
            action, self.action = self.action, None
            action()
        return answer


def test_who_set_a_label_is_told_so_even_if_it_is_deleted_at_once(place: Place, repo: Repo) -> None:
    backend = Afterwards(place.backend, lambda: repo.delete_label("v1"))
    label = place.repo(backend).set_label("v1", "main")
    assert (label.name, label.bundle) == ("v1", repo.bundle("main").id)
    assert repo.labels() == []


def test_who_made_a_branch_is_told_so_even_if_it_is_deleted_at_once(place: Place, repo: Repo) -> None:
    backend = Afterwards(place.backend, lambda: repo.delete_branch("dev"))
    assert place.repo(backend).create_branch("dev", "main").bundle == repo.bundle("main").id


def test_a_label_that_moved_is_not_moved_by_who_expects_it_elsewhere(place: Place, repo: Repo) -> None:
    old, new = (repo.bundle(ref).id for ref in ("main~1", "main"))
    repo.set_label("v1", old, expect="")
    backend = Interrupted(place.backend)
    mine = place.repo(backend)
    backend.before(f"repos/{repo.id}/log/", lambda: repo.set_label("v1", new))
    with pytest.raises(Conflict, match="v1"):
        mine.set_label("v1", old, expect=old)
    with pytest.raises(Conflict, match="v1"):
        mine.set_label("v1", old, expect="")
    assert mine.set_label("v1", old, expect=new).bundle == old


def test_a_label_that_two_delete_is_deleted_once(place: Place, repo: Repo) -> None:
    repo.set_label("v1", "main")
    backend = Interrupted(place.backend)
    mine = place.repo(backend)
    backend.before(f"repos/{repo.id}/log/", lambda: repo.delete_label("v1"))
    with pytest.raises(NotFound, match="v1"):
        mine.delete_label("v1")


def test_a_branch_that_two_make_is_made_once(place: Place, repo: Repo) -> None:
    backend = Interrupted(place.backend)
    mine = place.repo(backend)
    backend.before(f"repos/{repo.id}/log/", lambda: repo.create_branch("dev", "main~1"))
    with pytest.raises(AlreadyExists, match="dev"):
        mine.create_branch("dev", "main")
    assert repo.branch("dev").bundle == repo.bundle("main~1").id


def test_a_label_and_a_branch_made_at_once_do_not_share_a_name(place: Place, repo: Repo) -> None:
    backend = Interrupted(place.backend)
    mine = place.repo(backend)
    backend.before(f"repos/{repo.id}/log/", lambda: repo.create_branch("dev"))
    with pytest.raises(AlreadyExists, match="a branch 'dev' already exists"):
        mine.set_label("dev", "main")
    backend.before(f"repos/{repo.id}/log/", lambda: repo.set_label("v1", "main"))
    with pytest.raises(AlreadyExists, match="a label 'v1' already exists"):
        mine.create_branch("v1")


def test_an_edit_does_not_make_a_branch_of_a_name_that_became_a_label(place: Place, repo: Repo) -> None:
    with pytest.raises(AlreadyExists, match="label 'v1'"), place.repo().edit(message="x", branch="v1") as edit:
        repo.set_label("v1", "main")
        edit.put("a", b"c")
        edit.commit()
    assert [branch.name for branch in repo.branches()] == ["main"]


def test_what_shares_a_name_already_can_be_moved_and_deleted(place: Place, repo: Repo) -> None:
    id = repo.bundle("main").id
    repo.context.log.append(lambda head: (SetLabel("main", id),))  # as older programs could
    commit(repo, {"a": b"c"})
    assert repo.bundle("branch:main").id != id
    assert repo.set_label("main", "branch:main").bundle == repo.bundle("branch:main").id
    repo.delete_label("main")
    assert repo.bundle("main").id == repo.bundle("branch:main").id


def test_two_repos_do_not_get_one_name(place: Place, repo: Repo) -> None:
    other = place.store().create_repo("other")
    with pytest.raises(AlreadyExists, match="other"):
        repo.rename("other")
    backend = Interrupted(place.backend)
    mine = place.store(backend).repo("other")
    backend.before("log/", lambda: repo.rename("new"))
    with pytest.raises(AlreadyExists, match="new"):
        mine.rename("new")
    assert {info.name: info.id for info in place.store().repos()} == {"new": repo.id, "other": other.id}


def test_a_name_is_free_again_when_its_repo_is_gone(place: Place, repo: Repo) -> None:
    repo.delete()
    with pytest.raises(NotFound):
        place.store().repo("faces")
    with pytest.raises(NotFound):
        repo.delete()
    again = place.store().create_repo("faces")
    assert again.id != repo.id
    assert again.bundles() == []


def test_a_renamed_repo_keeps_everything(place: Place, repo: Repo) -> None:
    repo.set_label("v1", "main")
    stale = place.repo()
    repo.rename("team/people")
    assert place.store().repo("team/people").bundle("v1").id == stale.bundle("v1").id
    assert stale.set_label("v2", "main").bundle == repo.bundle("v2").id
    with pytest.raises(NotFound):
        place.store().repo("faces")


def test_two_that_make_a_store_at_once_share_it(monkeypatch: pytest.MonkeyPatch) -> None:

    def late(backend: Backend, clock: Clock) -> object:
        create_store(backend, clock)
        return create_store(backend, clock)

    monkeypatch.setattr(connecting, "create_store", late)
    with connect("memory://made-by-two", create=True) as store:
        assert store.repos() == []
