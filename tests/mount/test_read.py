"""Bundles, repos and stores as read-only folders, before real programs."""

from __future__ import annotations

import errno
import mmap
import os
import random
import signal
import subprocess
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from tests.mount.conftest import Mounts, is_mounted, mount_type
from tests.mount.trees import BIG, make_tree, read_tree
from tests.servers.proxy import Forward, Request, Response, proxy

import sheaf
from sheaf.model.records import MoveBranch
from sheaf.storage.folder.network_mounts import mounted_on


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return make_tree(tmp_path / "data")


@pytest.fixture
def bundle(store: sheaf.Store, data: Path) -> sheaf.Bundle:
    return store.repo("r").upload(data, message="m", label="init").bundle


def test_a_bundle_looks_like_the_folder_it_came_from(
    mounts: Mounts, bundle: sheaf.Bundle, data: Path, library: str
) -> None:
    mount = mounts.start("bundle", "mount", "--repo", "r", "--label", "init", "--library", library)
    assert read_tree(mount.folder) == read_tree(data)
    assert subprocess.run([mount.folder / "run.sh"], capture_output=True, check=True).stdout == b"ran\n"
    assert mount.unmount() == 0
    assert mount.out == f"Using bundle: {bundle.id}\n"
    assert mount.err == ""


@pytest.mark.parametrize(
    "command",
    [
        "cp -a {mount} {out}",
        "mkdir {out} && tar -C {mount} --format=posix -cf - . | tar -C {out} -xpf -",
        # Without the option rsync leaves a folder's time alone when only its fraction of a second is off.
        "rsync -a --modify-window=-1 {mount}/ {out}/",
    ],
)
def test_programs_copy_everything_out(
    mounts: Mounts, bundle: sheaf.Bundle, data: Path, tmp_path: Path, command: str
) -> None:
    mount = mounts.start("bundle", "mount", "--repo", "r")
    out = tmp_path / "out"
    subprocess.run(command.format(mount=mount.folder, out=out), shell=True, check=True)
    subprocess.run(["diff", "-r", "--no-dereference", data, out], check=True)
    copied, original = read_tree(out), read_tree(data)
    assert copied == original


def test_a_big_file_is_read_at_random_by_many_and_through_mmap(
    mounts: Mounts, bundle: sheaf.Bundle, library: str
) -> None:
    mount = mounts.start("bundle", "mount", "--repo", "r", "--library", library, "--cache-size", "4M")

    def read_some(seed: int) -> None:
        chance = random.Random(seed)
        with (mount.folder / "big.bin").open("rb", buffering=0) as file:
            for _ in range(30):
                at, size = chance.randrange(len(BIG)), chance.randrange(1, 300_000)
                assert os.pread(file.fileno(), size, at) == BIG[at : at + size]

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(read_some, range(4)))
    with (mount.folder / "big.bin").open("rb") as file, mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ) as mapped:
        assert mapped[:] == BIG
        assert mapped.find(b"\0" * 1000) == BIG.find(b"\0" * 1000)


def test_nothing_can_be_written(mounts: Mounts, bundle: sheaf.Bundle, library: str) -> None:
    folder = mounts.start("bundle", "mount", "--repo", "r", "--library", library).folder
    attempts: list[Callable[[], object]] = [
        lambda: (folder / "new").write_text("x"),
        lambda: (folder / "secret").write_text("x"),
        lambda: (folder / "secret").unlink(),
        lambda: (folder / "new").mkdir(),
        lambda: (folder / "secret").chmod(0o777),
        lambda: (folder / "secret").rename(folder / "s2"),
        lambda: (folder / "new").symlink_to("x"),
    ]
    for attempt in attempts:
        with pytest.raises(OSError) as caught:
            attempt()
        assert caught.value.errno == errno.EROFS


@pytest.mark.parametrize(("program", "kind"), [("main", "fuse.sheaf"), ("datamon", "fuse.datamon")])
def test_wrappers_find_a_mount_by_its_type(mounts: Mounts, bundle: sheaf.Bundle, program: str, kind: str) -> None:
    mount = mounts.start("bundle", "mount", "--repo", "r", "--stream", program=program)
    assert mount_type(mount.folder) == kind
    assert mount.stop(signal.SIGINT) == 0
    assert f"Using bundle: {bundle.id}" in mount.out


def test_the_whole_bundle_may_be_fetched_first(
    mounts: Mounts, bundle: sheaf.Bundle, data: Path, tmp_path: Path
) -> None:
    copy = tmp_path / "copy"
    mount = mounts.start("bundle", "mount", "--repo", "r", "--no-stream", "--destination", copy)
    Path(mounts.url.removeprefix("file://"), "packs").rename(tmp_path / "away")
    assert read_tree(mount.folder) == read_tree(data)
    assert mount.unmount() == 0


def test_a_daemon_lets_go_of_the_terminal_once_it_is_up(mounts: Mounts, bundle: sheaf.Bundle, data: Path) -> None:
    folder = mounts.home / "daemon"
    try:
        out = mounts.run("bundle", "mount", "--repo", "r", "--mount", folder, "--daemonize")
        assert out == f"Using bundle: {bundle.id}\n"
        assert is_mounted(folder)
        assert read_tree(folder) == read_tree(data)
    finally:
        subprocess.run(["fusermount3", "-u", folder], check=True)


def test_a_daemon_that_fails_tells_the_terminal(mounts: Mounts) -> None:
    folder = mounts.home / "daemon"
    out = mounts.run("bundle", "mount", "--repo", "nope", "--mount", folder, "--daemonize", code=3)
    assert 'didn\'t find repo "nope"' in out


def test_a_folder_with_something_in_it_is_not_covered(mounts: Mounts, bundle: sheaf.Bundle, data: Path) -> None:
    out = mounts.run("bundle", "mount", "--repo", "r", "--mount", data, code=5)
    assert "is not empty" in out
    assert not is_mounted(data)


def test_the_refs_of_a_repo_are_folders_and_new_ones_appear(
    mounts: Mounts, store: sheaf.Store, bundle: sheaf.Bundle, data: Path, library: str
) -> None:
    repo = store.repo("r")
    folder = mounts.start("repo", "mount", "--repo", "r", "--library", library).folder
    assert sorted(os.listdir(folder)) == ["init", "main"]
    assert read_tree(folder / "init") == read_tree(data)
    assert (folder / bundle.id / "secret").read_text() == "s"
    assert (folder / f"version:{bundle.version[:12]}" / "secret").read_text() == "s"
    assert not (folder / "nope").exists()
    (data / "secret").write_text("new")
    second = repo.upload(data, message="second", label="two").bundle
    _wait(lambda: sorted(os.listdir(folder)) == ["init", "main", "two"])
    _wait(lambda: (folder / "main/secret").read_text() == "new")
    assert (folder / "init/secret").read_text() == "s"
    assert (folder / "main~1/secret").read_text() == "s"
    repo.context.log.append(lambda head: (MoveBranch("init", second.id, None),))  # as older programs could
    _wait(lambda: sorted(os.listdir(folder)) == ["branch:init", "label:init", "main", "two"])
    assert (folder / "label:init/secret").read_text() == "s"
    assert (folder / "branch:init/secret").read_text() == "new"


def test_the_repos_of_a_store_are_folders(mounts: Mounts, store: sheaf.Store, bundle: sheaf.Bundle, data: Path) -> None:
    store.create_repo("team/faces").upload(data, message="m", label="v1")
    store.create_repo("team")
    folder = mounts.start("store", "mount").folder
    assert sorted(os.listdir(folder)) == ["r", "team"]
    assert os.listdir(folder / "team") == ["faces"]
    assert sorted(os.listdir(folder / "team/faces")) == ["main", "v1"]
    assert read_tree(folder / "team/faces/v1") == read_tree(data)
    assert read_tree(folder / "r/main") == read_tree(data)


def test_two_mounts_at_once(mounts: Mounts, bundle: sheaf.Bundle, data: Path) -> None:
    one = mounts.start("bundle", "mount", "--repo", "r", "--library", "pyfuse3")
    two = mounts.start("bundle", "mount", "--repo", "r", "--library", "mfusepy")
    with ThreadPoolExecutor(2) as pool:
        trees = list(pool.map(read_tree, [one.folder, two.folder]))
    assert trees[0] == trees[1] == read_tree(data)
    assert one.unmount() == 0
    assert (two.folder / "secret").read_text() == "s"


def test_it_is_unmounted_while_busy(mounts: Mounts, bundle: sheaf.Bundle, library: str) -> None:
    mount = mounts.start("bundle", "mount", "--repo", "r", "--library", library)
    with (mount.folder / "big.bin").open("rb", buffering=0) as file:
        assert file.read(10) == BIG[:10]
        refused = subprocess.run(["fusermount3", "-u", mount.folder], capture_output=True, check=False)
        assert refused.returncode != 0
        assert mount.stop() == 0
        assert not is_mounted(mount.folder)
        with pytest.raises(OSError):
            os.pread(file.fileno(), 10, len(BIG) - 10)


def test_a_store_that_is_cut_off_gives_errors_until_it_is_back(
    mounts: Mounts, data: Path, s3_endpoint: str, fresh: str
) -> None:
    is_cut = False

    def hook(request: Request, forward: Forward) -> Response:
        return Response(503) if is_cut else forward(request)

    with proxy(s3_endpoint, hook) as url:
        mounts.url = f"s3://bucket/{fresh}"
        mounts.variables |= {"SHEAF_ENDPOINT": url, "SHEAF_RETRIES": "1", "SHEAF_RETRY_PAUSE_S": "0.01"}
        mounts.run("store", "init")
        mounts.run("repo", "create", "--repo", "r")
        mounts.run("bundle", "upload", "--repo", "r", "--path", data, "--message", "m")
        folder = mounts.start("bundle", "mount", "--repo", "r", "--prefetch", "0").folder
        assert (folder / "secret").read_text() == "s"
        is_cut = True
        with pytest.raises(OSError) as caught:
            (folder / "big.bin").read_bytes()
        assert caught.value.errno == errno.EIO
        assert (folder / "secret").read_text() == "s"
        is_cut = False
        assert read_tree(folder) == read_tree(data)


def test_damage_is_an_error_not_other_bytes(mounts: Mounts, bundle: sheaf.Bundle) -> None:
    store = Path(mounts.url.removeprefix("file://"))
    packs = sorted(
        (path for path in (store / "packs").rglob("*") if path.is_file()), key=lambda path: path.stat().st_size
    )
    raw = bytearray(packs[-1].read_bytes())
    raw[2_000_000:2_000_010] = b"0123456789"
    packs[-1].chmod(0o644)
    packs[-1].write_bytes(raw)
    folder = mounts.start("bundle", "mount", "--repo", "r").folder
    with pytest.raises(OSError) as caught:
        (folder / "big.bin").read_bytes()
    assert caught.value.errno == errno.EIO


def _wait(is_so: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_listings_have_dots_first(mounts: Mounts, bundle: sheaf.Bundle, data: Path, library: str) -> None:
    """As POSIX programs that read folders by themselves expect."""
    folder = mounts.start("bundle", "mount", "--repo", "r", "--library", library).folder
    for place in (folder, folder / "many"):
        listed = subprocess.run(["ls", "-af", place], check=True, capture_output=True).stdout.split()
        assert listed[:2] == [b".", b".."]
    assert sorted(map(bytes.decode, listed[2:])) == sorted(os.listdir(data / "many"))


@pytest.mark.parametrize("noun", ["bundle", "repo"])
def test_a_name_of_256_bytes_is_too_long(mounts: Mounts, bundle: sheaf.Bundle, noun: str, library: str) -> None:
    folder = mounts.start(noun, "mount", "--repo", "r", "--library", library).folder
    for name, number in (("n" * 255, errno.ENOENT), ("n" * 256, errno.ENAMETOOLONG), ("é" * 128, errno.ENAMETOOLONG)):
        with pytest.raises(OSError) as caught:
            os.stat(folder / name)
        assert caught.value.errno == number


def test_the_table_of_mounts_says_what_is_mounted(mounts: Mounts, bundle: sheaf.Bundle, library: str) -> None:
    for noun, options, source in (
        ("bundle", ["--repo", "r"], f"sheaf:r@{bundle.id}"),
        ("repo", ["--repo", "r"], "sheaf:r"),
        ("store", [], f"sheaf:{mounts.url}"),
    ):
        mount = mounts.start(noun, "mount", *options, "--library", library)
        found = mounted_on(mount.folder)
        assert found is not None and (found.source, found.is_writable) == (source, False)


@pytest.mark.skipif(os.geteuid() != 0, reason="not root: only root may set how much the kernel reads ahead")
def test_the_kernel_requests_a_megabyte_at_a_time(mounts: Mounts, store: sheaf.Store, tmp_path: Path) -> None:
    """The mount finds its device without a stat of its folder, which would keep it busy for an unmount that follows."""
    (tmp_path / "data").mkdir()
    (tmp_path / "data/file").write_text("x")
    store.repo("r").upload(tmp_path / "data", message="m")
    mounts.home = tmp_path / "with a blank"
    mounts.home.mkdir()
    folder = mounts.start("bundle", "mount", "--repo", "r", "--library", "pyfuse3").folder
    with (folder / "file").open():
        device = folder.stat().st_dev
        (settings,) = Path("/sys/class/bdi").glob(f"{os.major(device)}:{os.minor(device)}*")
        assert (settings / "read_ahead_kb").read_text() == "1024\n"
