"""``bundle``: list, get, download, update, diff, verify, delete, undelete. Upload is in ``upload``."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from sheaf.cli import options
from sheaf.cli.app import App
from sheaf.cli.commands.change_counts import in_bundle, in_folder, skipper, without_full_folders
from sheaf.cli.commands.erase import report_erased
from sheaf.cli.commands.repo import report_lost
from sheaf.cli.exits import DAMAGED, NO, OK
from sheaf.cli.inputs import choose_bundle, confirm, read_meta
from sheaf.cli.output import views
from sheaf.cli.output.render import Cell, View
from sheaf.cli.output.text import count_of, human_size, quote
from sheaf.cli.verb_tree import verb
from sheaf.errors import InvalidInput
from sheaf.settings.durations import parse_moment

if TYPE_CHECKING:
    from sheaf.api import Damaged, Downloaded, Updated
    from sheaf.repo.bundle import Bundle
    from sheaf.repo.repo import Repo
    from sheaf.repo.values import Change, Entry

__all__ = [
    "delete",
    "diff",
    "download",
    "download_file",
    "get",
    "gone_records",
    "list_",
    "list_files",
    "report_gone",
    "resumed_text",
    "undelete",
    "update",
    "verify",
]

_DESTINATION: Final = options.folder_option("--destination", "Folder to write to.")


_SKIP: Final = click.option(
    "--skip-on-error", is_flag=True, help="Skip missing or damaged files and list them (exit code 11)."
)

_SKIP_ERASED: Final = click.option("--skip-erased", is_flag=True, help="Skip erased files and exit with 0.")

_KEPT: Final = 1000  # damaged files that --json names; the others are counted


def _choose(app: App, repo: str | Repo, choice: Mapping[str, str | None], *, prints: bool = True) -> Bundle:
    chosen = choose_bundle(app, app.repo(repo) if isinstance(repo, str) else repo, **choice)
    if prints:
        app.out.line(f"Using bundle: {chosen.id}")
    return chosen


@verb(name="list", example="sheaf bundle list --repo faces", exits=(3, 5, 6, 8, 9), fields=lambda: {"": views.BUNDLE})
@options.repo
@click.option("--branch", metavar="BRANCH", help="Only bundles in the history of this branch.")
@click.option("--since", metavar="TIME", help="Only bundles since TIME: 2026-11-21, or an age such as 7d.")
@click.option("--meta", multiple=True, metavar="K=V", help="Only bundles with this metadata; repeatable.")
@click.option("--limit", type=options.COUNT, metavar="N", help="Only the newest N bundles.")
def list_(
    app: App, *, repo: str, branch: str | None, since: str | None, meta: tuple[str, ...], limit: int | None
) -> None:
    """List the bundles, oldest first."""
    found = app.repo(repo)
    bundles = list(found.log(f"branch:{branch}"))[::-1] if branch else found.bundles()
    facts, start = read_meta(meta).items(), parse_moment(since) if since else None
    chosen = [bundle for bundle in bundles if facts <= bundle.meta.items() and (start is None or bundle.time >= start)]
    app.out.listing(views.BUNDLE, chosen[max(0, len(chosen) - limit) :] if limit is not None else chosen)


@verb(example="sheaf bundle get --repo faces --label init", exits=(3, 5, 6, 8, 9), fields=lambda: {"": views.BUNDLE})
@options.repo
@options.bundle_choice
def get(app: App, *, repo: str, **choice: str | None) -> None:
    """Show one bundle; by default, the head of main."""
    chosen = _choose(app, repo, choice)
    app.out.one(views.BUNDLE, chosen)
    if chosen.redacted:
        app.note(
            "note: redacted: names or rows that its version covers were erased, see `sheaf store erased --receipts`"
        )


@verb(
    example="sheaf bundle list files --repo faces --label init", exits=(3, 5, 6, 8, 9), fields=lambda: {"": views.FILE}
)
@options.repo
@options.bundle_choice
@options.nul
def list_files(app: App, *, repo: str, nul: bool, **choice: str | None) -> None:
    """List the files of a bundle."""
    chosen = _choose(app, repo, choice, prints=not nul)
    files = (
        entry
        for entry in chosen.ls(recursive=True, mark_erased=not (nul or app.dialect.keeps_upstream))
        if entry.kind == "file"
    )
    app.out.without_table().listing(views.FILE, files, nul=nul)


@verb(
    example="sheaf bundle download --repo faces --label init --destination ./faces",
    exits=(3, 5, 6, 8, 9, 10, 11),
)
@options.repo
@options.bundle_choice
@_DESTINATION
@options.name_filter
@click.option("--overwrite", is_flag=True, help="Write to a folder that is not empty.")
@_SKIP
@_SKIP_ERASED
@options.jobs
def download(
    app: App,
    *,
    repo: str,
    destination: Path,
    name_filter: str | None,
    overwrite: bool,
    skip_on_error: bool,
    skip_erased: bool,
    jobs: int | None,
    **choice: str | None,
) -> int:
    """Download a bundle to an empty folder. An interrupted download resumes where it stopped.

    A folder that already contains exactly these files is left unchanged. To make any folder equal to a bundle, use
    'bundle update'.
    """
    chosen = _choose(app, repo, choice)
    app.resumes = True
    with app.progress("download") as bar:
        done = chosen.download(
            destination,
            name_filter=name_filter,
            force=overwrite,
            skip_on_error=skip_on_error,
            concurrency=jobs,
            progress=bar,
        )
    if name_filter and not done.files:
        app.warn(f"warning: no path in the bundle matches '{quote(name_filter)}': the folder is empty")
    app.leave_traces(chosen, destination)
    app.summary(f"{count_of(done.files, 'file')}, {human_size(done.bytes)}{resumed_text(done.resumed)}")
    record = {"files": done.files, "bytes": done.bytes, "resumed": done.resumed, **gone_records(done)}
    app.out.object({"bundle": chosen.id, "destination": str(destination), **record})
    if skip_erased:
        if done.erased:
            app.note(f"skipped {count_of(len(done.erased), 'file')} whose content was erased")
        done = replace(done, erased=())
    return app.dialect.partial_exit if report_gone(app, done) else OK


@verb(
    example="sheaf bundle download file --repo faces --file train/1.jpg --destination .",
    exits=(3, 5, 6, 8, 9, 10),
)
@options.repo
@options.bundle_choice
@click.option("--file", "file", required=True, metavar="PATH", help="Path of the file in the bundle.")
@_DESTINATION
@click.option("--overwrite", is_flag=True, help="Replace an existing file that has other content.")
def download_file(app: App, *, repo: str, file: str, destination: Path, overwrite: bool, **choice: str | None) -> None:
    """Download one file of a bundle. The folder may contain other files."""
    chosen = _choose(app, repo, choice)
    entry = chosen.entry(file.strip("/"))
    path = entry.path
    if entry.kind == "folder":
        where = f"sheaf cp -r {chosen.repo_name}@{chosen.id}:{path} DIR"
        raise InvalidInput(f"'{path}' is a folder in the bundle", f"name a file, or copy the folder with `{where}`")
    force = overwrite or entry.is_at(destination / path)
    with app.progress("download") as bar:
        done = chosen.download(destination, files=[path], force=force, progress=bar)
    if path in done.erased:
        # Reading the file raises the error that names its erasure.
        chosen.read(path)
    app.leave_traces(chosen, destination)
    app.out.object({"bundle": chosen.id, "destination": str(destination / path), "bytes": done.bytes})


@verb(
    example="sheaf bundle update --repo faces --label production --destination ./faces", exits=(3, 5, 6, 8, 9, 10, 11)
)
@click.option("--repo", metavar="REPO", help="Name of the repo. Default: the one the folder came from.")
@options.bundle_choice
@options.folder_option("--destination", "Folder to make equal to the bundle.")
@click.option("--force", is_flag=True, help="Also overwrite and delete files that were changed locally.")
@click.option("--switch-repo", is_flag=True, help="Also replace files that came from another repo.")
@_SKIP
def update(
    app: App,
    *,
    repo: str | None,
    destination: Path,
    force: bool,
    switch_repo: bool,
    skip_on_error: bool,
    **choice: str | None,
) -> int:
    """Make a folder equal to a bundle.

    Fails if local edits would be overwritten, unless --force is given. The folder is created if it does not exist. If
    the command is run again, it does only what is left to do.
    """
    found = app.store.repo_of(destination) if repo is None else app.repo(repo)
    chosen = _choose(app, found, choice)
    app.resumes = True
    with app.progress("update") as bar:
        done = chosen.update(
            destination,
            force=force,
            switch_repo=switch_repo or app.dialect.keeps_upstream,
            skip_on_error=skip_on_error,
            progress=bar,
        )
    app.leave_traces(chosen, destination)
    counts = f"{len(done.added):,} added, {len(done.modified):,} modified, {len(done.deleted):,} deleted"
    app.summary(f"{counts}, {human_size(done.bytes)} written{resumed_text(done.resumed)}")
    changed = {"added": list(done.added), "modified": list(done.modified), "deleted": list(done.deleted)}
    app.out.object({"bundle": chosen.id, "destination": str(destination), **changed, **gone_records(done)})
    return app.dialect.partial_exit if report_gone(app, done) else OK


def resumed_text(count: int) -> str:
    """How many files an earlier attempt had fetched, as the end of a summary."""
    return f", {count:,} of them already present" if count else ""


def gone_records(done: Downloaded | Updated) -> dict[str, Any]:
    """The files that were not written, as fields of a record for JSON."""
    return {"erased": list(done.erased), "damaged": _damaged_records(done.damaged)}


def _damaged_records(damaged: Iterable[Damaged]) -> list[dict[str, Any]]:
    return [{"path": each.path, "reason": each.reason} for each in damaged]


def _report_damaged(app: App, damaged: Damaged) -> None:
    app.warn(f"damaged {quote(damaged.path)}: {quote(damaged.reason)}")


def report_gone(app: App, done: Downloaded | Updated) -> bool:
    """Report the files that were not written. Return True if there are any."""
    for each in done.damaged:
        _report_damaged(app, each)
    return report_erased(app, done.erased) or bool(done.damaged)


@verb(
    example="sheaf bundle diff --repo faces --label init --destination ./faces",
    exits=(1, 3, 5, 6, 8, 9, 11),
    fields=lambda: {"": _STEP},
)
@options.repo
@options.bundle_choice
@options.folder_option("--destination", "Folder to compare with.")
@options.skip_on_error
@options.exit_code
def diff(
    app: App,
    *,
    repo: str,
    destination: Path,
    skip_on_error: bool,
    exit_code: bool,
    **choice: str | None,
) -> int:
    """Compare a folder with a bundle by content.

    The type of a difference is what 'update' would do to the folder: A adds the file, D deletes it, U overwrites it.
    Sizes and hashes are those of the bundle (remote) and the folder (local).
    """
    chosen = _choose(app, repo, choice)
    skipped: list[str] = []
    different = chosen.diff_folder(destination, on_skipped=skipper(app, skipped, is_wanted=skip_on_error))
    found = without_full_folders(different, in_bundle(chosen), in_folder(destination))
    changes = sorted(_update_steps(found), key=lambda step: step["name"])
    app.out.listing(_STEP, changes)
    if not changes:
        app.note(f"{app.dialect.note_prefix}empty diff")
    if skipped:
        return app.dialect.partial_exit
    return NO if changes and exit_code else OK


def _update_steps(changes: Iterable[Change]) -> Iterator[dict[str, Any]]:
    """Yield the changes from bundle to folder, reversed: the steps that make the folder equal to the bundle.

    A rename is two steps.
    """
    for change in changes:
        if change.kind == "renamed":
            yield _step("A", change.old, None)
            yield _step("D", None, change.new)
        else:
            letter = {"added": "D", "deleted": "A", "modified": "U"}[change.kind]
            yield _step(letter, change.old, change.new)


def _step(letter: str, remote: Entry | None, local: Entry | None) -> dict[str, Any]:
    either = remote or local
    return {"type": letter, "name": either.path if either else "", "remote": _side(remote), "local": _side(local)}


def _side(entry: Entry | None) -> dict[str, Any]:
    return {"size": entry.size if entry else 0, "hash": (entry.content or "") if entry else ""}


def _step_line(step: dict[str, Any]) -> str:
    sides = [f"{side['size']} , {side['hash']}" for side in (step["remote"], step["local"])]
    return " , ".join([step["type"], quote(step["name"]), *sides])


def _step_fields(step: dict[str, Any]) -> dict[str, Any]:
    sides = {"Additional": step["remote"], "Existing": step["local"]}
    named = {name: {"Size": side["size"], "Hash": side["hash"]} for name, side in sides.items()}
    return {"Type": step["type"], "Name": step["name"], **named}


def _step_cells(step: dict[str, Any]) -> tuple[Cell, ...]:
    remote, local = step["remote"], step["local"]
    return (step["type"], step["name"], remote["size"], remote["hash"], local["size"], local["hash"])


_STEP: Final[View[dict[str, Any]]] = View(
    line=_step_line,
    record=lambda step: step,
    columns=("TYPE", "PATH", "REMOTE SIZE", "REMOTE HASH", "LOCAL SIZE", "LOCAL HASH"),
    cells=_step_cells,
    is_tabular=False,
    fields=_step_fields,
)


@verb(example="sheaf bundle verify --repo faces --bundle init", exits=(3, 5, 6, 8, 9))
@options.repo
@options.bundle_choice
def verify(app: App, *, repo: str, **choice: str | None) -> int:
    """Read and verify every byte of a bundle. Lists damaged files, and exits with 6 if there are any."""
    chosen = _choose(app, repo, choice)
    kept: list[Damaged] = []

    def report(damaged: Damaged) -> None:
        _report_damaged(app, damaged)
        if len(kept) < _KEPT:
            kept.append(damaged)

    with app.progress("verify") as bar:
        done = chosen.verify(progress=bar, on_damaged=report)
    erased = f", {count_of(len(done.erased), 'file was', 'files were')} erased" if done.erased else ""
    lost = f", {count_of(done.damaged, 'file')} damaged" if done.damaged else ""
    app.out.line(f"verified {count_of(done.files, 'file')}, {done.bytes} bytes{erased}{lost}")
    record = {"bundle": chosen.id, "files": done.files, "bytes": done.bytes, "erased": list(done.erased)}
    app.out.object({**record, "damaged": _damaged_records(kept), "unlisted": done.damaged - len(kept)})
    return app.dialect.exit_code(DAMAGED) if done.damaged else OK


@verb(name="delete", example="sheaf bundle delete --repo faces --bundle main~1", exits=(3, 5, 6, 8, 9, 10))
@options.repo
@click.option("--bundle", required=True, metavar="REF", help="Bundle id or other ref.")
@options.yes
def delete(app: App, repo: str, bundle: str, yes: bool) -> None:
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
def undelete(app: App, repo: str, bundle: str | None) -> None:
    """Restore a deleted or quarantined bundle, or list those that can be restored.

    Labels that a squash deleted with it are restored, too.
    """
    found = app.repo(repo)
    if bundle is None:
        left = found.deleted_bundles(restorable=True)
        aside = [found.bundle(f"bundle:{id}") for id in found.quarantined()]
        app.out.listing(views.BUNDLE, [*left, *aside])
        report_lost(app, len(found.deleted_bundles()) - len(left), "bundle")
        return
    id = bundle.removeprefix("bundle:")
    dropped = found.dropped_labels(id)
    app.out.one(views.BUNDLE, found.undelete_bundle(id))
    for name in dropped:
        _report_label(app, found, name, id)


def _report_label(app: App, repo: Repo, name: str, id: str) -> None:
    at = next((label.bundle for label in repo.labels(name) if label.name == name), "")
    if at == id:
        app.note(f"note: restored label '{name}'")
    elif at:
        app.note(f"note: label '{name}' was not restored: it points to bundle {at} now")
    else:
        app.note(f"note: label '{name}' was not restored: a branch has its name now")
