"""``store gc``, and deletion and restoration of bundles and repos."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import click
import msgspec

from sheaf.cli import options
from sheaf.cli.app import App
from sheaf.cli.commands.gc_waits import Waiting, named
from sheaf.cli.commands.repo import question
from sheaf.cli.exits import OK, PARTIAL
from sheaf.cli.inputs import confirm
from sheaf.cli.output import views
from sheaf.cli.output.text import count_of, first_of, human_size, quote, with_labels
from sheaf.cli.verb_tree import verb
from sheaf.settings.durations import parse_duration

if TYPE_CHECKING:
    from sheaf.api import Collected, Gone, Surplus
    from sheaf.repo.repo import Repo

__all__ = ["delete_bundle", "gc", "squash", "undelete_bundle", "undelete_repo"]


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

    Bundles and repos that were deleted earlier can't be restored afterwards, unless --keep-deleted keeps them. Those that
    are lost are listed.

    Uploads that are still open after the grace period are ended; run them again. An interrupted gc is completed by the
    next one.
    """
    keep = parse_duration(keep_deleted)
    waiting = Waiting(app, _advice(grace), is_silent=no_wait)
    app.resumes = not dry_run
    done = app.store.gc(grace=grace, dry_run=dry_run, wait=not no_wait, keep_deleted=keep, tell=waiting)
    app.out.object(_record(done))
    app.out.line(f"{'would free' if dry_run else 'freed'} {done.bytes} bytes ({human_size(done.bytes)})")
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
        open = ", ".join(map(named, waiting.sessions))
        others = f"these sessions are open: {open}" if open else "other sessions are open"
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
    """What can no longer be restored: deleted repos as one, bundles of other repos one by one."""
    bundles = Counter(one.repo.id for one in gone if one.repo.deleted)
    repos = {one.repo.id: one.repo for one in gone}
    named = [f"repo {repos[id].name} ({id}, {count_of(count, 'bundle')})" for id, count in bundles.items()]
    return named + [f"bundle {one.bundle.id} of {one.repo.name}" for one in gone if not one.repo.deleted]


@verb(name="delete", example="sheaf bundle delete --repo faces --bundle main~1", exits=(3, 5, 6, 8, 9, 10))
@options.repo
@click.option("--bundle", required=True, metavar="REF", help="Bundle id or other ref.")
@options.yes
def delete_bundle(app: App, repo: str, bundle: str, yes: bool) -> None:
    """Delete a bundle that no label or branch points to. It can be restored until the next gc."""
    found = app.repo(repo)
    chosen = found.bundle(bundle)
    found.ensure_not_named(chosen)
    confirm(f"Delete bundle {chosen.id} ({quote(chosen.message)})?", is_sure=yes)
    found.delete_bundle(f"bundle:{chosen.id}")
    app.out.object({"id": chosen.id, "repo": repo})
    app.note(
        f"note: run `sheaf bundle undelete --repo {quote(repo)} --bundle {chosen.id}` to restore it before the next gc"
    )


@verb(
    name="undelete",
    example="sheaf bundle undelete --repo faces\nsheaf bundle undelete --repo faces --bundle $(cat deleted)",
    exits=(3, 5, 6, 8, 9, 10),
    fields=lambda: {"": views.BUNDLE},
)
@options.repo
@click.option("--bundle", metavar="ID", help="Bundle id. Default: list deleted and quarantined bundles.")
def undelete_bundle(app: App, repo: str, bundle: str | None) -> None:
    """Restore a deleted or quarantined bundle, or list those that can be restored.

    Labels that a squash deleted with it are restored, too.
    """
    found = app.repo(repo)
    if bundle is None:
        left = found.deleted_bundles(restorable=True)
        aside = [found.bundle(f"bundle:{id}") for id in found.aside()]
        app.out.listing(views.BUNDLE, [*left, *aside])
        _tell_lost(app, len(found.deleted_bundles()) - len(left), "bundle")
        return
    id = bundle.removeprefix("bundle:")
    dropped = found.dropped_labels(id)
    app.out.one(views.BUNDLE, found.undelete_bundle(id))
    for name in dropped:
        _tell_label(app, found, name, id)


def _tell_label(app: App, repo: Repo, name: str, id: str) -> None:
    at = next((label.bundle for label in repo.labels(name) if label.name == name), "")
    if at == id:
        app.note(f"note: restored label '{name}'")
    elif at:
        app.note(f"note: label '{name}' was not restored: it points to bundle {at} now")
    else:
        app.note(f"note: label '{name}' was not restored: a branch has its name now")


def _tell_lost(app: App, count: int, what: str) -> None:
    if count:
        app.note(f"note: {count_of(count, f'more {what}')} can't be restored: gc has deleted the data")


@verb(
    name="undelete",
    example="sheaf repo undelete\nsheaf repo undelete --repo old",
    exits=(3, 4, 5, 6, 8, 9, 10),
    fields=lambda: {"": views.DELETED_REPO},
)
@click.option("--repo", metavar="REPO", help="Name or id of the repo. Default: list deleted repos.")
@click.option("--as", "name", metavar="NAME", help="New name of the repo.")
def undelete_repo(app: App, repo: str | None, name: str | None) -> None:
    """Restore a deleted repo, or list those that can be restored.

    Possible only until the next gc removes its data.
    """
    if repo is None:
        left = app.store.deleted_repos(restorable=True)
        app.out.listing(views.DELETED_REPO, left)
        _tell_lost(app, len(app.store.deleted_repos()) - len(left), "repo")
    else:
        app.out.one(views.REPO, app.store.undelete_repo(repo, name=name))


@verb(
    example="sheaf repo squash --repo faces --keep-last 2 --retain-tags --yes",
    exits=(3, 5, 6, 8, 9, 10),
    fields=lambda: {"": views.BUNDLE},
)
@options.repo
@click.option(
    "--keep-last", type=click.IntRange(min=1), default=1, metavar="N", help="Number of bundles to keep. Default: 1."
)
@click.option("--retain-tags", is_flag=True, help="Also keep bundles that a label points to.")
@click.option("--retain-semver-tags", is_flag=True, help="Also keep bundles with a label such as v1.2.0.")
@click.option("--dry-run", is_flag=True, help="Delete nothing; list the bundles that would be deleted.")
@options.yes
def squash(
    app: App,
    *,
    repo: str,
    keep_last: int,
    retain_tags: bool,
    retain_semver_tags: bool,
    dry_run: bool,
    yes: bool,
) -> None:
    """Delete all bundles except the newest ones and those that branches point to, and list the rest.

    Labels of deleted bundles are deleted, too, unless --retain-tags keeps both; they are listed. Until the next gc,
    `bundle undelete` restores a bundle with its labels.
    """
    found = app.repo(repo)
    retain = {"retain_tags": retain_tags, "retain_semver_tags": retain_semver_tags}
    surplus = found.surplus(retain_latest=keep_last, **retain)
    going = _surplus(surplus)
    if dry_run:
        app.warn(f"would delete {going}")
        app.out.listing(views.BUNDLE, [bundle for bundle in found.bundles() if bundle.id in set(surplus.bundles)])
        return
    confirm(question(app, f'squash repo "{repo}", which deletes {going}'), is_sure=yes)
    deleted = found.squash(retain_latest=keep_last, **retain)
    kept = found.bundles()
    app.note(f"kept {_kept(len(kept), len(kept) - keep_last)}:")
    app.out.listing(views.BUNDLE, kept)
    if deleted.bundles:
        app.note(f"deleted {_surplus(deleted)}")
        app.note(
            f"note: run `sheaf bundle undelete --repo {quote(repo)}` to list bundles that can be restored before the next gc"
        )


def _kept(count: int, more: int) -> str:
    """The number of bundles that a squash kept, and the reason if it is more than --keep-last."""
    to = "it" if more == 1 else "them"
    why = f", {more} of them because branches or labels point to {to}" if more > 0 else ""
    return f"{count_of(count, 'bundle')}{why}"


def _surplus(surplus: Surplus) -> str:
    return with_labels(count_of(len(surplus.bundles), "bundle"), surplus.labels)
