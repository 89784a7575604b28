"""Folders to write to, before real programs: what they leave is the bundle, however the mount ends."""

from __future__ import annotations

import contextlib
import errno
import mmap
import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from ctypes.util import find_library
from pathlib import Path

import pytest
from tests.mount.conftest import Mount, Mounts, is_mounted, mount_type
from tests.mount.trees import BIG, make_tree, read_tree

import sheaf


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return make_tree(tmp_path / "data")


def _new(mounts: Mounts, *more: object, program: str = "main") -> Mount:
    return mounts.start("bundle", "mount", "new", "--repo", "r", "--message", "new", *more, program=program)


def _committed(mount: Mount) -> str:
    (last,) = re.findall(r"bundle: (\w{27})\n", mount.out)[-1:]
    return str(last)


def _programs(folder: Path, data: Path) -> None:
    """Real programs that write in many ways."""

    def run(command: str) -> subprocess.CompletedProcess[bytes]:
        return subprocess.run(command, shell=True, check=True, capture_output=True, cwd=folder)

    run(f"cp -a '{data}' copied")
    run(f"mkdir tarred && tar -C '{data}' --format=posix -cf - . | tar -C tarred -xpf -")
    run(f"rsync -a '{data}/' synced/")
    run("rsync -a --delete copied/many/ synced/")
    run("mv tarred moved && mv -f moved/secret moved/run.sh && rm -r moved/many moved/empty")
    sql = "create table t(a); insert into t values (1),(2),(3); delete from t where a=2; vacuum;"
    run(f'sqlite3 db "{sql} pragma journal_mode=wal; insert into t values (40);"')
    assert run('sqlite3 db "select sum(a) from t; pragma integrity_check"').stdout == b"44\nok\n"
    run("git init -q origin && cd origin && git config user.email a@b && git config user.name n && cp -r ../copied . ")
    run("cd origin && git add -A && git commit -qm one && git gc -q && git fsck --strict")
    run('git clone -q origin clone && cd clone && git fsck && git checkout -q -b other && test -z "$(git status -s)"')
    run("printf 'b\\na\\n' > sorted && sort -o sorted sorted && printf more >> sorted && truncate -s 3 sorted")


def test_what_programs_write_is_committed(
    mounts: Mounts, store: sheaf.Store, data: Path, tmp_path: Path, library: str
) -> None:
    mount = _new(mounts, "--label", "made", "--library", library)
    _programs(mount.folder, data)
    seen = read_tree(mount.folder)
    assert mount.unmount() == 0
    bundle = store.repo("r").bundle("label:made")
    assert mount.out == f"bundle: {bundle.id}\nset label 'made'\n"
    assert mount.err == ""
    assert bundle.message == "new"
    bundle.download(tmp_path / "out")
    downloaded = read_tree(tmp_path / "out")
    assert downloaded == seen
    assert not (mounts.home / ".local/share/sheaf/mounts").exists() or not any(
        (mounts.home / ".local/share/sheaf/mounts").iterdir()
    )
    uploaded = store.repo("r").upload(tmp_path / "out", message="again").bundle
    assert uploaded.version == bundle.version


def test_a_bundle_is_edited_and_only_what_changed_is_stored(
    mounts: Mounts, store: sheaf.Store, data: Path, tmp_path: Path, library: str
) -> None:
    base = store.repo("r").upload(data, message="base").bundle
    mount = _new(mounts, "--base", "main", "--library", library)
    folder = mount.folder
    assert read_tree(folder) == read_tree(data)
    for root in (folder, data):
        (root / "many").rename(root / "few")
        (root / "few/0003.bin").unlink()
        (root / "few/0004.bin").rename(root / "deep/four")
        with (root / "big.bin").open("r+b") as file:
            file.seek(4_000_000)
            file.write(b"patched")
        (root / "run.sh").chmod(0o644)
        (root / "secret").unlink()
        (root / "secret").mkdir()
        (root / "secret/now").write_text("a folder")
        (root / "odd\nname ünï").write_text("other")
    seen = read_tree(folder)
    assert mount.unmount() == 0
    bundle = store.repo("r").bundle("main")
    assert bundle.id == _committed(mount)
    assert bundle.parents == (base.id,)
    bundle.download(tmp_path / "out")
    assert read_tree(tmp_path / "out") == seen
    uploaded = store.repo("r").upload(data, message="the same")
    assert uploaded.bundle.version == bundle.version
    assert uploaded.new_bytes == 0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signals_commit(mounts: Mounts, store: sheaf.Store, library: str, number: signal.Signals) -> None:
    mount = _new(mounts, "--library", library)
    (mount.folder / "a").write_text("written")
    with (mount.folder / "open").open("w") as file:
        file.write("half")
        file.flush()
        assert mount.stop(number) == 0
    assert not is_mounted(mount.folder)
    bundle = store.repo("r").bundle(_committed(mount))
    assert bundle.read("a") == b"written"
    assert bundle.read("open") == b"half"


@pytest.mark.skipif(find_library("fuse3") is None, reason="libfuse3 is not installed")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_mfusepy_works_with_libfuse_3_too(
    mounts: Mounts, store: sheaf.Store, data: Path, number: signal.Signals
) -> None:
    store.repo("r").upload(data, message="base")
    mounts.variables["FUSE_LIBRARY_NAME"] = "fuse3"
    mount = _new(mounts, "--library", "mfusepy", "--base", "main")
    assert read_tree(mount.folder) == read_tree(data)
    (mount.folder / "a").write_text("written")
    assert mount.stop(number) == 0
    assert mount.err == ""
    assert not is_mounted(mount.folder)
    assert store.repo("r").bundle(_committed(mount)).read("a") == b"written"


def test_what_is_written_through_mmap_is_committed(mounts: Mounts, store: sheaf.Store) -> None:
    mount = _new(mounts)
    file = (mount.folder / "mapped").open("w+b")
    file.truncate(10_000)
    with mmap.mmap(file.fileno(), 0) as mapped:
        mapped[5000:5005] = b"hello"
        assert mount.stop() == 0
    with contextlib.suppress(OSError):  # the file is closed when the mount is gone
        file.close()
    assert store.repo("r").bundle(_committed(mount)).read("mapped", 4999, 7) == b"\0hello\0"


def test_posix_semantics_that_programs_need(mounts: Mounts, library: str) -> None:
    folder = _new(mounts, "--library", library).folder
    (folder / "a").write_text("a")
    (folder / "b").write_text("b")
    opened = (folder / "b").open("rb")
    (folder / "a").rename(folder / "b")
    assert opened.read() == b"b"
    opened.close()
    assert (folder / "b").read_text() == "a"
    fd = os.open(folder / "b", os.O_RDWR | os.O_APPEND)
    os.write(fd, b"ppended")
    os.fsync(fd)
    os.unlink(folder / "b")
    assert os.pread(fd, 20, 0) == b"appended"
    os.ftruncate(fd, 3)
    assert (os.fstat(fd).st_size, os.listdir(folder)) == (3, [])
    os.close(fd)
    (folder / "d/e").mkdir(parents=True)
    expected: list[tuple[int, Callable[[], object]]] = [
        (errno.ENOTEMPTY, lambda: (folder / "d").rmdir()),
        (errno.ENOENT, lambda: (folder / "b").unlink()),
        (errno.EEXIST, lambda: (folder / "d").mkdir()),
        (errno.EISDIR, lambda: os.unlink(folder / "d")),
        (errno.EINVAL, lambda: (folder / "d").rename(folder / "d/e/f")),
        (errno.EPERM, lambda: os.mkfifo(folder / "pipe")),
        (errno.ENAMETOOLONG, lambda: (folder / ("x" * 256)).mkdir()),
    ]
    for number, attempt in expected:
        with pytest.raises(OSError) as caught:
            attempt()
        assert caught.value.errno == number
    (folder / "excl").touch(exist_ok=False)
    with pytest.raises(FileExistsError):
        (folder / "excl").touch(exist_ok=False)
    os.utime(folder / "excl", ns=(1, 10**18 + 123_456_789))
    assert (folder / "excl").stat().st_mtime_ns == 10**18 + 123_456_789
    os.link(folder / "excl", folder / "hard")
    assert (folder / "hard").stat().st_nlink == 2
    assert not [name for name in os.listdir(folder) if name.startswith(".")]


def test_a_commit_meanwhile_and_every_so_often(mounts: Mounts, store: sheaf.Store) -> None:
    mount = _new(mounts, "--commit-every", "1s")
    (mount.folder / "a").write_text("1")
    _wait(lambda: "bundle: " in mount.out)
    (mount.folder / "b").write_text("2")
    out = mounts.run("bundle", "commit", mount.folder, "--label", "point", "--message", "a point")
    point = store.repo("r").bundle("label:point")
    assert out == f"bundle: {point.id}\nset label 'point'\n"
    assert (point.message, sorted(entry.path for entry in point.ls())) == ("a point", ["a", "b"])
    assert mount.unmount() == 0
    assert store.repo("r").bundle(_committed(mount)).version == point.version


def test_a_failed_commit_loses_nothing_and_says_what_to_run(mounts: Mounts, store: sheaf.Store, tmp_path: Path) -> None:
    mount = _new(mounts)
    (mount.folder / "precious").write_bytes(BIG)
    here, away = tmp_path / "store", tmp_path / "away"
    here.rename(away)
    (tmp_path / "store").write_text("no store")
    assert mount.unmount() != 0
    here.unlink()
    away.rename(here)
    (command,) = re.findall(r"nothing is lost; to commit it, run: sheaf (.*)\n", mount.err)
    out = mounts.run(*command.split())
    (id,) = re.findall(r"bundle: (\w{27})\n", out)
    assert store.repo("r").bundle(id).read("precious") == BIG


def test_a_label_that_is_set_already_is_moved_only_if_told_so(
    mounts: Mounts, store: sheaf.Store, data: Path, tmp_path: Path
) -> None:
    repo = store.repo("r")
    first = repo.upload(data, message="first", label="v1").bundle
    arguments = ("bundle", "mount", "new", "--repo", "r", "--message", "m", "--label")
    (tmp_path / "refused").mkdir()
    refused = mounts.run(*arguments, "v1", "--mount", tmp_path / "refused", code=4)
    assert "label 'v1' already points to bundle" in refused and "--move-label" in refused
    spill = tmp_path / "spill"
    mount = _new(mounts, "--label", "v2", "--destination", spill)
    (mount.folder / "precious").write_text("x")
    assert "--move-label" in mounts.run("bundle", "commit", mount.folder, "--label", "v1", code=4)
    repo.set_label("v2", first.id)  # while it is mounted
    assert mount.unmount() == 4
    assert "label 'v2' already points to bundle" in mount.err and "nothing is lost" in mount.err
    assert {repo.label(name).bundle for name in ("v1", "v2")} == {first.id}
    mounts.run("bundle", "commit", spill, code=4)
    mounts.run("bundle", "commit", spill, "--move-label")
    assert repo.bundle("label:v2").read("precious") == b"x"
    moving = _new(mounts, "--label", "v1", "--move-label")
    (moving.folder / "a").write_text("a")
    assert moving.unmount() == 0
    assert f"moved label 'v1' from {first.id}" in moving.out
    assert repo.bundle("label:v1").read("a") == b"a"


def test_a_killed_mount_loses_nothing(mounts: Mounts, store: sheaf.Store, data: Path, tmp_path: Path) -> None:
    store.repo("r").upload(data, message="base")
    spill = tmp_path / "spill"
    mount = _new(mounts, "--base", "main", "--destination", spill, "--label", "saved")
    (mount.folder / "many").rename(mount.folder / "few")
    (mount.folder / "few/0001.bin").write_text("changed")
    assert "is in use" in mounts.run("bundle", "commit", spill, code=4)
    mount.stop(signal.SIGKILL)
    assert "the process of this mount has ended" in mounts.run("bundle", "commit", mount.folder, code=5)
    subprocess.run(["fusermount3", "-u", "-z", mount.folder], check=True)
    mounts.run("bundle", "commit", spill)
    bundle = store.repo("r").bundle("label:saved")
    assert bundle.read("few/0001.bin") == b"changed"
    assert bundle.files == store.repo("r").bundle("main~1").files
    assert "neither" in mounts.run("bundle", "commit", spill, code=3)


def test_datamon_finds_it_and_gets_its_words(mounts: Mounts, store: sheaf.Store, tmp_path: Path) -> None:
    mount = _new(mounts, "--label", "l", "--destination", tmp_path / "staging", program="datamon")
    assert mount_type(mount.folder) == "fuse.datamon-mutable"
    (mount.folder / "a").write_text("1")
    assert mount.stop(signal.SIGINT) == 0
    assert mount.out == f"bundle: {store.repo('r').bundle('label:l').id}\nset label 'l'\n"


def test_a_daemon_commits_too(mounts: Mounts, store: sheaf.Store) -> None:
    folder = mounts.home / "daemon"
    args = ("--repo", "r", "--message", "m", "--mount", folder, "--label", "l", "--daemonize")
    (log,) = re.findall(r"output is logged to (.*)\n", mounts.run("bundle", "mount", "new", *args))
    (folder / "a").write_text("1")
    assert Path(log).is_relative_to(mounts.home / ".local/state/sheaf")
    shutil.rmtree(mounts.home / ".cache", ignore_errors=True)  # a cache may be cleared at any time
    subprocess.run(["fusermount3", "-u", folder], check=True)
    _wait(lambda: bool(store.repo("r").labels()))
    bundle = store.repo("r").bundle("label:l")
    assert bundle.read("a") == b"1"
    _wait(lambda: Path(log).read_text() == f"bundle: {bundle.id}\nset label 'l'\n")


def test_an_overlap_is_refused_and_goes_to_another_branch(
    mounts: Mounts, store: sheaf.Store, data: Path, tmp_path: Path
) -> None:
    repo = store.repo("r")
    base = repo.upload(data, message="base").bundle
    one, two = _new(mounts, "--base", "main"), _new(mounts, "--base", "main", "--destination", tmp_path / "spill")
    (one.folder / "secret").write_text("one")
    (two.folder / "secret").write_text("two")
    (two.folder / "own").write_text("2")
    assert one.unmount() == 0
    refused = mounts.run("bundle", "commit", two.folder, code=4)
    assert "branch 'main' changed since it was mounted" in refused and "'secret'" in refused
    aside = re.findall(r"bundle: (\w{27})", mounts.run("bundle", "commit", two.folder, "--branch", "aside"))
    assert repo.bundle("branch:aside").id == aside[0]
    assert two.unmount() == 4
    (command,) = re.findall(r"nothing is lost; to commit it, run: sheaf (.*) NAME\n", two.err)
    assert command == f"bundle commit {tmp_path / 'spill'} --branch"
    mounts.run("bundle", "commit", tmp_path / "spill", code=4)
    mounts.run(*command.split(), "mine")
    assert {repo.bundle(f"branch:{name}").read("secret") for name in ("aside", "mine")} == {b"two"}
    assert repo.bundle().read("secret") == b"one"
    assert repo.bundle().parents == (base.id,)


def test_a_mount_that_nothing_was_written_to_makes_no_bundle(
    mounts: Mounts, store: sheaf.Store, tmp_path: Path
) -> None:
    spill = tmp_path / "spill"
    untouched = _new(mounts, "--destination", spill)
    (untouched.folder / "passing").write_text("by")
    (untouched.folder / "passing").unlink()
    assert "there are no files" in mounts.run("bundle", "commit", untouched.folder, code=5)
    assert untouched.unmount() == 5
    assert "nothing was committed: no changes" in untouched.err
    assert "nothing is lost" not in untouched.err and not spill.exists()
    folders = _new(mounts, "--destination", spill)
    (folders.folder / "folder").mkdir()
    assert folders.unmount() == 5
    assert f"run: sheaf bundle commit {spill} --allow-empty\n" in folders.err
    assert store.repo("r").bundles() == []
    mounts.run("bundle", "commit", spill, "--allow-empty")
    assert [entry.path for entry in store.repo("r").bundle().ls()] == ["folder"]
    assert _new(mounts, "--allow-empty").unmount() == 0
    assert _new(mounts, program="datamon").unmount() == 0
    assert [bundle.files for bundle in store.repo("r").bundles()] == [0, 0, 0]


def _wait(is_so: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.1)
