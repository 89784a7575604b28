"""S6, W7 and W8: many versions of files that change a little."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from bench.generate.checkpoints import checkpoint
from bench.generate.tables import csv_rows, keyed_rows, sqlite_rows
from bench.harness import Bench
from bench.measure import Footprint, Sample, footprint, run_all
from bench.peers import SHEAF, Peer, Workspace
from bench.report import Report, Target

__all__ = ["aim_at_least_stored", "checkpoints", "keyed_tables", "tables"]

_PEERS = ("restic", "borg", "casync")
_BEST_OF = ("restic", "casync")


def checkpoints(bench: Bench) -> None:
    """W7: the bytes that checkpoints take, and those of the tensors that are new in each."""
    total, count = bench.profile.tensor_bytes, bench.profile.checkpoints
    unique = 0

    def write(data: Path, n: int) -> None:
        nonlocal unique
        unique = (unique if n else 0) + checkpoint(data / "model.safetensors", total, n)

    stored = _series(bench, "W7", f"{count} checkpoints", count, write)
    if SHEAF.name in stored:
        ours = stored[SHEAF.name].bytes / 2**20
        bench.report.targets.append(Target("W7", "stored", ours, unique / 2**20, "unique bytes", "MiB", 1.03))


def tables(bench: Bench) -> None:
    """W8: a CSV that grows and an SQLite file that changes."""

    def write(data: Path, n: int) -> None:
        csv_rows(data / "rows.csv", n)
        sqlite_rows(data / "rows.db", n)

    stored = _series(bench, "W8", f"{bench.profile.versions} versions", bench.profile.versions, write)
    if SHEAF.name in stored and "casync" in stored:
        ours, theirs = (stored[name].bytes / 2**20 for name in (SHEAF.name, "casync"))
        bench.report.targets.append(Target("W8", "stored", ours, theirs, "casync", "MiB", 1.0))


def keyed_tables(bench: Bench) -> None:
    """S6: versions of an SQLite file whose index is over random keys, and of a CSV file that grows."""
    count = bench.profile.table_versions
    for what, write, name in (("SQLite with random keys", keyed_rows, "rows.db"), ("CSV", csv_rows, "rows.csv")):

        def make(data: Path, n: int, write: Callable[[Path, int], None] = write, name: str = name) -> None:
            write(data / name, n)

        stored = _series(bench, "S6", f"{count} versions, {what}", count, make)
        aim_at_least_stored(bench.report, f"{count} versions, {what}", stored)


def aim_at_least_stored(report: Report, what: str, stored: Mapping[str, Footprint]) -> None:
    """A target of S6: at most the bytes of the best of restic and casync."""
    others = {name: stored[name].bytes for name in _BEST_OF if name in stored}
    if others and SHEAF.name in stored:
        best = min(others, key=lambda name: others[name])
        ours, theirs = stored[SHEAF.name].bytes / 2**20, others[best] / 2**20
        report.targets.append(Target("S6", f"stored, {what}", ours, theirs, best, "MiB", 1.0))


def _series(
    bench: Bench, workload: str, step: str, count: int, write: Callable[[Path, int], None]
) -> dict[str, Footprint]:
    """Store versions one after the other with each contestant; returns what each keeps in the end."""
    stored: dict[str, Footprint] = {}
    for peer in bench.rounds(workload, bench.contestants(*_PEERS), 1):
        with bench.forgiving(workload, peer), bench.folder("series") as data, bench.workspace(peer, data) as workspace:
            sample = _stored(bench, peer, workspace, count, write)
            stored[peer.name] = footprint(peer.keeps(workspace))
            bench.note(workload, step, peer.name, sample, stored[peer.name])
    return stored


def _stored(bench: Bench, peer: Peer, workspace: Workspace, count: int, write: Callable[[Path, int], None]) -> Sample:
    samples = []
    for n in range(count):
        write(workspace.data, n)
        samples.append(run_all(peer.store(workspace, n), bench.deadline))
    return Sample(sum(s.wall_s for s in samples), sum(s.cpu_s for s in samples), max(s.rss_bytes for s in samples))
