"""The workloads measure what they say: counts, interfaces and cliffs; and the whole tiny profile runs."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from bench.bucket import URL
from bench.harness import Bench
from bench.profile import PROFILES, TINY
from bench.reading import INTERFACES
from bench.report import Report
from bench.workloads import WORKLOADS
from bench.workloads.sweep import cliffs

import sheaf
from bench import __main__ as program

KiB = 1 << 10
ROOT = Path(__file__).parents[2]


def test_each_workload_is_in_one_long_profile_and_fits_into_its_time() -> None:
    full, more = PROFILES["full"], PROFILES["more"]
    assert sorted([*full.workloads, *more.workloads]) == sorted(WORKLOADS)
    for profile in (full, more):
        assert sum(WORKLOADS[name].weight for name in profile.workloads) <= 60
    assert {*PROFILES["quick"].workloads} <= WORKLOADS.keys()


@pytest.mark.parametrize(
    ("costs", "worst"),
    [
        ({KiB * size: 20 + size for size in (1, 2, 15, 16, 17, 4096)}, 1.0),
        ({15 * KiB: 30.0, 17 * KiB: 68.0}, 2.0),
        ({16 * KiB: 30.0, 32 * KiB: 20.0}, 1.5),
    ],
    ids=["a part a file and a part a byte", "a larger file costs more than its bytes", "a larger file costs less"],
)
def test_a_cliff_is_what_no_cost_by_file_and_byte_explains(costs: dict[int, float], worst: float) -> None:
    found = max(factor for factor, _, _ in cliffs(costs))
    assert found == pytest.approx(worst, rel=0.01)


def test_each_interface_reads_every_byte(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    for size in (0, 10, 70 * KiB):
        (tmp_path / "data" / f"file-{size}").write_bytes(os.urandom(size))
    with sheaf.init(str(tmp_path / "store"), probe=False) as store:
        store.create_repo("bench").upload(tmp_path / "data", message="m", label="v1")
    found = {name: read(str(tmp_path / "store"), "bench@v1") for name, read in INTERFACES.items()}
    assert found == dict.fromkeys(("fsspec", "batches"), 10 + 70 * KiB)


def test_the_requests_of_a_command_are_counted(tmp_path: Path) -> None:
    def counts(*argv: str) -> list[int]:
        settings = {"SHEAF_STORE": URL, "SHEAF_CACHE": str(tmp_path / "cache"), "HOME": str(tmp_path)}
        path = os.pathsep.join([str(ROOT), *(path for path in sys.path if path)])
        command = [sys.executable, "-m", "bench.bucket", str(tmp_path / "bucket"), "0", str(tmp_path / "result"), *argv]
        environment = {"PATH": os.defpath, "LANG": "C.UTF-8", "PYTHONPATH": path, **settings}
        subprocess.run(command, env=environment, check=True, capture_output=True)
        return [int(word) for word in (tmp_path / "result").read_text().split()]

    (tmp_path / "bucket").mkdir()
    reads, writes, chain, bytes_in, bytes_out = counts("store", "init")
    assert writes > 1 and 1 < chain <= reads + writes and bytes_in > 0 and bytes_out > 0
    reads, writes, chain, *_ = counts("repo", "list")
    assert reads >= 1 and writes == 0 and 1 <= chain <= reads


@pytest.mark.slow
def test_the_tiny_profile_fills_every_line_of_the_table(tmp_path: Path) -> None:
    report = Report(machine={"profile": "tiny"})
    bench = Bench(TINY, tmp_path / "work", None, report, lambda text: None, only_peers=frozenset({"cp"}))
    bench.work.mkdir()
    bench.deadline += 1800  # a busy machine may be slow
    program._run(bench, ["S1", "S2", "S3", "S4", "S5", "S6", "S7", "S8"], tmp_path / "results")
    assert not report.failed
    assert {target.workload for target in report.targets} >= {"S1", "S3", "S4", "S7", "S8"}
    assert {run.workload for run in report.runs if run.name == "Sheaf"} >= {"S1", "S3", "S4", "S5", "S6", "S7", "S8"}
    assert set(report.sweep) >= {"upload", "download", "fsspec", "batches"}
    text = (tmp_path / "results" / "tiny.md").read_text()
    assert "## Sweep over file sizes" in text and "store init, from the command line" in text
    assert (tmp_path / "results" / "tiny-folders.svg").exists()
