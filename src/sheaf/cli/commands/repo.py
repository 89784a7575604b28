"""``repo``: create, list, get, rename, delete, undelete, squash."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from sheaf.cli import options
from sheaf.cli.app import App
from sheaf.cli.inputs import confirm
from sheaf.cli.output import views
from sheaf.cli.output.size_text import size_line, size_record
from sheaf.cli.output.text import count_of, full_size, go_time, human_size, quote, with_labels
from sheaf.cli.verb_tree import verb

if TYPE_CHECKING:
    from sheaf.api import Surplus

__all__ = ["create", "delete", "get", "list_", "question", "rename", "report_lost", "squash", "undelete"]

_with_size = click.option("--with-size", is_flag=True, help="Also show the size of each bundle and the total.")


@verb(example='sheaf repo create --repo faces --description "Portraits, 2026"', exits=(3, 4, 5, 6, 8, 9, 10))
@options.repo
@click.option("--description", default="", metavar="TEXT", help="Purpose of the repo.")
@click.option("--name", hidden=True, expose_value=False)
@click.option("--email", hidden=True, expose_value=False)
def create(app: App, repo: str, description: str) -> None:
    """Create a repo."""
    made = app.store_to_write().create_repo(repo, description)
    if app.out.as_json:
        app.out.one(views.REPO, made)


@verb(name="list", example="sheaf repo list --json", exits=(3, 5, 6, 8, 9), fields=lambda: {"": views.REPO})
@_with_size
def list_(app: App, with_size: bool) -> None:
    """List the repos, sorted by name."""
    repos = app.repos()
    app.out.listing(views.REPO, repos)
    if with_size:
        for repo in repos:
            _print_sizes(app, repo.name)


@verb(example="sheaf repo get --repo faces", exits=(3, 5, 6, 8, 9), fields=lambda: {"": views.REPO})
@options.repo
@_with_size
def get(app: App, repo: str, with_size: bool) -> None:
    """Show one repo."""
    app.out.one(views.REPO, app.repo(repo))
    if with_size:
        _print_sizes(app, repo)


def _print_sizes(app: App, name: str) -> None:
    bundles = app.repo(name).bundles()
    app.out.line("All bundles with their total size:")
    for bundle in bundles:
        if app.dialect.keeps_upstream:
            size = f"{bundle.size} ({human_size(bundle.size)})"
            app.out.line(f"{bundle.id} , {quote(bundle.message)}, {go_time(bundle.time)}, {size}")
        else:
            app.out.row(bundle.id, bundle.time, bundle.size, bundle.message)
    sizes = app.repo(name).sizes()
    total = sum(bundle.size for bundle in bundles)
    shown = f"{total} ({human_size(total)})" if app.dialect.keeps_upstream else full_size(total)
    app.out.line(f'\nGrand total for repo "{name}": {shown}')
    app.out.line(size_line(sizes))
    app.out.object(
        {
            "repo": name,
            **size_record(sizes),
            "total_size": total,
            "bundles": {bundle.id: bundle.size for bundle in bundles},
        }
    )


@verb(example="sheaf repo rename --repo faces portraits", exits=(3, 4, 5, 6, 8, 9, 10))
@options.repo
@click.argument("new_name", metavar="NEW")
@options.yes
def rename(app: App, repo: str, new_name: str, yes: bool) -> None:
    """Rename a repo. Its id and history are kept."""
    found = app.repo(repo)
    confirm(question(app, f'rename repo "{repo}" to "{new_name}"'), is_sure=yes)
    found.rename(new_name)
    app.out.object({"id": found.id, "name": new_name, "old_name": repo})


@verb(example="sheaf repo delete --repo portraits --yes", exits=(3, 5, 6, 8, 9, 10))
@options.repo
@options.yes
def delete(app: App, repo: str, yes: bool) -> None:
    """Delete a repo with its bundles, labels and branches.

    Until the next gc, `repo undelete` restores all of them.
    """
    found = app.repo(repo)
    held = with_labels(count_of(found.info.bundles, "bundle"), [label.name for label in found.labels()])
    confirm(question(app, f'delete repo "{repo}" with {held}'), is_sure=yes)
    found.delete()
    app.out.object({"id": found.id, "name": repo})
    app.note(f"note: run `sheaf repo undelete --repo {found.id}` to restore it before the next gc")


@verb(
    name="undelete",
    example="sheaf repo undelete\nsheaf repo undelete --repo old",
    exits=(3, 4, 5, 6, 8, 9, 10),
    fields=lambda: {"": views.DELETED_REPO},
)
@click.option("--repo", metavar="REPO", help="Name or id of the repo. Default: list deleted repos.")
@click.option("--as", "name", metavar="NAME", help="New name of the repo.")
def undelete(app: App, repo: str | None, name: str | None) -> None:
    """Restore a deleted repo, or list those that can be restored.

    Possible only until the next gc removes its data.
    """
    if repo is None:
        left = app.store.deleted_repos(restorable=True)
        app.out.listing(views.DELETED_REPO, left)
        report_lost(app, len(app.store.deleted_repos()) - len(left), "repo")
    else:
        app.out.one(views.REPO, app.store.undelete_repo(repo, name=name))


@verb(
    example="sheaf repo squash --repo faces --keep-last 2 --retain-tags --yes",
    exits=(3, 5, 6, 8, 9, 10),
    fields=lambda: {"": views.BUNDLE},
)
@options.repo
@click.option(
    "--keep-last",
    type=click.IntRange(min=1),
    default=1,
    metavar="N",
    help="Keep the newest N bundles of the repo. Default: 1.",
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
    """Delete all bundles except the newest ones and those that branches point to; list the bundles that are kept.

    The labels of deleted bundles are deleted, too, and printed. With --retain-tags, no bundle that has a label is
    deleted. Until the next gc, `bundle undelete` restores a bundle with its labels.
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


def report_lost(app: App, count: int, what: str) -> None:
    """Note how many deleted bundles or repos can no longer be restored."""
    if count:
        app.note(f"note: {count_of(count, f'more {what}')} can't be restored: gc has deleted the data")


def question(app: App, what: str) -> str:
    """Return the question whether to do ``what``, such as ``delete repo "faces"``, in the words of the dialect."""
    return f"Are you sure you want to {what}" if app.dialect.keeps_upstream else f"{what[0].upper()}{what[1:]}?"
