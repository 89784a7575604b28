"""What an upload makes of a folder, and what it says about it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

import sheaf
from sheaf.repo.repo import Repo


@pytest.fixture
def repo(tmp_path: Path) -> Iterator[Repo]:
    with sheaf.init(str(tmp_path / "store")) as store:
        yield store.create_repo("r")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "in" / "sub" / ".checkpoints").mkdir(parents=True)
    (tmp_path / "in" / "sub" / ".checkpoints" / "kept").write_text("kept")
    (tmp_path / "in" / "a").write_text("a")
    return tmp_path / "in"


@pytest.mark.parametrize("name", [".checkpoints", ".conflicts"])
@pytest.mark.parametrize("files", [None, ["a", "{}/last.pt"]])
def test_what_looks_like_a_diamonds_is_left_out_and_named(
    repo: Repo, folder: Path, name: str, files: list[str] | None
) -> None:
    (folder / name).mkdir()
    (folder / name / "last.pt").write_text("w")
    listed = files and [file.format(name) for file in files]
    result = repo.upload(folder, message="m", files=listed)
    assert {entry.path for entry in result.bundle.ls()} == ({"a"} if files else {"a", "sub"})
    (warning,) = result.warnings
    assert f"skipped '{name}'" in warning


def test_nothing_is_said_of_traces_that_tools_leave(repo: Repo, folder: Path) -> None:
    for name in (".datamon", ".sheaf-partial"):
        (folder / name).mkdir()
    result = repo.upload(folder, message="m")
    assert result.warnings == []
    assert {entry.path for entry in result.bundle.ls()} == {"a", "sub"}


def test_a_split_of_a_diamond_says_the_same(repo: Repo, folder: Path) -> None:
    (folder / ".conflicts").mkdir()
    diamond = repo.create_diamond()
    assert "skipped '.conflicts'" in diamond.add_split(folder).warnings[0]


def test_a_branch_that_is_new_has_not_what_the_latest_bundle_has(repo: Repo, folder: Path) -> None:
    first = repo.upload(folder, message="m").bundle
    unchanged = repo.upload(folder, message="m", if_changed=True)
    assert (unchanged.committed, unchanged.bundle.id) == (False, first.id)
    other = repo.upload(folder, message="m", branch="dev", if_changed=True)
    assert other.committed and repo.bundle("branch:dev").id == other.bundle.id
