"""S4: the same number of bytes in files of one size, for many sizes, through every interface; there must be no cliff.

A cost that has one part for each file and one for each byte grows, from one size to the next, by a factor between 1 and
the ratio of the sizes. A *cliff* is the factor by which a step leaves that range: a file that costs more than its bytes
explain, or less than a smaller one does.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterable, Iterator
from itertools import pairwise
from pathlib import Path

from bench.generate.trees import equal_files
from bench.harness import Bench
from bench.measure import Failed, Sample, run_all
from bench.mounting import can_mount, mounted
from bench.peers import SHEAF, Workspace
from bench.peers.sheaf import python_command, sheaf_command
from bench.reading import INTERFACES

__all__ = ["WAYS", "cliffs", "sweep"]

UPLOAD, DOWNLOAD, MOUNT = "upload", "download", "mount"
WAYS = (UPLOAD, DOWNLOAD, MOUNT, *INTERFACES)
_NAME = "S4-sweep"
_LIMIT = 1.3
_KiB = 1 << 10
_LEAST_FILES = 16
_READ_S = 300


def sweep(bench: Bench) -> None:
    """Fill the table of microseconds a file, and find the worst cliff of each way."""
    if not can_mount():
        bench.report.notes.append("S4-sweep leaves the mount out: pyfuse3 or /dev/fuse is missing.")
    profile = bench.profile
    starts = _walls(bench, 1, 1)
    for size in profile.sweep_sizes:
        count = max(min(profile.sweep_bytes // size, profile.sweep_files), min(_LEAST_FILES, profile.sweep_files))
        for way, wall in _walls(bench, size, count).items():
            beyond = max(wall - starts[way], 1e-6)
            bench.report.sweep.setdefault(way, {})[size] = beyond / count * 1e6
    for way, costs in bench.report.sweep.items():
        found = list(cliffs(costs))
        if found:
            worst, before, after = max(found)
            what = f"{way}: worst cliff, from {before / _KiB:g} to {after / _KiB:g} KiB"
            bench.report.limit("S4", what, worst, _LIMIT, "×")


def _walls(bench: Bench, size: int, count: int) -> dict[str, float]:
    """Return the least seconds of each way for files of one size; one file of one byte shows what start-up takes."""
    with bench.folder("sweep") as data:
        equal_files(data, count, size)
        for _ in bench.rounds(_NAME, [SHEAF]):
            _measure(bench, data, count, size)
    walls = {way: bench.report.least(_NAME, _step(way, size), SHEAF.name) for way in WAYS}
    return {way: wall for way, wall in walls.items() if wall is not None}


def cliffs(costs: dict[int, float]) -> Iterator[tuple[float, int, int]]:
    """For each pair of neighbouring sizes the cliff between them, at least 1; ``costs``: of a file, by its size."""
    for before, after in pairwise(sorted(costs)):
        growth = costs[after] / costs[before]
        yield max(growth / (after / before), 1 / growth, 1.0), before, after


def _step(way: str, size: int) -> str:
    return f"{way}, {size / _KiB:g} KiB" if size > 1 else f"{way}, one byte"


def _measure(bench: Bench, data: Path, count: int, size: int) -> None:
    with bench.workspace(SHEAF, data) as workspace:
        bench.store(_NAME, _step(UPLOAD, size), SHEAF, workspace, 1)
        bench.restore(_NAME, _step(DOWNLOAD, size), SHEAF, workspace, 1)
        if can_mount():
            bench.note(_NAME, _step(MOUNT, size), SHEAF.name, _through_mount(workspace))
        for name in INTERFACES:
            seconds, found = _through_python(workspace, name)
            if found != count * size:
                raise Failed(f"{name} read {found} of {count * size} bytes")
            bench.note(_NAME, _step(name, size), SHEAF.name, Sample(seconds, 0, 0))


def _through_mount(workspace: Workspace) -> Sample:
    """Read all files with tar, without what mounting takes."""
    folder = workspace.root / "mnt"
    mount = ("bundle", "mount", "--repo", "bench", "--label", "v1", "--mount", str(folder))
    with mounted(sheaf_command(workspace, *mount), folder):
        return run_all([workspace.command("sh", "-c", 'tar -C "$0" -cf - . | cat >/dev/null', str(folder))])


def _through_python(workspace: Workspace, interface: str) -> tuple[float, int]:
    """Return seconds and bytes."""
    command = python_command(workspace, "-m", "bench.reading", str(workspace.kept), "bench@v1", interface)
    argv: Iterable[str] = command.argv
    said = subprocess.run(
        [*argv], cwd=command.cwd, env=dict(command.env), capture_output=True, text=True, check=True, timeout=_READ_S
    )
    seconds, size = said.stdout.split()
    return float(seconds), int(size)
