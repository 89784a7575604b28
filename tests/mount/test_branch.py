"""Two writers of one branch: whatever a mount commits, what others have committed meanwhile stays."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from tests.mount.test_overlay import OnMount

import sheaf
from sheaf.engine.commit.writer import Writer
from sheaf.errors import Conflict, NotFound
from sheaf.mount.branch_commit import head_of
from sheaf.mount.commit import Committer
from sheaf.mount.fuse.port import ROOT_INO, AttributeChange
from sheaf.mount.journal import About, Spill
from sheaf.mount.mount_options import ReadOptions
from sheaf.mount.overlay import OverlayFs
from sheaf.mount.serve import Shared

NOW = 10**18


@pytest.fixture
def repo() -> Iterator[sheaf.Repo]:
    with sheaf.init("memory://", probe=False) as store:
        repo = store.create_repo("r")
        with repo.edit(message="base") as edit:
            for path in ("a", "b", "dir/c", "dir/d"):
                edit.put(path, path.encode(), mtime_ns=NOW)
            edit.commit()
        yield repo


class Session:
    """A mount without a kernel. ``on``: what programs do to it."""

    def __init__(self, repo: sheaf.Repo, spill: Spill, base: sheaf.Bundle | None) -> None:
        self.repo, self.spill, self.about = repo, spill, spill.about()
        self._shared = Shared(repo.context.store, ReadOptions(ahead=0))
        lower = self._shared.open(base) if base else None
        self.fs = OverlayFs(spill, lower, self._shared.patience, lambda: NOW, NOW)
        self.committer = Committer(repo, self.fs, self.about, base)
        self.on = OnMount(self.fs)

    def close(self) -> None:
        self.spill.close()
        self._shared.pool.close()


@contextmanager
def begun(repo: sheaf.Repo, folder: Path, base: str | None = "main", branch: str = "main") -> Iterator[Session]:
    bundle = repo.bundle(base) if base else None
    about = About("s", "r", repo.id, bundle.id if bundle else None, branch, "mount", None, head=head_of(repo, branch))
    session = Session(repo, Spill.begin(folder, about), bundle)
    try:
        yield session
    finally:
        session.close()


@contextmanager
def taken_up(repo: sheaf.Repo, folder: Path) -> Iterator[Session]:
    """What another process does with a spill that was left."""
    spill = Spill.reopen(folder)
    base = spill.about().base
    session = Session(repo, spill, repo.bundle(f"bundle:{base}") if base else None)
    session.committer.resume(session.fs.replay())
    try:
        yield session
    finally:
        session.close()


def _edited(repo: sheaf.Repo, put: dict[str, bytes] | None = None, remove: tuple[str, ...] = ()) -> sheaf.Bundle:
    """What somebody else commits."""
    with repo.edit(message="other") as edit:
        for path, data in (put or {}).items():
            edit.put(path, data, mtime_ns=NOW)
        for path in remove:
            edit.remove(path)
        return edit.commit()


def _files(bundle: sheaf.Bundle) -> dict[str, bytes]:
    """All files; the number that the bundle notes is checked, and that each has its folders."""
    entries = {entry.path: entry.kind for entry in bundle.ls(recursive=True)}
    found = {path: bundle.read(path) for path, kind in entries.items() if kind == "file"}
    assert bundle.files == len([kind for kind in entries.values() if kind != "folder"])
    for path in entries:
        above = path.rpartition("/")[0]
        assert not above or entries[above] == "folder"
    return found


BASE = {"a": b"a", "b": b"b", "dir/c": b"dir/c", "dir/d": b"dir/d"}


def test_both_add_files_in_either_order(repo: sheaf.Repo, tmp_path: Path) -> None:
    with begun(repo, tmp_path / "1") as one, begun(repo, tmp_path / "2") as two:
        one.on.write("from-one", b"1")
        two.on.write("dir/from-two", b"2")
        first = two.committer.commit()
        assert _files(first) == {**BASE, "dir/from-two": b"2"}
        second = one.committer.commit()
        assert _files(second) == {**BASE, "dir/from-two": b"2", "from-one": b"1"}
        assert second.parents[0] == first.id == repo.bundle("main~1").id


def test_two_that_began_with_nothing_both_stay(tmp_path: Path) -> None:
    with sheaf.init("memory://", probe=False) as store:
        repo = store.create_repo("empty")
        with begun(repo, tmp_path / "1", None) as one, begun(repo, tmp_path / "2", None) as two:
            one.on.write("one", b"1")
            two.on.write("two", b"2")
            one.committer.commit()
            assert _files(two.committer.commit()) == {"one": b"1", "two": b"2"}


def test_edits_removals_and_modes_of_both_are_kept(repo: sheaf.Repo, tmp_path: Path) -> None:
    with begun(repo, tmp_path / "1") as one:
        one.on.write("a", b"new")
        one.on.unlink("dir/c")
        one.fs.setattr(one.fs.lookup(ROOT_INO, "b").ino, AttributeChange(mode=0o600))
        with repo.edit(message="other") as edit:
            edit.remove("dir/d")
            edit.put("a2", b"2", mode=0o640)
            edit.commit()
        made = one.committer.commit()
        assert _files(made) == {"a": b"new", "b": b"b", "a2": b"2"}
        assert (made.entry("b").mode & 0o777, made.entry("a2").mode & 0o777) == (0o600, 0o640)


def test_files_that_were_only_opened_are_not_changes(repo: sheaf.Repo, tmp_path: Path) -> None:
    with begun(repo, tmp_path / "1") as one:
        one.on.write("own", b"o")
        one.fs.release(one.fs.open(one.fs.lookup(ROOT_INO, "a").ino, write=True))
        _edited(repo, {"a": b"theirs"})
        assert _files(one.committer.commit()) == {**BASE, "a": b"theirs", "own": b"o"}


@pytest.mark.parametrize(
    ("own", "put", "remove", "named"),
    [
        (lambda on: on.write("a", b"1"), {"a": b"2"}, (), "'a'"),
        (lambda on: on.write("a", b"1"), {}, ("a",), "'a'"),
        (lambda on: on.unlink("a"), {"a": b"2"}, (), "'a'"),
        (lambda on: on.write("x", b"1"), {"x/y": b"2"}, (), "'x', 'x/y'"),
        (lambda on: (on.mkdir("x"), on.write("x/y", b"1")), {"x": b"2"}, (), "'x', 'x/y'"),
        (lambda on: (on.unlink("dir/c"), on.unlink("dir/d"), on.rmdir("dir")), {"dir/new": b"2"}, (), "'dir/new'"),
        (lambda on: on.write("dir/new", b"1"), {}, ("dir",), "'dir/new'"),
        (lambda on: on.rename("dir", "moved"), {"dir/c": b"2"}, (), "'dir/c'"),
    ],
)
def test_the_same_path_is_refused_by_name_and_kept(
    repo: sheaf.Repo, tmp_path: Path, own: Any, put: dict[str, bytes], remove: tuple[str, ...], named: str
) -> None:
    with begun(repo, tmp_path / "1") as one:
        own(one.on)
        seen = dict(one.fs.names(ROOT_INO))
        theirs = _edited(repo, put, remove)
        with pytest.raises(Conflict, match="changed since it was mounted") as caught:
            one.committer.commit()
        assert named in caught.value.message and "--branch NAME" in caught.value.hint
        assert repo.bundle().id == theirs.id
        assert dict(one.fs.names(ROOT_INO)) == seen
        aside = one.committer.commit(branch="mine")
        assert repo.bundle("branch:mine").id == aside.id
        assert repo.bundle().id == theirs.id
        assert one.committer.is_changed


def test_the_same_change_of_both_is_no_conflict(repo: sheaf.Repo, tmp_path: Path) -> None:
    with begun(repo, tmp_path / "1") as one:
        one.on.unlink("a")
        one.on.write("x", b"same")
        _edited(repo, {"x": b"same", "y": b"y"}, ("a",))
        made = one.committer.commit()
        assert _files(made) == {**{k: v for k, v in BASE.items() if k != "a"}, "x": b"same", "y": b"y"}


def test_a_race_for_the_commit_is_merged_again(
    repo: sheaf.Repo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, others = Writer.commit, iter(["other1", "other2"])

    def late(self: Writer, *args: Any, **named: Any) -> Any:
        if (name := next(others, None)) is not None:
            _edited_by_others(name)
        return real(self, *args, **named)

    def _edited_by_others(name: str) -> None:
        with monkeypatch.context() as patch:
            patch.setattr(Writer, "commit", real)
            _edited(repo, {name: b"o"})

    with begun(repo, tmp_path / "1") as one:
        one.on.write("own", b"1")
        monkeypatch.setattr(Writer, "commit", late)
        made = one.committer.commit()
    assert _files(made) == {**BASE, "own": b"1", "other1": b"o", "other2": b"o"}


@pytest.mark.parametrize("is_restarted", [False, True])
def test_changes_that_a_commit_was_merged_with_are_not_seen_by_the_mount(
    repo: sheaf.Repo, tmp_path: Path, is_restarted: bool
) -> None:
    """The mount goes on showing its own view, so what it changes later was not made from what others have made of it."""
    with begun(repo, tmp_path / "1") as one:
        one.on.write("mine", b"1")
        _edited(repo, {"a": b"theirs", "new": b"theirs"}, remove=("b",))
        one.committer.commit()
        one.on.write("a", b"a mine")
        one.on.write("b", b"b mine")
        one.on.write("new", b"mine")
        if not is_restarted:
            _refused_for(one, repo, ["'a'", "'b'", "'new'"])
            return
    with taken_up(repo, tmp_path / "1") as again:
        _refused_for(again, repo, ["'a'", "'b'", "'new'"])


def _refused_for(session: Session, repo: sheaf.Repo, paths: list[str]) -> None:
    head = repo.bundle("main").id
    with pytest.raises(Conflict) as info:
        session.committer.commit()
    assert all(path in str(info.value) for path in paths)
    assert repo.bundle("main").id == head


def test_a_bundle_for_another_branch_has_only_the_mounts_own_changes(repo: sheaf.Repo, tmp_path: Path) -> None:
    with begun(repo, tmp_path / "1") as one:
        base = repo.bundle("main")
        one.on.write("mine", b"1")
        _edited(repo, {"theirs": b"t"})
        merged = one.committer.commit()
        one.on.write("mine", b"2")
        aside = one.committer.commit(branch="aside")
        assert aside.parents == (base.id,)
        assert {(each.kind, each.path) for each in base.diff(aside)} == {("added", "mine")}
        one.on.write("more", b"2")
        assert one.committer.commit().parents == (merged.id,)


def test_what_others_made_of_a_published_file_stays_until_the_mount_changes_it(
    repo: sheaf.Repo, tmp_path: Path
) -> None:
    with begun(repo, tmp_path / "1") as one:
        one.on.write("a", b"1")
        one.committer.commit()
        _edited(repo, {"a": b"theirs"})
        one.on.write("more", b"1")
        assert _files(one.committer.commit()) == {**BASE, "a": b"theirs", "more": b"1"}
        assert _files(one.committer.commit()) == {**BASE, "a": b"theirs", "more": b"1"}
        one.on.write("a", b"2")
        _refused_for(one, repo, ["'a'"])


@pytest.mark.parametrize("is_restarted", [False, True])
def test_commits_meanwhile_count_as_the_mounts_own(repo: sheaf.Repo, tmp_path: Path, is_restarted: bool) -> None:
    with begun(repo, tmp_path / "1") as one:
        one.on.write("kept", b"1")
        one.on.write("gone", b"1")
        one.on.write("a", b"1")
        one.committer.commit()
        _edited(repo, {"theirs": b"t"})
        one.on.write("more", b"1")
        one.committer.commit()
        _edited(repo, {"theirs2": b"t"})
        expected = {**BASE, "a": b"2", "kept": b"22", "more": b"1", "theirs": b"t", "theirs2": b"t"}
        one.on.write("kept", b"22")
        one.on.write("a", b"2")
        one.on.unlink("gone")
        if not is_restarted:
            assert _files(one.committer.commit()) == expected
            assert _files(one.committer.commit()) == expected
            return
    with taken_up(repo, tmp_path / "1") as again:
        assert _files(again.committer.commit()) == expected


@pytest.mark.parametrize("is_committed", [False, True])
def test_a_crash_around_the_record_of_a_commit(
    repo: sheaf.Repo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_committed: bool
) -> None:
    class Killed(BaseException):
        pass

    real = Writer.commit

    def cut(self: Writer, *args: Any, **named: Any) -> Any:
        if is_committed:
            real(self, *args, **named)
        raise Killed

    with begun(repo, tmp_path / "1") as one:
        one.on.write("own", b"1")
        one.on.write("gone", b"1")
        _edited(repo, {"theirs": b"t"})
        with monkeypatch.context() as patch:
            patch.setattr(Writer, "commit", cut)
            with pytest.raises(Killed):
                one.committer.commit()
        one.on.write("own", b"2")
        one.on.unlink("gone")
    with taken_up(repo, tmp_path / "1") as again:
        assert (again.committer.last is not None) == is_committed
        assert _files(again.committer.commit()) == {**BASE, "own": b"2", "theirs": b"t"}


def test_a_branch_that_was_deleted_comes_back_whole(repo: sheaf.Repo, tmp_path: Path) -> None:
    _edited(repo)
    repo.create_branch("work", "main")
    with begun(repo, tmp_path / "1", "work", "work") as one:
        one.on.write("own", b"1")
        repo.delete_branch("work")
        with pytest.raises(NotFound):
            repo.bundle("branch:work")
        assert _files(one.committer.commit()) == {**BASE, "own": b"1"}


def test_a_mount_that_began_with_something_else_replaces(repo: sheaf.Repo, tmp_path: Path) -> None:
    """As an upload does."""
    with begun(repo, tmp_path / "1", None) as one:
        one.on.write("only", b"1")
        _edited(repo, {"theirs": b"t"})
        made = one.committer.commit()
        assert _files(made) == {"only": b"1"}
        assert made.parents == (repo.bundle("main~1").id,)


def test_a_spill_of_an_older_sheaf_replaces_as_it_did(repo: sheaf.Repo, tmp_path: Path) -> None:
    base = repo.bundle()
    spill = Spill.begin(tmp_path / "1", About("s", "r", repo.id, base.id, "main", "m", None))
    session = Session(repo, spill, base)
    session.on.write("own", b"1")
    _edited(repo, {"theirs": b"t"})
    assert _files(session.committer.commit()) == {**BASE, "own": b"1"}
    session.close()
