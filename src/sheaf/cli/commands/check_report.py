"""Print the report of a check: problems, possible repairs, and the exit code."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final

from sheaf.cli.app import App
from sheaf.cli.exits import DAMAGED, OK, REPAIRABLE
from sheaf.cli.output.text import count_of, quote

if TYPE_CHECKING:
    from sheaf.api import CheckReport, Problem

__all__ = ["exit_of", "print_report", "print_verdict", "problem_records"]

_WHAT: Final = {
    "from-replica": "fetch missing or damaged objects from a replica",
    "pages": "rebuild missing or damaged pages of logs from their records",
    "index": "rebuild the dedup index from the packs",
    "quarantine": "quarantine bundles that can't be read, so that everything else keeps working",
}
#: Names of what a check counts (one, many), where they are not the key in JSON with and without its s.
_NAMES: Final = {
    "entries": ("entry", "entries"),
    "bundles quarantined": ("bundle quarantined", "bundles quarantined"),
    "packs read before": ("pack read before", "packs read before"),
    "notes of damage": ("damage note", "damage notes"),
}


def problem_records(report: CheckReport) -> list[dict[str, Any]]:
    """Return the problems as records for JSON; ``repair``: options of ``store repair`` that may help."""
    return [{**dataclasses.asdict(problem), "repair": list(problem.remedies)} for problem in report.problems]


def print_report(app: App, report: CheckReport) -> None:
    """Print one line for each problem, and one with the counts of checked objects."""
    for problem in report.problems:
        note = "repairable" if problem.repairable else "damaged"
        message = problem.message.removeprefix(problem.key).lstrip()
        app.out.row(note, problem.kind, problem.key, message)
        for place in problem.needed_by:
            app.out.line(f"  needed by {quote(place)}")
        if more := problem.files - len(problem.needed_by):
            app.out.line(
                f"  and by {more} more: {count_of(problem.files, 'file')} in {count_of(problem.bundles, 'bundle')}"
            )
        if problem.repo:
            app.out.line(f"  in the log of repo {quote(problem.repo)}")
    for key in _noted(report):
        app.out.row("noted", key, "found damaged earlier: new data does not refer to it")
    for left in report.unfinished:
        app.out.row("unfinished", left.name, left.size, left.kept or "its writer no longer runs")
    app.out.line(", ".join(_counted(count, what) for what, count in report.counts.items()))


def _noted(report: CheckReport) -> list[str]:
    """Return objects that are noted as damaged, but in which this check has found nothing wrong."""
    return sorted(set(report.noted) - {problem.key for problem in report.problems})


def _counted(count: int, what: str) -> str:
    return count_of(count, *_NAMES.get(what, (what.removesuffix("s"), what)))


def exit_of(report: CheckReport) -> int:
    """Return the exit code for the report of a check."""
    if report.ok:
        return OK
    return DAMAGED if report.damaged else REPAIRABLE


def print_verdict(app: App, report: CheckReport, *, read_data: bool, has_replicas: bool = True) -> int:
    """Print the verdict and the possible repairs, and return the exit code. With --json, only return it."""
    if app.out.as_json:
        return exit_of(report)
    if not read_data:
        app.note("note: pack data was not read; add --read-data to verify it")
    if any(not left.kept for left in report.unfinished):
        app.note("note: run `sheaf store gc` to remove unfinished data of writers that no longer run")
    if _noted(report):
        app.note("note: run `sheaf store repair` to remove the damage notes of intact objects")
    if report.ok:
        app.out.line("no damage found")
        return OK
    app.warn(_summary(report))
    for hint in _hints(report, " --read-data" if read_data else "", has_replicas=has_replicas):
        app.note(f"hint: {hint}")
    return exit_of(report)


def _summary(report: CheckReport) -> str:
    total = len(report.problems) + report.unlisted
    if report.damaged:
        return f"{report.damaged} damaged, {total - report.damaged} repairable"
    if aside := report.counts.get("bundles quarantined"):
        is_are = "is" if aside == 1 else "are"
        return (
            f"{total} damaged, all repairable; {count_of(aside, 'bundle')} {is_are} quarantined because of missing data"
        )
    return f"{total} damaged, all repairable: no data is lost"


def _hints(report: CheckReport, read: str, *, has_replicas: bool) -> Iterator[str]:
    options = _options(report.problems)
    for option in options:
        if option != "from-replica" or has_replicas:
            yield f"run `sheaf store repair --{option}{read}` to {_WHAT[option]}"
    if options == ["from-replica"] and not has_replicas:
        yield f"run `sheaf store repair --from-replica=URL{read}` to fetch it from a copy, or restore it from a backup"
    if repos := sorted({problem.repo for problem in report.problems if problem.repo and not problem.repairable}):
        yield f"repos other than {', '.join(map(quote, repos))} are not affected"
    if any(problem.files for problem in report.problems):
        yield "run `sheaf bundle download --skip-on-error` to get all other files of a bundle"


def _options(problems: list[Problem]) -> list[str]:
    wanted = {option for problem in problems for option in problem.remedies}
    return [option for option in _WHAT if option in wanted]
