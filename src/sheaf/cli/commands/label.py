"""``label``: set, get, list, delete."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import click

from sheaf.cli import options
from sheaf.cli.app import App
from sheaf.cli.commands.upload import place_of
from sheaf.cli.output import views
from sheaf.cli.verb_tree import verb

if TYPE_CHECKING:
    from sheaf.repo.repo import Repo
    from sheaf.repo.values import Label

__all__ = ["delete", "get", "list_", "set_"]

_label = click.option("--label", required=True, metavar="LABEL", help="Name of the label.")
_with_versions = click.option(
    "--with-versions", is_flag=True, help="Also list the bundles that a label pointed to before."
)


@verb(name="set", example="sheaf label set --repo faces --label production --bundle init", exits=(3, 4, 5, 6, 8, 9, 10))
@options.repo
@_label
@click.option("--bundle", required=True, metavar="REF", help="Bundle id or other ref.")
def set_(app: App, repo: str, label: str, bundle: str) -> None:
    """Set a label on a bundle. An existing label moves and keeps its history."""
    found = app.repo(repo)
    before = "" if app.dialect.keeps_upstream else place_of(found, label)
    made = found.set_label(label, bundle)
    if not app.dialect.keeps_upstream:
        app.out.line(_what_was_done(label, before, made.bundle))
    if app.out.as_json:
        app.out.one(views.LABEL, made)


def _what_was_done(label: str, before: str, now: str) -> str:
    if before == now:
        return f"label '{label}' already points to {now}"
    return f"moved label '{label}' from {before} to {now}" if before else f"set label '{label}' to {now}"


@verb(
    example="sheaf label get --repo faces --label production --with-versions",
    exits=(3, 5, 6, 8, 9),
    fields=lambda: {"": views.LABEL},
)
@options.repo
@_label
@_with_versions
def get(app: App, repo: str, label: str, with_versions: bool) -> None:
    """Show which bundle a label points to."""
    found = app.repo(repo)
    if with_versions:
        app.out.listing(views.LABEL, found.label_history(label))
    else:
        app.out.one(views.LABEL, found.label(label))


@verb(
    name="list",
    example="sheaf label list --repo faces --prefix release-",
    exits=(3, 5, 6, 8, 9),
    fields=lambda: {"": views.LABEL},
)
@options.repo
@click.option("--prefix", default="", metavar="TEXT", help="Only labels that start with TEXT.")
@_with_versions
def list_(app: App, repo: str, prefix: str, with_versions: bool) -> None:
    """List the labels, sorted by name."""
    found = app.repo(repo)
    labels = found.labels(prefix)
    app.out.listing(views.LABEL, _histories(found, labels) if with_versions else labels)


def _histories(repo: Repo, labels: Iterable[Label]) -> Iterable[Label]:
    for label in labels:
        yield from repo.label_history(label.name)


@verb(example="sheaf label delete --repo faces --label production", exits=(3, 4, 5, 6, 8, 9, 10))
@options.repo
@_label
def delete(app: App, repo: str, label: str) -> None:
    """Delete a label. Its bundle is kept."""
    was = app.repo(repo).delete_label(label)
    app.out.line(f"deleted label '{label}', which pointed to {was.bundle}")
    app.out.object({"name": label, "bundle": was.bundle})
    app.note(f"note: run `sheaf label set --repo {repo} --label {label} --bundle {was.bundle}` to restore it")
