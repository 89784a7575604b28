"""``store erase`` and ``store erased``: bytes that leave for good, and the record of it."""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterable
from typing import TYPE_CHECKING, Any, Final

import click
import msgspec

from sheaf.cli import options
from sheaf.cli.app import App
from sheaf.cli.inputs import confirm
from sheaf.cli.quoting import count_of, quote
from sheaf.cli.render import View
from sheaf.cli.tree import verb
from sheaf.cli.waiting import Waiting
from sheaf.engine.clock import parse_time
from sheaf.errors import InvalidInput

if TYPE_CHECKING:
    from sheaf.engine.finding import Like
    from sheaf.format.session_v1 import ErasedPlace, Notice, Receipt
    from sheaf.repo.erasing import RowsHit

__all__ = ["erase", "erased", "tell_erased"]

_VERSIONS: Final = (
    "if the bucket keeps old versions of objects, these still hold the bytes: delete the versions of the keys that the"
    " receipt names (--json), or let a rule of the bucket expire them"
)


def tell_erased(app: App, paths: Iterable[str]) -> bool:
    """Say which files did not come since their bytes were erased; whether there are any."""
    gone = list(paths)
    for path in gone:
        app.warn(f"erased {quote(path)}: its bytes are not in the store any more, see `sheaf store erased`")
    return bool(gone)


@verb(
    example='sheaf store erase faces@init:train/1.jpg --reason "request 17"\nsheaf store erase faces@init:train/1.jpg --like',
    exits=(3, 4, 5, 6, 8, 9, 10),
    fields=lambda: {"--like": _LIKE, "--rows --dry-run": _ROWS},
)
@click.argument("targets", metavar="HASH|REPO@REF:PATH...", nargs=-1, required=True)
@click.option("--reason", metavar="TEXT", help="Why: kept in the store for ever, so without what is to be forgotten.")
@click.option("-r", "--recursive", is_flag=True, help="Of a folder, all files below.")
@click.option("--with-path", is_flag=True, help="Also their names: a notice stands in the place of each.")
@click.option("--rows", metavar="CONDITION", help="Only rows of Parquet files: the target is REPO:PATTERN.")
@click.option("--now", is_flag=True, help="End uploads that are open, rather than to wait for them.")
@click.option("--like", is_flag=True, help="Erase nothing; list other contents that share chunks with these.")
@click.option("--dry-run", is_flag=True, help="Erase nothing; list what would be hit.")
@options.yes
def erase(
    app: App,
    *,
    targets: tuple[str, ...],
    reason: str | None,
    recursive: bool,
    with_path: bool,
    rows: str | None,
    now: bool,
    like: bool,
    dry_run: bool,
    yes: bool,
) -> None:
    """Remove the bytes of files for good, from all bundles of all repos, whatever they are called there.

    A file is named by its content hash or by one of its paths. Bundles, their ids and all other files stay; who reads
    what was erased is told so, and who uploads it again is refused. What merely resembles it stays: see --like.

    --with-path replaces the names of these files in all bundles by notices (erased-…). Such a bundle keeps its id and its
    version and is shown as redacted. Names of folders, targets of symlinks, messages, labels and runs stay as they are.

    --rows 'person == 17 and city in ("x", "y")' takes rows out of every version of the Parquet files that a pattern names
    (faces:tables/**/*.parquet), and erases the contents that had them. All other rows stay.
    """
    if rows is not None:
        _erase_rows(
            app,
            targets,
            rows,
            reason,
            now=now,
            alone=not (recursive or with_path or like),
            dry_run=dry_run,
            yes=yes,
        )
        return
    named: dict[str, Any] = {
        "content": [text for text in targets if not _is_address(text)],
        "address": [text for text in targets if _is_address(text)],
        "recursive": recursive,
    }
    if like:
        app.out.listing(_LIKE, app.store.like(**named))
        return
    if dry_run:
        app.out.listing(_PLACE, app.store.where(**named))
        return
    reason = _needed(reason)
    if not yes:
        places = app.store.where(**named)
        _show(app, map(_place, places), len(places))
        confirm(f"Are you sure you want to erase for good what stands at {_paths_of(places)}", is_sure=False)
    others = app.store.namesakes(**named) if with_path else []
    receipt = app.store.erase(**named, with_path=with_path, reason=reason, now=now, tell=Waiting(app, _PATIENCE))
    _print(app, receipt)
    if others:
        contents = sorted({place.content for place in others})
        there = count_of(len(others), "path")
        app.warn(f"note: the same names stand for other contents at {there}: {', '.join(contents)}")


_SHOWN: Final = 20  # places that the prompt names
_PATIENCE: Final = "at most 60 minutes; --now doesn't wait, and ends uploads that are open"


def _needed(reason: str | None) -> str:
    if not reason:
        raise InvalidInput("an erasure needs a --reason", "say why, without what is to be forgotten")
    return reason


def _show(app: App, lines: Iterable[str], count: int) -> None:
    """Name what would be hit, before it is asked."""
    for line in itertools.islice(lines, _SHOWN):
        app.warn(f"  {line}")
    if count > _SHOWN:
        app.warn(f"  and {count - _SHOWN} more: --dry-run lists all of them")


def _erase_rows(
    app: App,
    targets: tuple[str, ...],
    rows: str,
    reason: str | None,
    *,
    now: bool,
    alone: bool,
    dry_run: bool,
    yes: bool,
) -> None:
    repo, colon, pattern = targets[0].partition(":")
    if len(targets) > 1 or not (repo and colon and pattern) or "@" in repo or not alone:
        raise InvalidInput(
            "--rows takes one REPO:PATTERN, and no -r, --with-path or --like", "faces:tables/**/*.parquet"
        )
    if dry_run:
        app.out.listing(_ROWS, app.store.rows_hit(repo, pattern, rows))
        return
    reason = _needed(reason)
    if not yes:
        hit = app.store.rows_hit(repo, pattern, rows)
        _show(app, (f"{_place(each.place)}: {count_of(each.rows, 'row')}" for each in hit), len(hit))
        confirm(f"Are you sure you want to erase rows for good from every version of {quote(pattern)}", is_sure=False)
    _print(app, app.store.erase_rows(repo, pattern, rows, reason=reason, now=now, tell=Waiting(app, _PATIENCE)))


def _is_address(text: str) -> bool:
    return ":" in text.removeprefix("b3:") or "@" in text


def _paths_of(places: Collection[ErasedPlace]) -> str:
    return f"{count_of(len(places), 'path')} of {count_of(len({place.bundle for place in places}), 'bundle')}"


def _print(app: App, receipt: Receipt) -> None:
    app.out.object(msgspec.to_builtins(receipt))
    for content in receipt.contents:
        app.out.line(f"erased {content}")
    replaced = count_of(receipt.packs, "pack was", "packs were")
    app.out.line(f"{_paths_of(receipt.places)} had it; {replaced} replaced")
    app.out.line(f"a scan of {count_of(receipt.scanned, 'pack')} finds nothing of it; receipt {receipt.id}")
    if receipt.rows:
        app.out.line(f"{count_of(receipt.rows, 'row was', 'rows were')} taken out")
    if receipt.names:
        app.out.line(f"{receipt.names} names were replaced by notices")
    if receipt.unfinished:
        app.out.line(f"{count_of(receipt.unfinished, 'unfinished write was', 'unfinished writes were')} removed")
    if receipt.kept:
        app.warn(
            f"note: {count_of(receipt.kept, 'chunk stays', 'chunks stay')}, since other files have the same ones: see --like"
        )
    if receipt.left:
        files = count_of(len(receipt.left), "unfinished write")
        app.warn(
            f"warning: {files} may hold the bytes, since a writer may be at work: run `sheaf store gc` when it has ended:"
            f" {', '.join(map(quote, receipt.left))}"
        )
    if receipt.spills:
        app.note(
            "warning: what was written to mounts and is not committed may hold the bytes; commit or delete it:"
            f" {', '.join(map(quote, receipt.spills))}"
        )
    if not app.store.url.startswith(("file:", "memory:")):
        app.warn(f"note: {_VERSIONS}")


@verb(
    example="sheaf store erased\nsheaf store erased --receipts --json",
    exits=(3, 5, 6, 8, 9),
    fields=lambda: {"": _NOTICE, "--receipts": _RECEIPT},
)
@click.option("--receipts", is_flag=True, help="What was done each time, instead of what is gone.")
def erased(app: App, receipts: bool) -> None:
    """List what was erased from the store."""
    if receipts:
        app.out.listing(_RECEIPT, app.store.receipts())
    else:
        app.out.listing(_NOTICE, app.store.erased())


# -- what they look like


def _record(value: Notice | Receipt) -> dict[str, Any]:
    record: dict[str, Any] = msgspec.to_builtins(value)
    return record


def _place(place: ErasedPlace) -> str:
    return quote(_address(place))


def _address(place: ErasedPlace) -> str:
    return f"{place.repo}@{place.bundle}:{place.path}"


def _like_record(like: Like) -> dict[str, Any]:
    places = [msgspec.to_builtins(place) for place in like.places]
    return {"content": like.content, "size": like.size, "shared": like.shared, "places": places}


_PLACE: Final[View[ErasedPlace]] = View(line=_place, record=msgspec.to_builtins)
_ROWS: Final[View[RowsHit]] = View(
    line=lambda hit: _place(hit.place),
    record=lambda hit: {**msgspec.to_builtins(hit.place), "rows": hit.rows},
    columns=("PLACE", "ROWS"),
    cells=lambda hit: (_address(hit.place), hit.rows),
)
_LIKE: Final[View[Like]] = View(
    line=lambda like: like.content,
    record=_like_record,
    columns=("SHARED", "SIZE", "HASH", "PATHS", "PLACE"),
    cells=lambda it: (it.shared, it.size, it.content, len(it.places), _address(it.places[0]) if it.places else ""),
)
_NOTICE: Final[View[Notice]] = View(
    line=lambda notice: notice.content,
    record=_record,
    columns=("TIME", "HASH", "BY", "REASON"),
    cells=lambda notice: (parse_time(notice.time), notice.content, notice.author.name, notice.reason),
)
_RECEIPT: Final[View[Receipt]] = View(
    line=lambda receipt: receipt.id,
    record=_record,
    columns=("TIME", "ID", "CONTENTS", "PATHS", "REASON"),
    cells=lambda it: (parse_time(it.time), it.id, len(it.contents), len(it.places), it.reason),
)
