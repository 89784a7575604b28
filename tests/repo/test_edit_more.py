"""Edits: folders, a label in the same commit, and a head that must be where it was seen."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

import sheaf
from sheaf.errors import Conflict, InvalidInput, NotFound


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


def test_a_pipe_is_refused_where_a_file_is_wanted(repo: sheaf.Repo, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with repo.edit(message="pipe") as edit, pytest.raises(InvalidInput, match="pipe' is not a file"):
        edit.put_file("pipe", tmp_path / "pipe")


def test_a_folder_comes_without_what_is_ignored(repo: sheaf.Repo, tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    for name in ("a", "b.tmp", "deep/c"):
        (tmp_path / name).write_text(name)
    (tmp_path / "link").symlink_to("nowhere")
    (tmp_path / ".sheafignore").write_text("*.tmp\n")
    with repo.edit(message="folder") as edit:
        edit.put_folder("", tmp_path)
        edit.put_folder("/again/", tmp_path / "deep")
        edit.commit()
    paths = [entry.path for entry in repo.bundle("main").ls(recursive=True)]
    assert paths == [".sheafignore", "a", "again", "deep", "link", "again/c", "deep/c"]
