"""Kills ``add``, ``pull`` and ``bump`` before system calls that change a file, and runs them again.

A program of its own, since it forks: ``python -m tests.pins.pin_kills FOLDER STRIDE``. It kills before every call that
makes ``sheaf.lock`` and ``.gitignore``, and before each STRIDEth of all others; it prints at how many points. What went
wrong goes to stderr, and the exit code is 1.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any

from tests.cli.data import change, make_folder, tree_of
from tests.transfer.kills import in_child, kill_at

import sheaf
from sheaf.pins.pinned_folders import Pins


def prepare(what: str, work: Path) -> None:
    """A git repository in which the operation can be run."""
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir()
    subprocess.run(["git", "init", "--quiet", work / "project"], check=True)
    if what != "add":
        run("add", work, "faces@v1")
    if what == "pull":
        run("bump", work, "main", download=False)


def run(what: str, work: Path, ref: str = "main", *, download: bool = True) -> None:
    """The operation itself; what an earlier one has finished may be refused."""
    pins = Pins(
        work / "project", open_store=lambda url: sheaf.connect(str(work.with_name("the-store")), cache=work / "cache")
    )
    place = work / "project/data/faces"
    if what == "add":
        if not (work / "project/sheaf.lock").exists():
            pins.add(ref if "@" in ref else f"faces@{ref}", place)
    elif what == "bump":
        pins.bump(place, ref, download=download)
    else:
        pins.pull()


def is_finished(work: Path) -> None:
    """The folder, the file and ``.gitignore`` are as they should be, and nothing else is there."""
    project = work / "project"
    assert tree_of(project / "data/faces") == tree_of(work.with_name("second"))
    (pin,) = Pins(project, open_store=lambda url: sheaf.connect(str(work.with_name("the-store")))).all()
    assert (pin.folder, pin.ref) == ("data/faces", "main")
    assert (project / "data/.gitignore").read_text() == "/faces\n/.faces.sheaf-partial\n"
    found = sorted(path.relative_to(project).as_posix() for path in (*project.iterdir(), *(project / "data").iterdir()))
    assert found == [".git", "data", "data/.gitignore", "data/faces", "sheaf.lock"], found


def kill_at_own(point: int) -> None:
    """From here on the process dies before its nth step of replacing ``sheaf.lock`` or ``.gitignore``."""
    left = [point]

    def wrap(real: Callable[..., Any]) -> Callable[..., Any]:
        def call(path: Any, *args: Any, **options: Any) -> Any:
            if str(path).endswith((".lock.new", ".gitignore.new")):
                left[0] -= 1
                if left[0] < 0:
                    os.kill(os.getpid(), signal.SIGKILL)
            return real(path, *args, **options)

        return call

    for name in ("open", "replace"):
        setattr(os, name, wrap(getattr(os, name)))


def survive(what: str, work: Path, kill: Callable[[], None]) -> bool:
    """Kills at one point and runs again; False once there are no more points."""

    def killed() -> None:
        kill()
        run(what, work)

    def again() -> None:
        run(what, work)
        is_finished(work)

    assert in_child(lambda: prepare(what, work)) == 0
    status = in_child(killed)
    assert status in (0, signal.SIGKILL), f"status {status}"
    assert in_child(again) == 0, f"{what} after a kill"
    return status != 0


def points(what: str, work: Path, kill: Callable[[int], None], stride: int) -> int:
    """How many points there are; each was survived."""
    for number, point in enumerate(count(0, stride)):
        if not survive(what, work, lambda point=point: kill(point)):  # type: ignore[misc]
            return number
    raise AssertionError


def make_store(work: Path) -> None:
    """Two bundles; the second is the head of ``main``."""
    repo = sheaf.connect(str(work.with_name("the-store")), create=True).create_repo("faces")
    data = make_folder(work.with_name("second"))
    repo.upload(data, message="first", label="v1")
    change(data)
    repo.upload(data, message="second")


def main(work: Path, stride: int) -> None:
    assert in_child(lambda: make_store(work)) == 0
    for what in ("add", "pull", "bump"):
        print(what, points(what, work, kill_at_own, 1), points(what, work, kill_at, stride))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
