"""How a report of a check looks: what is wrong, what can be done about it, and the exit code."""

from __future__ import annotations

import dataclasses
import sys
from typing import TYPE_CHECKING, Any, Final

from sheaf.cli.app import App
from sheaf.cli.exits import DAMAGED, OK, REPAIRABLE
from sheaf.cli.quoting import quote

if TYPE_CHECKING:
    from sheaf.engine.checks.report import Problem, Report

__all__ = ["exit_of", "print_report", "print_verdict", "problem_records"]

_WHAT: Final = {
    "from-replica": "fetches what is lost or damaged from a replica",
    "pages": "writes damaged pages of logs again from their records",
    "index": "builds the dedup index anew from the packs",
    "set-aside": "notes of bundles that can't be read that they can't, and goes on without them",
}


def problem_records(report: Report) -> list[dict[str, Any]]:
    """The problems as JSON has them; ``repair``: the options of ``store repair`` that may help."""
    return [{**dataclasses.asdict(problem), "repair": list(problem.remedies)} for problem in report.problems]


def print_report(app: App, report: Report) -> None:
    """One line for each problem, and one that says how much was looked at."""
    for problem in report.problems:
        note = "repairable" if problem.repairable else "damaged"
        app.out.line(f"{note} , {problem.kind} , {quote(problem.key)} , {quote(problem.message)}")
        for place in problem.needed_by:
            app.out.line(f"  needed by {quote(place)}")
        if more := problem.files - len(problem.needed_by):
            app.out.line(f"  and by {more} more: {problem.files} files of {problem.bundles} bundles")
    app.out.line(", ".join(f"{count} {what}" for what, count in report.counts.items()))


def exit_of(report: Report) -> int:
    """What a check answers."""
    if report.ok:
        return OK
    return DAMAGED if report.damaged else REPAIRABLE


def print_verdict(app: App, report: Report, *, read_data: bool, has_replicas: bool = True) -> int:
    """Say in words what the exit code says, and which repair there is; returns the code."""
    if report.ok:
        app.out.line("no damage found")
        return OK
    total = len(report.problems) + report.unlisted
    if report.damaged:
        print(f"{report.damaged} damaged, {total - report.damaged} repairable", file=sys.stderr)
    else:
        print(f"{total} damaged, all repairable: nothing is lost", file=sys.stderr)
    for option in _options(report.problems):
        if option == "from-replica" and not has_replicas:
            continue
        read = " --read-data" if read_data else ""
        print(f"hint: `sheaf store repair --{option}{read}` {_WHAT[option]}", file=sys.stderr)
    if any(problem.files for problem in report.problems):
        print("hint: `sheaf bundle download --skip-on-error` writes all other files of a bundle", file=sys.stderr)
    return exit_of(report)


def _options(problems: list[Problem]) -> list[str]:
    wanted = {option for problem in problems for option in problem.remedies}
    return [option for option in _WHAT if option in wanted]
