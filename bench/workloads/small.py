"""W1 to W4: a hundred thousand small files: first upload, again, with one file in a hundred edited, and back."""

from __future__ import annotations

from pathlib import Path

from bench.generate.small import edit_small, small_files
from bench.harness import Bench
from bench.measure import Command, run_all
from bench.peers import SHEAF, Peer, Workspace
from bench.report import Target

__all__ = ["small"]

FIRST, AGAIN, EDITED, BACK = "first upload", "again, nothing changed", "1 % edited", "download"


def small(bench: Bench) -> None:
    """On the disk with every peer; in memory with those that targets name."""
    _on(bench, "", bench.work, bench.contestants())
    _targets(bench, "")
    if bench.shm is None:
        bench.report.notes.append("W1 and W4 were not run in memory: /dev/shm has not enough room.")
        return
    _on(bench, " (tmpfs)", bench.shm, bench.contestants("cp", "restic"))
    _targets(bench, " (tmpfs)")


def _on(bench: Bench, where: str, base: Path, peers: list[Peer]) -> None:
    count = bench.profile.small_files
    with bench.folder("small", base) as data:
        size = small_files(data, count)
        bench.log(f"W1: {count} files, {size / 2**20:.0f} MiB{where}")
        for step, peer in enumerate(bench.rounds("W1" + where, peers)):
            with bench.forgiving("W1", peer), bench.workspace(peer, data, base) as workspace:
                _life(bench, where, peer, workspace, step)


def _life(bench: Bench, where: str, peer: Peer, workspace: Workspace, step: int) -> None:
    if bench.store("W1", FIRST + where, peer, workspace, 1) is None:
        return
    if not where:
        bench.settle()
        bench.store("W2", AGAIN, peer, workspace, 2)
        if peer is SHEAF:
            bench.note("W2", AGAIN, "find", run_all([_find(workspace)]))
        edit_small(workspace.data, bench.profile.small_files, step)
        bench.settle()
        bench.store("W3", EDITED, peer, workspace, 3)
    bench.restore("W4", BACK + where, peer, workspace, 3 if not where else 1)


def _find(workspace: Workspace) -> Command:
    return workspace.command("find", str(workspace.data), "-printf", "%s %T@\n")


def _targets(bench: Bench, where: str) -> None:
    report = bench.report
    report.aim("W1", FIRST + where, "cp", 0.75)
    report.aim("W1", FIRST + where, "restic", 0.45)
    report.aim("W1", FIRST + where, "DVC", 0.15)
    if not where:
        report.aim("W2", AGAIN, "find", 4)
        report.aim("W2", AGAIN, "restic", 0.25)
        edited, again = report.wall("W3", EDITED, "Sheaf"), report.wall("W2", AGAIN, "Sheaf")
        if edited and again:
            report.targets.append(Target("W3", EDITED, edited, again, "W2", "s", 1.5))
    report.aim("W4", BACK + where, "cp", 1.2)
    report.aim("W4", BACK + where, "restic", 0.55)
