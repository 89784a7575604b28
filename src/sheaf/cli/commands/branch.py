"""``branch``: create, set, list, get, delete."""

from __future__ import annotations

import click

from sheaf.cli import options
from sheaf.cli.app import App
from sheaf.cli.output import views
from sheaf.cli.verb_tree import verb

__all__ = ["create", "delete", "get", "list_", "set_"]

_branch = click.option("--branch", required=True, metavar="BRANCH", help="Name of the branch.")


@verb(example="sheaf branch create --repo faces --branch cleaned --bundle init", exits=(3, 4, 5, 6, 8, 9, 10))
@options.repo
@_branch
@click.option("--bundle", metavar="REF", help="Bundle to start at (id or ref). Default: the head of main.")
def create(app: App, repo: str, branch: str, bundle: str | None) -> None:
    """Create a branch."""
    found = app.repo(repo)
    found.create_branch(branch, bundle)
    if app.out.as_json:
        app.out.one(views.BRANCH, found.branch(branch))


@verb(name="set", example="sheaf branch set --repo faces main main~1", exits=(3, 4, 5, 6, 8, 9, 10))
@options.repo
@click.argument("branch")
@click.argument("ref")
@click.option("--expect", metavar="REF", help="Fail unless the branch points to this bundle now.")
def set_(app: App, repo: str, branch: str, ref: str, expect: str | None) -> None:
    """Point a branch to another bundle, such as the one before a bad upload. No bundle is deleted."""
    found = app.repo(repo)
    before = found.branch(branch).bundle
    made = found.set_branch(branch, ref, expect=found.bundle(expect).id if expect else None)
    if made.bundle == before:
        app.out.line(f"branch '{branch}' already points to {before}")
    else:
        app.out.line(f"moved branch '{branch}' from {before} to {made.bundle}")
        app.note(f"note: run `sheaf branch set --repo {repo} {branch} {before}` to move it back")
    if app.out.as_json:
        app.out.one(views.BRANCH, made)


@verb(name="list", example="sheaf branch list --repo faces", exits=(3, 5, 6, 8, 9), fields=lambda: {"": views.BRANCH})
@options.repo
def list_(app: App, repo: str) -> None:
    """List the branches, sorted by name."""
    app.out.listing(views.BRANCH, app.repo(repo).branches())


@verb(example="sheaf branch get --repo faces --branch main", exits=(3, 5, 6, 8, 9), fields=lambda: {"": views.BRANCH})
@options.repo
@_branch
def get(app: App, repo: str, branch: str) -> None:
    """Show which bundle a branch points to."""
    app.out.one(views.BRANCH, app.repo(repo).branch(branch))


@verb(example="sheaf branch delete --repo faces --branch cleaned", exits=(3, 4, 5, 6, 8, 9, 10))
@options.repo
@_branch
def delete(app: App, repo: str, branch: str) -> None:
    """Delete a branch. Its bundles are kept."""
    was = app.repo(repo).delete_branch(branch)
    app.out.line(f"deleted branch '{branch}', which pointed to {was.bundle}")
    app.out.object({"name": branch, "bundle": was.bundle})
    app.note(f"note: run `sheaf branch create --repo {repo} --branch {branch} --bundle {was.bundle}` to restore it")
