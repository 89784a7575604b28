"""``repo``: create, list, get, rename, delete."""

from __future__ import annotations

import click

from sheaf.cli import options
from sheaf.cli.app import App
from sheaf.cli.inputs import confirm
from sheaf.cli.output import views
from sheaf.cli.output.size_text import size_line, size_record
from sheaf.cli.output.text import count_of, go_time, human_size, quote, with_labels
from sheaf.cli.verb_tree import verb

__all__ = ["create", "delete", "get", "list_", "question", "rename"]

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
    app.out.line(f'\nGrand total for repo "{name}": {total} ({human_size(total)})')
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


def question(app: App, what: str) -> str:
    """Return the question whether to do ``what``, such as ``delete repo "faces"``, in the words of the dialect."""
    return f"Are you sure you want to {what}" if app.dialect.keeps_upstream else f"{what[0].upper()}{what[1:]}?"
