"""Writable mounts where a disk is full: the errors come to the program that writes, and nothing acknowledged is lost."""

from __future__ import annotations

import errno
import mmap
import os
import re
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from tests.mount.conftest import Mounts

import sheaf

Disk = Callable[[str, str], Path]


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    """Makes a real disk of a given size."""
    with ExitStack() as made:

        def make(name: str, size: str) -> Path:
            folder = tmp_path / name
            folder.mkdir()
            command = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)]
            if os.geteuid() or subprocess.run(command, check=False, capture_output=True).returncode:
                pytest.skip("root may mount a tmpfs, but this process may not")
            made.callback(subprocess.run, ["umount", "-l", str(folder)], check=True)
            return folder

        yield make


def _raises(number: int, call: Callable[[], object]) -> None:
    with pytest.raises(OSError) as caught:
        call()
    assert caught.value.errno == number


def test_a_full_spill_is_said_and_what_was_written_is_committed(
    mounts: Mounts, store: sheaf.Store, disk: Disk, library: str
) -> None:
    spill = disk("small", "2m") / "spill"
    mount = mounts.start(
        "bundle", "mount", "new", "--repo", "r", "--message", "m", "--destination", spill, "--library", library
    )
    fd = os.open(mount.folder / "big", os.O_RDWR | os.O_CREAT)
    written = 0
    while True:
        try:
            written += os.write(fd, bytes([written >> 12 & 255]) * 4096)
        except OSError as error:
            assert error.errno == errno.ENOSPC
            break
    os.fsync(fd)  # what was acknowledged is there
    _raises(errno.ENOSPC, lambda: os.pwrite(fd, bytes(4096), written))
    folder = os.open(mount.folder, os.O_RDONLY)
    os.fsync(folder)
    os.close(folder)
    os.close(fd)
    assert mount.unmount() == 0
    data = store.repo("r").bundle().read("big")
    assert data == b"".join(bytes([at >> 12 & 255]) * min(4096, written - at) for at in range(0, written, 4096))


def test_what_a_full_spill_does_not_take_of_a_mapped_file_is_said(
    mounts: Mounts, store: sheaf.Store, disk: Disk, library: str
) -> None:
    spill = disk("small", "2m") / "spill"
    mount = mounts.start(
        "bundle", "mount", "new", "--repo", "r", "--message", "m", "--destination", spill, "--library", library
    )
    with (mount.folder / "mapped").open("w+b") as file:
        file.truncate(4 << 20)
        with mmap.mmap(file.fileno(), 0) as mapped:
            mapped[:] = b"x" * len(mapped)
            _raises(errno.ENOSPC, mapped.flush)
    assert mount.unmount() == 0


def test_a_commit_to_a_full_store_is_refused_and_can_be_repeated(tmp_path: Path, mounts: Mounts, disk: Disk) -> None:
    place = disk("store-disk", "4m")
    mounts.url = f"file://{place}/store"
    with sheaf.init(mounts.url, probe=False) as store:
        repo = store.create_repo("r")
        with repo.edit(message="base") as edit:
            edit.put("before", b"1")
            before = edit.commit()
        ballast = place / "ballast"
        with ballast.open("wb") as file, pytest.raises(OSError, match="No space"):
            while True:
                file.write(bytes(65536))
                file.flush()
        data = os.urandom(1 << 20)
        mount = mounts.start("bundle", "mount", "new", "--repo", "r", "--message", "m", "--base", "main")
        (mount.folder / "precious").write_bytes(data)
        assert "error: " in mounts.run("bundle", "commit", mount.folder, code=10)
        assert mount.unmount() == 10
        lines = mount.err.splitlines()
        assert [line.split(":")[0] for line in lines] == ["nothing is lost; to commit it, run", "error", "hint"]
        assert repo.bundle().id == before.id
        (command,) = re.findall(r"nothing is lost; to commit it, run: sheaf (.*)\n", mount.err)
        mounts.run(*command.split(), code=10)
        ballast.unlink()
        mounts.run(*command.split())
        assert repo.bundle().read("precious") == data
        assert repo.bundle().read("before") == b"1"
        assert store.check(read_data=True).ok
