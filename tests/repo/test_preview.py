"""An upload that is only planned: it says what the upload then does, and leaves the store as it was."""

from __future__ import annotations

import os
import random
from pathlib import Path

import pytest

import sheaf
from sheaf.errors import AlreadyExists, Conflict, InvalidInput, NotFound, Refused

_NAMES = ("a", "b", "c d", "é", "x/1", "x/2", "x/y/z", "A", ".conflicts/1", ".sheafignore")


@pytest.fixture
def repo(tmp_path: Path) -> sheaf.Repo:
    store = sheaf.connect(str(tmp_path / "store"), create=True, cache=tmp_path / "cache")
    return store.create_repo("r")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "folder"
    made.mkdir()
    return made


def _objects(repo: sheaf.Repo) -> dict[str, int]:
    return {stat.key: stat.size for stat in repo.context.core.backend.list()}


def _change_something(folder: Path, dice: random.Random) -> None:
    for name in dice.sample(_NAMES, 4):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.is_symlink() or (path.exists() and dice.random() < 0.4):
            path.unlink()
        elif dice.random() < 0.2 and not path.exists():
            path.symlink_to(dice.choice("pq"))
        else:
            content = b"b\n" if name == ".sheafignore" else bytes([dice.randrange(4)]) * dice.choice([0, 3, 300_000])
            path.write_bytes(content)
            path.chmod(dice.choice([0o644, 0o755]))


@pytest.mark.parametrize("seed", range(6))
def test_a_plan_is_what_the_upload_then_does(repo: sheaf.Repo, folder: Path, seed: int) -> None:
    dice = random.Random(seed)
    (folder / "always").write_bytes(b"always")
    before = None
    for _ in range(4):
        _change_something(folder, dice)
        stored = _objects(repo)
        plan = repo.plan_upload(folder)
        assert _objects(repo) == stored
        after = repo.upload(folder, message="m").bundle
        assert plan.parent == (before.id if before else "")
        assert plan.warnings == repo.plan_upload(folder).warnings
        assert (plan.files, plan.bytes) == (after.files, after.size)
        if before is None:
            assert {each.path for each in plan.changes} == {each.path for each in after.ls(recursive=True)}
            assert {each.kind for each in plan.changes} == {"added"}
        else:
            assert [_told(each) for each in plan.changes] == [_told(each) for each in before.diff(after)]
        before = after


def _told(change: sheaf.Change) -> tuple[object, ...]:
    sides = [(side.kind, side.size, side.content) if side else None for side in (change.old, change.new)]
    return (change.kind, change.path, change.old_path, *sides)


def test_new_bytes_are_those_that_the_parent_does_not_have(repo: sheaf.Repo, folder: Path) -> None:
    (folder / "old").write_bytes(b"1" * 10)
    repo.upload(folder, message="m")
    (folder / "old").rename(folder / "moved")
    (folder / "one").write_bytes(b"2" * 100)
    (folder / "two").write_bytes(b"2" * 100)
    plan = repo.plan_upload(folder)
    assert [change.kind for change in plan.changes] == ["renamed", "added", "added"]
    assert plan.new_bytes == 100


def test_the_parent_is_the_head_of_the_branch(repo: sheaf.Repo, folder: Path) -> None:
    (folder / "a").write_bytes(b"a")
    first = repo.upload(folder, message="m").bundle
    assert repo.plan_upload(folder).parent == first.id
    assert repo.plan_upload(folder).changes == []
    assert repo.plan_upload(folder, branch="new").parent == ""
    assert [change.kind for change in repo.plan_upload(folder, branch="new").changes] == ["added"]


def test_listed_files_are_the_whole_bundle(repo: sheaf.Repo, folder: Path) -> None:
    for name in "abc":
        (folder / name).write_bytes(name.encode())
    repo.upload(folder, message="m")
    plan = repo.plan_upload(folder, files=["a"])
    assert [(change.kind, change.path) for change in plan.changes] == [("deleted", "b"), ("deleted", "c")]
    assert plan.files == 1


def test_what_can_not_be_read_is_named_or_left_out(repo: sheaf.Repo, folder: Path) -> None:
    (folder / "a").write_bytes(b"a")
    (folder / "pipe").write_bytes(b"was a file")
    repo.upload(folder, message="m")
    (folder / "pipe").unlink()
    os.mkfifo(folder / "pipe")
    with pytest.raises(InvalidInput, match="pipe"):
        repo.plan_upload(folder)
    plan = repo.plan_upload(folder, skip_on_error=True)
    assert [item.path for item in plan.skipped] == ["pipe"]
    assert [(change.kind, change.path) for change in plan.changes] == [("deleted", "pipe")]
    assert plan.files == 1


def test_a_file_that_fails_while_it_is_read_would_not_be_there(
    repo: sheaf.Repo, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "a").write_bytes(b"a")
    (folder / "bad").write_bytes(b"1234")

    def fail(path: str, *scanned: int) -> None:
        if path.endswith("/bad"):
            raise Conflict("bad changed while it was read")

    monkeypatch.setattr("sheaf.transfer.local.hashes.read_whole", fail)
    plan = repo.plan_upload(folder, skip_on_error=True)
    assert [item.path for item in plan.skipped] == ["bad"]
    assert ([change.path for change in plan.changes], plan.files, plan.bytes) == (["a"], 1, 1)


def test_it_refuses_what_the_upload_refuses(repo: sheaf.Repo, folder: Path, tmp_path: Path) -> None:
    with pytest.raises(Refused, match="no files to upload"):
        repo.plan_upload(folder)
    assert repo.plan_upload(folder, allow_empty=True).files == 0
    (folder / "A").write_bytes(b"1")
    (folder / "a").write_bytes(b"2")
    with pytest.raises(Refused, match="collide"):
        repo.plan_upload(folder, portable=True)
    assert "collide" in repo.plan_upload(folder).warnings[0]
    repo.upload(folder, message="m", label="v1")
    with pytest.raises(AlreadyExists, match="v1"):
        repo.plan_upload(folder, label="v1")
    repo.plan_upload(folder, label="v1", move_label=True)
    with pytest.raises(NotFound):
        repo.plan_upload(tmp_path / "nothing")


def test_erased_contents_are_refused_or_warned_of(repo: sheaf.Repo, folder: Path) -> None:
    (folder / "a").write_bytes(b"a")
    (folder / "secret").write_bytes(b"secret")
    bundle = repo.upload(folder, message="m").bundle
    store = sheaf.connect(repo.context.core.backend.url)
    store.erasure.erase(content=str(bundle.entry("secret").content), reason="request")
    with pytest.raises(Refused, match="'secret' was erased"):
        repo.plan_upload(folder)
    (folder / "secret").unlink()
    assert [change.kind for change in repo.plan_upload(folder).changes] == ["deleted"]
    (folder / "again").write_bytes(b"secret")
    assert repo.plan_upload(folder, allow_erased=True).changes[0].kind == "renamed"
    with pytest.raises(Refused, match="erased"):
        repo.plan_upload(folder)
    assert "has been stored again" in repo.plan_upload(folder, allow_erased=True).warnings[0]
