"""Write the ratios of the newest full run into docs/performance.md: ``python -m bench.publish``.

Only figures that every contestant has at least three runs of are published.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from statistics import median
from typing import Any

from bench.tables import MANY

__all__ = ["PAGE", "RESULTS", "published", "ratios"]

_ROOT = Path(__file__).parents[1]
RESULTS = _ROOT / "bench" / "results" / "full.json"
PAGE = _ROOT / "docs" / "performance.md"
_HEADING = "## Compared with other tools\n"
_PEERS = {"cp": "`cp -r`", "restic": "restic"}
#: What a row is called, and its workload and step.
_ROWS = (
    ("first upload of 60,000 files: text, CSV and noise, median 4 KiB, up to 200 KiB", "S1", "first upload"),
    ("upload of these files again, nothing changed", "S1", "again, unchanged"),
    ("upload of these files again, 1 % edited", "S1", "1 % edited"),
    ("download of these files", "S1", "download"),
    ("first upload of 24,000 files of source code", "S2", "first upload"),
    ("download of these files", "S2", "download"),
    ("first upload of 6,000 files of 20–180 KiB that can't be compressed, as images", "S3", "first upload"),
    ("upload of these files again, nothing changed", "S3", "again, unchanged"),
    ("download of these files", "S3", "download"),
    ("first upload of one file of 2 GiB, half text", "S5", "first upload"),
    ("download of this file", "S5", "download"),
)


def ratios(report: Mapping[str, Any]) -> list[str]:
    """Return the lines of the table: Sheaf's median seconds divided by those of each other tool."""
    walls = {
        (run["workload"], run["step"], run["name"]): median(sample["wall_s"] for sample in run["samples"])
        for run in report["runs"]
        if len(run["samples"]) >= MANY
    }
    lines = [
        f"| what | {' | '.join(f'against {shown}' for shown in _PEERS.values())} |",
        "|---|" + "--:|" * len(_PEERS),
    ]
    for what, *where in _ROWS:
        cells = list(_cells(walls, *where))
        if any(cells):
            lines.append(f"| {what} | {' | '.join(cells)} |")
    return lines


def _cells(walls: Mapping[tuple[str, str, str], float], workload: str, step: str) -> Iterator[str]:
    ours = walls.get((workload, step, "Sheaf"))
    for name in _PEERS:
        theirs = walls.get((workload, step, name))
        yield f"{ours / theirs:.2f}" if ours and theirs else ""


def published(page: str, lines: list[str]) -> str:
    """Return the page with these lines instead of the first table below its heading."""
    before, heading, section = page.partition(_HEADING)
    rows = section.splitlines()
    first = next(i for i, row in enumerate(rows) if row.startswith("|"))
    last = next((i for i in range(first, len(rows)) if not rows[i].startswith("|")), len(rows))
    return before + heading + "\n".join([*rows[:first], *lines, *rows[last:]]) + "\n"


if __name__ == "__main__":
    table = ratios(json.loads(RESULTS.read_text(encoding="utf-8")))
    PAGE.write_text(published(PAGE.read_text(encoding="utf-8"), table), encoding="utf-8")
    print(f"written: {PAGE}")
