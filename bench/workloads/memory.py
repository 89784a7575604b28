"""W13: the most memory that a process takes. The tests enforce the limits; here are the figures."""

from __future__ import annotations

from bench.generate.small import edit_small, small_files
from bench.harness import Bench
from bench.measure import Command, run
from bench.peers import SHEAF, Workspace
from bench.peers.sheaf import python_command, sheaf_command

__all__ = ["memory"]

_MiB = 2**20


def memory(bench: Bench) -> None:
    """Upload, download, diff and check of many files; then diff and check of a million entries."""
    _files(bench, bench.profile.memory_files)
    _entries(bench, bench.profile.memory_entries)


def _files(bench: Bench, count: int) -> None:
    what = f"{count:,} files"
    with bench.folder("memory") as data, bench.workspace(SHEAF, data) as workspace:
        small_files(data, count)
        bench.settle()
        _limit(bench, f"upload, {what}", 256, next(iter(SHEAF.store(workspace, 0))))
        edit_small(data, count, 1)
        bench.settle()
        _limit(bench, f"upload again, {what}", 256, next(iter(SHEAF.store(workspace, 1))))
        _limit(bench, f"diff, {what}", 256, sheaf_command(workspace, "diff", "bench@v0", "bench@v1"))
        back = workspace.root / "back"
        _limit(bench, f"download, {what}", 256, next(iter(SHEAF.restore(workspace, 1, back) or ())))
        _limit(bench, f"check, {what}", 256, sheaf_command(workspace, "store", "check", "--read-data"))


def _entries(bench: Bench, count: int) -> None:
    what = f"{count:,} entries"
    with bench.folder("memory") as root:
        workspace = Workspace(root, root)
        for name in ("home", "tmp"):
            (root / name).mkdir()
        run(python_command(workspace, "-m", "bench.million", str(workspace.kept), str(count), "1000"))
        _limit(bench, f"diff, {what}", 512, sheaf_command(workspace, "diff", "bench@v0", "bench@v1"))
        _limit(bench, f"check, {what}", 512, sheaf_command(workspace, "store", "check"))


def _limit(bench: Bench, step: str, limit_mib: int, command: Command) -> None:
    sample = run(command)
    bench.note("W13", step, SHEAF.name, sample)
    bench.report.limit("W13", step, sample.rss_bytes / _MiB, limit_mib, "MiB")
