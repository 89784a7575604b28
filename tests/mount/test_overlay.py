"""A writable mount without the kernel, against a real folder: any run of operations leaves the same in both.

Then the journal alone gives it back, and a commit of it has the version that an upload of the folder has.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import sheaf
from sheaf.model.records import DeleteBundle, MoveBranch
from sheaf.mount.commit import Committer
from sheaf.mount.fuse.port import ROOT_INO, Attr, AttributeChange
from sheaf.mount.journal import About, Spill
from sheaf.mount.mount_options import ReadOptions
from sheaf.mount.overlay import OverlayFs
from sheaf.mount.serve import Shared

NAMES = ["a", "b", "c", "dir"]
paths = st.lists(st.sampled_from(NAMES), min_size=1, max_size=3).map("/".join)
data = st.binary(min_size=0, max_size=40)


@dataclass(frozen=True, slots=True)
class Step:
    """One thing that a program does: the name of a method of both sides, and what it is called with."""

    name: str
    args: tuple[Any, ...]


steps = st.lists(
    st.one_of(
        st.builds(lambda p, d: Step("write", (p, d)), paths, data),
        st.builds(lambda p, d, o: Step("patch", (p, d, o)), paths, data, st.integers(0, 60)),
        st.builds(lambda p: Step("mkdir", (p,)), paths),
        st.builds(lambda p, t: Step("symlink", (p, t)), paths, st.sampled_from(["x", "../a"])),
        st.builds(lambda p, q: Step("link", (p, q)), paths, paths),
        st.builds(lambda p: Step("unlink", (p,)), paths),
        st.builds(lambda p: Step("rmdir", (p,)), paths),
        st.builds(lambda p, q: Step("rename", (p, q)), paths, paths),
        st.builds(lambda p, m: Step("chmod", (p, m)), paths, st.sampled_from([0o644, 0o755, 0o600])),
        st.builds(lambda p, n: Step("truncate", (p, n)), paths, st.integers(0, 80)),
        st.builds(lambda p, n: Step("utime", (p, n)), paths, st.integers(0, 2**40)),
    ),
    max_size=25,
)


class OnDisk:
    """The steps on a real folder."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def write(self, path: str, content: bytes) -> None:
        fd = os.open(self.root / path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o644)
        os.write(fd, content)
        os.close(fd)

    def patch(self, path: str, content: bytes, offset: int) -> None:
        fd = os.open(self.root / path, os.O_WRONLY | os.O_NOFOLLOW)
        os.pwrite(fd, content, offset)
        os.close(fd)

    def mkdir(self, path: str) -> None:
        (self.root / path).mkdir()

    def symlink(self, path: str, target: str) -> None:
        (self.root / path).symlink_to(target)

    def link(self, path: str, to: str) -> None:
        if (self.root / path).is_dir() and not (self.root / path).is_symlink():
            raise OSError
        os.link(self.root / path, self.root / to, follow_symlinks=False)

    def unlink(self, path: str) -> None:
        (self.root / path).unlink()

    def rmdir(self, path: str) -> None:
        (self.root / path).rmdir()

    def rename(self, path: str, to: str) -> None:
        (self.root / path).rename(self.root / to)

    def chmod(self, path: str, mode: int) -> None:
        if (self.root / path).is_symlink():
            raise OSError
        (self.root / path).chmod(mode)

    def truncate(self, path: str, size: int) -> None:
        if (self.root / path).is_symlink():
            raise OSError
        os.truncate(self.root / path, size)

    def utime(self, path: str, ns: int) -> None:
        os.utime(self.root / path, ns=(ns, ns), follow_symlinks=False)


class OnMount:
    """The same on the port, with the checks that the kernel makes before it asks."""

    def __init__(self, fs: OverlayFs) -> None:
        self.fs = fs

    def _at(self, path: str) -> tuple[int, str]:
        folder, _, name = path.rpartition("/")
        ino = ROOT_INO
        for part in folder.split("/") if folder else []:
            ino = self.fs.lookup(ino, part).ino
        return ino, name

    def _find(self, path: str) -> Attr:
        return self.fs.lookup(*self._at(path))

    def write(self, path: str, content: bytes) -> None:
        try:
            attr = self._find(path)
        except FileNotFoundError:
            handle = self.fs.create(*self._at(path), 0o644)[1]
        else:
            handle = self.fs.open(attr.ino, write=True, truncate=True)
        self.fs.write(handle, 0, content)
        self.fs.release(handle)

    def patch(self, path: str, content: bytes, offset: int) -> None:
        handle = self.fs.open(self._find(path).ino, write=True)
        self.fs.write(handle, offset, content)
        self.fs.release(handle)

    def mkdir(self, path: str) -> None:
        self.fs.mkdir(*self._at(path), 0o755)

    def symlink(self, path: str, target: str) -> None:
        self.fs.symlink(*self._at(path), target)

    def link(self, path: str, to: str) -> None:
        attr = self._find(path)
        if attr.mode & 0o040000 and not attr.mode & 0o100000:
            raise OSError
        self.fs.link(attr.ino, *self._at(to))

    def unlink(self, path: str) -> None:
        self.fs.unlink(*self._at(path))

    def rmdir(self, path: str) -> None:
        self.fs.rmdir(*self._at(path))

    def rename(self, path: str, to: str) -> None:
        self._at(path), self._at(to)
        if f"{to}/".startswith(f"{path}/") and to != path:
            raise OSError
        self.fs.rename(*self._at(path), *self._at(to))

    def chmod(self, path: str, mode: int) -> None:
        attr = self._find(path)
        if attr.mode & 0o170000 == 0o120000:
            raise OSError
        self.fs.setattr(attr.ino, AttributeChange(mode=mode))

    def truncate(self, path: str, size: int) -> None:
        self.fs.setattr(self._find(path).ino, AttributeChange(size=size))

    def utime(self, path: str, ns: int) -> None:
        self.fs.setattr(self._find(path).ino, AttributeChange(mtime=ns))


def _outcome(side: object, step: Step) -> bool:
    """Whether it was done; which error it was is compared where the kernel takes part."""
    try:
        getattr(side, step.name)(*step.args)
    except OSError:
        return False
    return True


def _shown(fs: OverlayFs, ino: int = ROOT_INO, path: str = "") -> Iterator[tuple[str, object]]:
    for name, attr, _ in fs.list(ino).entries(0):
        here = f"{path}/{name}".strip("/")
        if attr.mode & 0o170000 == 0o040000:
            yield here, (attr.mode, None)
            yield from _shown(fs, attr.ino, here)
        elif attr.mode & 0o170000 == 0o120000:
            yield here, (attr.mode, fs.readlink(attr.ino))
        else:
            handle = fs.open(attr.ino)
            content = bytes(fs.read(handle, 0, attr.size + 1))
            fs.release(handle)
            assert len(content) == attr.size
            yield here, (attr.mode, attr.links, content)


def _there(root: Path) -> dict[str, object]:
    found: dict[str, object] = {}
    for place in root.rglob("*"):
        status = place.lstat()
        name = place.relative_to(root).as_posix()
        if place.is_symlink():
            found[name] = (status.st_mode, os.readlink(place))
        elif place.is_dir():
            found[name] = (status.st_mode, None)
        else:
            found[name] = (status.st_mode, status.st_nlink, place.read_bytes())
    return found


@contextmanager
def _opened(repo: sheaf.Repo, base: sheaf.Bundle | None, folder: Path, *, again: bool = False) -> Iterator[Any]:
    about = About("s", repo.name, repo.id, base.id if base else None, "main", "m", None)
    spill = Spill.reopen(folder) if again else Spill.begin(folder, about)
    shared = Shared(repo.context.store, ReadOptions(ahead=0))
    fs = OverlayFs(spill, shared.open(base) if base else None, shared.patience, lambda: 10**18, 10**18)
    if again:
        fs.replay()
    try:
        yield fs, Committer(repo, fs, about, base)
    finally:
        spill.close()
        shared.pool.close()


@pytest.fixture(scope="module")
def repo() -> Iterator[sheaf.Repo]:
    with sheaf.init("memory://", probe=False) as store:
        yield store.create_repo("r")


def _base_folder(root: Path) -> None:
    (root / "a/b/c").mkdir(parents=True)
    (root / "dir").mkdir()
    (root / "a/b/c/dir").write_bytes(b"deep")
    (root / "a/b/a").write_bytes(b"one")
    (root / "a/a").write_bytes(b"two" * 20)
    (root / "a/c").symlink_to("a")
    (root / "b").write_bytes(b"three")
    (root / "dir/b").write_bytes(b"")
    (root / "dir/b").chmod(0o755)


@pytest.mark.parametrize("has_base", [False, True])
@pytest.mark.parametrize("examples", [20, pytest.param(1000, marks=pytest.mark.slow)])
def test_any_run_of_operations(repo: sheaf.Repo, has_base: bool, examples: int) -> None:
    @settings(max_examples=examples)
    @given(first=steps, second=steps)
    def run(first: list[Step], second: list[Step]) -> None:
        with tempfile.TemporaryDirectory() as place:
            root = Path(place, "real")
            root.mkdir()
            base = None
            if has_base:
                _base_folder(root)
                base = repo.upload(root, message="base").bundle
            with _opened(repo, base, Path(place, "spill")) as (fs, committer):
                _both(OnDisk(root), OnMount(fs), first)
                assert dict(_shown(fs)) == _there(root)
                checkpoint = committer.commit()
                _same(repo, checkpoint, root)
                _both(OnDisk(root), OnMount(fs), second)
                _same(repo, committer.commit(), root)
            with _opened(repo, base, Path(place, "spill"), again=True) as (fs, committer):
                assert dict(_shown(fs)) == _there(root)
                _same(repo, committer.commit(), root)

    run()


def _both(disk: OnDisk, mount: OnMount, steps: list[Step]) -> None:
    for step in steps:
        done = _outcome(disk, step)
        assert _outcome(mount, step) == done, step


def _same(repo: sheaf.Repo, bundle: sheaf.Bundle, root: Path) -> None:
    """The bundle is what an upload of the folder is."""
    uploaded = repo.upload(root, message="upload", allow_empty=True).bundle
    assert bundle.version == uploaded.version, [entry.path for entry in bundle.ls(recursive=True)]
    assert (bundle.files, bundle.entries, bundle.size) == (uploaded.files, uploaded.entries, uploaded.size)
    modes = [{e.path: e.mode for e in one.ls(recursive=True)} for one in (bundle, uploaded)]
    assert modes[0] == modes[1]


def _started(repo: sheaf.Repo, tmp_path: Path) -> Any:
    return _opened(repo, None, tmp_path / "spill")


def test_a_commit_is_one_moment_whatever_is_written_meanwhile(repo: sheaf.Repo, tmp_path: Path) -> None:
    with _started(repo, tmp_path) as (fs, committer):
        mount = OnMount(fs)
        for name in "ab":
            mount.write(name, name.encode() * 1000)
        handle = fs.open(fs.lookup(ROOT_INO, "a").ino, write=True)
        before: Callable[..., Any] = committer._store

        def store(*args: Any, **named: Any) -> Any:
            fs.write(handle, 0, b"NEW")
            mount.truncate("b", 1)
            mount.unlink("b")
            mount.write("c", b"late")
            return before(*args, **named)

        committer._store = store
        first = committer.commit()
        committer._store = before
        assert {entry.path for entry in first.ls()} == {"a", "b"}
        assert first.read("a") == b"a" * 1000
        assert first.read("b") == b"b" * 1000
        assert bytes(fs.read(handle, 0, 5)) == b"NEWaa"
        second = committer.commit()
        assert second.read("a") == b"NEW" + b"a" * 997
        assert {entry.path for entry in second.ls()} == {"a", "c"}
        fs.release(handle)
        assert len(fs.spill.fills()) == 2


def test_a_file_that_was_unlinked_lives_as_long_as_it_is_open(repo: sheaf.Repo, tmp_path: Path) -> None:
    with _started(repo, tmp_path) as (fs, committer):
        attr, handle = fs.create(ROOT_INO, "tmp", 0o600)
        fs.unlink(ROOT_INO, "tmp")
        fs.write(handle, 0, b"still")
        assert bytes(fs.read(handle, 0, 9)) == b"still"
        assert fs.getattr(attr.ino).size == 5
        assert committer.commit().files == 0
        fs.release(handle)
        assert fs.spill.fills() == []


def test_a_torn_last_line_of_the_journal_never_happened(repo: sheaf.Repo, tmp_path: Path) -> None:
    with _started(repo, tmp_path) as (fs, _):
        OnMount(fs).write("a", b"1")
    with (tmp_path / "spill/journal").open("ab") as journal:
        journal.write(b'["make",1,"b",2814')
    with _opened(repo, None, tmp_path / "spill", again=True) as (fs, committer):
        assert [entry.path for entry in committer.commit().ls()] == ["a"]


def test_a_checkpoint_that_was_deleted_is_not_built_upon(repo: sheaf.Repo, tmp_path: Path) -> None:
    """What it stored may be gone with it: everything is stored again."""
    with _started(repo, tmp_path) as (fs, committer):
        OnMount(fs).write("a", b"kept" * 1000)
        checkpoint = committer.commit()
        repo.context.log.append(lambda head: (MoveBranch("main", None, checkpoint.id), DeleteBundle(checkpoint.id)))
        stored: list[int] = []
        before: Callable[..., Any] = committer._store_group

        def store_group(ingest: Any, files: Any, group: list[int]) -> Any:
            stored.extend(group)
            return before(ingest, files, group)

        committer._store_group = store_group
        assert committer.commit().read("a") == b"kept" * 1000
        assert stored == [0]


def test_names_that_no_bundle_may_have_are_refused(repo: sheaf.Repo, tmp_path: Path) -> None:
    with _started(repo, tmp_path) as (fs, _):
        for name in ("x" * 256, "a\0b"):
            with pytest.raises(OSError):
                fs.mkdir(ROOT_INO, name, 0o755)


def test_a_change_of_mode_changes_ctime_alone(repo: sheaf.Repo, tmp_path: Path) -> None:
    with _started(repo, tmp_path) as (fs, _):
        folder = fs.mkdir(ROOT_INO, "d", 0o755)
        fs._now = lambda: 2 * 10**18
        after = fs.setattr(folder.ino, AttributeChange(mode=0o700))
        assert (after.mtime, after.ctime) == (folder.mtime, 2 * 10**18)


def test_a_name_that_is_too_long_is_named_so_when_it_is_looked_up(repo: sheaf.Repo, tmp_path: Path) -> None:
    with _started(repo, tmp_path) as (fs, _), pytest.raises(OSError, match="too long"):
        fs.lookup(ROOT_INO, "n" * 256)


def test_a_reader_of_a_file_that_was_changed_and_removed_has_the_new_bytes(repo: sheaf.Repo, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in/a").write_bytes(b"old content")
    base = repo.upload(tmp_path / "in", message="base").bundle
    with _opened(repo, base, tmp_path / "spill") as (fs, _):
        ino = fs.lookup(ROOT_INO, "a").ino
        reader = fs.open(ino)
        OnMount(fs).write("a", b"NEW")
        fs.unlink(ROOT_INO, "a")
        assert bytes(fs.read(reader, 0, 20)) == b"NEW"
        assert fs.getattr(ino).links == 0
        fs.release(reader)
        assert fs.spill.fills() == []


def test_a_folder_that_is_synced_has_its_names_on_disk(
    repo: sheaf.Repo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A program that renames a file and then syncs the folder may rely on the new name after a power cut."""
    synced: list[str] = []
    with _started(repo, tmp_path) as (fs, _):
        fs.create(ROOT_INO, "new", 0o644)
        fs.rename(ROOT_INO, "new", ROOT_INO, "name")
        monkeypatch.setattr(os, "fsync", lambda fd: synced.append(Path(os.readlink(f"/proc/self/fd/{fd}")).name))
        fs.fsync_names()
    assert "journal" in synced


def test_a_file_of_the_base_that_was_removed_while_open_has_no_links(repo: sheaf.Repo, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    for name in ("a", "b", "c"):
        (tmp_path / "in" / name).write_bytes(name.encode())
    base = repo.upload(tmp_path / "in", message="base").bundle
    with _opened(repo, base, tmp_path / "spill") as (fs, committer):
        inos = {name: fs.lookup(ROOT_INO, name).ino for name in ("a", "b", "c")}
        readers = {name: [fs.open(inos[name]), fs.open(inos[name])] for name in ("a", "b")}
        fs.unlink(ROOT_INO, "a")
        fs.rename(ROOT_INO, "c", ROOT_INO, "b")
        for name, (first, second) in readers.items():
            assert fs.getattr(inos[name]).links == 0
            fs.release(first)
            assert fs.getattr(inos[name]).links == 0
            assert bytes(fs.read(second, 0, 9)) == name.encode()
            fs.release(second)
            assert inos[name] not in fs.state.nodes
        assert fs.lookup(ROOT_INO, "b") == fs.getattr(inos["c"])
        committed = committer.commit()
        assert {entry.path for entry in committed.ls()} == {"b"} and committed.read("b") == b"c"


def test_a_removed_folder_has_no_links(repo: sheaf.Repo, tmp_path: Path) -> None:
    (tmp_path / "in/old").mkdir(parents=True)
    base = repo.upload(tmp_path / "in", message="base", allow_empty=True).bundle
    with _opened(repo, base, tmp_path / "spill") as (fs, _):
        for ino in (fs.lookup(ROOT_INO, "old").ino, fs.mkdir(ROOT_INO, "new", 0o755).ino):
            assert fs.getattr(ino).links == 1
        for name in ("old", "new"):
            ino = fs.lookup(ROOT_INO, name).ino
            fs.rmdir(ROOT_INO, name)
            assert fs.getattr(ino).links == 0


def test_links_and_new_names_change_ctime(repo: sheaf.Repo, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in/a").write_bytes(b"a")
    base = repo.upload(tmp_path / "in", message="base").bundle
    with _opened(repo, base, tmp_path / "spill") as (fs, _):
        ino = fs.lookup(ROOT_INO, "a").ino
        before = fs.getattr(ino)
        now = 3 * 10**18
        changes: tuple[Callable[[], object], ...] = (
            lambda: fs.link(ino, ROOT_INO, "b"),
            lambda: fs.unlink(ROOT_INO, "b"),
            lambda: fs.rename(ROOT_INO, "a", ROOT_INO, "c"),
        )
        for change in changes:
            now += 1
            fs._now = partial(int, now)
            change()
            after = fs.getattr(ino)
            assert (after.ctime, after.mtime) == (now, before.mtime)
