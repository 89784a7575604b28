"""``%sheaf use --mount`` over the mount of a kernel that has ended."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.mount.conftest import missing
from tests.notebook.conftest import Notebook

import sheaf
from sheaf.storage.folder.network_mounts import mounted_on

pytestmark = pytest.mark.skipif(bool(missing()), reason=missing() or "all is there")


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """A folder to mount on; nothing is left mounted there, whatever happens."""
    folder = tmp_path / "mnt"
    yield folder
    while mounted_on(folder) is not None:
        subprocess.run(["fusermount3", "-u", "-z", folder], check=True)


@pytest.fixture
def faces(store: sheaf.Store) -> sheaf.Repo:
    repo = store.create_repo("acme/faces")
    for label in ("v1", "v2"):
        with repo.edit(message=label, label=label) as edit:
            edit.put("text", label.encode())
            edit.commit()
    return repo


def _server(folder: Path) -> int:
    """The process that serves a mount."""
    for place in Path("/proc").iterdir():
        if place.name.isdigit() and str(folder).encode() in _arguments(place):
            return int(place.name)
    raise LookupError(f"nobody serves {folder}")


def _arguments(place: Path) -> list[bytes]:
    try:
        return (place / "cmdline").read_bytes().split(b"\0")
    except OSError:
        return []


def _kill_server(folder: Path) -> None:
    os.kill(_server(folder), signal.SIGKILL)
    deadline = time.monotonic() + 60
    while True:
        try:
            os.statvfs(folder)
        except OSError:
            return
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_the_mount_of_an_earlier_kernel_is_used_again(notebook: Notebook, faces: sheaf.Repo, folder: Path) -> None:
    notebook(f"%sheaf use acme/faces@v1 --mount {folder}")
    before = _server(folder)
    notebook("%reload_ext sheaf")  # what a new kernel knows: nothing
    notebook(f"%sheaf use acme/faces@v1 --mount {folder}")
    assert (folder / "text").read_text() == "v1"
    assert _server(folder) == before
    found = mounted_on(folder)
    assert found is not None and found.source == f"sheaf:acme/faces@{faces.bundle('v1').id}"


def test_another_bundle_replaces_the_one_that_is_mounted(notebook: Notebook, faces: sheaf.Repo, folder: Path) -> None:
    notebook(f"%sheaf use acme/faces@v1 --mount {folder}")
    notebook(f"%sheaf use acme/faces@v2 --mount {folder}")
    assert (folder / "text").read_text() == "v2"


def test_a_mount_that_is_in_use_stays(notebook: Notebook, faces: sheaf.Repo, folder: Path) -> None:
    from IPython.core.error import UsageError

    notebook(f"%sheaf use acme/faces@v1 --mount {folder}")
    with (folder / "text").open() as text:
        with pytest.raises(UsageError, match="close the programs that use it"):
            notebook(f"%sheaf use acme/faces@v2 --mount {folder}")
        assert text.read() == "v1"


def test_a_mount_whose_process_is_gone_is_taken_away(notebook: Notebook, faces: sheaf.Repo, folder: Path) -> None:
    notebook(f"%sheaf use acme/faces@v1 --mount {folder}")
    _kill_server(folder)
    notebook(f"%sheaf use acme/faces@v2 --mount {folder}")
    assert (folder / "text").read_text() == "v2"


def test_a_writable_mount_is_left_alone_and_loses_nothing(
    notebook: Notebook, faces: sheaf.Repo, folder: Path, tmp_path: Path
) -> None:
    from IPython.core.error import UsageError

    spill = tmp_path / "spill"
    program = [sys.executable, "-c", "from sheaf.cli.main import main; main()"]
    command = f"bundle mount new --repo acme/faces -m new --mount {folder} --destination {spill} --daemonize"
    notebook(f"import subprocess, sys; subprocess.run({[*program, *command.split()]}, check=True)")
    (folder / "written").write_text("kept")
    with pytest.raises(UsageError, match="is a writable mount"):
        notebook(f"%sheaf use acme/faces@v1 --mount {folder}")
    _kill_server(folder)
    notebook(f"%sheaf use acme/faces@v1 --mount {folder}")
    assert (folder / "text").read_text() == "v1"
    notebook(f"subprocess.run({[*program, 'bundle', 'commit', str(spill)]}, check=True)")
    assert faces.bundle().read("written") == b"kept"
