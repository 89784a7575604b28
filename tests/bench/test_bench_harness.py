"""A run of the benchmarks keeps its time, and what fails in it ends nothing else."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

import pytest
from bench.harness import Bench
from bench.measure import Command, Failed, run
from bench.peers import PEERS, SHEAF
from bench.profile import TINY
from bench.report import Report
from bench.workloads import Workload

from bench import __main__ as program

CP = next(peer for peer in PEERS if peer.name == "cp")
SLOW = next(peer for peer in PEERS if peer.slow)


def bench_in(folder: Path, minutes: int = 10) -> Bench:
    return Bench(replace(TINY, minutes=minutes, rounds=2), folder, None, Report(), lambda text: None)


def test_a_workload_that_fails_is_in_the_table_and_the_next_one_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(bench: Bench) -> None:
        raise Failed("it broke")

    done: list[str] = []
    works = {"A": Workload(fails, 1), "B": Workload(lambda bench: done.append("B"), 1)}
    monkeypatch.setattr(program, "WORKLOADS", works)
    bench = bench_in(tmp_path)
    bench.report.machine["profile"] = "tiny"
    program._run(bench, [], tmp_path / "results")
    assert done == ["B"]
    assert "| A | Failed: it broke |" in (tmp_path / "results" / "tiny.md").read_text()


def test_nothing_new_begins_when_the_time_is_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[str] = []
    monkeypatch.setattr(program, "WORKLOADS", {"A": Workload(lambda bench: done.append("A"), 1)})
    bench = bench_in(tmp_path, 0)
    bench.report.machine["profile"] = "tiny"
    program._run(bench, [], tmp_path / "results")
    assert not done and "A" in bench.report.failed


def test_late_workloads_leave_out_repeats_and_slow_contestants(tmp_path: Path) -> None:
    bench = bench_in(tmp_path)
    bench.begin(1.0)
    assert list(bench.rounds("W", [SHEAF, CP, SLOW])) == [SHEAF, CP, CP, SHEAF, SLOW]
    bench.begin(0.0)
    assert list(bench.rounds("W", [SHEAF, CP, SLOW])) == [SHEAF, CP]
    assert len(bench.report.notes) == 2


def test_a_contestant_that_fails_is_noted_but_sheaf_is_not_forgiven(tmp_path: Path) -> None:
    bench = bench_in(tmp_path)
    with bench.forgiving("W", CP):
        raise Failed("no room")
    assert bench.report.notes == ["W: cp failed (no room)."]
    with pytest.raises(Failed), bench.forgiving("W", SHEAF):
        raise Failed("no room")


def test_a_command_is_ended_at_the_deadline(tmp_path: Path) -> None:
    with pytest.raises(Failed, match="time of the whole run"):
        run(Command(["sleep", "60"], tmp_path, {"PATH": "/usr/bin:/bin"}), time.monotonic())
