"""``store gc``."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import click
import msgspec

from sheaf.cli import options
from sheaf.cli.app import App
from sheaf.cli.commands.gc_waits import WaitNotices, named
from sheaf.cli.exits import OK, PARTIAL
from sheaf.cli.output.text import count_of, first_of, full_size
from sheaf.cli.verb_tree import verb
from sheaf.settings.durations import parse_duration

if TYPE_CHECKING:
    from sheaf.api import Collected, Gone

__all__ = ["gc"]


@verb(example="sheaf store gc --dry-run\nsheaf store gc --keep-deleted 7d", exits=(3, 5, 6, 8, 9, 10, 11))
@click.option("--dry-run", is_flag=True, help="Delete nothing; print how much would be freed.")
@click.option(
    "--grace",
    type=options.Number(min=0),
    default=3600.0,
    metavar="SECONDS",
    help="How long to wait for open uploads before ending them. Default: 3600.",
)
@click.option("--no-wait", is_flag=True, help="Don't wait; leave what can't be deleted yet to the next gc.")
@click.option(
    "--keep-deleted",
    default="0s",
    metavar="DURATION",
    help="Keep what was deleted less than DURATION ago, such as 12h or 7d. Default: 0s.",
)
def gc(app: App, *, dry_run: bool, grace: float, no_wait: bool, keep_deleted: str) -> int:
    """Delete data that no bundle needs. Safe to run while the store is in use.

    Bundles and repos that were deleted earlier can't be restored afterwards, unless --keep-deleted keeps them.
    Those that can no longer be restored are listed.

    Uploads that are still open after the grace period are ended; run them again. An interrupted gc is completed by the
    next one.
    """
    keep = parse_duration(keep_deleted)
    waiting = WaitNotices(app, _advice(grace), is_silent=no_wait)
    app.resumes = not dry_run
    done = app.store.gc(grace=grace, dry_run=dry_run, wait=not no_wait, keep_deleted=keep, on_wait=waiting)
    app.out.object(_record(done))
    app.out.line(f"{'would free' if dry_run else 'freed'} {full_size(done.bytes)}")
    if lost := _lost(done.lost):
        app.out.line(f"{'could' if dry_run else 'can'} no longer be restored: {first_of(lost, 5)}")
    moved = count_of(done.moved, "pack repacked", "packs repacked")
    counts = [count_of(done.packs, "pack"), moved, count_of(done.nodes, "node"), count_of(done.objects, "whole file")]
    if left := sum(not found.kept for found in done.unfinished):
        counts.append(count_of(left, "unfinished write"))
    app.out.line(", ".join(counts))
    for session in done.voided:
        app.warn(f"ended {session.kind} {session.id} on {session.host}; run it again if it is still needed")
    if done.waits_for:
        app.warn(f"would wait for {', '.join(map(named, done.waits_for))}; {_advice(grace)}")
    if done.pending:
        opened = ", ".join(map(named, waiting.sessions))
        others = f"these sessions are open: {opened}" if opened else "other sessions are open"
        app.warn(f"not everything was deleted yet, since {others}; run `sheaf store gc` again later")
    return PARTIAL if done.pending else OK


def _advice(grace: float) -> str:
    most = f"{grace / 60:.0f} minutes" if grace >= 120 else f"{grace:g} seconds"
    return f"at most {most}; pass --no-wait to leave the rest to a later gc, or --grace 0 if these processes are dead"


def _record(done: Collected) -> dict[str, Any]:
    names = ("bytes", "packs", "moved", "nodes", "objects", "generations", "pending")
    lost = [{"repo": gone.repo.name, "repo_id": gone.repo.id, "bundle": gone.bundle.id} for gone in done.lost]
    voided = [msgspec.to_builtins(session) for session in done.voided]
    waits_for = [msgspec.to_builtins(session) for session in done.waits_for]
    unfinished = [{"name": it.name, "size": it.size, "kept": it.kept} for it in done.unfinished]
    return {
        **{name: getattr(done, name) for name in names},
        "unfinished": unfinished,
        "voided": voided,
        "waits_for": waits_for,
        "lost": lost,
    }


def _lost(gone: list[Gone]) -> list[str]:
    """Return the names of what can no longer be restored: deleted repos, and deleted bundles of other repos."""
    bundles = Counter(one.repo.id for one in gone if one.repo.deleted)
    repos = {one.repo.id: one.repo for one in gone}
    named = [f"repo {repos[id].name} ({id}, {count_of(count, 'bundle')})" for id, count in bundles.items()]
    return named + [f"bundle {one.bundle.id} of {one.repo.name}" for one in gone if not one.repo.deleted]
