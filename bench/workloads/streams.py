"""S5 and a part of S6: one big file, half of which can be compressed: time, and what is stored of it."""

from __future__ import annotations

from bench.generate.big import half_compressible
from bench.harness import Bench
from bench.workloads.series import aim_at_least_stored
from bench.workloads.trees import BACK, FIRST

__all__ = ["streams"]

_TIMED = ("cp", "restic")
_STORED = ("borg", "casync")


def streams(bench: Bench) -> None:
    """Upload and download beside cp and restic; borg and casync only store it, once."""
    with bench.folder("streams") as data:
        half_compressible(data / "big.bin", bench.profile.stream_bytes)
        for peer in bench.rounds("S5", bench.contestants(*_TIMED, *_STORED)):
            with bench.forgiving("S5", peer), bench.workspace(peer, data) as workspace:
                done = bench.store("S5", FIRST, peer, workspace, 1)
                if done and peer.name not in _STORED:
                    bench.restore("S5", BACK, peer, workspace, 1)
    bench.report.aim("S5", FIRST, "restic", 0.50)
    bench.report.aim("S5", BACK, "restic", 0.70)
    found = {
        run.name: run.grown for run in bench.report.runs if (run.workload, run.step) == ("S5", FIRST) and run.grown
    }
    aim_at_least_stored(bench.report, "one big file, half text", found)
