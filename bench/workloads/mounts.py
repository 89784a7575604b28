"""M1: what programs get from a mounted bundle, beside a pass-through mount of the same files and the files themselves."""

from __future__ import annotations

import shutil
from contextlib import nullcontext
from pathlib import Path

from bench.generate.big import random_file
from bench.generate.small import small_files
from bench.harness import Bench
from bench.measure import Command, run, run_all
from bench.mounting import can_mount, mounted
from bench.peers import SHEAF, Workspace
from bench.peers.base import path_env
from bench.peers.sheaf import python_command, sheaf_command

__all__ = ["mounts"]

PLAIN, PASS, RCLONE = "the files", "pass-through", "rclone mount"
FIND, FIND_AGAIN, SMALL = "first find", "find again", "small files, cold"
BIG, BIG_AGAIN = "big file, cold", "big file again"


def mounts(bench: Bench) -> None:
    """All contestants on one set of files; s3fs is not among them, since it takes a server that it would measure."""
    if not can_mount():
        bench.report.notes.append("M1 was not run: pyfuse3 or /dev/fuse is missing.")
        return
    with bench.folder("mounted") as data:
        small_files(data / "small", bench.profile.small_files)
        random_file(data / "big.bin", min(bench.profile.edited_bytes, 512 << 20))
        with bench.workspace(SHEAF, data) as workspace:
            for command in SHEAF.store(workspace, 1):
                run(command)
            for _ in range(bench.profile.rounds):
                for name, how in _contestants(workspace).items():
                    with mounted(how, workspace.root / "mnt") if how else nullcontext(data) as folder:
                        _use(bench, name, workspace, folder)
    _targets(bench)


def _contestants(workspace: Workspace) -> dict[str, Command | None]:
    mnt = str(workspace.root / "mnt")
    found: dict[str, Command | None] = {
        PLAIN: None,
        PASS: python_command(workspace, "-m", "bench.passthrough", str(workspace.data), mnt),
        SHEAF.name: sheaf_command(workspace, "bundle", "mount", "--repo", "bench", "--label", "v1", "--mount", mnt),
    }
    rclone = shutil.which("rclone", path=path_env())
    if rclone:
        found[RCLONE] = workspace.command(rclone, "mount", "--read-only", str(workspace.data), mnt)
    return found


def _use(bench: Bench, name: str, workspace: Workspace, folder: Path) -> None:
    """Each step is one ordinary program; what comes twice is in the kernel's cache the second time."""
    small, big = folder / "small", folder / "big.bin"
    find = workspace.command("find", str(folder), "-printf", "%s\n")
    cat = workspace.command("sh", "-c", 'tar -C "$0" -cf - . | cat >/dev/null', str(small))
    dd = workspace.command("dd", f"if={big}", "of=/dev/null", "bs=1M")
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
