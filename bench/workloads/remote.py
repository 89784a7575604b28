"""W12: ten thousand small files to a store with 20 ms a request, one answer in a hundred a 503."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from statistics import median

from bench.generate.small import small_files
from bench.harness import Bench
from bench.measure import Sample
from bench.report import Target

__all__ = ["remote"]

_DELAY_MS = 20
_AT_ONCE = 64


def remote(bench: Bench) -> None:
    """Against what the requests would take 64 at a time, and the same upload to a store in memory."""
    near: list[float] = []
    far: list[float] = []
    with bench.folder("far") as data:
        small_files(data, bench.profile.remote_files)
        bench.settle()
        for _ in range(bench.profile.rounds):
            near.append(_upload(data, 0)[0])
            seconds, requests = _upload(data, _DELAY_MS)
            far.append(seconds)
            bench.note("W12", "20 ms, 1 % 503", "Sheaf", Sample(seconds, 0, 0))
            bench.note("W12", "in memory", "Sheaf", Sample(near[-1], 0, 0))
    ideal = requests / _AT_ONCE * _DELAY_MS / 1000 + median(near)
    what = f"upload of {bench.profile.remote_files:,} files, {requests} requests"
    bench.report.targets.append(Target("W12", what, median(far), ideal, "ideal + in memory", "s", 1.5))


def _upload(data: Path, delay_ms: int) -> tuple[float, int]:
    argv = [sys.executable, "-m", "bench.far", str(data), str(delay_ms)]
    said = subprocess.run(argv, cwd=Path(__file__).parents[2], capture_output=True, text=True, check=True)
    seconds, requests = said.stdout.split()
    return float(seconds), int(requests)
