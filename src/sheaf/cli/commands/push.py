"""``repo push`` and ``repo pull``: copy the bundles of a repo between stores."""

from __future__ import annotations

import dataclasses
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import click

from sheaf.cli import options
from sheaf.cli.app import App
from sheaf.cli.exits import OK
from sheaf.cli.output.text import count_of, human_size, quote
from sheaf.cli.verb_tree import verb
from sheaf.settings.settings import options_for

if TYPE_CHECKING:
    from sheaf.api import Pushed
    from sheaf.repo.repo import Repo
    from sheaf.repo.store import Store

__all__ = ["other_store", "pull", "push"]

_choice: Final = options.stack(
    click.option("--as", "name", metavar="NAME", help="Repo name in the receiving store. Default: the same."),
    click.option("--branch", "branches", multiple=True, metavar="BRANCH", help="Copy only this branch; repeatable."),
    click.option("--label", "labels", multiple=True, metavar="LABEL", help="Copy only this label; repeatable."),
    click.option("--force", is_flag=True, help="Also move labels, and branches that have diverged."),
    click.option("--dry-run", is_flag=True, help="Copy nothing; print what would be copied."),
)


@verb(example="sheaf repo push faces s3://elsewhere/pushed --branch main", exits=(3, 4, 5, 6, 8, 9, 10, 11))
@click.argument("repo", metavar="REPO")
@click.argument("url", metavar="STORE_URL")
@_choice
def push(app: App, *, repo: str, url: str, **choice: Any) -> int:
    """Copy the bundles of a repo to another store, except those that it already contains.

    Bundles keep their ids, versions, messages, authors and times. Without --branch or --label, all bundles, branches and
    labels are copied. The same command resumes an interrupted push.
    """
    return _copy(app, app.repo(repo), other_store(app, url), **choice)


@verb(example="sheaf repo pull s3://elsewhere/pulled faces --branch main", exits=(3, 4, 5, 6, 8, 9, 10, 11))
@click.argument("url", metavar="STORE_URL")
@click.argument("repo", metavar="REPO")
@_choice
def pull(app: App, *, url: str, repo: str, **choice: Any) -> int:
    """Copy the bundles of a repo from another store, except those that this one already contains.

    Works like `repo push`, in the other direction.
    """
    return _copy(app, other_store(app, url).repo(repo), app.store_to_write(), **choice)


def other_store(app: App, url: str) -> Store:
    """Open another store than the one of this call, with the options of its context."""
    import sheaf

    settings = app.settings
    return app.hold(
        sheaf.connect(
            url,
            options=options_for(settings, url),
            cache=settings.cache,
            author=sheaf.Author(settings.name, settings.email),
            others=partial(options_for, settings),
            ask=app.ask,
        )
    )


def _copy(app: App, source: Repo, target: Store, *, dry_run: bool, **choice: Any) -> int:
    app.resumes = not dry_run
    with app.progress("push", "entries") as bar:
        done = source.push(target, dry_run=dry_run, progress=bar, **choice)
    app.out.object({**dataclasses.asdict(done), "dry_run": dry_run})
    for line in _lines(done, "would copy" if dry_run else "copied", dry_run=dry_run):
        app.out.line(line)
    for id, why in done.left_out.items():
        app.warn(f"skipped bundle {id}: {quote(why)}")
    return app.dialect.partial_exit if done.left_out else OK


def _lines(done: Pushed, what: str, *, dry_run: bool) -> list[str]:
    sent = "" if dry_run else f", {human_size(done.new_bytes)} new, {human_size(done.stored_bytes)} stored"
    moved = "would point to" if dry_run else "points to"
    return [
        f"{what} {count_of(len(done.bundles), 'bundle')} to repo {quote(done.repo)}{sent}",
        *(f"branch '{name}' {moved} {id}" for name, id in done.branches.items()),
        *(f"label '{name}' {moved} {id}" for name, id in done.labels.items()),
    ]
