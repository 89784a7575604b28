"""Edits: folders, a label in the same commit, and a head that must be where it was seen."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

import sheaf
from sheaf.errors import Conflict, NotFound


@pytest.fixture
def repo() -> Iterator[sheaf.Repo]:
    with sheaf.init("memory://", probe=False) as store:
        yield store.create_repo("faces")


def test_an_empty_folder_is_made_with_those_above(repo: sheaf.Repo) -> None:
    with repo.edit(message="folders", label="v1") as edit:
        edit.mkdir("a/b/c", mode=0o700)
        edit.commit()
    bundle = repo.bundle("label:v1")
    assert [(entry.path, entry.kind) for entry in bundle.ls(recursive=True)] == [
        ("a", "folder"),
        ("a/b", "folder"),
        ("a/b/c", "folder"),
    ]
    assert bundle.entry("a/b/c").mode == 0o700


def test_an_edit_of_what_was_seen_is_refused_once_the_branch_has_moved(repo: sheaf.Repo) -> None:
    def put(path: str, expect: str | None) -> sheaf.Bundle:
        with repo.edit(message=path, expect=expect) as edit:
            edit.put(path, b"x")
            return edit.commit()

    first = put("a", "")
    second = put("b", first.id)
    with pytest.raises(Conflict, match=second.id):
        put("c", first.id)
    assert repo.bundle("main").id == second.id


def test_symlinks_are_followed_inside_a_bundle_and_never_out_of_it(repo: sheaf.Repo) -> None:
    with repo.edit(message="links") as edit:
        edit.put("data/deep/x", b"x")
        for path, target in {
            "file": "data/deep/x",
            "folder": "./data",
            "data/up": "../folder/deep",
            "circle": "circle",
            "out": "../x",
            "absolute": "/data/deep/x",
            "dangling": "none",
        }.items():
            edit.symlink(path, target)
        view = edit.commit().view
    assert view.follow("file").path == "data/deep/x"
    assert view.follow("folder/up/x").path == "data/deep/x"
    assert view.follow("folder").path == "data"
    for path in ("circle", "out", "absolute", "dangling", "folder/none"):
        with pytest.raises(NotFound):
            view.follow(path)
