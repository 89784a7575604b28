"""What is recorded of a file is what was read of it, whatever size the file system names."""

from __future__ import annotations

import os
import socket
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from blake3 import blake3
from tests.engine.builders import store_with
from tests.mount.conftest import missing
from tests.transfer.misstated import FILES, content

import sheaf
from sheaf.engine.core_limits import Limits
from sheaf.errors import Conflict, Refused
from sheaf.model.entries import EARLIEST, LATEST
from sheaf.repo.bundle import Bundle
from sheaf.repo.repo import Repo
from sheaf.repo.store import Store
from sheaf.testing.invariants import assert_sound
from sheaf.transfer.local import read as reading
from sheaf.transfer.local.read import Blocks, read_blocks, read_whole

PROC = Path("/proc/sys/kernel/random")


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with sheaf.init(str(tmp_path / "store")) as store:
        yield store
        assert_sound(store)


@pytest.fixture
def repo(store: Store) -> Repo:
    return store.create_repo("r")


@pytest.fixture(scope="module")
def misstated(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A mounted folder whose files have other sizes than their names say first."""
    if reason := missing():
        pytest.skip(reason)
    top = tmp_path_factory.mktemp("misstated")
    command = [sys.executable, "-m", "tests.transfer.misstated", str(top)]
    process = subprocess.Popen(command, cwd=Path(__file__).parents[3])
    while not os.path.ismount(top):
        assert process.poll() is None
        try:
            process.wait(0.05)
        except subprocess.TimeoutExpired:
            continue
    yield top
    subprocess.run(["fusermount3", "-u", "-z", str(top)], check=True)
    process.wait()


def assert_holds(bundle: Bundle, tmp_path: Path) -> None:
    sizes = {entry.path: entry.size for entry in bundle.ls()}
    assert sizes == {name: len(content(name)) for name in FILES}
    bundle.verify()
    bundle.download(tmp_path / "out")
    assert {name: (tmp_path / "out" / name).read_bytes() for name in FILES} == {name: content(name) for name in FILES}


@pytest.mark.parametrize("limits", [Limits(worker_files=1), Limits()], ids=["by processes", "here"])
def test_an_upload_records_what_was_read(misstated: Path, tmp_path: Path, limits: Limits) -> None:
    with store_with(tmp_path / "store", limits) as store:
        repo = store.create_repo("r")
        assert_holds(repo.upload(misstated, message="m").bundle, tmp_path)
        again = repo.upload(misstated, message="m", if_changed=True)
        assert not again.committed
        assert_sound(store)


def test_an_edit_records_what_was_read(repo: Repo, misstated: Path, tmp_path: Path) -> None:
    with repo.edit(message="m") as edit:
        edit.put_folder("", misstated)
        bundle = edit.commit()
    assert_holds(bundle, tmp_path)


def test_a_folder_does_not_differ_from_the_bundle_that_was_made_of_it(repo: Repo, misstated: Path) -> None:
    bundle = repo.upload(misstated, message="m").bundle
    assert list(bundle.diff_folder(misstated)) == []


@pytest.mark.skipif(not PROC.exists(), reason="there is no /proc here")
def test_a_generated_file_has_no_size_and_is_stored(repo: Repo) -> None:
    bundle = repo.upload(PROC, message="m", files=["boot_id"]).bundle
    assert bundle.read("boot_id") == (PROC / "boot_id").read_bytes()
    assert next(iter(bundle.ls())).size == 37


def test_an_erased_content_of_another_size_than_said_is_not_stored(store: Store, repo: Repo, misstated: Path) -> None:
    with repo.edit(message="m") as edit:
        edit.put("secret", content("3000000-5"))
        edit.commit()
    store.erasure.erase(address="r@main:secret", reason="x")
    with pytest.raises(Refused, match="erased"):
        repo.upload(misstated, message="m", skip_on_error=True)


# -- one file ----------------------------------------------------------------------------------------------------------


def scanned(path: Path) -> tuple[int, int, int]:
    st = path.stat()
    return st.st_size, st.st_mtime_ns, st.st_ctime_ns


def test_a_file_as_it_was_scanned_has_no_other_state(tmp_path: Path) -> None:
    file = tmp_path / "f"
    file.write_bytes(b"as it is")
    assert read_whole(str(file), *scanned(file)) == (b"as it is", None)


@pytest.mark.parametrize("after", [b"", b"short", b"a longer content"])
def test_a_file_that_has_changed_since_the_scan_is_read_as_it_is(tmp_path: Path, after: bytes) -> None:
    file = tmp_path / "f"
    file.write_bytes(b"before it")
    was = scanned(file)
    file.write_bytes(after)
    read = read_whole(str(file), *was)
    assert read is not None and read[1] is not None
    assert (read[0], read[1].size) == (after, len(after))


def test_a_file_that_has_become_big_is_left_to_who_reads_blocks(tmp_path: Path) -> None:
    file = tmp_path / "f"
    file.write_bytes(bytes(reading.WHOLE + 1))
    assert read_whole(str(file), 5, 0, 0) is None
    file.write_bytes(bytes(reading.WHOLE))
    read = read_whole(str(file), 5, 0, 0)
    assert read is not None and len(read[0]) == reading.WHOLE


@pytest.mark.parametrize("change", [b"x" * 3, b"x" * 5_000_000])
def test_a_big_file_that_grows_or_shrinks_while_it_is_read_has_no_state(tmp_path: Path, change: bytes) -> None:
    file = tmp_path / "f"
    file.write_bytes(bytes(3 * reading.BLOCK))
    blocks = Blocks(str(file))
    for n, _ in enumerate(blocks):
        if not n:
            file.write_bytes(change)
    assert blocks.state is None


def test_a_small_file_that_changes_whenever_it_is_read_is_a_conflict(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "f"
    file.write_bytes(b"0")
    pread = os.pread

    def growing(fd: int, n: int, at: int) -> bytes:
        data = pread(fd, n, at)
        with file.open("ab") as more:
            more.write(b"1")
        return data if at < 5 else b""

    monkeypatch.setattr(os, "pread", growing)
    with pytest.raises(Conflict, match="changed while it was read"):
        read_whole(str(file), *scanned(file))


def test_the_state_of_a_big_file_has_the_size_that_was_read(misstated: Path) -> None:
    blocks = next(read_blocks(str(misstated / "3000000-9000000")))
    digest = blake3(b"".join(blocks)).digest()
    assert blocks.state is not None
    assert (blocks.state.size, digest) == (3_000_000, blake3(content("3000000-9000000")).digest())


@pytest.mark.parametrize("size", [1, 300_000, 3 << 20])
@pytest.mark.parametrize("become", ["a pipe", "a link", "a folder", "a socket", "a device"])
def test_what_takes_the_place_of_a_file_is_neither_waited_for_nor_read(tmp_path: Path, size: int, become: str) -> None:
    file = tmp_path / "f"
    file.write_bytes(bytes(size))
    before = scanned(file)
    file.unlink()
    match become:
        case "a pipe":
            os.mkfifo(file)
        case "a link":
            file.symlink_to("/dev/zero")
        case "a folder":
            file.mkdir()
        case "a socket":
            with socket.socket(socket.AF_UNIX) as end:
                end.bind(str(file))
        case "a device":
            try:
                os.mknod(file, stat.S_IFCHR | 0o666, os.makedev(1, 5))
            except PermissionError:
                pytest.skip("root may make devices only")
    with pytest.raises(Conflict, match="is no longer a file"):
        read_whole(str(file), *before)
    with pytest.raises(Conflict, match="is no longer a file"):
        list(next(read_blocks(str(file))))


@pytest.fixture
def memory() -> Iterator[Path]:
    """A folder in memory, where times are 64 bits of seconds; many disks know none after the year 2446."""
    if not Path("/dev/shm").is_dir():
        pytest.skip("root may mount a tmpfs, but there is no /dev/shm")
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
        yield Path(folder)


@pytest.mark.parametrize(("far", "nearest"), [(10**20, LATEST), (-(10**20), EARLIEST)])
def test_a_time_that_no_entry_can_hold_is_kept_as_the_nearest_one(
    memory: Path, repo: Repo, far: int, nearest: int
) -> None:
    for name, size in (("small", 1), ("big", 3 << 20)):
        (memory / name).write_bytes(bytes(size))
        os.utime(memory / name, ns=(far, far))
    (memory / "usual").write_bytes(b"1")
    done = repo.upload(memory, message="m")
    assert [done.bundle.entry(name).mtime_ns for name in ("big", "small")] == [nearest, nearest]
    assert [warning.split("'")[1] for warning in done.warnings] == ["big", "small"]
    with repo.edit(message="the same") as edit:
        edit.put_file("copy", memory / "small")
        assert edit.commit().entry("copy").mtime_ns == nearest
