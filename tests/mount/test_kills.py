"""Writable mounts, and commits of what they left, killed at random moments: no acknowledged write is lost."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.mount.conftest import Mounts

import sheaf

Files = dict[str, bytes]
_OPERATIONS = 400


class Program:
    """Writes files through a mount until it is gone. ``files``: what was acknowledged; ``after``: with what was not."""

    def __init__(self, root: Path, files: Files, chance: random.Random) -> None:
        self._root = root
        self._chance = chance
        self.files = dict(files)
        self.after = dict(files)

    def run(self, killed_at: int, kill: Callable[[], None]) -> None:
        """``kill`` is called while the operation of that number is under way, or about to be."""
        killer = threading.Thread(target=kill)
        for number in range(_OPERATIONS):
            if number == killed_at:
                killer.start()
            try:
                self._step(number)
            except OSError:
                break
            self.files = dict(self.after)
        killer.join()

    def _step(self, number: int) -> None:
        name = f"d{self._chance.randrange(3)}/f{self._chance.randrange(12)}"
        match self._chance.choice(["write", "write", "append", "remove", "rename"]):
            case "write":
                data = self._chance.randbytes(self._chance.randrange(20_000))
                self.after[name] = data
                self._written(self._root / f".new-{number}", data)
                os.replace(self._root / f".new-{number}", self._root / name)
            case "append" if name in self.files:
                self.after[name] += b"appended"
                self._written(self._root / name, b"appended", os.O_APPEND)
            case "remove" if name in self.files:
                del self.after[name]
                os.unlink(self._root / name)
            case "rename" if name in self.files:
                self.after["renamed"] = self.after.pop(name)
                os.rename(self._root / name, self._root / "renamed")

    def _written(self, path: Path, data: bytes, flags: int = 0) -> None:
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | flags, 0o600)
        try:
            assert os.write(fd, data) == len(data)
            os.fsync(fd)
        finally:
            os.close(fd)


@pytest.mark.parametrize("seed", [1, 2, *(pytest.param(n, marks=pytest.mark.slow) for n in range(3, 40))])
def test_nothing_acknowledged_is_lost(mounts: Mounts, store: sheaf.Store, tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)
    base = {f"d{n % 3}/f{n}": chance.randbytes(5_000) for n in range(9)}
    with store.repo("r").edit(message="base") as edit:
        for path, data in base.items():
            edit.put(path, data)
        edit.commit()
    spill = tmp_path / "spill"
    mount = mounts.start(
        "bundle", "mount", "new", "--repo", "r", "--base", "main", "--message", "m", "--destination", spill
    )
    program = Program(mount.folder, base, chance)
    program.run(chance.randrange(_OPERATIONS // 2), mount.process.kill)
    assert mount.wait_end() == -signal.SIGKILL
    subprocess.run(["fusermount3", "-u", "-z", mount.folder], check=True)
    for _ in range(chance.randrange(4)):
        _commit_killed(mounts, spill, chance.random() * 1.5)
    if (spill / "journal").exists():
        mounts.run("bundle", "commit", spill)
    bundle = store.repo("r").bundle()
    found = {e.path: bundle.read(e.path) for e in bundle.ls(recursive=True) if e.kind == "file"}
    kept = {path: data for path, data in found.items() if not path.startswith(".new-")}
    assert kept in (program.files, program.after) or _is_between(kept, program)
    assert store.check(read_data=True).ok
    assert not (spill / "journal").exists()


def _commit_killed(mounts: Mounts, spill: Path, seconds: float) -> None:
    """A commit of a spill, killed after so long unless it has ended."""
    command = mounts.command("bundle", "commit", spill)
    process = subprocess.Popen(command, env=mounts.environment(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(seconds)
    process.send_signal(signal.SIGKILL)
    process.wait()


def _is_between(kept: Files, program: Program) -> bool:
    """Whether only the append that was not acknowledged is there in part."""
    unlike = {path for path in kept.keys() | program.files.keys() if kept.get(path) != program.files.get(path)}
    return len(unlike) == 1 and all(program.after[path].startswith(kept[path]) for path in unlike)
