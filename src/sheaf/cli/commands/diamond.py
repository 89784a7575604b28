"""``diamond`` and ``diamond split``: many processes fill one bundle, and one commit joins their parts."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from sheaf.cli import options
from sheaf.cli.app import App
from sheaf.cli.commands.upload import Announcer, place_of, report_branch, report_label
from sheaf.cli.exits import OK
from sheaf.cli.inputs import read_list
from sheaf.cli.output import views
from sheaf.cli.output.text import quote
from sheaf.cli.verb_tree import verb
from sheaf.errors import InvalidInput

if TYPE_CHECKING:
    from sheaf.api import Mode

__all__ = ["cancel", "commit", "get", "initialize", "list_", "split_add", "split_get", "split_list"]

_DIAMOND: Final = click.option("--diamond", required=True, metavar="ID", help="Id of the diamond.")


@verb(example="diamond=$(sheaf diamond initialize --repo faces)", exits=(3, 5, 6, 8, 9, 10))
@options.repo
def initialize(app: App, repo: str) -> None:
    """Start a diamond and print its id."""
    made = app.repo(repo).create_diamond()
    app.out.line(made.id)
    app.out.object({"id": made.id})


@verb(name="list", example="sheaf diamond list --repo faces", exits=(3, 5, 6, 8, 9), fields=lambda: {"": views.DIAMOND})
@options.repo
def list_(app: App, repo: str) -> None:
    """List the diamonds of a repo."""
    app.out.listing(views.DIAMOND, app.repo(repo).diamonds())


@verb(
    example='sheaf diamond get --repo faces --diamond "$diamond"',
    exits=(3, 5, 6, 8, 9),
    fields=lambda: {"": views.DIAMOND},
)
@options.repo
@_DIAMOND
def get(app: App, repo: str, diamond: str) -> None:
    """Show one diamond."""
    app.out.one(views.DIAMOND, app.repo(repo).diamond(diamond).info)


@verb(example='sheaf diamond cancel --repo faces --diamond "$diamond"', exits=(3, 4, 5, 6, 8, 9, 10))
@options.repo
@_DIAMOND
@click.option("--diamond-tag", default="", metavar="TEXT", help="Note on the diamond.")
def cancel(app: App, repo: str, diamond: str, diamond_tag: str) -> None:
    """Cancel a diamond. Its splits are not committed."""
    app.repo(repo).diamond(diamond).cancel(diamond_tag)
    app.note(f"{app.dialect.note_prefix}diamond {diamond} canceled")
    app.out.object({"id": diamond, "state": "canceled"})


@verb(
    example='sheaf diamond split add --repo faces --diamond "$diamond" --path ./part-1 --split part-1',
    exits=(3, 4, 5, 6, 8, 9, 10, 11),
)
@options.repo
@_DIAMOND
@options.folder_option("--path", "Folder to upload.")
@click.option("--split", "split", metavar="ID", help="Name of the split, so that an interrupted one can be retried.")
@click.option("--split-tag", default="", metavar="TEXT", help="Note on the split.")
@options.file_list
@options.name_filter
@options.skip_on_error
@options.allow_erased
@options.jobs
def split_add(
    app: App,
    *,
    repo: str,
    diamond: str,
    path: Path,
    split: str | None,
    split_tag: str,
    files: str | None,
    name_filter: str | None,
    skip_on_error: bool,
    allow_erased: bool,
    jobs: int | None,
) -> int:
    """Upload a folder as one split of a diamond and print the split's id."""
    found = app.repo(repo).diamond(diamond)
    app.resumes = True
    with app.progress("split") as bar:
        added = found.add_split(
            path,
            split_id=split,
            tag=split_tag,
            files=read_list(files, path) if files else None,
            name_filter=name_filter,
            skip_on_error=skip_on_error,
            allow_erased=allow_erased,
            concurrency=jobs,
            progress=bar,
        )
    app.out.line(added.id)
    app.out.object(views.SPLIT.record(added))
    for warning in added.warnings:
        app.warn(f"warning: {quote(warning)}")
    for item in added.skipped:
        app.warn(f"skipped {quote(item.path)}: {item.reason}")
    return app.dialect.partial_exit if added.skipped else OK


@verb(
    name="list",
    example='sheaf diamond split list --repo faces --diamond "$diamond"',
    exits=(3, 5, 6, 8, 9),
    fields=lambda: {"": views.SPLIT},
)
@options.repo
@_DIAMOND
def split_list(app: App, repo: str, diamond: str) -> None:
    """List the splits of a diamond."""
    app.out.listing(views.SPLIT, app.repo(repo).diamond(diamond).splits())


@verb(
    example='sheaf diamond split get --repo faces --diamond "$diamond" --split part-1',
    exits=(3, 5, 6, 8, 9),
    fields=lambda: {"": views.SPLIT},
)
@options.repo
@_DIAMOND
@click.option("--split", "split", required=True, metavar="ID", help="Id of the split.")
def split_get(app: App, repo: str, diamond: str, split: str) -> None:
    """Show one split."""
    app.out.one(views.SPLIT, app.repo(repo).diamond(diamond).split(split))


@verb(
    example='sheaf diamond commit --repo faces --diamond "$diamond" --message "all parts" --label joined',
    exits=(3, 4, 5, 6, 8, 9, 10, 11),
)
@options.repo
@_DIAMOND
@click.option("-m", "--message", required=True, metavar="TEXT", help="Message of the bundle.")
@click.option("--label", metavar="LABEL", help="Label to set on the bundle in the same commit.")
@options.move_label
@click.option("--branch", default="main", show_default=True, metavar="BRANCH", help="Branch to commit to.")
@click.option("--with-conflicts", is_flag=True, help="Keep conflicting versions in .conflicts/ (default).")
@click.option("--with-checkpoints", is_flag=True, help="Keep conflicting versions in .checkpoints/.")
@click.option("--ignore-conflicts", is_flag=True, help="Keep only the file of the split that was completed last.")
@click.option("--no-conflicts", is_flag=True, help="Fail if splits conflict on a path.")
@options.allow_empty
@click.option("--diamond-tag", default="", metavar="TEXT", help="Note on the diamond.")
def commit(
    app: App,
    *,
    repo: str,
    diamond: str,
    message: str,
    label: str | None,
    move_label: bool,
    branch: str,
    with_conflicts: bool,
    with_checkpoints: bool,
    ignore_conflicts: bool,
    no_conflicts: bool,
    allow_empty: bool,
    diamond_tag: str,
) -> int:
    """Join the completed splits into one bundle."""
    mode = _mode(with_conflicts, with_checkpoints, ignore_conflicts, no_conflicts)
    inside = app.repo(repo)
    found, before = inside.diamond(diamond), "" if app.dialect.keeps_upstream else place_of(inside, label)
    with app.progress("commit") as bar:
        made = found.commit(
            message=message,
            label=label,
            move_label=move_label or app.dialect.keeps_upstream,
            allow_empty=allow_empty or app.dialect.keeps_upstream,
            branch=branch,
            mode=mode,
            tag=diamond_tag,
            on_commit=Announcer(app, bar),
            progress=bar,
        )
    report_label(app, label, before)
    report_branch(app, branch, made)
    has_conflicts = found.info.has_conflicts
    app.out.object({**views.bundle_record(made), "diamond": diamond, "has_conflicts": has_conflicts})
    if app.out.template:
        app.out.one(views.BUNDLE, made)
    if has_conflicts:
        app.warn(f"{app.dialect.note_prefix}splits conflict on some paths: conflicting versions are in .conflicts/")
    return app.dialect.partial_exit if has_conflicts else OK


def _mode(conflicts: bool, checkpoints: bool, ignored: bool, forbidden: bool) -> Mode:
    chosen: dict[Mode, bool] = {
        "enable-conflicts": conflicts,
        "enable-checkpoints": checkpoints,
        "ignored": ignored,
        "forbids-conflicts": forbidden,
    }
    names = [name for name, is_chosen in chosen.items() if is_chosen]
    if len(names) > 1:
        raise InvalidInput("the options for conflicts are mutually exclusive", "pass at most one of them")
    return names[0] if names else "enable-conflicts"
