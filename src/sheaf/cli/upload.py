"""``bundle upload``, and what every commit prints."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from sheaf.cli import options, views
from sheaf.cli.app import App
from sheaf.cli.exits import OK
from sheaf.cli.inputs import read_list, read_meta, workers
from sheaf.cli.progress import Bar
from sheaf.cli.quoting import count_of, human_size, quote
from sheaf.cli.tree import verb

if TYPE_CHECKING:
    from sheaf.repo.bundle import Bundle
    from sheaf.repo.repo import Repo, Upload

__all__ = ["Announcer", "place_of", "tell_branch", "tell_label", "upload"]


class Announcer:
    """For ``on_commit=``: prints the bundle's id the moment it is safe, whatever happens after."""

    def __init__(self, app: App, bar: Bar) -> None:
        self._app = app
        self._bar = bar

    def __call__(self, bundle: Bundle) -> None:
        self._bar.close()
        self._app.committed = bundle.id
        self._app.resumes = False
        self._app.out.line(f"Uploaded bundle id:{bundle.id}")


def tell_label(app: App, label: str | None, before: str = "") -> None:
    """What follows the id when the bundle got a label, which another bundle had ``before``."""
    if label and before:
        app.out.line(f"moved label '{label}' from {before}")
    elif label:
        app.out.line(f"set label '{label}'")


def tell_branch(app: App, branch: str, bundle: Bundle) -> None:
    """What follows if the bundle is the first on a branch, which may be a name that was mistyped. ``main`` is nothing new."""
    if not app.dialect.keeps_upstream and branch != "main" and not bundle.parents:
        app.out.line(f"made branch '{branch}'")


@verb(
    example='sheaf bundle upload --repo faces --path ./faces --message "first delivery" --label init',
    exits=(3, 4, 5, 8, 9, 10, 11),
)
@options.repo
@options.folder_option("--path", "The folder to upload.")
@click.option("-m", "--message", required=True, metavar="TEXT", help="What this bundle is.")
@click.option("--label", metavar="LABEL", help="A label to set on it, in the same commit.")
@options.move_label
@click.option("--branch", default="main", show_default=True, metavar="BRANCH", help="The branch that it goes to.")
@options.file_list
@click.option("--meta", multiple=True, metavar="K=V", help="A fact to keep with the bundle; may be repeated.")
@options.skip_on_error
@click.option("--rehash", is_flag=True, help="Read all files, and verify what is stored of them.")
@click.option("--if-changed", is_flag=True, help="Make no bundle if the branch's newest one has the same version.")
@click.option("--portable", is_flag=True, help="Refuse names that become one on other systems (case, Unicode form).")
@options.allow_empty
@options.allow_erased
@options.concurrency
def upload(
    app: App,
    *,
    repo: str,
    path: Path,
    message: str,
    label: str | None,
    move_label: bool,
    branch: str,
    files: str | None,
    meta: tuple[str, ...],
    skip_on_error: bool,
    rehash: bool,
    if_changed: bool,
    portable: bool,
    allow_empty: bool,
    allow_erased: bool,
    concurrency_factor: int | None,
) -> int:
    """Upload a folder as a new bundle; only what the store doesn't have yet is sent."""
    found = app.repo(repo)
    app.resumes = True
    before = place_of(found, label) if not app.dialect.keeps_upstream else ""
    with app.progress("upload") as bar:
        result = found.upload(
            path,
            message=message,
            label=label,
            move_label=move_label or app.dialect.keeps_upstream,
            branch=branch,
            files=read_list(files, path) if files else None,
            meta=read_meta(meta),
            skip_on_error=skip_on_error,
            rehash=rehash,
            if_changed=if_changed,
            portable=portable,
            allow_empty=allow_empty or app.dialect.keeps_upstream,
            allow_erased=allow_erased,
            concurrency=workers(concurrency_factor),
            on_commit=Announcer(app, bar),
            progress=bar,
        )
    if not result.committed:
        app.out.line(f"Unchanged bundle id:{result.bundle.id}")
    tell_label(app, label, before if before != result.bundle.id else "")
    if result.committed:
        tell_branch(app, branch, result.bundle)
    return _finish(app, result)


def place_of(repo: Repo, label: str | None) -> str:
    """The bundle that a label is at, if there is such a label."""
    return next((found.bundle for found in repo.labels(label) if found.name == label), "") if label else ""


def _finish(app: App, result: Upload) -> int:
    record = {"files": result.files, "bytes": result.bytes, "new_bytes": result.new_bytes}
    skipped = [{"path": item.path, "reason": item.reason} for item in result.skipped]
    stored = {"stored_bytes": result.stored_bytes, "skipped": skipped, "warnings": list(result.warnings)}
    app.out.object({**views.bundle_record(result.bundle), "upload": {**record, **stored}})
    if app.out.template:
        app.out.one(views.BUNDLE, result.bundle)
    if not result.files:
        app.note("warning: the bundle has no files")
    _warn(app, result.warnings)
    for item in result.skipped:
        app.note(f"skipped {quote(item.path)}: {item.reason}")
    new, all_bytes = human_size(result.new_bytes), human_size(result.bytes)
    app.summary(
        f"{count_of(result.files, 'file')}, {all_bytes}, {new} of it new, {human_size(result.stored_bytes)} stored"
    )
    return app.dialect.partial_exit if result.skipped else OK


def _warn(app: App, warnings: Iterable[str]) -> None:
    for warning in warnings:
        app.note(f"warning: {quote(warning)}")
