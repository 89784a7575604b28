"""M1: what programs get from a mounted bundle, beside a pass-through mount of the same files and the files themselves."""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.generate import random_file, small_files
from bench.harness import Bench
from bench.measure import Command, Failed, run, run_all
from bench.peers import SHEAF, Place
from bench.peers.base import path_env
from bench.peers.sheaf import python_command, sheaf_command

__all__ = ["mounts"]

PLAIN, PASS, RCLONE = "the files", "pass-through", "rclone mount"
FIND, FIND_AGAIN, SMALL = "first find", "find again", "small files, cold"
BIG, BIG_AGAIN = "big file, cold", "big file again"
_UP_S = 60


def mounts(bench: Bench) -> None:
    """All contestants on one set of files; s3fs is not among them, since it takes a server that it would measure."""
    if importlib.util.find_spec("pyfuse3") is None or not Path("/dev/fuse").exists():
        bench.report.notes.append("M1 was not run: pyfuse3 or /dev/fuse is missing.")
        return
    with bench.folder("mounted") as data:
        small_files(data / "small", bench.profile.small_files)
        random_file(data / "big.bin", min(bench.profile.edited_bytes, 512 << 20))
        with bench.place(SHEAF, data) as place:
            for command in SHEAF.store(place, 1):
                run(command)
            for _ in range(bench.profile.rounds):
                for name, how in _contestants(place).items():
                    with _mounted(how, place.root / "mnt", data) as folder:
                        _use(bench, name, place, folder)
    _targets(bench)


def _contestants(place: Place) -> dict[str, Command | None]:
    mnt = str(place.root / "mnt")
    found: dict[str, Command | None] = {
        PLAIN: None,
        PASS: python_command(place, "-m", "bench.passthrough", str(place.data), mnt),
        SHEAF.name: sheaf_command(place, "bundle", "mount", "--repo", "bench", "--label", "v1", "--mount", mnt),
    }
    rclone = shutil.which("rclone", path=path_env())
    if rclone:
        found[RCLONE] = place.command(rclone, "mount", "--read-only", str(place.data), mnt)
    return found


@contextmanager
def _mounted(how: Command | None, folder: Path, data: Path) -> Iterator[Path]:
    if how is None:
        yield data
        return
    folder.mkdir(exist_ok=True)
    process = subprocess.Popen(how.argv, cwd=how.cwd, env=dict(how.env), stdout=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + _UP_S
        while f" {folder} fuse" not in Path("/proc/self/mounts").read_text():
            if process.poll() is not None or time.monotonic() > deadline:
                raise Failed(f"{how.argv[0]} did not mount")
            time.sleep(0.05)
        yield folder
    finally:
        subprocess.run(["fusermount3", "-u", "-z", str(folder)], check=False)
        process.wait()


def _use(bench: Bench, name: str, place: Place, folder: Path) -> None:
    """Each step is one ordinary program; what comes twice is in the kernel's cache the second time."""
    small, big = folder / "small", folder / "big.bin"
    find = place.command("find", str(folder), "-printf", "%s\n")
    cat = place.command("sh", "-c", 'tar -C "$0" -cf - . | cat >/dev/null', str(small))
    dd = place.command("dd", f"if={big}", "of=/dev/null", "bs=1M")
    for step, command in ((FIND, find), (FIND_AGAIN, find), (SMALL, cat), (BIG, dd), (BIG_AGAIN, dd)):
        bench.note("M1", step, name, run_all([command]))


def _targets(bench: Bench) -> None:
    """At most so many times the seconds: 0.7 of a speed is 1 / 0.7 of the time."""
    report = bench.report
    report.aim("M1", FIND, PASS, 1.5)
    report.aim("M1", FIND_AGAIN, PLAIN, 5)
    report.aim("M1", SMALL, PASS, 1 / 0.6)
    report.aim("M1", BIG, PASS, 1 / 0.7)
    report.aim("M1", BIG_AGAIN, PLAIN, 1 / 0.4)
    for step in (FIND, FIND_AGAIN, SMALL, BIG, BIG_AGAIN):
        report.aim("M1", step, RCLONE, 1)
