"""Times, lists, logs, mounts, leases: each part of a run by itself."""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from tests.datamover.conftest import World, files_in

from sheaf.datamover.backup_run import folders_in, listed_folders
from sheaf.datamover.file_lease import OpenWriters, is_leased, read_lease
from sheaf.datamover.file_lists import FileLists
from sheaf.datamover.mount_table import MountTable
from sheaf.datamover.run_logs import RunLogs
from sheaf.datamover.time_formats import date_stamp, parse_time_before, time_stamp
from sheaf.errors import InvalidInput, NotFound, Refused

NOW = 1_700_000_000 * 10**9


@pytest.fixture(params=["UTC", "America/New_York", "Asia/Kolkata"])
def zone(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    yield from _in_zone(request.param, monkeypatch)


@pytest.fixture
def berlin(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    yield from _in_zone("Europe/Berlin", monkeypatch)


def _in_zone(name: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    if not Path("/usr/share/zoneinfo", name).exists():
        pytest.skip("the time zones are not installed")
    with monkeypatch.context() as patch:
        patch.setenv("TZ", name)
        time.tzset()
        yield name
    time.tzset()


def _local(*parts: int) -> int:
    return int(datetime(*parts).timestamp()) * 10**9  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("2006-Jan-02", (2006, 1, 2)),
        ("2006-jan-2", (2006, 1, 2)),
        ("2026-DEC-31", (2026, 12, 31)),
        ("0601021504", (2006, 1, 2, 15, 4)),
        ("060102150405", (2006, 1, 2, 15, 4, 5)),
        ("090725000000", (2009, 7, 25)),
        ("690101000000", (1969, 1, 1)),
        ("681231235959", (2068, 12, 31, 23, 59, 59)),
        ("2026-11-21", (2026, 11, 21)),
        ("2026-11-21T01:02:03", (2026, 11, 21, 1, 2, 3)),
    ],
)
def test_times_are_local(zone: str, text: str, parts: tuple[int, ...]) -> None:
    assert parse_time_before(text, NOW) == _local(*parts)


def test_a_time_with_a_zone_and_an_age_are_the_same_everywhere(zone: str) -> None:
    moment = int(datetime(2026, 11, 21, 1, 2, tzinfo=UTC).timestamp()) * 10**9
    assert parse_time_before("2026-11-21T01:02Z", NOW) == moment
    assert parse_time_before("20d", NOW) == NOW - 20 * 86_400 * 10**9


def test_a_time_that_the_clock_shows_twice_or_never_is_the_earlier_one(berlin: str) -> None:
    twice = datetime(2026, 10, 25, 0, 30, tzinfo=UTC)  # 02:30 in summer time, and an hour later in winter time
    assert parse_time_before("2610250230", NOW) == int(twice.timestamp()) * 10**9
    never = datetime(2026, 3, 29, 0, 30, tzinfo=UTC)  # the clock goes from 02:00 to 03:00
    assert parse_time_before("2603290230", NOW) == int(never.timestamp()) * 10**9


@pytest.mark.parametrize(
    "text",
    ["", "2006-Foo-02", "0602301504", "06010215", "20261121", "5", "1" * 30, "2006-Jan-32", "060102150460", "0000-Jan-01",
     "yesterday", "-1d", "9" * 9 + "w" + "x"],
)  # fmt: skip
def test_what_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput, match="is not a time"):
        parse_time_before(text, NOW)


def test_stamps_are_local(berlin: str) -> None:
    at = int(datetime(2026, 12, 31, 23, 30, 1, tzinfo=UTC).timestamp()) * 10**9
    assert (time_stamp(at), date_stamp(at)) == ("270101003001", "2027-jan-01")


def test_lists_of_another_run_are_not_overwritten(tmp_path: Path) -> None:
    lists = FileLists(tmp_path / "a/lists")
    lists.check(tmp_path / "data")
    lists.write_upload(["/a", "/b\udcff"])
    assert (tmp_path / "a/lists/upload.list").read_bytes() == b"/a\n/b\xff\n"
    with pytest.raises(Refused, match=r"upload\.list already exists"):
        lists.check(tmp_path / "data")
    with pytest.raises(Refused, match=r"upload\.list already exists"):
        lists.write_upload([])
    with pytest.raises(InvalidInput, match="inside the folder"):
        lists.check(tmp_path / "a")


def test_each_line_of_the_removable_files_is_there_at_once(tmp_path: Path) -> None:
    with FileLists(tmp_path).removable() as add:
        for name in ("/a", "/b"):
            add(name)
            assert (tmp_path / "removable.list").read_text().endswith(f"{name}\n")
    with pytest.raises(Refused), FileLists(tmp_path).removable() as add:
        add("/c")
    (tmp_path / "removable.list").unlink()
    with FileLists(tmp_path).removable():
        pass
    assert (tmp_path / "removable.list").read_bytes() == b""


def test_logs_of_earlier_runs_get_numbers(tmp_path: Path) -> None:
    for number in range(12):
        with RunLogs(tmp_path, "old") as logs:
            logs.add("old", f"line {number}")
            assert (tmp_path / "old.log").read_text() == f"line {number}\n"
    assert [(tmp_path / f"old-{number + 1}.log").read_text() for number in range(11)] == [
        f"line {number}\n" for number in range(11)
    ]
    with pytest.raises(NotFound, match="does not exist"):
        RunLogs(tmp_path / "missing").__enter__()


@pytest.mark.parametrize("name", ["", "a/b", "processing", "datamon", "datamon_err", "a\0b"])
def test_a_list_can_not_have_the_name_of_a_log(name: str) -> None:
    with pytest.raises(InvalidInput):
        RunLogs.check_name(name)


MOUNTS = """\
21 1 8:1 / / rw shared:1 - ext4 /dev/sda1 rw
22 21 0:20 / /data/my\\040share/nfs rw - nfs4 server:/ rw
23 21 0:21 / /data/my\\040share/nfs/local rw master:3 - tmpfs tmpfs rw
24 21 0:22 / /bucket rw - fuse.gcsfuse gcsfuse rw
broken
"""


def test_mounts_below_a_folder_are_found(tmp_path: Path) -> None:
    (tmp_path / "table").write_text(MOUNTS)
    table = MountTable.read(tmp_path / "table")
    assert table.below(b"/data/my share") == (b"nfs", b"nfs/local")
    assert table.below(b"/data/my share/nfs/local") == ()
    assert b"bucket" in table.below(b"/")
    shared = {name: table.is_shared(name) for name in (b"/data", b"/data/my share/nfs/x", b"/bucket/a", b"/buckets")}
    assert shared == {b"/data": False, b"/data/my share/nfs/x": True, b"/bucket/a": True, b"/buckets": False}
    assert not table.is_shared(b"/data/my share/nfs/local")
    assert MountTable.read(tmp_path / "missing").is_shared(b"/") is False


def test_files_on_another_file_system_are_saved_and_stay(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    table = MountTable({b"/": "ext4", os.fsencode(world.top / "sub/deep"): "ext4", os.fsencode(world.top / "old"): "x"})
    monkeypatch.setattr(MountTable, "read", lambda: table)
    moved, _ = world.move()
    assert world.reasons(moved) == dict.fromkeys(("old", "sub/deep/b"), "it is on another file system")
    assert world.repo.bundle("label:moved-1").read("sub/deep/b") == b"second"


def test_where_nobody_knows_who_writes_files_stay_unless_that_is_ignored(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(MountTable, "read", lambda: MountTable({b"/": "nfs4"}))
    moved, _ = world.move()
    assert moved.deleted == 0
    assert all("--no-writer-check" in reason for reason in world.reasons(moved).values())
    moved, _ = world.move(label="again", ignores_unknown_writers=True)
    assert moved.deleted == 4 and set(files_in(world.top)) == {"new", "sub/c"}


def test_a_lease_knows_writers(tmp_path: Path) -> None:
    (tmp_path / "f").write_text("x")
    fd = os.open(tmp_path / "f", os.O_RDONLY)
    try:
        with read_lease(fd, os.getuid()) as found:
            if found is OpenWriters.UNKNOWN:
                pytest.skip("no leases here")
            assert found is OpenWriters.NONE and is_leased(fd)
            os.close(os.open(tmp_path / "f", os.O_RDONLY))
            assert is_leased(fd)
            with pytest.raises(BlockingIOError):
                os.open(tmp_path / "f", os.O_WRONLY | os.O_NONBLOCK)
            assert not is_leased(fd)
        with (tmp_path / "f").open("ab"), read_lease(fd, os.getuid()) as found:
            assert found is OpenWriters.SOME
        with read_lease(fd, os.getuid()) as found:
            assert found is OpenWriters.NONE
    finally:
        os.close(fd)


@pytest.mark.parametrize(
    ("number", "writers"), [(errno.EINVAL, OpenWriters.UNKNOWN), (errno.EACCES, OpenWriters.UNKNOWN)]
)
def test_a_file_system_without_leases_tells_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, writers: OpenWriters
) -> None:
    real = fcntl.fcntl

    def refuse(fd: int, command: int, argument: int = 0) -> int:
        if command == fcntl.F_SETLEASE:
            raise OSError(number, os.strerror(number))
        return real(fd, command, argument)

    monkeypatch.setattr(fcntl, "fcntl", refuse)
    (tmp_path / "f").write_text("x")
    fd = os.open(tmp_path / "f", os.O_RDONLY)
    with read_lease(fd, os.getuid()) as found:
        assert found is writers
    os.close(fd)


def test_the_folders_of_a_folder_are_listed_without_links_and_logs(tmp_path: Path) -> None:
    for name in ("b", "a", "wd"):
        (tmp_path / name).mkdir()
    (tmp_path / "file").touch()
    (tmp_path / "link").symlink_to("a")
    assert folders_in(tmp_path, exclude=tmp_path / "wd") == (tmp_path / "a", tmp_path / "b")


def test_lists_of_folders_have_lines_or_nuls() -> None:
    assert listed_folders(b"a\n\nb c\n") == (Path("a"), Path("b c"))
    assert listed_folders(b"a\0b\nc\0") == (Path("a"), Path("b\nc"))


NOBODY = 65534
as_root = pytest.mark.skipif(os.getuid() != 0, reason="only root can act as another user")


@as_root
def test_root_without_the_right_to_lease_asks_as_the_owner(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a container: root there may become any user, but lacks CAP_LEASE."""
    libc, real = ctypes.CDLL(None), fcntl.fcntl

    def ask(fd: int, command: int, argument: int = 0) -> int:
        if command == fcntl.F_SETLEASE and argument == fcntl.F_RDLCK and libc.setfsuid(-1) != NOBODY:
            raise OSError(errno.EACCES, os.strerror(errno.EACCES))
        return real(fd, command, argument)

    monkeypatch.setattr(fcntl, "fcntl", ask)
    (tmp_path / "f").write_text("x")
    os.chown(tmp_path / "f", NOBODY, NOBODY)
    fd = os.open(tmp_path / "f", os.O_RDONLY)
    try:
        with read_lease(fd, NOBODY) as found:
            assert found is OpenWriters.NONE
        with (tmp_path / "f").open("ab"), read_lease(fd, NOBODY) as found:
            assert found is OpenWriters.SOME
        assert libc.setfsuid(-1) == 0
    finally:
        os.close(fd)


@as_root
def test_a_user_can_not_ask_who_writes_files_of_others(tmp_path: Path) -> None:
    (tmp_path / "f").write_text("x")
    fd = os.open(tmp_path / "f", os.O_RDONLY)
    child = os.fork()
    if not child:
        os.setuid(NOBODY)
        with read_lease(fd, 0) as found:
            os._exit(found is not OpenWriters.UNKNOWN)
    os.close(fd)
    assert os.waitpid(child, 0)[1] == 0
