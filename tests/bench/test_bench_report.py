"""Tables and charts show what was found, and how often it was measured."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from bench.machine import busy
from bench.measure import Sample
from bench.publish import PAGE, RESULTS, published, ratios
from bench.report import Report
from bench.tables import markdown, write_results


def report_of(runs: int) -> Report:
    report = Report(machine={"profile": "tiny"})
    for name, seconds in (("Sheaf", 1.0), ("cp", 2.0), ("restic", 4.0)):
        for n in range(runs):
            report.add("S1", "first upload", name, Sample(seconds + n, 0.5, 0))
    report.aim("S1", "first upload", "restic", 0.4)
    return report


def test_a_figure_of_few_runs_is_marked() -> None:
    assert "| yes | 3 |" in markdown(report_of(3))
    assert "| yes | 2, a hint |" in markdown(report_of(2))


def test_the_sweep_is_a_table_by_size_and_way() -> None:
    report = report_of(3)
    report.sweep = {"upload": {1024: 100.0, 1 << 20: 10_000.0}, "mount": {1024: 50.0}}
    lines = markdown(report).partition("## Sweep over file sizes")[2].splitlines()
    assert "| KiB | upload | mount |" in lines
    assert "| 1 | 9.8 (100 µs) | 19.5 (50 µs) |" in lines
    assert "| 1024 | 100.0 (10000 µs) |  |" in lines


def test_the_chart_has_a_group_for_each_step(tmp_path: Path) -> None:
    write_results(report_of(3), tmp_path)
    chart = (tmp_path / "tiny-folders.svg").read_text()
    assert "files of many sizes and kinds, first upload" in chart
    assert chart.count("<rect") == 3


@pytest.mark.parametrize(("runs", "row"), [(3, "up to 200 KiB | 0.67 | 0.40 |"), (2, "")])
def test_only_figures_of_three_runs_are_published(runs: int, row: str) -> None:
    lines = ratios(json.loads(json.dumps(report_of(runs).as_json())))
    page = "# P\n\n## Compared with other tools\n\nText.\n\n| old |\n|---|\n| x |\n\n- more\n"
    text = published(page, lines)
    assert "| old |" not in text and text.endswith("\n\n- more\n")
    assert (row in text) if row else len(lines) == 2


def test_the_page_has_the_ratios_of_the_newest_run() -> None:
    if not RESULTS.exists():
        pytest.skip("no full run is committed")
    page = PAGE.read_text(encoding="utf-8")
    assert published(page, ratios(json.loads(RESULTS.read_text(encoding="utf-8")))) == page


def test_a_busy_machine_is_noted() -> None:
    assert not busy((0.9, 5.0, 5.0), 2)
    (note,) = busy((3.14, 0.0, 0.0), 2)
    assert "load 3.1 on 2 cores" in note
