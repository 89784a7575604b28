"""``store torture``: test whether a location provides the guarantees that Sheaf relies on."""

from __future__ import annotations

import dataclasses
import secrets
import sys
from typing import TYPE_CHECKING, Any, Final

import click

from sheaf.cli.app import App
from sheaf.cli.exits import DAMAGED, OK, PARTIAL
from sheaf.cli.output.render import View
from sheaf.cli.output.text import count_of, human_size, quote
from sheaf.cli.run import patiently
from sheaf.cli.verb_tree import verb

if TYPE_CHECKING:
    from sheaf.torture.promises import PromiseFinding
    from sheaf.torture.runner import TortureReport
    from sheaf.torture.timing import Figure
    from sheaf.torture.whole_store.rounds import Round

__all__ = ["torture"]


def _finding(finding: PromiseFinding) -> dict[str, Any]:
    return {**dataclasses.asdict(finding), "depends": finding.depends}


def _round(played: Round) -> dict[str, Any]:
    """Return a round as a record. ``asdict`` would convert its Counters wrongly."""
    return {
        "seed": played.seed,
        "trouble": played.trouble,
        "counts": dict(played.counts),
        "faults": dict(played.faults),
    }


_FINDING: Final[View[Any]] = View(
    line=lambda it: f"{it.verdict}: {it.promise}",
    record=_finding,
    columns=("VERDICT", "PROMISE", "WHAT DEPENDS ON IT"),
    cells=lambda it: (it.verdict, it.promise, it.depends),
)


@verb(
    example="sheaf store torture s3://my-bucket/scratch --rounds 1\nsheaf store torture /mnt/disk/scratch --rounds 0 --seed 7",
    exits=(5, 6, 8, 9, 10, 11),
    fields=lambda: {"": _FINDING},
)
@click.argument("url")
@click.option(
    "--rounds",
    type=click.IntRange(min=0),
    default=3,
    metavar="N",
    help="Number of rounds with a whole store. Default: 3.",
)
@click.option(
    "--minutes",
    type=click.FloatRange(min=0, min_open=True),
    metavar="N",
    help="Start rounds for N minutes instead of counting --rounds.",
)
@click.option(
    "--seed", type=click.IntRange(min=0), metavar="N", help="Seed for the actions of clients and for failures."
)
@click.option("--keep", is_flag=True, help="Keep the test data.")
def torture(app: App, *, url: str, rounds: int, minutes: float | None, seed: int | None, keep: bool) -> int:
    """Test a bucket or disk for the guarantees Sheaf relies on. Exits with 6 if one is not provided.

    All test data is below a prefix with a random name at URL, which is removed at the end. The first checks use single
    objects; then several clients use whole stores, with killed processes, failing calls, lost responses and wrong clocks.
    This requires a few thousand requests and about 200 MB of traffic in each direction.
    """
    from sheaf.torture.runner import TorturePlan, torture
    from sheaf.torture.scratch_location import ScratchLocation, scratch

    plan = TorturePlan(secrets.randbelow(10**6) if seed is None else seed, rounds, minutes)
    progress = app.progress("torture", "steps")
    location = ScratchLocation.at(url, app.storage_options())
    # The block removes at its end what was written there.
    with patiently(), scratch(location, keep=keep) as found:
        report = torture(found, plan, progress)
        progress.close()
        # Print the results before the clean-up, which may fail: they must not be lost.
        _print(app, report)
    if keep:
        app.warn(f"test data is kept below {found.url}")
    return _verdict(report, location.url)


def _print(app: App, report: TortureReport) -> None:
    if app.out.as_json:
        app.out.object(_record(report))
        return
    app.out.listing(_FINDING, report.findings)
    app.out.line("")
    for finding in report.findings:
        if finding.seen:
            app.out.line(f"{finding.promise}: {quote(finding.seen)}")
    app.out.line(f"{count_of(len(report.rounds), 'round')} with seed {report.seed}: {_counted(report.counts)}")
    app.out.line(f"injected faults: {_counted(report.faults)}")
    for figure in report.figures:
        app.out.line(_figure_line(figure))


def _counted(counts: dict[str, int]) -> str:
    return ", ".join(f"{count} {what}" for what, count in sorted(counts.items())) or "nothing"


def _figure_line(figure: Figure) -> str:
    rate = f", {human_size(figure.bytes_a_second)}/s" if figure.bytes_a_second else ""
    quantiles = f"p50 {figure.p50_s * 1000:.1f} ms, p99 {figure.p99_s * 1000:.1f} ms"
    return f"{f'{figure.operation}:':<11} {figure.requests} requests, {quantiles}{rate}"


def _record(report: TortureReport) -> dict[str, Any]:
    return {
        "ok": not report.broken,
        "url": report.url,
        "seed": report.seed,
        "promises": [_finding(finding) for finding in report.findings],
        "rounds": [_round(played) for played in report.rounds],
        "requests": [dataclasses.asdict(figure) for figure in report.figures],
    }


def _verdict(report: TortureReport, url: str) -> int:
    """Print the verdict on the location, and return the exit code."""
    untold = [finding for finding in report.findings if finding.is_untold]
    if report.broken:
        names = ", ".join(finding.promise for finding in report.broken)
        print(f"error: {url} failed {count_of(len(report.broken), 'check')}: {names}", file=sys.stderr)
        print("hint: store no data there; the failed checks and what depends on them are listed above", file=sys.stderr)
        return DAMAGED
    if untold:
        names = ", ".join(finding.promise for finding in untold)
        print(f"error: the store failed during these checks: {names}", file=sys.stderr)
        print(
            "hint: run it again when the store is reachable, and check its permissions and free space", file=sys.stderr
        )
        return PARTIAL
    return OK
