"""The kind ``fuse`` with real mounts."""

from __future__ import annotations

import errno
import os
import re
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.mount.conftest import is_mounted, missing, mount_type
from tests.sidecar.conftest import SCRIPTS, Pod, Process, wait_for

import sheaf

pytestmark = [pytest.mark.skipif(bool(missing()), reason=missing())]

YAML = """
globalOpts: {{sleepInsteadOfExit: false, coordPoint: {home}/coord, configBucketName: b, contextName: c, pollInterval: 0.05}}
bundles:
- {{name: src, srcPath: {home}/in, srcRepo: faces, srcLabel: init, srcBundle: ""}}
- {{name: other, srcPath: {home}/more, srcRepo: faces, srcBundle: {bundle}}}
- {{name: dest, destPath: {home}/out, destRepo: results, destMessage: two words, destLabel: done, destBundleID: {home}/id}}
"""


@pytest.fixture
def store(pod: Pod, tmp_path: Path) -> Iterator[sheaf.Store]:
    """A repo whose label ``init`` is on a bundle with a file ``name``, and an empty one for results."""
    url = f"file://{tmp_path}/store"
    pod.variables["SHEAF_STORE"] = url
    (tmp_path / "out").mkdir()
    with sheaf.init(url, probe=False) as made:
        made.create_repo("results")
        repo = made.create_repo("faces")
        _upload(repo, tmp_path, "first", "init")
    with sheaf.connect(url) as found:
        yield found
    for folder in ("in", "more"):
        if is_mounted(tmp_path / folder):
            os.system(f"fusermount3 -u -z {tmp_path / folder}")


def _upload(repo: sheaf.Repo, home: Path, text: str, label: str) -> str:
    folder = home / f"folder-{text}"
    folder.mkdir()
    (folder / "name").write_text(text)
    result = repo.upload(folder, message=text, label=label, move_label=True)
    return str(result.bundle.id)


def _sidecar(pod: Pod, *commands: str, options: tuple[str, ...] = ()) -> Process:
    words = [word for command in commands for word in ("-d", command)]
    return pod.start("sheaf", "sidecar", "fuse", "-c", pod.coord, "--poll-interval", "0.05", *options, *words)


def _mount_process(folder: Path) -> int:
    """The process that serves a folder."""
    for place in Path("/proc").glob("[0-9]*"):
        try:
            words = (place / "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if os.fsencode(folder) in words and b"mount" in words:
            return int(place.name)
    raise AssertionError(f"nothing serves {folder}")


def _is_stale(folder: Path) -> bool:
    try:
        os.statvfs(folder)
    except OSError as error:
        return error.errno == errno.ENOTCONN
    return False


def _reads(path: Path, text: str) -> bool:
    try:
        return path.read_text() == text
    except OSError:
        return False


def test_yaml_of_the_second_generation_runs_as_it_is(pod: Pod, store: sheaf.Store) -> None:
    id_ = store.repo("faces").bundle("label:init").id
    pod.variables["dm_fuse_params"] = YAML.format(home=pod.home, bundle=id_)
    sidecar = pod.start("sh", SCRIPTS / "wrap_datamon.sh")
    program = f"cat {pod.home}/in/name {pod.home}/more/name >{pod.home}/out/both"
    application = pod.application("-b", "fuse", "--", "sh", "-c", program)
    assert application.end() == 0, application.err + sidecar.err
    assert sidecar.end() == 0, sidecar.err
    saved = store.repo("results").bundle("label:done")
    assert saved.read("both") == b"firstfirst"
    assert saved.message == "two words"
    assert (pod.home / "id").read_text() == f"{saved.id}\n"
    assert not is_mounted(pod.home / "in") and not is_mounted(pod.home / "more")


def test_a_mount_that_dies_is_started_again_on_the_same_folder_with_the_same_bundle(
    pod: Pod, store: sheaf.Store
) -> None:
    folder = pod.home / "in"
    sidecar = _sidecar(pod, f"bundle mount --repo faces --label init --mount {folder} --stream")
    wait_for((pod.coord / "mountdone").exists, "mountdone")
    assert (folder / "name").read_text() == "first"
    assert mount_type(folder) == "fuse.datamon"
    _upload(store.repo("faces"), pod.home, "second", "init")
    first = _mount_process(folder)
    os.kill(first, signal.SIGKILL)
    wait_for(lambda: _reads(folder / "name", "first"), "the mount again")
    assert _mount_process(folder) != first
    (pod.coord / "initupload").touch()
    assert sidecar.end() == 0, sidecar.err
    assert (pod.coord / "uploaddone").exists()
    assert not is_mounted(folder)


@pytest.mark.parts
def test_a_mount_that_dies_again_and_again_is_told_to_the_application(pod: Pod, store: sheaf.Store) -> None:
    folder = pod.home / "in"
    sidecar = _sidecar(pod, f"bundle mount --repo faces --label init --mount {folder}")
    application = pod.application(
        "-b", "fuse", "-g", "1", "--", "sh", "-c", "touch running; while :; do sleep 0.1; done"
    )
    wait_for((pod.home / "running").exists, "the program")
    killed: set[int] = set()

    def is_over() -> bool:
        try:
            process = _mount_process(folder)
        except AssertionError:
            return sidecar.popen.poll() is not None
        if process not in killed:
            killed.add(process)
            os.kill(process, signal.SIGKILL)
        return False

    wait_for(is_over, "the end of the sidecar")
    assert sidecar.end() == 8
    assert application.end() == 125
    assert re.search(r"in: the mount ended 6 times: killed by signal 9", application.err)
    assert len(killed) == 6
    assert not is_mounted(folder)


@pytest.mark.parametrize(
    ("command", "message"),
    [
        ("bundle mount --repo faces --label nothing --mount {home}/in", "can't mount: didn't find label"),
        ("bundle mount --repo nothing --label init --mount {home}/in", "can't mount: "),
        ("bundle mount --repo faces --label init --mount {home}/full", "is not empty"),
    ],
)
def test_a_mount_that_can_not_be_is_told_before_the_program_starts(
    pod: Pod, store: sheaf.Store, command: str, message: str
) -> None:
    (pod.home / "full").mkdir()
    (pod.home / "full/file").touch()
    sidecar = _sidecar(pod, command.format(home=pod.home))
    application = pod.application("-b", "fuse", "--", "touch", pod.home / "running")
    assert sidecar.end() == 8
    assert application.end() == 125
    assert message in application.err
    assert not (pod.home / "running").exists()


@pytest.mark.parts
def test_all_mounts_end_with_a_killed_sidecar_and_a_stale_one_is_replaced(pod: Pod, store: sheaf.Store) -> None:
    folder = pod.home / "in"
    command = f"bundle mount --repo faces --label init --mount {folder}"
    first = _sidecar(pod, command)
    wait_for((pod.coord / "mountdone").exists, "mountdone")
    first.signal(signal.SIGSTOP)  # so that it does not mount again
    os.kill(_mount_process(folder), signal.SIGKILL)
    os.kill(first.popen.pid, signal.SIGKILL)
    first.end()
    wait_for(lambda: _is_stale(folder), "the stale mount")
    pod.coord.rename(pod.home / "old")
    second = _sidecar(pod, command)
    wait_for((pod.coord / "mountdone").exists, "mountdone")
    assert (folder / "name").read_text() == "first"
    os.kill(second.popen.pid, signal.SIGKILL)
    wait_for(lambda: not is_mounted(folder), "the end of the mount")


@pytest.mark.parts
def test_the_memory_is_shared_among_the_mounts(pod: Pod, store: sheaf.Store) -> None:
    commands = [f"bundle mount --repo faces --label init --mount {pod.home}/{name}" for name in ("in", "more")]
    sidecar = _sidecar(pod, *commands, options=("--cache-size", "32M"))
    wait_for((pod.coord / "mountdone").exists, "mountdone")
    for name in ("in", "more"):
        words = Path(f"/proc/{_mount_process(pod.home / name)}/cmdline").read_bytes().split(b"\0")
        assert words[words.index(b"--cache-size") + 1] == str(16 << 20).encode()
        assert b"--allow-other" in words or os.geteuid() != 0
    sidecar.signal(signal.SIGTERM)
    assert sidecar.end() == 143
    assert not is_mounted(pod.home / "in")
