"""Whether a label is free is asked by the record that sets it."""

from __future__ import annotations

from pathlib import Path

import pytest

import sheaf
from sheaf.errors import AlreadyExists
from sheaf.model.records import SetLabel
from sheaf.repo.repo import Repo


@pytest.fixture
def repo(tmp_path: Path) -> Repo:
    (tmp_path / "in").mkdir()
    (tmp_path / "in/a").write_text("a")
    return sheaf.connect(str(tmp_path / "store"), create=True, cache=None).create_repo("faces")


def _beside(repo: Repo) -> Repo:
    """The same repo as another process sees it."""
    return sheaf.connect(repo.context.core.backend.url, cache=None).repo("faces")


def test_a_label_that_is_set_while_an_upload_runs_stays_where_it_is(repo: Repo, tmp_path: Path) -> None:
    first = repo.upload(tmp_path / "in", message="first").bundle

    def rival(state: object) -> None:
        if not other.labels():
            other.set_label("v1", first.id)

    other = _beside(repo)
    with pytest.raises(AlreadyExists, match="already points to bundle"):
        repo.upload(tmp_path / "in", message="second", label="v1", progress=rival)
    assert [bundle.id for bundle in repo.bundles()] == [first.id]
    assert repo.label("v1").bundle == first.id


def test_the_same_holds_for_an_edit(repo: Repo, tmp_path: Path) -> None:
    first = repo.upload(tmp_path / "in", message="first").bundle
    with repo.edit(message="second", label="v1") as edit:
        edit.put("b", b"b")
        _beside(repo).set_label("v1", first.id)
        with pytest.raises(AlreadyExists, match="already points to bundle"):
            edit.commit()
    with pytest.raises(AlreadyExists), repo.edit(message="third", label="v1"):
        pytest.fail("the edit began")
    with repo.edit(message="third", label="v1", move_label=True) as edit:
        edit.put("b", b"b")
        made = edit.commit()
    assert repo.label("v1").bundle == made.id


def test_the_record_says_that_the_label_was_free(repo: Repo, tmp_path: Path) -> None:
    repo.upload(tmp_path / "in", message="first", label="v1")
    repo.upload(tmp_path / "in", message="second", label="v1", move_label=True)
    ops = [op for record in repo.context.log.records() for op in record.ops if isinstance(op, SetLabel)]
    assert [(op.check, op.expect) for op in ops] == [(True, None), (False, None)]


def test_a_label_is_set_without_moving_it(repo: Repo, tmp_path: Path) -> None:
    first = repo.upload(tmp_path / "in", message="first").bundle
    second = repo.upload(tmp_path / "in", message="second").bundle
    for _ in range(2):
        assert repo.set_label("v1", first.id, move=False).bundle == first.id
    with pytest.raises(AlreadyExists):
        repo.set_label("v1", second.id, move=False)
    assert repo.set_label("v1", second.id).bundle == second.id
