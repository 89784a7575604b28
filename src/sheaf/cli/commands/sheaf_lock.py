"""``add``, ``pull``, ``status``, ``bump``: folders of a working tree that ``sheaf.lock`` pins to bundles."""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, Final

import click

import sheaf
from sheaf import api
from sheaf.cli import options
from sheaf.cli.app import App
from sheaf.cli.commands.bundle import gone_records, report_gone, resumed_text
from sheaf.cli.commands.diff import LETTERS, change_record
from sheaf.cli.commands.push import other_store
from sheaf.cli.exits import NO, OK
from sheaf.cli.inputs import address_of
from sheaf.cli.output.render import Cell, View
from sheaf.cli.output.text import count_of, human_size, quote
from sheaf.cli.verb_tree import verb
from sheaf.errors import NotFound
from sheaf.settings.settings import is_store_named

if TYPE_CHECKING:
    from sheaf.api import Skipped, Updated
    from sheaf.pins.lock_format import Pin
    from sheaf.pins.pinned_folders import FolderStatus, Pins
    from sheaf.repo.store import Store
    from sheaf.repo.values import Change

__all__ = ["add", "bump", "pull", "status"]

_OVERWRITE: Final = click.option("--overwrite", is_flag=True, help="Also overwrite and delete local changes.")


def _pins(app: App) -> Pins:
    """The pinned folders around the current folder. A store named by a flag or the environment precedes the file's."""

    def opened(url: str) -> Store:
        is_ours = not url or url == _store_text(app) or is_store_named(app.environment, app.flags)
        return app.store if is_ours else other_store(app, url)

    return sheaf.Pins(open_store=opened)


def _store_text(app: App) -> str:
    """The store of this call as ``sheaf.lock`` would name it: "" for the one in the user's data folder."""
    return "" if app.settings.is_embedded else app.settings.store


@verb(example="sheaf add faces@main data/faces", exits=(3, 4, 5, 6, 8, 9, 10, 11))
@click.argument("source", metavar="REPO[@REF]")
@click.argument("folder", type=options.PLACE, metavar="DIR")
@click.option("--overwrite", is_flag=True, help="Write to a folder that is not empty.")
def add(app: App, *, source: str, folder: Path, overwrite: bool) -> int:
    """Download a bundle to a folder and pin it in 'sheaf.lock'.

    The file is in the root of the git repository or, without one, in the current folder. Commit it: 'sheaf pull' restores
    the same bundle in every clone. The folder itself is added to .gitignore.
    """
    address_of(source)  # which has better hints for what is a local folder
    app.resumes = True
    with app.progress("download") as bar:
        pin, done = _pins(app).add(source, folder, store=_store_text(app), overwrite=overwrite, progress=bar)
    app.out.line(f"pinned {quote(pin.folder)} to bundle {pin.bundle} of {pin.repo}, {pin.ref}")
    app.summary(f"{count_of(done.files, 'file')}, {human_size(done.bytes)}{resumed_text(done.resumed)}")
    app.out.object({**_pin_record(pin), "files": done.files, "bytes": done.bytes, **gone_records(done)})
    return app.dialect.partial_exit if report_gone(app, done) else OK


@verb(example="sheaf pull", exits=(3, 5, 6, 8, 9, 10, 11))
@click.argument("names", metavar="[NAME]...", nargs=-1)
@_OVERWRITE
def pull(app: App, *, names: tuple[str, ...], overwrite: bool) -> int:
    """Make pinned folders equal to the bundles in 'sheaf.lock'.

    A NAME is a pinned folder, or a folder that contains some; by default, all folders are restored. Folders with
    local changes that would be lost are left unchanged and listed (exit code 5), unless --overwrite is given.
    """
    app.resumes = True
    pulled: list[tuple[Pin, Updated]] = []
    try:
        with app.progress("pull") as bar:
            _pins(app).pull(
                names, overwrite=overwrite, progress=bar, on_pulled=lambda it: pulled.append((it.pin, it.updated))
            )
    finally:
        gone = [_report_pulled(app, *each) for each in pulled]
    return app.dialect.partial_exit if any(gone) else OK


def _report_pulled(app: App, pin: Pin, done: Updated) -> bool:
    """Report a folder; True if some files were not written."""
    app.out.row(pin.folder, pin.bundle)
    counts = f"{len(done.added):,} added, {len(done.modified):,} modified, {len(done.deleted):,} deleted"
    app.summary(f"{quote(pin.folder)}: {counts}, {human_size(done.bytes)} written{resumed_text(done.resumed)}")
    app.out.object({**_pin_record(pin), **_updated_record(done)})
    return report_gone(app, done)


def _pin_record(pin: Pin) -> dict[str, Any]:
    names = ("folder", "store", "repo", "ref", "bundle", "version")
    return {name: getattr(pin, name) for name in names}


def _updated_record(done: Updated) -> dict[str, Any]:
    return {"added": done.added, "modified": done.modified, "deleted": done.deleted, **gone_records(done)}


@verb(example="sheaf bump data/faces", exits=(3, 4, 5, 6, 8, 9, 10, 11))
@click.argument("name", metavar="NAME")
@click.argument("ref", metavar="[REF]", required=False)
@click.option("--no-download", is_flag=True, help="Only change 'sheaf.lock'.")
@_OVERWRITE
def bump(app: App, *, name: str, ref: str | None, no_download: bool, overwrite: bool) -> int:
    """Pin a folder to a newer bundle and make the folder equal to it.

    Without REF, the bundle is the one that the ref in 'sheaf.lock' points to now. With REF, the folder follows that ref.
    """
    app.resumes = True
    pins = _pins(app)
    before = {pin.folder: pin.bundle for pin in pins.find([name])}
    with app.progress("update") as bar:
        pin, done = pins.bump(name, ref, download=not no_download, overwrite=overwrite, progress=bar)
    old = before[pin.folder]
    moved = f"moved {quote(pin.folder)} from {old} to {pin.bundle}"
    app.out.line(f"{quote(pin.folder)} is already at {pin.bundle}" if old == pin.bundle else moved)
    app.out.object({**_pin_record(pin), "before": old, **(_updated_record(done) if done else {})})
    return app.dialect.partial_exit if done and report_gone(app, done) else OK


# -- status ------------------------------------------------------------------------------------------------------------


@verb(example="sheaf status data/faces", exits=(1, 3, 5, 6, 8, 9, 11), fields=lambda: {"": _ROW})
@click.argument("folder", type=options.PLACE, metavar="[DIR]", required=False)
@options.exit_code
def status(app: App, *, folder: Path | None, exit_code: bool) -> int:
    """Show what changed in pinned and downloaded folders.

    A is added, M modified, D deleted, R renamed, since the folder was made equal to its bundle. A folder is
    missing, or it is outdated: it came from another bundle than the one in 'sheaf.lock'. 'sheaf pull' restores
    both. Without DIR, all pinned folders are compared; if there are none, the current folder.
    """
    skipped: list[str] = []

    def skip(place: str, item: Skipped) -> None:
        skipped.append(item.path)
        app.warn(f"skipped {quote(f'{place}/{item.path}')}: {item.reason}")

    pins = _pins(app)
    found = _compared(app, pins, folder, skip)
    if app.out.as_json:
        app.out.listing(_FOLDER, found)
    else:
        app.out.listing(_ROW, (row for each in found for row in _rows(each, _shown(pins, each))))
        for each in found:
            app.summary(_summary(each, _shown(pins, each)))
    if skipped or any(each.state == "unavailable" for each in found):
        return app.dialect.partial_exit
    return NO if exit_code and any(each.state != "clean" for each in found) else OK


def _compared(app: App, pins: Pins, folder: Path | None, skip: Any) -> list[FolderStatus]:
    """The pinned folders that are meant; if none is, the folder as a downloaded one."""
    try:
        return pins.status([folder] if folder is not None else [], on_skipped=skip)
    except NotFound:
        place = folder if folder is not None else Path()
        return [api.folder_status(app.store, place, on_skipped=lambda item: skip(str(place), item))]


def _shown(pins: Pins, status: FolderStatus) -> str:
    """A folder as seen from the current one."""
    return os.path.relpath(pins.root / status.folder) if status.ref else status.folder


def _summary(status: FolderStatus, place: str) -> str:
    """One line for a folder, with the next step if there is one."""
    what = {
        "clean": "unchanged",
        "changed": f"{count_of(len(status.changes), 'change')}",
        "missing": "missing; run `sheaf pull`" if status.ref else "missing",
        "outdated": f"{count_of(len(status.changes), 'change')} since another bundle; run `sheaf pull`",
        "unavailable": quote(status.reason),
    }[status.state]
    newer = (
        f"; {quote(status.ref)} points to {status.newest}: run `sheaf bump {shlex.quote(place)}`"
        if status.newest
        else ""
    )
    return f"{quote(place)}: bundle {status.bundle} of {status.repo}: {what}{newer}"


def _rows(status: FolderStatus, place: str) -> Iterator[tuple[str, str, str | None]]:
    """The state of a folder, unless its changes say it all, and its changes."""
    if status.state not in ("clean", "changed"):
        yield status.state, place, None
    for change in _without_full_folders(status.changes):
        old = f"{place}/{change.old_path}" if change.old_path else None
        yield LETTERS[change.kind], f"{place}/{change.path}", old


def _without_full_folders(changes: Iterable[Change]) -> list[Change]:
    """The changes, without folders of which something inside changed, too."""
    listed = list(changes)
    above = {str(folder) for change in listed for folder in PurePosixPath(change.path).parents}
    return [change for change in listed if change.path not in above]


def _folder_record(status: FolderStatus) -> dict[str, Any]:
    names = ("folder", "repo", "bundle", "version", "state", "ref", "newest", "reason")
    record = {name: getattr(status, name) for name in names}
    return {**record, "changes": [change_record(change) for change in _without_full_folders(status.changes)]}


def _row_line(row: tuple[str, str, str | None]) -> str:
    state, path, old = row
    return f"{state} {quote(old)} -> {quote(path)}" if old else f"{state} {quote(path)}"


def _row_cells(row: tuple[str, str, str | None]) -> tuple[Cell, ...]:
    return row


_ROW: Final[View[tuple[str, str, str | None]]] = View(
    line=_row_line,
    record=lambda row: {},
    columns=("STATE", "PATH", "OLD PATH"),
    cells=_row_cells,
    is_tabular=False,
)
_FOLDER: Final[View[FolderStatus]] = View(line=lambda it: it.folder, record=_folder_record)
