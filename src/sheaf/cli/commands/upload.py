"""``bundle upload``, and the output of every commit."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from sheaf.cli import options
from sheaf.cli.app import App
from sheaf.cli.commands.change_counts import in_bundle, in_folder, without_full_folders
from sheaf.cli.exits import OK
from sheaf.cli.inputs import read_list, read_meta
from sheaf.cli.output import views
from sheaf.cli.output.progress_bar import Bar
from sheaf.cli.output.render import View
from sheaf.cli.output.text import count_of, human_size, quote
from sheaf.cli.verb_tree import verb
from sheaf.errors import InvalidInput

if TYPE_CHECKING:
    from sheaf.api import Skipped
    from sheaf.repo.bundle import Bundle
    from sheaf.repo.repo import Repo, Upload
    from sheaf.repo.values import Change

__all__ = ["Announcer", "place_of", "report_branch", "report_label", "upload"]


class Announcer:
    """A callback for ``on_commit=`` that prints the id of the bundle as soon as it is committed."""

    def __init__(self, app: App, bar: Bar) -> None:
        self._app = app
        self._bar = bar

    def __call__(self, bundle: Bundle) -> None:
        self._bar.close()
        self._app.committed = bundle.id
        self._app.resumes = False
        self._app.out.line(f"Uploaded bundle id:{bundle.id}")


def report_label(app: App, label: str | None, before: str = "") -> None:
    """Print the label that was set on the bundle. ``before``: the bundle that it pointed to, "" if it is new."""
    if label and before:
        app.out.line(f"moved label '{label}' from {before}")
    elif label:
        app.out.line(f"set label '{label}'")


def report_branch(app: App, branch: str, bundle: Bundle) -> None:
    """Print that the commit created a branch, because its name may be mistyped. Prints nothing for ``main``."""
    if not app.dialect.keeps_upstream and branch != "main" and not bundle.parents:
        app.out.line(f"created branch '{branch}'")


@verb(
    example='sheaf bundle upload --repo faces --path ./faces --message "first delivery" --label init',
    exits=(3, 4, 5, 6, 8, 9, 10, 11),
    fields=lambda: {"--dry-run": change_view()},
)
@options.repo
@options.folder_option("--path", "Folder to upload.")
@click.option("-m", "--message", required=True, metavar="TEXT", help="Message of the bundle.")
@click.option("--label", metavar="LABEL", help="Label to set on the bundle in the same commit.")
@options.move_label
@click.option("--branch", default="main", show_default=True, metavar="BRANCH", help="Branch to commit to.")
@options.file_list
@click.option("--meta", multiple=True, metavar="K=V", help="Metadata of the bundle; repeatable.")
@options.skip_on_error
@click.option("--rehash", is_flag=True, help="Read all files, and verify their stored contents.")
@click.option("--if-changed", is_flag=True, help="Don't commit if the branch already has these contents.")
@click.option("--portable", is_flag=True, help="Reject names that collide on other systems (case, Unicode).")
@options.allow_empty
@options.allow_erased
@click.option("--dry-run", is_flag=True, help="Write nothing; list what would be added, modified, deleted.")
@options.jobs
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
    dry_run: bool,
    jobs: int | None,
) -> int:
    """Upload a folder as a new bundle. Only data that the store does not contain yet is sent."""
    found = app.repo(repo)
    listed = read_list(files, path) if files else None
    choice: dict[str, Any] = {
        "label": label,
        "move_label": move_label or app.dialect.keeps_upstream,
        "branch": branch,
        "files": listed,
        "skip_on_error": skip_on_error,
        "portable": portable,
        "allow_empty": allow_empty or app.dialect.keeps_upstream,
        "allow_erased": allow_erased,
    }
    if dry_run and rehash:
        raise InvalidInput(
            "--dry-run and --rehash are mutually exclusive", "pass only one of them; only --rehash reads all files"
        )
    if dry_run:
        return _plan(app, found, path, choice)
    app.resumes = True
    before = place_of(found, label) if not app.dialect.keeps_upstream else ""
    with app.progress("upload") as bar:
        result = found.upload(
            path,
            message=message,
            meta=read_meta(meta),
            rehash=rehash,
            if_changed=if_changed,
            **choice,
            concurrency=jobs,
            on_commit=Announcer(app, bar),
            progress=bar,
        )
    if not result.committed:
        app.out.line(f"Unchanged bundle id:{result.bundle.id}")
    report_label(app, label, before if before != result.bundle.id else "")
    if result.committed:
        report_branch(app, branch, result.bundle)
    return _finish(app, result)


def _plan(app: App, repo: Repo, path: Path, choice: dict[str, Any]) -> int:
    """Print what an upload would do, and return the exit code."""
    from sheaf.cli.commands.diff import change_record

    with app.progress("compare") as bar:
        plan = repo.plan_upload(path, **choice, progress=bar)
    has_old = in_bundle(repo.bundle(f"bundle:{plan.parent}")) if plan.parent else (lambda _: False)
    changes = list(without_full_folders(plan.changes, has_old, in_folder(path)))
    if app.out.as_json:
        record = {"dry_run": True, "repo": repo.name, "branch": choice["branch"], "parent": plan.parent}
        counts = {"files": plan.files, "bytes": plan.bytes, "new_bytes": plan.new_bytes}
        listed = {"changes": list(map(change_record, changes)), "warnings": plan.warnings}
        app.out.object({**record, **counts, **listed, "skipped": _skipped(plan.skipped)})
    else:
        app.out.listing(change_view(), changes)
        # Flush, so that the lines on stderr come after these.
        sys.stdout.flush()
    _warn(app, plan.warnings, plan.skipped)
    kinds = Counter(change.kind for change in changes)
    counted = ", ".join(f"{count:,} {kind}" for kind, count in kinds.items()) or "no changes"
    app.summary(f"dry run: {counted}; at most {human_size(plan.new_bytes)} would be new")
    return app.dialect.partial_exit if plan.skipped else OK


def change_view() -> View[Change]:
    """Return the view of changes, which is loaded only when they are shown."""
    from sheaf.cli.commands.diff import CHANGE

    return CHANGE


def place_of(repo: Repo, label: str | None) -> str:
    """Return the id of the bundle that a label points to, "" if there is no such label."""
    return next((found.bundle for found in repo.labels(label) if found.name == label), "") if label else ""


def _finish(app: App, result: Upload) -> int:
    record = {"files": result.files, "bytes": result.bytes, "new_bytes": result.new_bytes}
    stored = {
        "stored_bytes": result.stored_bytes,
        "skipped": _skipped(result.skipped),
        "warnings": list(result.warnings),
    }
    app.out.object({**views.bundle_record(result.bundle), "upload": {**record, **stored}})
    if app.out.template:
        app.out.one(views.BUNDLE, result.bundle)
    if not result.files:
        app.warn("warning: the bundle contains no files")
    _warn(app, result.warnings, result.skipped)
    new, all_bytes = human_size(result.new_bytes), human_size(result.bytes)
    app.summary(f"{count_of(result.files, 'file')}, {all_bytes}, {new} new, {human_size(result.stored_bytes)} stored")
    return app.dialect.partial_exit if result.skipped else OK


def _skipped(items: Iterable[Skipped]) -> list[dict[str, str]]:
    return [{"path": item.path, "reason": item.reason} for item in items]


def _warn(app: App, warnings: Iterable[str], skipped: Iterable[Skipped]) -> None:
    for warning in warnings:
        app.warn(f"warning: {quote(warning)}")
    for item in skipped:
        app.warn(f"skipped {quote(item.path)}: {item.reason}")
