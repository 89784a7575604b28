"""``sidecar datamover`` and ``sidecar backup``: save folders as bundles, and delete what is proved to be saved."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from sheaf import datamover as mover
from sheaf.cli import options
from sheaf.cli.app import App
from sheaf.cli.exits import OK
from sheaf.cli.inputs import standard_input
from sheaf.cli.output.text import count_of, human_size, quote
from sheaf.cli.verb_tree import verb
from sheaf.errors import InvalidInput, Partial, SheafError
from sheaf.settings.sizes import parse_size

if TYPE_CHECKING:
    from sheaf.api import Progress
    from sheaf.cli.output.progress_bar import Bar
    from sheaf.repo.bundle import Bundle
    from sheaf.repo.repo import Repo

__all__ = ["backup", "datamover"]

_REPO: Final = "backup-filestore-output"
_TEST_REPO: Final = "backup-filestore-output-test"
_WORK: Final = "/filestore/datamover-backup-wd"
_BEFORE: Final = "090725000000"
_CONCURRENCY: Final = 200
_BACKUP_CONCURRENCY: Final = 300
_SHOWN: Final = 1000  # kept files that --json names; the others are counted


def _limits(share: float) -> options.Decorator:
    """The limits of what one run may delete, and what lifts them."""
    return options.stack(
        click.option(
            "--max-files",
            type=options.COUNT,
            default=100_000,
            metavar="N",
            help="Delete at most N files. Default: 100000.",
        ),
        click.option("--max-bytes", default="1T", metavar="SIZE", help="Delete at most SIZE. Default: 1T."),
        click.option(
            "--max-share",
            type=options.Number(0, 100),
            default=share,
            metavar="PERCENT",
            help=f"Delete at most this share of a folder's files. Default: {share:g}.",
        ),
        click.option("-y", "--yes", is_flag=True, help="Lift these three limits."),
        click.option(
            "--no-writer-check", is_flag=True, help="Also delete if programs that write a file can't be detected."
        ),
        click.option("--dry-run", is_flag=True, help="Change nothing; list the files that would be deleted."),
    )


@dataclass(slots=True)
class _Watcher:
    """Prints what a run reports, and writes its lists through callbacks."""

    app: App
    on_listed: Callable[[Iterator[str]], None]
    on_uploaded: Callable[[Iterator[str]], None]
    on_removable: Callable[[str], None]
    on_committed: Callable[[Bundle], None]
    bar: Bar | None = None

    def progress(self, title: str) -> Progress | None:
        self.close_bar()  # a terminal shows one bar at a time
        self.bar = self.app.progress(title)
        return self.bar

    def close_bar(self) -> None:
        if self.bar is not None:
            self.bar.close()

    def listed(self, paths: Iterator[str]) -> None:
        self.on_listed(paths)

    def committed(self, bundle: Bundle) -> None:
        self.close_bar()
        self.app.committed = bundle.id
        self.app.out.line(f"Uploaded bundle id:{bundle.id}")
        self.on_committed(bundle)

    def uploaded(self, paths: Iterator[str]) -> None:
        self.on_uploaded(paths)

    def removable(self, path: str) -> None:
        self.on_removable(path)


@verb(
    example="sheaf sidecar datamover -d ./faces -f ./lists -t 2026-Nov-01 --repo faces --dry-run",
    exits=(3, 4, 5, 6, 8, 9, 10, 11),
)
@click.option("-d", "folders", multiple=True, type=options.PLACE, metavar="DIR", help="Folder to move; required.")
@click.option("-l", "label", metavar="LABEL", help="Label of the bundle. Default: datamover-TIMESTAMP.")
@click.option(
    "-t",
    "before",
    default=_BEFORE,
    show_default=True,
    metavar="TIME",
    help="Delete files modified before: 2006-Jan-02, 0601021504.",
)
@click.option(
    "-f",
    "lists",
    type=options.PLACE,
    default="/tmp",
    show_default=True,
    metavar="DIR",
    help="Folder for the three lists.",
)
@click.option(
    "-c",
    "concurrency",
    type=click.IntRange(5),
    default=_CONCURRENCY,
    show_default=True,
    metavar="N",
    help="Number of concurrent transfers, at least 5.",
)
@click.option("-u", "unlink", is_flag=True, help="Delete the files in removable.list.")
@click.option("--repo", default=_REPO, show_default=True, metavar="REPO", help="Repo to save to.")
@options.move_label
@_limits(90)
def datamover(
    app: App,
    *,
    folders: tuple[Path, ...],
    label: str | None,
    before: str,
    lists: Path,
    concurrency: int,
    unlink: bool,
    repo: str,
    move_label: bool,
    dry_run: bool,
    no_writer_check: bool,
    **limits: Any,
) -> int:
    """Save a folder as a bundle, and delete its old files with -u.

    Writes upload.list (what is tried), uploaded.list (what is in the bundle) and removable.list (what is old enough, and
    proved to be in the store: the bytes of the file equal those that were read back). Times are local. A file that was
    changed in the meantime, or is open for writing, stays.
    """
    if len(folders) != 1:
        raise InvalidInput(f"{len(folders)} folders given, but exactly one is required", "pass -d DIR once")
    now = mover.now()
    folder = _existing(folders[0])
    written = mover.FileLists(lists)
    written.check(folder)
    request = mover.MoveRequest(
        app.repo(repo),
        _uncached(app, repo),
        folder,
        label or f"datamover-{mover.time_stamp(now)}",
        "upload from datamover script",
        mover.parse_time_before(before, now),
        _budget(**limits),
        unlink=unlink,
        move_label=move_label,
        from_root=True,
        concurrency=concurrency,
        ignores_unknown_writers=no_writer_check,
        opened_with=_opened_with(app),
    )
    if dry_run:
        done, paths = mover.FolderMove(request, _watcher(app)).plan()
        return _report_plan(app, [(done, paths)])
    watcher = _watcher(app)
    watcher.on_listed = written.write_upload
    with written.removable() as add:
        watcher.on_removable = add
        watcher.on_uploaded = written.write_uploaded
        move = mover.FolderMove(request, watcher)
        try:
            move.run()
        except SheafError:
            if move.done.bundle is not None:
                _report(app, move.done, watcher, unlink=unlink)
            raise
    _report(app, move.done, watcher, unlink=unlink)
    return app.dialect.partial_exit if move.done.kept else OK


@verb(
    example="mkdir -p wd && sheaf sidecar backup -d . --work-dir ./wd --repo faces --dry-run",
    exits=(3, 4, 5, 6, 8, 9, 10, 11),
)
@click.option("-d", "folder", type=options.PLACE, metavar="DIR", help="Back up each folder in DIR.")
@click.option(
    "-f", "listed", type=options.PLACE, metavar="LIST", help="Back up the folders in LIST, one per line ('-': stdin)."
)
@click.option("-u", "unlinkable", metavar="NAME", help="Delete nothing; write old files to NAME.log.")
@click.option("-t", "test", type=click.Choice(["true", "false"]), default="false", help="true: use the test repo.")
@click.option("--older-than", default="21d", show_default=True, metavar="TIME", help="Delete files modified before.")
@click.option("--repo", default=_REPO, show_default=True, metavar="REPO", help="Repo to save to.")
@click.option(
    "--test-repo", default=_TEST_REPO, show_default=True, metavar="REPO", help="Repo to save to with -t true."
)
@click.option(
    "--work-dir", type=options.PLACE, default=_WORK, show_default=True, metavar="DIR", help="Existing folder for logs."
)
@_limits(100)
def backup(
    app: App,
    *,
    folder: Path | None,
    listed: Path | None,
    unlinkable: str | None,
    test: str,
    older_than: str,
    repo: str,
    test_repo: str,
    work_dir: Path,
    dry_run: bool,
    no_writer_check: bool,
    **limits: Any,
) -> int:
    """Save folders as bundles, and delete their old files.

    Each folder becomes a bundle with the label DATE-NAME-N. If everything in it was saved, those old files are deleted that
    are proved to be in the store. One of -d and -f is required. The logs processing.log, datamon.log and datamon_err.log
    are written in --work-dir; those of earlier runs are kept under numbers.
    """
    if (folder is None) == (listed is None):
        raise InvalidInput("-d and -f: exactly one of them is required", "pass -d DIR or -f LIST")
    if unlinkable is not None:
        mover.RunLogs.check_name(unlinkable)
    now, name = mover.now(), test_repo if test == "true" else repo
    request = mover.BackupRequest(
        app.repo(name),
        _uncached(app, name),
        mover.folders_in(folder, exclude=work_dir) if folder is not None else _read_folders(listed),
        mover.date_stamp(now),
        mover.parse_time_before(older_than, now),
        _budget(**limits),
        unlink=unlinkable is None,
        ignores_unknown_writers=no_writer_check,
        concurrency=_BACKUP_CONCURRENCY,
        opened_with=_opened_with(app),
    )
    if dry_run:
        return _plan_backup(app, mover.BackupRun(request, lambda *_: _watcher(app)))
    with mover.RunLogs(work_dir, *([unlinkable] if unlinkable else [])) as logs:
        return _back_up(app, request, logs, unlinkable)


def _read_folders(listed: Path | None) -> tuple[Path, ...]:
    raw = standard_input().read() if str(listed) == "-" else Path(listed or "").read_bytes()
    return mover.listed_folders(raw)


def _existing(folder: Path) -> Path:
    try:
        found = folder.resolve(strict=True)
    except (OSError, RuntimeError):
        found = folder  # the listing says what is wrong
    if not found.is_dir():
        raise InvalidInput(f"{quote(str(folder))} is not a folder", "name an existing folder with -d")
    return found


def _budget(*, max_files: int, max_bytes: str, max_share: float, yes: bool) -> mover.DeletionBudget:
    size = parse_size(max_bytes)
    return mover.DeletionBudget() if yes else mover.DeletionBudget(max_files, size, max_share / 100)


def _opened_with(app: App) -> tuple[str, ...]:
    """Return the files that open the store: keys and credentials."""
    options = app.storage_options()
    files = (options.key_file, options.sse_customer_key_file, options.credential, options.ca_file)
    return tuple(file for file in files if file)


def _uncached(app: App, repo: str) -> Callable[[], Repo]:
    """Open the store again, without the caches of this machine: what is proved has to be in the store itself."""
    return lambda: app.hold(app.open_store(has_cache=False)).repo(repo)


def _watcher(app: App) -> _Watcher:
    def nothing(_: object) -> None:
        return None

    return _Watcher(app, nothing, nothing, nothing, nothing)


def _report(app: App, done: mover.MovedFolder, watcher: _Watcher, *, unlink: bool) -> None:
    watcher.close_bar()
    _print(app, done, unlink=unlink)
    app.out.object(_record(done))


def _print(app: App, done: mover.MovedFolder, *, unlink: bool) -> None:
    if done.bundle is None:
        app.note(f"{quote(str(done.folder))}: no files to save")
        return
    app.out.line(f"set label '{done.label}'")
    for warning in done.warnings:
        app.warn(f"warning: {quote(warning)}")
    for kept in done.kept:
        app.warn(f"kept {quote(kept.path)}: {quote(kept.reason)}")
    app.summary(f"{count_of(done.files, 'file')} saved, {human_size(done.bytes)}, {human_size(done.new_bytes)} new")
    count, size = (done.deleted, done.deleted_bytes) if unlink else (done.removable, done.removable_bytes)
    app.out.line(f"{'deleted' if unlink else 'removable'}: {count_of(count, 'file')}, {size} bytes")


def _record(done: mover.MovedFolder) -> dict[str, Any]:
    names = ("files", "bytes", "new_bytes", "removable", "removable_bytes", "deleted", "deleted_bytes", "warnings")
    kept = [{"path": each.path, "reason": each.reason} for each in done.kept[:_SHOWN]]
    return {
        "folder": str(done.folder),
        "bundle": done.bundle.id if done.bundle else None,
        "label": done.label if done.bundle else None,
        **{name: getattr(done, name) for name in names},
        "kept": kept,
        "unlisted": len(done.kept) - len(kept),
    }


def _report_plan(app: App, plans: list[tuple[mover.MovedFolder, list[str]]]) -> int:
    if app.out.as_json:
        planned = [{**_record(done), "would_delete": paths} for done, paths in plans]
        app.out.object({"dry_run": True, "folders": planned})
    for done, paths in plans:
        for path in paths:
            app.out.line(quote(path))
        for kept in done.kept:
            app.warn(f"would keep {quote(kept.path)}: {quote(kept.reason)}")
        would = f"would save {count_of(done.files, 'file')}, and then {count_of(len(paths), 'file')} could be deleted"
        app.summary(f"dry run: {quote(str(done.folder))}: {would}")
    return app.dialect.partial_exit if any(done.kept for done, _ in plans) else OK


def _plan_backup(app: App, run: mover.BackupRun) -> int:
    plans: list[tuple[mover.MovedFolder, list[str]]] = []
    failed: list[mover.FailedFolder] = []
    for result in run.plan():
        if isinstance(result, mover.FailedFolder):
            _warn(app, result.error)
            failed.append(result)
        else:
            plans.append(result)
    code = _report_plan(app, plans)
    _check(failed, len(plans) + len(failed))
    return code


def _back_up(app: App, request: mover.BackupRequest, logs: mover.RunLogs, unlinkable: str | None) -> int:
    made, target = _watcher(app), unlinkable or "processing"
    made.on_removable = lambda path: logs.add(target, path if unlinkable else f"deleting {quote(path)}")

    def watcher(folder: Path, label: str) -> mover.Watcher:
        logs.add("processing", f"processing {quote(str(folder))}, label {label}")
        made.on_committed = lambda bundle: logs.add("datamon", f"{bundle.id} {label} {quote(str(folder))}")
        return made

    done, failed = [], []
    for result in mover.BackupRun(request, watcher).run():
        made.close_bar()
        if isinstance(result, mover.FailedFolder):
            _warn(app, result.error)
            logs.add("datamon_err", f"{quote(str(result.folder))}: {result.error.message}")
            failed.append(result)
            if result.moved is not None and result.moved.bundle is not None:
                _print(app, result.moved, unlink=request.unlink)
                done.append(result.moved)
            continue
        _print(app, result, unlink=request.unlink)
        for kept in result.kept:
            logs.add("datamon_err", f"{quote(str(result.folder / kept.path))}: {quote(kept.reason)}")
        logs.add("processing", f"done {quote(str(result.folder))}: {result.files} saved, {result.deleted} deleted")
        done.append(result)
    app.out.object({"folders": list(map(_record, done))})
    _check(failed, len(request.folders))
    return app.dialect.partial_exit if any(each.kept for each in done) else OK


def _warn(app: App, error: SheafError) -> None:
    app.warn(f"{app.dialect.error_prefix}{error.message}")
    if error.hint:
        app.warn(f"{app.dialect.hint_prefix}{error.hint}")


def _check(failed: list[mover.FailedFolder], count: int) -> None:
    """Raise Partial if folders were not backed up, or lost no files because of a limit."""
    if failed:
        named = ", ".join(quote(str(each.folder)) for each in failed[:5])
        raise Partial(f"{len(failed)} of {count} folders failed: {named}", "see the messages above")
