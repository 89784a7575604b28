"""``diff``: what changed between two bundles, or between a bundle and a folder."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click
from msgspec import structs

from sheaf.api import Address
from sheaf.cli import options
from sheaf.cli.app import App
from sheaf.cli.commands.change_counts import in_bundle, in_folder, skipper, without_full_folders
from sheaf.cli.exits import NO, OK
from sheaf.cli.inputs import address_of, bundle_at, is_local
from sheaf.cli.output import views
from sheaf.cli.output.patch import Reader, read_folder, unified
from sheaf.cli.output.render import Cell, View
from sheaf.cli.output.text import quote
from sheaf.cli.verb_tree import verb
from sheaf.errors import InvalidInput, NotFound

if TYPE_CHECKING:
    from sheaf.repo.bundle import Bundle
    from sheaf.repo.values import Change, Entry

__all__ = ["CHANGE", "LETTERS", "change_record", "diff"]

LETTERS: Final = {"added": "A", "modified": "M", "deleted": "D", "renamed": "R"}


@dataclass(frozen=True, slots=True)
class _Comparison:
    """Changes from the old side to the new one, and readers for the bytes of each side."""

    changes: Iterable[Change]
    read_old: Reader
    read_new: Reader
    skipped: list[str] = field(default_factory=list)


@verb(
    example="sheaf diff faces@v1 faces@v2 --stat",
    exits=(1, 3, 5, 6, 8, 9, 11),
    fields=lambda: {"": CHANGE, "--stat": _STAT},
)
@click.argument("old", metavar="REPO@OLD[:PATH]")
@click.argument("new", metavar="[REPO@NEW[:PATH]|@NEW|./FOLDER]", required=False)
@click.option("--stat", is_flag=True, help="Show the sizes of each change, and a summary.")
@click.option("--name-only", is_flag=True, help="Show only paths, as in NEW or, if deleted, in OLD.")
@click.option("-p", "--patch", is_flag=True, help="Show the changes in text files.")
@options.nul
@options.skip_on_error
@options.exit_code
def diff(
    app: App,
    *,
    old: str,
    new: str | None,
    stat: bool,
    name_only: bool,
    patch: bool,
    nul: bool,
    skip_on_error: bool,
    exit_code: bool,
) -> int:
    """Show what changed from OLD to NEW: A added, M modified, D deleted, R renamed.

    NEW can be a folder, written with a leading ./ or /. With one argument, compare the first parent of that bundle
    (OLD) with the bundle itself (NEW).
    """
    if is_local(old):
        bundle = "REPO@REF" if new is None or is_local(new) else new
        raise InvalidInput(
            f"{quote(old)} is a folder, which must be the second argument", f"run `sheaf diff {bundle} {old}`"
        )
    if name_only and (stat or patch):
        raise InvalidInput("--name-only can't be combined with --stat or --patch", "pass only one of them")
    comparison = _compare(app, address_of(old), new, skip_on_error=skip_on_error)
    seen = _Counting(comparison.changes)
    if patch and not app.out.as_json:
        is_seen = app.environment.stdout_is_terminal
        for text in (unified(it, comparison.read_old, comparison.read_new, escape=is_seen) for it in seen):
            app.out.line(text)
    else:
        app.out.listing(_STAT if stat else _NAME if name_only else CHANGE, seen, nul=nul)
    if stat and not patch:
        app.out.line(seen.summary())
    if comparison.skipped:
        return app.dialect.partial_exit
    return NO if exit_code and seen.count else OK


def _compare(app: App, old: Address, new: str | None, *, skip_on_error: bool) -> _Comparison:
    before = bundle_at(app, old)
    if new is None:
        if not before.parents:
            raise NotFound(f"bundle {before.id} has no parent to compare with", "name two bundles")
        parent = app.repo(old.repo).bundle(f"bundle:{before.parents[0]}")
        return _between(parent, before, old.path)
    if is_local(new):
        folder = Path(new).expanduser()
        if old.path:
            raise InvalidInput("a path can't be compared with a folder", "compare the whole bundle")
        skipped: list[str] = []
        different = before.diff_folder(folder, on_skipped=skipper(app, skipped, is_wanted=skip_on_error))
        found = without_full_folders(different, in_bundle(before), in_folder(folder))
        return _Comparison(found, before.read, read_folder(folder), skipped)
    place = address_of(f"{old.repo}{new}" if new.startswith("@") else new)
    if new.startswith("@") and not place.path:
        place = structs.replace(place, path=old.path)
    if place.path != old.path:
        raise InvalidInput(
            f"'{old.path}' and '{place.path}' are different paths", "compare the same path in both bundles"
        )
    return _between(before, bundle_at(app, place, new), old.path)


def _between(old: Bundle, new: Bundle, path: str) -> _Comparison:
    changes = without_full_folders(old.diff(new), in_bundle(old), in_bundle(new))
    if path:
        old.entry(path) if _has(old, path) else new.entry(path)
        changes = (it for it in changes if _is_below(it.path, path) or (it.old_path and _is_below(it.old_path, path)))
    return _Comparison(changes, old.read, new.read)


def _has(bundle: Bundle, path: str) -> bool:
    try:
        bundle.entry(path)
    except NotFound:
        return False
    return True


def _is_below(path: str, folder: str) -> bool:
    return path == folder or path.startswith(f"{folder}/")


class _Counting:
    """Passes changes through and counts them by kind."""

    def __init__(self, changes: Iterable[Change]) -> None:
        self._changes = changes
        self.count = 0
        self._kinds = dict.fromkeys(LETTERS, 0)
        self._growth = 0

    def __iter__(self) -> Iterator[Change]:
        for change in self._changes:
            self.count += 1
            self._kinds[change.kind] += 1
            self._growth += _size(change.new) - _size(change.old)
            yield change

    def summary(self) -> str:
        parts = [f"{count} {kind}" for kind, count in self._kinds.items() if count]
        return f"{self.count} changed: {', '.join(parts)}, {self._growth:+d} bytes" if parts else "no changes"


def _size(entry: Entry | None) -> int:
    return entry.size if entry else 0


def _sizes(change: Change) -> str:
    """Return both sizes in bytes, or the only one."""
    sides = [str(side.size) for side in (change.old, change.new) if side]
    return " -> ".join(sides)


def _named(change: Change) -> str:
    if change.kind == "renamed":
        return f"{quote(change.old_path or '')} -> {quote(change.path)}"
    return quote(change.path)


def change_record(change: Change) -> dict[str, Any]:
    record: dict[str, Any] = {"kind": change.kind, "path": change.path}
    if change.old_path is not None:
        record["old_path"] = change.old_path
    sides = {"old": change.old, "new": change.new}
    return {**record, **{name: views.ENTRY.record(side) for name, side in sides.items() if side is not None}}


def _exact(change: Change) -> str:
    old = f"{change.old_path}\0" if change.kind == "renamed" else ""
    return f"{LETTERS[change.kind]}\0{old}{change.path}"


def _cells(change: Change) -> tuple[Cell, ...]:
    return (LETTERS[change.kind], change.path, change.old_path)


def _stat_cells(change: Change) -> tuple[Cell, ...]:
    return (*_cells(change), *(side.size if side else None for side in (change.old, change.new)))


CHANGE: Final[View[Change]] = View(
    line=lambda it: f"{LETTERS[it.kind]} {_named(it)}",
    record=change_record,
    columns=("KIND", "PATH", "OLD PATH"),
    cells=_cells,
    is_tabular=False,
    exact=_exact,
)
_STAT: Final[View[Change]] = structs.replace(
    CHANGE,
    line=lambda it: f"{LETTERS[it.kind]} {_named(it)} | {_sizes(it)} bytes",
    columns=(*CHANGE.columns, "OLD SIZE", "NEW SIZE"),
    cells=_stat_cells,
)
_NAME: Final[View[Change]] = View(line=lambda it: quote(it.path), record=change_record, exact=lambda it: it.path)
