"""What is particular to a folder: its system calls, its leftovers, its neighbours."""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import stat
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from sheaf.errors import Corrupt, Denied, InvalidInput, NoSpace, NotFound, Refused, SheafError, Unavailable
from sheaf.storage.folder import backend as folder_module
from sheaf.storage.folder.backend import FolderBackend
from sheaf.storage.folder.network_mounts import filesystem_type, is_network, parse_mount_output, parse_proc_mounts
from sheaf.storage.folder.oserrors import WRITING, from_oserror
from sheaf.storage.folder.syscalls import Syscalls
from sheaf.storage.port import LARGEST, Created


class Fails(Syscalls):
    """One call fails with an error number."""

    def __init__(self, call: str, number: int) -> None:
        self._number = number
        setattr(self, call, self._fail)

    def _fail(self, *_: object) -> None:
        raise OSError(self._number, os.strerror(self._number))


def leftovers(root: Path) -> list[str]:
    return os.listdir(root / "tmp") if (root / "tmp").exists() else []


@pytest.mark.parametrize(
    ("number", "category"),
    [
        (errno.ENOSPC, NoSpace),
        (errno.EDQUOT, NoSpace),
        (errno.EACCES, Denied),
        (errno.EROFS, Denied),
        (errno.EIO, Unavailable),
        (errno.ESTALE, Unavailable),
        (errno.EMFILE, Unavailable),
        (errno.ENAMETOOLONG, InvalidInput),
    ],
)
@pytest.mark.parametrize("call", ["create", "write", "sync_file", "link", "sync_folder", "mkdir"])
def test_a_failed_call_is_translated_and_leaves_nothing(
    tmp_path: Path, call: str, number: int, category: type[SheafError]
) -> None:
    backend = FolderBackend(tmp_path / "s", syscalls=Fails(call, number))
    with pytest.raises(category, match="can't write packs/a in file://") as caught:
        backend.create("packs/a", b"data")
    assert os.strerror(number) in caught.value.message
    assert not leftovers(tmp_path / "s")
    if call != "sync_folder":
        assert not (tmp_path / "s/packs/a").exists()
    assert FolderBackend(tmp_path / "s").create("packs/a", b"data") in {Created.CREATED, Created.MINE}


def test_a_read_error_of_the_disk_is_corrupt() -> None:
    assert isinstance(from_oserror(OSError(errno.EIO, "x"), "read k"), Corrupt)
    assert isinstance(from_oserror(OSError(errno.EIO, "x"), "write k", WRITING), Unavailable)
    assert isinstance(from_oserror(OSError("odd"), "read k"), Unavailable)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_folder_without_rights_is_denied(tmp_path: Path) -> None:
    (tmp_path / "s").mkdir(mode=0)
    with pytest.raises(Denied):
        FolderBackend(tmp_path / "s").create("a", b"")


def test_a_file_where_the_store_should_be(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    backend = FolderBackend(tmp_path / "file")
    with pytest.raises(InvalidInput, match="Not a directory"):
        backend.create("a/b", b"")
    with pytest.raises(NotFound):
        backend.get("a/b")
    assert list(backend.list()) == []


def test_an_object_can_be_no_folder_and_a_folder_no_object(tmp_path: Path) -> None:
    backend = FolderBackend(tmp_path)
    backend.create("a/b", b"x")
    for key in ("a", "a/b/c"):
        with pytest.raises(InvalidInput, match=key):
            backend.create(key, b"x")
    assert [it.key for it in backend.list()] == ["a/b"]


# ── what is no file ───────────────────────────────────────────────────────────


def _link(path: Path) -> None:
    (path.parent / "other").write_bytes(b"x")
    path.symlink_to("other")


def _socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as server, contextlib.chdir(path.parent):
        server.bind(path.name)


NO_FILES: dict[str, tuple[Callable[[Path], object], str]] = {
    "link": (_link, "symbolic link"),
    "link to nothing": (lambda path: path.symlink_to("nothing"), "symbolic link"),
    "link to itself": (lambda path: path.symlink_to(path.name), "symbolic link"),
    "link to an endless device": (lambda path: path.symlink_to("/dev/zero"), "symbolic link"),
    "pipe": (os.mkfifo, "named pipe"),
    "socket": (_socket, "socket"),
}


@pytest.mark.parametrize("name", NO_FILES)
def test_what_is_no_file_is_damage_and_read_by_nobody(tmp_path: Path, name: str) -> None:
    make, kind = NO_FILES[name]
    (tmp_path / "packs").mkdir()
    make(tmp_path / "packs/a")
    backend = FolderBackend(tmp_path)
    for ask in (
        lambda: backend.get("packs/a"),
        lambda: backend.get_ranges("packs/a", [(0, 1)]),
        lambda: backend.create("packs/a", b"x"),
    ):
        with pytest.raises(Corrupt, match=f"packs/a is a {kind} instead of a regular file"):
            ask()
    assert backend.stat("packs/a") is not None  # or it would pass for lost
    assert "packs/a" not in [it.key for it in backend.list()]
    backend.replace("packs/a", b"right")
    assert backend.get("packs/a") == b"right"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root makes devices")
def test_a_device_is_no_file_either(tmp_path: Path) -> None:
    os.mknod(tmp_path / "a", 0o600 | stat.S_IFCHR, os.makedev(1, 5))
    with pytest.raises(Corrupt, match="a is a device instead of a regular file"):
        FolderBackend(tmp_path).get("a")


def test_a_file_that_is_too_long_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    backend = FolderBackend(tmp_path)
    (tmp_path / "a").touch()
    os.truncate(tmp_path / "a", 1 << 40)
    monkeypatch.setattr(os, "read", lambda *_: pytest.fail("it was read"))
    with pytest.raises(Corrupt, match=f"a has {1 << 40} bytes, but such objects have at most {LARGEST}"):
        backend.get("a")
    with pytest.raises(Corrupt, match="such objects have"):
        backend.get_ranges("a", [(0, 1 << 39)])
    with pytest.raises(Corrupt, match="before the range"):
        backend.get_ranges("a", [((1 << 40) - 5, 1 << 29)])


def test_a_file_that_grows_while_it_is_read_has_an_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a").write_bytes(b"x" * 100)
    monkeypatch.setattr(os, "read", lambda _fd, size: b"x" * size)
    with pytest.raises(Corrupt, match="such objects have at most 200"):
        FolderBackend(tmp_path).get("a", 200)


def test_a_file_of_other_length_than_it_is_said_to_have_is_read_to_its_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = os.read
    monkeypatch.setattr(os, "read", lambda fd, size: real(fd, min(size, 7)))
    backend = FolderBackend(tmp_path)
    for size in (0, 1, 6, 7, 8, 50):
        backend.create(f"k{size}", bytes(range(size)))
        assert backend.get(f"k{size}") == bytes(range(size))


def test_a_folder_of_the_store_that_is_a_link_is_damage(tmp_path: Path) -> None:
    FolderBackend(tmp_path / "s").create("packs/ab/x", b"1")
    (tmp_path / "s/packs").rename(tmp_path / "elsewhere")
    (tmp_path / "s/packs").symlink_to(tmp_path / "elsewhere")
    backend = FolderBackend(tmp_path / "s")
    for ask in (
        lambda: backend.get("packs/ab/x"),
        lambda: backend.stat("packs/ab/x"),
        lambda: backend.create("packs/ab/y", b"1"),
        lambda: backend.delete("packs/ab/x"),
        lambda: list(backend.list("packs/")),
        lambda: backend.newest("packs/a"),
    ):
        with pytest.raises(Corrupt, match="packs is a symbolic link instead of a folder"):
            ask()
    assert (tmp_path / "elsewhere/ab/x").exists()


def test_the_store_itself_may_be_behind_links(tmp_path: Path) -> None:
    (tmp_path / "real/s").mkdir(parents=True)
    (tmp_path / "way").symlink_to("real")
    (tmp_path / "store").symlink_to("way/s")
    backend = FolderBackend(tmp_path / "store")
    backend.create("packs/ab/x", b"1")
    assert FolderBackend(tmp_path / "real/s").get("packs/ab/x") == b"1"
    assert [it.key for it in backend.list()] == ["packs/ab/x"]


# ── giving a name ─────────────────────────────────────────────────────────────


@pytest.mark.parametrize("number", [errno.EPERM, errno.ENOTSUP, errno.ENOSYS])
def test_without_hard_links_the_exclusive_rename_is_used(tmp_path: Path, number: int) -> None:
    backend = FolderBackend(tmp_path, syscalls=Fails("link", number))
    assert backend.create("a/b", b"1") is Created.CREATED
    assert backend.create("a/b", b"1") is Created.MINE
    assert backend.create("a/b", b"2") is Created.OTHER
    assert backend.get("a/b") == b"1"
    assert not leftovers(tmp_path)


def test_with_neither_the_store_is_refused(tmp_path: Path) -> None:
    class Neither(Fails):
        def rename_new(self, source: str, target: str) -> None:
            raise OSError(errno.EINVAL, "Invalid argument")

    with pytest.raises(Refused, match="exclusive creation"):
        FolderBackend(tmp_path, syscalls=Neither("link", errno.EPERM)).create("a", b"1")
    assert not leftovers(tmp_path)


def test_a_link_whose_answer_was_lost_is_our_own(tmp_path: Path) -> None:
    class LostAnswer(Syscalls):
        """A file server repeats a request that it has carried out."""

        def link(self, source: str, target: str) -> None:
            super().link(source, target)
            raise FileExistsError(errno.EEXIST, "File exists")

    assert FolderBackend(tmp_path, syscalls=LostAnswer()).create("a", b"1") is Created.CREATED


def test_the_exclusive_rename_of_this_system(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("a")
    (tmp_path / "b").write_text("b")
    calls = Syscalls()
    with pytest.raises(FileExistsError):
        calls.rename_new(str(tmp_path / "a"), str(tmp_path / "b"))
    with pytest.raises(FileNotFoundError):
        calls.rename_new(str(tmp_path / "none"), str(tmp_path / "c"))
    calls.rename_new(str(tmp_path / "a"), str(tmp_path / "é"))
    assert (tmp_path / "é").read_text() == "a"


def test_an_interrupted_write_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.writev

    def short(fd: int, parts: Sequence[memoryview]) -> int:
        return real(fd, [parts[0][:3]])

    monkeypatch.setattr(os, "writev", short)
    data = bytes(range(50))
    backend = FolderBackend(tmp_path)
    backend.create("a", [data[:10], data[10:11], data[11:]])
    assert backend.get("a") == data


# ── what is synced ────────────────────────────────────────────────────────────


class Noting(Syscalls):
    def __init__(self) -> None:
        self.folders: list[str] = []
        self.files = 0

    def sync_folder(self, path: str) -> None:
        self.folders.append(path)
        super().sync_folder(path)

    def sync_file(self, fd: int) -> None:
        self.files += 1
        super().sync_file(fd)


def test_upper_folders_are_synced_once_in_a_process(tmp_path: Path) -> None:
    noting = Noting()
    backend = FolderBackend(tmp_path / "s", syscalls=noting)
    backend.create("a/b/one", b"")
    assert {f"{tmp_path}/s/a/b", f"{tmp_path}/s/a", f"{tmp_path}/s", str(tmp_path)} <= set(noting.folders)
    noting.folders.clear()
    backend.create("a/b/two", b"")
    assert noting.folders == [f"{tmp_path}/s/a/b"]
    assert noting.files == 2


def test_without_durability_nothing_is_synced(tmp_path: Path) -> None:
    noting = Noting()
    backend = FolderBackend(tmp_path / "s", durability="none", syscalls=noting)
    backend.create("a", b"")
    backend.delete("a")
    assert (noting.folders, noting.files) == ([], 0)


# ── leftovers and neighbours ──────────────────────────────────────────────────


def test_a_writer_whose_leftover_was_swept_creates_nothing(tmp_path: Path) -> None:
    class Swept(Syscalls):
        def sync_file(self, fd: int) -> None:
            for path in (tmp_path / "tmp").iterdir():
                path.unlink()

    with pytest.raises(Unavailable, match="write a"):
        FolderBackend(tmp_path, syscalls=Swept()).create("a", b"1")
    assert list(FolderBackend(tmp_path).list()) == []


def test_files_that_are_no_keys_are_not_listed(tmp_path: Path) -> None:
    backend = FolderBackend(tmp_path)
    backend.create("a/b", b"")
    for name in ("a/.nfs0001", "a/.DS_Store", "a/with space", "lost+found", "a/é"):
        (tmp_path / name).write_text("")
    (tmp_path / "a/link").symlink_to(tmp_path / "a/b")
    (tmp_path / "a/loop").symlink_to(tmp_path)
    assert [it.key for it in backend.list(sort=True)] == ["a/b"]
    assert backend.newest("a/") == "a/b"


def test_the_aside_folder_can_not_be_reached(tmp_path: Path) -> None:
    backend = FolderBackend(tmp_path)
    backend.create("a", b"")
    (tmp_path / "tmp" / "x").write_text("half")
    for prefix in ("tmp/", "tmp/x", "tmp", "t", ""):
        assert [it.key for it in backend.list(prefix)] == ([] if prefix else ["a"])


def test_an_object_that_goes_while_listing_is_left_out(tmp_path: Path) -> None:
    backend = FolderBackend(tmp_path)
    for n in range(5):
        backend.create(f"k{n}", b"")
    listing = backend.list(sort=True)
    assert next(listing).key == "k0"
    backend.delete("k3")
    assert [it.key for it in listing] == ["k1", "k2", "k4"]


def test_writers_in_a_forked_process_use_other_names(tmp_path: Path) -> None:
    backend = FolderBackend(tmp_path)
    pid = os.fork()
    if pid == 0:
        try:
            ok = all(backend.create(f"child/{n}", b"c") is Created.CREATED for n in range(50))
        finally:
            os._exit(0 if ok else 1)
    parents = [backend.create(f"parent/{n}", b"p") for n in range(50)]
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert set(parents) == {Created.CREATED}
    assert len(list(backend.list())) == 100


def test_writers_that_race_for_new_folders_all_succeed(tmp_path: Path) -> None:
    for round_number in range(20):
        start = threading.Barrier(6)
        answers: list[Created] = []

        def write(n: int, start: threading.Barrier = start, base: str = f"r{round_number}/a/b") -> None:
            backend = FolderBackend(tmp_path, durability="none")
            start.wait(30)
            answers.append(backend.create(f"{base}/{n}", b""))  # noqa: B023

        threads = [threading.Thread(target=write, args=(n,)) for n in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert answers == [Created.CREATED] * 6


# ── network file systems ──────────────────────────────────────────────────────


def test_listings_of_network_file_systems_must_settle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert FolderBackend(tmp_path).settle_s == 0
    monkeypatch.setattr(folder_module, "filesystem_type", lambda _path: "nfs4")
    assert FolderBackend(tmp_path).settle_s == 120


def test_mount_tables_are_understood() -> None:
    linux = "/dev/vda / ext4 rw 0 0\nsrv:/x /mnt/a\\040b nfs4 nosuid,ro 0 0\n\nbroken\n"
    assert parse_proc_mounts(linux) == [
        (Path("/"), "ext4", "/dev/vda", True),
        (Path("/mnt/a b"), "nfs4", "srv:/x", False),
    ]
    mac = "/dev/disk1s1 on / (apfs, sealed, local, read-only)\n//me@srv/x on /Volumes/a (b) (smbfs, nodev)\nodd\n"
    assert parse_mount_output(mac) == [
        (Path("/"), "apfs", "/dev/disk1s1", False),
        (Path("/Volumes/a (b)"), "smbfs", "//me@srv/x", True),
    ]
    assert is_network("nfs4")
    assert is_network("smbfs")
    assert not is_network("ext4")
    assert not is_network("")


def test_the_nearest_mount_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    table = [(Path("/"), "ext4"), (tmp_path, "tmpfs"), (tmp_path / "net", "nfs")]
    monkeypatch.setattr("sheaf.storage.folder.network_mounts._mounts", lambda: table)
    assert filesystem_type(tmp_path / "net" / "not" / "there") == "nfs" or not (tmp_path / "net").exists()
    (tmp_path / "net").mkdir()
    assert filesystem_type(tmp_path / "net" / "not" / "there") == "nfs"
    assert filesystem_type(tmp_path / "netter") == "tmpfs"
