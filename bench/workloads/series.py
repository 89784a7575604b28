"""W7 and W8: many versions of files that change a little."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from bench.generate import checkpoint, csv_rows, sqlite_rows
from bench.harness import Bench
from bench.measure import Footprint, Sample, footprint, run_all
from bench.peers import SHEAF, Peer, Place
from bench.report import Target

__all__ = ["checkpoints", "tables"]

_PEERS = ("restic", "borg", "casync")


def checkpoints(bench: Bench) -> None:
    """W7: what ten checkpoints take, beside the bytes of the tensors that are new in each."""
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


def _series(
    bench: Bench, workload: str, step: str, count: int, write: Callable[[Path, int], None]
) -> dict[str, Footprint]:
    """Store versions one after the other with each contestant; returns what each keeps in the end."""
    stored: dict[str, Footprint] = {}
    for peer in bench.rounds(workload, bench.contestants(*_PEERS), 1):
        with bench.forgiving(workload, peer), bench.folder("series") as data, bench.place(peer, data) as place:
            sample = _stored(bench, peer, place, count, write)
            stored[peer.name] = footprint(peer.keeps(place))
            bench.note(workload, step, peer.name, sample, stored[peer.name])
    return stored


def _stored(bench: Bench, peer: Peer, place: Place, count: int, write: Callable[[Path, int], None]) -> Sample:
    samples = []
    for n in range(count):
        write(place.data, n)
        samples.append(run_all(peer.store(place, n), bench.deadline))
    return Sample(sum(s.wall_s for s in samples), sum(s.cpu_s for s in samples), max(s.rss_bytes for s in samples))
