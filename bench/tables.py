"""The results as files: one JSON with everything, one Markdown with the tables, charts."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path

from bench.charts import bars, grouped_bars
from bench.measure import middle
from bench.report import Report, Runs, Target

__all__ = ["MANY", "markdown", "write_results"]

#: Charts of one step: file name, title, workload, step.
_CHARTS = (
    ("upload", "100,000 small files: first upload, seconds", "W1", "first upload"),
    ("again", "Again, nothing changed, seconds", "W2", "again, nothing changed"),
    ("download", "Download of them, seconds", "W4", "download"),
)
#: The chart of several steps: a heading, workload and step for each group of bars.
_FOLDERS = tuple(
    (f"{what}, {step}", workload, step)
    for workload, what in (("S1", "files of many sizes and kinds"), ("S2", "source code"), ("S3", "images"))
    for step in ("first upload", "download")
)
MANY = 3  #: runs from which on a figure is more than a hint


def write_results(report: Report, folder: Path) -> list[Path]:
    """Write all files; returns their paths. The profile is part of their names."""
    folder.mkdir(parents=True, exist_ok=True)
    stem = report.machine["profile"]
    written = [folder / f"{stem}.json", folder / f"{stem}.md"]
    written[0].write_text(json.dumps(report.as_json(), indent=1, default=str) + "\n")
    written[1].write_text(markdown(report))
    for name, title, workload, step in _CHARTS:
        values = _walls(report, workload, step)
        if values:
            written.append(folder / f"{stem}-{name}.svg")
            written[-1].write_text(bars(title, values, "s"))
    groups = {heading: walls for heading, *where in _FOLDERS if (walls := _walls(report, *where))}
    if groups:
        written.append(folder / f"{stem}-folders.svg")
        written[-1].write_text(grouped_bars("Folders of many files: seconds, medians", groups, "s"))
    grown = {r.name: r.grown.bytes / 2**20 for r in report.runs if r.step == "three edits" and r.grown}
    if grown:
        written.append(folder / f"{stem}-edits.svg")
        written[-1].write_text(bars("Three small edits in a random file of 512 MiB: growth, MiB", grown, "MiB"))
    return written


def _walls(report: Report, workload: str, step: str) -> dict[str, float]:
    """The seconds of each contestant at a step."""
    found = {r.name: r.wall_s for r in report.runs if (r.workload, r.step) == (workload, step)}
    found.pop("find", None)
    return found


def markdown(report: Report) -> str:
    """The tables."""
    parts = ["# Benchmarks", "", *_targets(report), "", *_machine(report), "", *_contestants(report), ""]
    parts += [*_runs(report.runs), "", *_counts(report), "", *_sweep(report), "", *_notes(report.notes), ""]
    return "\n".join(parts)


def _table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> Iterator[str]:
    columns = list(head)
    yield f"| {' | '.join(columns)} |"
    yield f"|{'|'.join('---' for _ in columns)}|"
    for row in rows:
        yield f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in row)} |"


def _targets(report: Report) -> Iterator[str]:
    yield "## Targets"
    yield ""
    head = ("workload", "what", "ours", "peer", "ratio", "target", "met", "runs")
    failed = ((name, " ".join(why.split()), "", "", "", "", "**failed**", "") for name, why in report.failed.items())
    yield from _table(head, [*map(_target, report.targets), *failed])


def _target(t: Target) -> tuple[str, ...]:
    if t.peer_name == "limit":
        return (t.workload, t.what, f"{t.ours:.4g} {t.unit}", "", "", f"≤ {t.peer:.4g} {t.unit}", _yes(t.is_met), "")
    peer = f"{t.peer:.4g} {t.unit} ({t.peer_name})"
    return (
        t.workload,
        t.what,
        f"{t.ours:.4g} {t.unit}",
        peer,
        f"{t.ratio:.2f}",
        f"≤ {t.limit:.3g}",
        _yes(t.is_met),
        _often(t),
    )


def _often(t: Target) -> str:
    return "" if not t.runs else str(t.runs) if t.runs >= MANY else f"{t.runs}, a hint"


def _yes(met: bool) -> str:
    return "yes" if met else "**no**"


def _machine(report: Report) -> Iterator[str]:
    yield "## Machine"
    yield ""
    for name, value in report.machine.items():
        shown = ", ".join(f"{k} {v}" for k, v in value.items()) if isinstance(value, dict) else value
        yield f"- {name}: {shown}"


def _contestants(report: Report) -> Iterator[str]:
    yield "## Contestants"
    yield ""
    shown = ((name, said["version"] or "left out", said["configuration"]) for name, said in report.peers.items())
    yield from _table(("name", "version", "configuration"), shown)


def _runs(runs: list[Runs]) -> Iterator[str]:
    yield "## Runs"
    yield ""
    yield "Wall and CPU seconds are medians; memory is the peak of the largest process; growth is what the step added."
    yield ""
    head = ("workload", "step", "contestant", "runs", "wall s", "least", "CPU s", "memory MiB", "growth MiB", "objects")
    yield from _table(head, (_run(r) for r in runs))


def _run(r: Runs) -> tuple[str, ...]:
    m = middle(r.samples)
    least = min(s.wall_s for s in r.samples)
    grown = (f"{r.grown.bytes / 2**20:.2f}", str(r.grown.objects)) if r.grown else ("", "")
    cost = (f"{m.wall_s:.3f}", f"{least:.3f}", f"{m.cpu_s:.3f}", str(m.rss_bytes >> 20))
    return (r.workload, r.step, r.name, str(len(r.samples)), *cost, *grown)


def _counts(report: Report) -> Iterator[str]:
    yield "## Requests"
    yield ""
    head = ("operation", "entries", "reads", "writes", "round trips", "KiB read", "KiB written")
    rows = (
        (c["operation"], f"{c['entries']:,}", str(c["reads"]), str(c["writes"]), str(c["round_trips"]),
         str(c["bytes_in"] >> 10), str(c["bytes_out"] >> 10))
        for c in report.counts
    )  # fmt: skip
    yield from _table(head, rows)


def _sweep(report: Report) -> Iterator[str]:
    yield "## Sweep over file sizes"
    yield ""
    yield "MiB a second, from microseconds a file; an upload and a download without their start-up."
    yield ""
    sizes = sorted({size for costs in report.sweep.values() for size in costs})
    rows = ((f"{size / 1024:g}", *(_speed(costs.get(size), size) for costs in report.sweep.values())) for size in sizes)
    yield from _table(("KiB", *report.sweep), rows)


def _speed(micros: float | None, size: int) -> str:
    return "" if micros is None else f"{size / 2**20 / micros * 1e6:.1f} ({micros:.0f} µs)"


def _notes(notes: list[str]) -> Iterator[str]:
    yield "## Notes"
    yield ""
    yield from (f"- {' '.join(note.split())}" for note in notes or ["none"])
