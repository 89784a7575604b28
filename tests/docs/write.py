"""Writes into each page what its commands print now: python -m tests.docs.write [PAGE...]"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from tests.docs.check_page import Played, play, surroundings
from tests.docs.pages import Page, pages, read


def written(page: Page, played: list[Played]) -> str:
    """The page with the output of this run where it said something else."""
    lines = list(page.lines)
    for one in reversed(played):
        if not one.is_true and one.block.kind == "console":
            first = one.step.first_output_line
            lines[first : first + len(one.step.output)] = one.printed
    return "\n".join(lines) + "\n"


def main(names: list[str]) -> int:
    wrong_exits = 0
    for path in [Path(name).resolve() for name in names] or pages():
        page = read(path)
        with tempfile.TemporaryDirectory() as folder, surroundings(page.server, Path(folder)) as variables:
            played = list(play(page, Path(folder), variables))
        for one in played:
            if one.exit != one.step.exit:
                sys.stderr.write(f"{page.name}: {one}\n")
                wrong_exits = 1
        path.write_text(written(page, played), encoding="utf-8")
    return wrong_exits


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
