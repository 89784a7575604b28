"""How a report of a check looks: what is wrong, what can be done about it, and the exit code."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final

from sheaf.cli.app import App
from sheaf.cli.exits import DAMAGED, OK, REPAIRABLE
from sheaf.cli.quoting import count_of, quote

if TYPE_CHECKING:
    from sheaf.engine.checks.report import Problem, Report

__all__ = ["exit_of", "print_report", "print_verdict", "problem_records"]

_WHAT: Final = {
    "from-replica": "fetches what is lost or damaged from a replica",
    "pages": "writes lost or damaged pages of logs again from their records",
    "index": "builds the dedup index anew from the packs",
    "quarantine": "notes of bundles that can't be read that they can't, and goes on without them",
}
#: Of what a check counts: the singulars that are not the plural without its s.
_ONE: Final = {
    "entries": "entry",
    "bundles set aside": "bundle set aside",
    "packs read before": "pack read before",
    "notes of damage": "note of damage",
}


def problem_records(report: Report) -> list[dict[str, Any]]:
    """The problems as JSON has them; ``repair``: the options of ``store repair`` that may help."""
    return [{**dataclasses.asdict(problem), "repair": list(problem.remedies)} for problem in report.problems]


def print_report(app: App, report: Report) -> None:
    """One line for each problem, and one that says how much was looked at."""
    for problem in report.problems:
        note = "repairable" if problem.repairable else "damaged"
        message = problem.message.removeprefix(problem.key).lstrip()
        app.out.row(note, problem.kind, problem.key, message)
        for place in problem.needed_by:
            app.out.line(f"  needed by {quote(place)}")
        if more := problem.files - len(problem.needed_by):
            app.out.line(
                f"  and by {more} more: {count_of(problem.files, 'file')} of {count_of(problem.bundles, 'bundle')}"
            )
        if problem.repo:
            app.out.line(f"  in the log of repo {quote(problem.repo)}")
    for key in _noted(report):
        app.out.row("noted", key, "somebody has found it damaged: nothing new refers to it")
    for left in report.unfinished:
        app.out.row("unfinished", left.name, left.size, left.kept or "its writer is gone")
    app.out.line(", ".join(_counted(count, what) for what, count in report.counts.items()))


def _noted(report: Report) -> list[str]:
    """Objects that are noted as damaged, and in which this check has found nothing wrong."""
    return sorted(set(report.noted) - {problem.key for problem in report.problems})


def _counted(count: int, what: str) -> str:
    return count_of(count, _ONE.get(what, what.removesuffix("s")), what)


def exit_of(report: Report) -> int:
    """What a check answers."""
    if report.ok:
        return OK
    return DAMAGED if report.damaged else REPAIRABLE


def print_verdict(app: App, report: Report, *, read_data: bool, has_replicas: bool = True) -> int:
    """Say in words what the exit code says, and which repair there is; returns the code. With --json the object does."""
    if app.out.as_json:
        return exit_of(report)
    if not read_data:
        app.note("note: the bytes of packs were not read: see --read-data")
    if any(not left.kept for left in report.unfinished):
        app.note("note: `sheaf store gc` removes what writers that are gone have left unfinished")
    if _noted(report):
        app.note("note: `sheaf store repair` removes the notes of objects that are sound")
    if report.ok:
        app.out.line("no damage found")
        return OK
    app.warn(_summary(report))
    for hint in _hints(report, " --read-data" if read_data else "", has_replicas=has_replicas):
        app.note(f"hint: {hint}")
    return exit_of(report)


def _summary(report: Report) -> str:
    total = len(report.problems) + report.unlisted
    if report.damaged:
        return f"{report.damaged} damaged, {total - report.damaged} repairable"
    if aside := report.counts.get("bundles set aside"):
        is_are = "is" if aside == 1 else "are"
        return f"{total} damaged, all repairable; {count_of(aside, 'bundle')} {is_are} set aside for what is lost"
    return f"{total} damaged, all repairable: nothing is lost"


def _hints(report: Report, read: str, *, has_replicas: bool) -> Iterator[str]:
    options = _options(report.problems)
    for option in options:
        if option != "from-replica" or has_replicas:
            yield f"`sheaf store repair --{option}{read}` {_WHAT[option]}"
    if options == ["from-replica"] and not has_replicas:
        yield f"`sheaf store repair --from-replica=URL{read}` fetches it from a copy; or put it back from a backup"
    if repos := sorted({problem.repo for problem in report.problems if problem.repo and not problem.repairable}):
        yield f"other repos than {', '.join(map(quote, repos))} are not affected"
    if any(problem.files for problem in report.problems):
        yield "`sheaf bundle download --skip-on-error` writes all other files of a bundle"


def _options(problems: list[Problem]) -> list[str]:
    wanted = {option for problem in problems for option in problem.remedies}
    return [option for option in _WHAT if option in wanted]
