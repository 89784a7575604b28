"""Many writes, one bundle; reads inside see them, nobody outside does."""

from __future__ import annotations

import os

import pytest

import sheaf
from sheaf.fsspec import SheafFileSystem

AT = "acme/faces@main"
BIG = os.urandom(3 << 20)


@pytest.fixture(autouse=True)
def first(repo: sheaf.Repo) -> sheaf.Bundle:
    with repo.edit(message="first") as edit:
        for path in ("a", "folder/b", "folder/sub/c"):
            edit.put(path, path.encode())
        return edit.commit()


def paths(fs: SheafFileSystem) -> list[str]:
    return [name.removeprefix(AT + "/") for name in fs.find(AT)]


def test_all_of_it_is_one_bundle(fs: SheafFileSystem, repo: sheaf.Repo) -> None:
    with fs.transaction as transaction:
        fs.pipe_file(f"{AT}/new", b"new")
        fs.rm(f"{AT}/folder/sub", recursive=True)
        with fs.open(f"{AT}/big", "wb") as stream:
            stream.write(BIG)
        assert len(repo.bundles()) == 1
        transaction.message, transaction.label = "cleaned", "v2"
    (bundle,) = transaction.bundles
    assert len(repo.bundles()) == 2
    assert (bundle.message, repo.bundle("label:v2").id) == ("cleaned", bundle.id)
    assert paths(fs) == ["a", "big", "folder/b", "new"]
    assert fs.cat(f"{AT}/big") == BIG


def test_an_exception_leaves_nothing(fs: SheafFileSystem, repo: sheaf.Repo) -> None:
    with pytest.raises(RuntimeError), fs.transaction:
        fs.pipe_file(f"{AT}/new", b"new")
        raise RuntimeError
    assert len(repo.bundles()) == 1
    fs.pipe_file(f"{AT}/after", b"")
    assert paths(fs) == ["a", "after", "folder/b", "folder/sub/c"]


def test_a_transaction_that_wrote_nothing_makes_no_bundle(fs: SheafFileSystem, repo: sheaf.Repo) -> None:
    with fs.transaction as transaction:
        assert fs.cat(f"{AT}/a") == b"a"
    assert transaction.bundles == []
    assert len(repo.bundles()) == 1


def test_reads_inside_see_what_was_written(fs: SheafFileSystem, url: str) -> None:
    other = SheafFileSystem(store=url, skip_instance_cache=True)
    with fs.transaction:
        fs.pipe_file(f"{AT}/folder/new", b"new")
        fs.pipe_file(f"{AT}/a", BIG)
        with fs.open(f"{AT}/folder/new", "ab") as stream:
            stream.write(b"er")
        fs.copy(f"{AT}/folder/new", f"{AT}/copy")
        fs.copy(f"{AT}/folder/b", f"{AT}/copied")
        fs.rm_file(f"{AT}/folder/b")
        fs.mkdir(f"{AT}/made/deep")
        assert fs.cat(f"{AT}/folder/new") == fs.cat(f"{AT}/copy") == b"newer"
        assert fs.cat_file(f"{AT}/a", 5, 9) == BIG[5:9]
        assert fs.cat(f"{AT}/copied") == b"folder/b"
        assert fs.info(f"{AT}/a")["size"] == len(BIG)
        assert sorted(fs.ls(f"{AT}/folder", detail=False)) == [f"{AT}/folder/new", f"{AT}/folder/sub"]
        assert fs.isdir(f"{AT}/made/deep") and not fs.exists(f"{AT}/folder/b")
        seen = paths(fs)
        assert seen == ["a", "copied", "copy", "folder/new", "folder/sub/c"]
        assert other.cat(f"{AT}/a") == b"a"
        assert not other.exists(f"{AT}/copy")
    assert paths(fs) == seen
    other.access.connection.close()


def test_a_folder_is_removed_made_again_and_made_a_file(fs: SheafFileSystem) -> None:
    with fs.transaction:
        fs.rm(f"{AT}/folder", recursive=True)
        assert fs.find(f"{AT}/folder") == []
        fs.pipe_file(f"{AT}/folder/sub/d", b"d")
        assert paths(fs) == ["a", "folder/sub/d"]
        fs.rm(f"{AT}/folder", recursive=True)
        fs.pipe_file(f"{AT}/folder", b"file")
        fs.rm_file(f"{AT}/a")
        fs.pipe_file(f"{AT}/a/b", b"b")
    assert paths(fs) == ["a/b", "folder"]


def test_what_is_written_then_removed_leaves_the_bundle_as_it_was(
    fs: SheafFileSystem, repo: sheaf.Repo, first: sheaf.Bundle
) -> None:
    with fs.transaction:
        fs.pipe_file(f"{AT}/x", b"x")
        fs.rm_file(f"{AT}/x")
        fs.rm_file(f"{AT}/a")
        fs.pipe_file(f"{AT}/a", b"a")
    assert repo.bundle("main").version == first.version


def test_a_branch_that_moved_meanwhile_is_not_overwritten(
    fs: SheafFileSystem, repo: sheaf.Repo, first: sheaf.Bundle
) -> None:
    with pytest.raises(OSError, match="changed in the meantime"), fs.transaction:
        counter = fs.cat(f"{AT}/a")  # from here on the branch must not move
        with repo.edit(message="theirs") as edit:
            edit.put("a", b"theirs")
            edit.commit()
        assert fs.cat(f"{AT}/a") == b"a"
        fs.pipe_file(f"{AT}/a", counter + b"1")
    assert fs.cat(f"{AT}/a") == b"theirs"


def test_two_branches_get_a_bundle_each(fs: SheafFileSystem, repo: sheaf.Repo) -> None:
    with fs.transaction as transaction:
        fs.mkdir("acme/faces@exp")
        fs.copy(f"{AT}/folder", "acme/faces@exp/folder", recursive=True)
        fs.pipe_file(f"{AT}/x", b"x")
    assert len(transaction.bundles) == 2
    assert fs.cat("acme/faces@exp/folder/b") == b"folder/b"


def test_a_file_nobody_closed_is_part_of_it(fs: SheafFileSystem) -> None:
    with fs.transaction:
        stream = fs.open(f"{AT}/x", "wb")
        stream.write(b"x")
    assert fs.cat(f"{AT}/x") == b"x"
