"""``branch merge`` and ``bundle revert``: combine the changes of bundles in a new one."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, Literal

import click

from sheaf.api import MergeConflict
from sheaf.cli import options
from sheaf.cli.app import App
from sheaf.cli.output.text import count_of, quote
from sheaf.cli.verb_tree import verb
from sheaf.errors import InvalidInput

if TYPE_CHECKING:
    from sheaf.api import MergeResult, PathConflict

__all__ = ["merge", "revert"]

Preferred = Literal["ours", "theirs", "both"]


def _combining(ours: str, theirs: str) -> Callable[..., Any]:
    """Return the options that merge and revert share. ``ours``, ``theirs``: the help of the options of these names."""
    return options.stack(
        click.option("-m", "--message", metavar="TEXT", help="Message of the new bundle."),
        click.option("--ours", is_flag=True, help=ours),
        click.option("--theirs", is_flag=True, help=theirs),
        click.option("--keep-both", is_flag=True, help="In conflicts, keep both files: one as NAME.conflict-SIDE.EXT."),
        click.option("--dry-run", is_flag=True, help="Commit nothing; print the conflicts."),
    )


_merging: Final = _combining("In conflicts, keep the file of TARGET.", "In conflicts, keep the file of SOURCE.")
_reverting: Final = _combining("In conflicts, keep the file of the branch.", "In conflicts, keep the reverted file.")


@verb(example='sheaf branch merge --repo faces cleaned main --message "cleaned"', exits=(3, 4, 5, 6, 8, 9, 10, 11))
@options.repo
@click.argument("source", metavar="SOURCE")
@click.argument("target", metavar="TARGET")
@_merging
@click.option("--no-ff", is_flag=True, help="Make a new bundle even if moving the branch would do.")
@click.option("--allow-unrelated-histories", is_flag=True, help="Merge even without a common ancestor.")
def merge(
    app: App,
    *,
    repo: str,
    source: str,
    target: str,
    message: str | None,
    dry_run: bool,
    no_ff: bool,
    allow_unrelated_histories: bool,
    **sides: bool,
) -> None:
    """Merge a branch, or another ref, into the branch TARGET.

    Files are compared with the nearest common ancestor. If both sides changed a file, nothing is committed, the
    conflicts are listed, and the exit code is 11, unless --ours, --theirs or --keep-both is given. If TARGET has nothing
    new, it is only moved (fast-forward).
    """
    found, prefer = app.repo(repo), _preferred(**sides)

    def combined(*, dry_run: bool) -> MergeResult:
        return found.merge(
            source,
            target,
            message=message,
            prefer=prefer,
            fast_forward=not no_ff,
            allow_unrelated=allow_unrelated_histories,
            dry_run=dry_run,
        )

    _combine(app, repo, combined, dry_run=dry_run)


@verb(example="sheaf bundle revert --repo faces main", exits=(3, 4, 5, 6, 8, 9, 10, 11))
@options.repo
@click.argument("ref", metavar="REF")
@click.option("--branch", default="main", metavar="BRANCH", help="Branch to commit to. Default: main.")
@_reverting
@click.option("--mainline", type=options.COUNT, metavar="N", help="Revert a merge: compare with its parent N (1, 2).")
def revert(
    app: App,
    *,
    repo: str,
    ref: str,
    branch: str,
    message: str | None,
    dry_run: bool,
    mainline: int | None,
    **sides: bool,
) -> None:
    """Undo the changes of one bundle with a new one. Later changes are kept.

    If later bundles changed the same files, nothing is committed, the conflicts are listed, and the exit code is 11,
    unless --ours, --theirs or --keep-both is given. To undo all changes since a bundle, use 'branch set'.
    """
    found, prefer = app.repo(repo), _preferred(**sides)

    def combined(*, dry_run: bool) -> MergeResult:
        return found.revert(ref, branch, message=message, prefer=prefer, mainline=mainline, dry_run=dry_run)

    _combine(app, repo, combined, dry_run=dry_run)


def _preferred(**sides: bool) -> Preferred | None:
    """Return the side that wins in conflicts. Raises InvalidInput if several options choose one."""
    names: dict[str, Preferred] = {"ours": "ours", "theirs": "theirs", "keep_both": "both"}
    chosen = [name for name in names if sides[name]]
    if len(chosen) > 1:
        first, second = (f"--{name.replace('_', '-')}" for name in chosen[:2])
        raise InvalidInput(f"{first} and {second} exclude each other", "pass only one of them")
    return names[chosen[0]] if chosen else None


def _combine(app: App, repo: str, combined: Callable[..., MergeResult], *, dry_run: bool) -> None:
    """Merge or revert, and print the result. Raises MergeConflict after it has listed the conflicts."""
    try:
        done = combined(dry_run=dry_run)
    except MergeConflict as error:
        _list_conflicts(app, error.conflicts)
        app.out.object({"result": "conflicts", "bundle": "", "conflicts": _records(error.conflicts)})
        raise
    _list_conflicts(app, done.conflicts)
    record = {**dataclasses.asdict(done), "conflicts": _records(done.conflicts), "dry_run": dry_run}
    app.out.object({"result": record.pop("how"), **record})
    if done.how == "conflicts":
        count = count_of(len(done.conflicts), "path")
        hint = "choose a side with --ours or --theirs, or keep both with --keep-both"
        raise MergeConflict(f"branch '{done.branch}': {count} in conflict", hint, done.conflicts)
    if done.how == "committed" and not dry_run:
        app.committed = done.bundle
    app.out.line(_summary(done, dry_run=dry_run))


def _list_conflicts(app: App, conflicts: tuple[PathConflict, ...]) -> None:
    for each in conflicts:
        kept = f" , kept as {quote(each.copy)}" if each.copy else ""
        app.out.line(f"{each.kind} , {quote(each.path)}{kept}")


def _records(conflicts: tuple[PathConflict, ...]) -> list[dict[str, str]]:
    return [dataclasses.asdict(each) for each in conflicts]


def _summary(done: MergeResult, *, dry_run: bool) -> str:
    if done.how == "nothing":
        return f"nothing to do: branch '{done.branch}' would not change"
    if done.how == "fast-forward":
        moved = "would move" if dry_run else "moved"
        return f"{moved} branch '{done.branch}' to {done.bundle} (fast-forward)"
    counts = f"{done.added:,} added, {done.modified:,} modified, {done.deleted:,} deleted"
    return f"would commit a bundle: {counts}" if dry_run else f"Uploaded bundle id:{done.bundle}\n{counts}"
