"""S8: the requests of commands to a bucket, counted, and their time at 20 ms a request."""

from __future__ import annotations

import shutil
from dataclasses import asdict
from pathlib import Path

from bench.bucket import URL
from bench.counting import Cost
from bench.generate.small import small_files
from bench.harness import Bench
from bench.measure import Sample, run
from bench.peers import SHEAF, Workspace
from bench.peers.sheaf import python_command
from bench.report import Target

__all__ = ["bucket_requests"]

_DELAY_MS = 20
_CONCURRENT = 64  # requests that could be under way at the same time
_INIT, _UPLOAD, _COMMIT, _CAT = "store init", "upload", "commit of one file", "cat, cold"
#: Requests, and the longest chain of those that waited for each other.
_LIMITS = {_INIT: (40, 20), _UPLOAD: (22, 11), _COMMIT: (20, 11), _CAT: (9, 5)}


def bucket_requests(bench: Bench) -> None:
    """Run every command without a delay and with one; the least count is reported, since a busy machine adds to it."""
    files = bench.profile.requested_files
    found: dict[str, list[Cost]] = {}
    with bench.folder("requests") as data:
        small_files(data, files)
        bench.settle()
        for number in range(max(bench.profile.rounds, 3)):
            for delay_ms in (0, _DELAY_MS):
                with bench.workspace(SHEAF, data) as workspace:
                    costs = _commands(bench, workspace, delay_ms, f"{number}-{delay_ms}")
                if delay_ms:
                    for operation, cost in costs.items():
                        found.setdefault(operation, []).append(cost)
    _targets(bench, {operation: min(costs, key=_order) for operation, costs in found.items()})


def _order(cost: Cost) -> tuple[int, int]:
    return cost.reads + cost.writes, cost.round_trips


def _commands(bench: Bench, workspace: Workspace, delay_ms: int, mark: str) -> dict[str, Cost]:
    """Run the commands on a new store; returns what each asked for."""
    new = workspace.root / "new"
    new.write_text(f"content {mark}")
    where = ("--repo", "bench", "--message", "first", "--label", "v1")
    first = next(path for path in sorted(workspace.data.rglob("*.txt")))
    address = f"bench@v1:{first.relative_to(workspace.data).as_posix()}"
    steps = {
        _INIT: ("store", "init"),
        "repo create": ("repo", "create", "--repo", "bench"),
        _UPLOAD: ("bundle", "upload", "--path", str(workspace.data), *where),
        _COMMIT: ("cp", str(new), "bench@main:new"),
        _CAT: ("cat", address),
    }
    costs = {}
    for operation, argv in steps.items():
        if operation == _CAT:
            shutil.rmtree(workspace.root / "cache")
        sample, cost = _run(workspace, delay_ms, operation, bench.profile.requested_files, argv)
        bench.note("S8", f"{operation}, {delay_ms} ms a request", SHEAF.name, sample)
        costs[operation] = cost
    return costs


def _run(
    workspace: Workspace, delay_ms: int, operation: str, entries: int, argv: tuple[str, ...]
) -> tuple[Sample, Cost]:
    folder, result = workspace.root / "bucket", workspace.root / "result"
    folder.mkdir(exist_ok=True)
    command = python_command(workspace, "-m", "bench.bucket", str(folder), str(delay_ms), str(result), *argv)
    surroundings = {"SHEAF_STORE": URL, "SHEAF_CACHE": str(workspace.root / "cache")}
    sample = run(command.with_env(SHEAF_CONFIG=str(workspace.root / "sheaf.yaml"), **surroundings))
    return sample, Cost(entries, f"{operation}, from the command line", *map(int, Path(result).read_text().split()))


def _targets(bench: Bench, found: dict[str, Cost]) -> None:
    report = bench.report
    for operation, (requests, chain) in _LIMITS.items():
        cost = found[operation]
        report.counts.append(asdict(cost))
        report.limit("S8", f"{operation}, all requests", cost.reads + cost.writes, requests, "requests")
        report.limit("S8", f"{operation}, longest chain", cost.round_trips, chain, "requests")
    near = report.wall("S8", f"{_UPLOAD}, 0 ms a request", SHEAF.name) or 0.0
    far = report.wall("S8", f"{_UPLOAD}, {_DELAY_MS} ms a request", SHEAF.name) or 0.0
    cost = found[_UPLOAD]
    ideal = near + (cost.reads + cost.writes) / _CONCURRENT * _DELAY_MS / 1000
    what = f"{_UPLOAD} of {bench.profile.requested_files:,} files at {_DELAY_MS} ms a request"
    report.targets.append(Target("S8", what, far, ideal, "ideal + no delay", "s", 1.5))
