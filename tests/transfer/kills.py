"""Kills a download, or an update, before each of its system calls that change something, and runs it again.

A program of its own, since it forks: ``python -m tests.transfer.kills download|update FOLDER``. It prints the number of
points at which it killed; what went wrong goes to stderr, and the exit code is 1.
"""

from __future__ import annotations

import os
import pickle
import random
import shutil
import signal
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.transfer.bundles import File, Folder, Item, Link, Shelf, look

from sheaf.engine.manifest.tree import Tree
from sheaf.storage.folder.backend import FolderBackend
from sheaf.transfer.download.download import download
from sheaf.transfer.download.update import update

CALLS = (
    "open",
    "write",
    "mkdir",
    "rename",
    "link",
    "unlink",
    "rmdir",
    "utime",
    "fchmod",
    "chmod",
    "symlink",
    "truncate",
)
BIG = random.Random(1).randbytes(400_000)
OLD: dict[str, Item] = {
    "same": File(b"same"),
    "changed": File(b"before"),
    "gone/x": File(b"x"),
    "gone": Folder(),
    "turns": File(b"into a folder"),
    "falls/x": File(b"x"),
    "falls": Folder(),
    "link": Link("same"),
    "mode": File(b"mode", 0o644),
}
NEW: dict[str, Item] = {
    "same": File(b"same", mtime=5),
    "changed": File(b"after!"),
    "turns/y": File(b"y"),
    "turns": Folder(0o700, 7),
    "falls": File(b"into a file"),
    "link": Link("changed"),
    "mode": File(b"mode", 0o755),
    "big": File(BIG),
    "locked": Folder(0o500),
    "locked/z": File(b"z"),
}


def make_store(work: Path) -> None:
    """Both bundles in a store; what leads to them beside it."""
    shelf = Shelf(FolderBackend(work.with_name("store"), durability="none"))
    roots = shelf.bundle(OLD).root, shelf.bundle(NEW).root
    work.with_name("store-roots").write_bytes(pickle.dumps(roots))


def trees(work: Path) -> tuple[Shelf, Tree, Tree]:
    """Both bundles."""
    shelf = Shelf(FolderBackend(work.with_name("store"), durability="none"))
    old, new = pickle.loads(work.with_name("store-roots").read_bytes())
    return shelf, Tree(shelf.nodes, old), Tree(shelf.nodes, new)


def run(what: str, work: Path) -> None:
    """The operation itself; can be run again and again."""
    shelf, old, new = trees(work)
    if what == "download":
        download(new, shelf.contents, work / "out", concurrency=1)
    else:
        update(new, shelf.contents, work / "out", old)


def prepare(what: str, work: Path) -> None:
    """A fresh place for the operation."""
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir()
    if what == "update":
        shelf, old, _ = trees(work)
        download(old, shelf.contents, work / "out")
        (work / "out" / "mine").write_text("mine")


def no_file_is_torn(work: Path) -> None:
    """Whatever is in the destination is whole: as it was before, or as it will be."""
    for path, item in look(work / "out").items() if (work / "out").exists() else ():
        if isinstance(item, File) and path != "mine" and not path.startswith(".sheaf-partial"):
            whole = {each.content for each in (OLD.get(path), NEW.get(path)) if isinstance(each, File)}
            assert item.content in whole, f"{path} is torn"


def is_finished(what: str, work: Path) -> None:
    """All is there, and nothing of ours."""
    found = look(work / "out")
    if what == "update":
        mine = found.pop("mine")
        assert isinstance(mine, File) and mine.content == b"mine"
    wrong = sorted(path for path in found.keys() | NEW.keys() if found.get(path) != NEW.get(path))
    assert not wrong, f"not as they should be: {wrong}"
    assert [path.name for path in work.iterdir()] == ["out"], list(work.iterdir())


def kill_at(point: int) -> None:
    """From here on the process dies before its nth change; before a write, half of the bytes are written."""
    left = [point]

    def wrap(real: Callable[..., Any], name: str) -> Callable[..., Any]:
        def call(*args: Any, **options: Any) -> Any:
            changes = name != "open" or args[1] & os.O_CREAT
            if changes and "store" not in str(args[0]):
                left[0] -= 1
                if left[0] < 0:
                    if name == "write":
                        real(args[0], args[1][: len(args[1]) // 2])
                    os.kill(os.getpid(), signal.SIGKILL)
            return real(*args, **options)

        return call

    for name in CALLS:
        setattr(os, name, wrap(getattr(os, name), name))


def in_child(action: Callable[[], None]) -> int:
    """Runs it in a fork, so that this process never has threads; returns the wait status."""
    pid = os.fork()
    if pid == 0:
        try:
            action()
        except BaseException:
            traceback.print_exc()
            sys.stderr.flush()
            os._exit(1)
        os._exit(0)
    return os.waitpid(pid, 0)[1]


def survive(what: str, work: Path, point: int) -> bool:
    """Kills at one point and runs again; False once there are no more points. Raises AssertionError."""

    def killed() -> None:
        kill_at(point)
        run(what, work)

    def again() -> None:
        no_file_is_torn(work)
        run(what, work)
        is_finished(what, work)

    assert in_child(lambda: prepare(what, work)) == 0
    status = in_child(killed)
    assert status in (0, signal.SIGKILL), f"status {status} at point {point}"
    assert in_child(again) == 0, f"after a kill at point {point}"
    return status != 0


def main(what: str, work: Path) -> None:
    assert in_child(lambda: make_store(work)) == 0
    point = 0
    while survive(what, work, point):
        point += 1
    shutil.rmtree(work)
    print(point)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
