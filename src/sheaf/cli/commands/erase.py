"""``store erase`` and ``store erased``: permanent removal of contents, and its record."""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterable
from typing import TYPE_CHECKING, Any, Final

import click
import msgspec

from sheaf.api import parse_time
from sheaf.cli import options
from sheaf.cli.app import App
from sheaf.cli.commands.gc_waits import WaitNotices
from sheaf.cli.inputs import confirm
from sheaf.cli.output.render import View
from sheaf.cli.output.text import count_of, quote
from sheaf.cli.verb_tree import verb
from sheaf.errors import InvalidInput

if TYPE_CHECKING:
    from sheaf.api import ErasedFile, Notice, Receipt, RowsHit, Similar

__all__ = ["erase", "erased", "report_erased"]

_VERSIONS: Final = (
    "if the bucket keeps old versions of objects, they still contain the bytes: delete the versions of the keys in the"
    " receipt (--json), or let a lifecycle rule of the bucket expire them"
)


def report_erased(app: App, paths: Iterable[str]) -> bool:
    """Report the files that were skipped because their content was erased. Return True if there are any."""
    gone = list(paths)
    for path in gone:
        app.warn(f"erased {quote(path)}: its content is no longer in the store, see `sheaf store erased`")
    return bool(gone)


@verb(
    example='sheaf store erase faces@init:train/1.jpg --reason "request 17"\nsheaf store erase faces@init:train/1.jpg --like',
    exits=(3, 4, 5, 6, 8, 9, 10),
    fields=lambda: {"--like": _LIKE, "--rows --dry-run": _ROWS},
)
@click.argument("targets", metavar="HASH|REPO@REF:PATH...", nargs=-1, required=True)
@click.option("--reason", metavar="TEXT", help="Reason, stored permanently; do not include personal data.")
@click.option("-r", "--recursive", is_flag=True, help="Erase all files below a folder.")
@click.option("--with-path", is_flag=True, help="Also replace the names of the files with erased-* names.")
@click.option("--rows", metavar="CONDITION", help="Erase rows of Parquet files; the target is REPO:PATTERN.")
@click.option("--now", is_flag=True, help="End open uploads instead of waiting for them.")
@click.option("--like", is_flag=True, help="Erase nothing; list other contents that share chunks.")
@click.option("--dry-run", is_flag=True, help="Erase nothing; list what would be erased.")
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
    """Permanently erase contents from all bundles of all repos.

    A content is named by its hash or by the path of a file, and erased under all its names. Bundles, their ids and all
    other files stay, also similar ones: see --like. Reading an erased file reports the erasure; uploading it again fails
    unless --allow-erased is given.

    --with-path also replaces the names of these files in all bundles with placeholders (erased-…). Such a bundle keeps its id
    and version and is shown as redacted. Names of folders, targets of symlinks, messages, labels and runs do not change.

    --rows 'person == 17 and city in ("x", "y")' removes rows from all Parquet files, in all bundles, whose paths
    match a pattern (faces:tables/**/*.parquet), and erases the contents that included them. All other rows stay.
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
        app.out.listing(_LIKE, app.store.erasure.similar(**named))
        return
    if dry_run:
        app.out.listing(_FILE, app.store.erasure.locate(**named))
        return
    reason = _needed(reason)
    if not yes:
        places = app.store.erasure.locate(**named)
        _show(app, map(_file_of, places), len(places))
        confirm(f"Permanently erase this content ({_paths_of(places)})?", is_sure=False)
    others = app.store.erasure.namesakes(**named) if with_path else []
    receipt = app.store.erasure.erase(
        **named, with_path=with_path, reason=reason, now=now, on_wait=WaitNotices(app, _PATIENCE)
    )
    _print(app, receipt)
    if others:
        contents = sorted({file.content for file in others})
        there = count_of(len(others), "path")
        app.warn(f"note: the same names refer to other contents at {there}: {', '.join(contents)}")


_SHOWN: Final = 20  # lines that the prompt shows
_PATIENCE: Final = "at most 60 minutes; pass --now to end open uploads instead"


def _needed(reason: str | None) -> str:
    if not reason:
        raise InvalidInput("missing option --reason", "pass --reason TEXT, without personal data")
    return reason


def _show(app: App, lines: Iterable[str], count: int) -> None:
    """Print what would be erased, before the prompt."""
    for line in itertools.islice(lines, _SHOWN):
        app.warn(f"  {line}")
    if count > _SHOWN:
        app.warn(f"  and {count - _SHOWN} more; pass --dry-run to list all of them")


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
            "--rows requires one REPO:PATTERN, without -r, --with-path and --like",
            "name the files, such as faces:tables/**/*.parquet",
        )
    if dry_run:
        app.out.listing(_ROWS, app.store.erasure.count_rows(repo, pattern, rows))
        return
    reason = _needed(reason)
    if not yes:
        hit = app.store.erasure.count_rows(repo, pattern, rows)
        _show(app, (f"{_file_of(each.file)}: {count_of(each.rows, 'row')}" for each in hit), len(hit))
        confirm(f"Permanently erase these rows from every version of {quote(pattern)}?", is_sure=False)
    _print(
        app,
        app.store.erasure.erase_rows(repo, pattern, rows, reason=reason, now=now, on_wait=WaitNotices(app, _PATIENCE)),
    )


def _is_address(text: str) -> bool:
    return ":" in text.removeprefix("b3:") or "@" in text


def _paths_of(places: Collection[ErasedFile]) -> str:
    return f"{count_of(len(places), 'path')} in {count_of(len({file.bundle for file in places}), 'bundle')}"


def _print(app: App, receipt: Receipt) -> None:
    app.out.object(msgspec.to_builtins(receipt))
    for content in receipt.contents:
        app.out.line(f"erased {content}")
    replaced = count_of(receipt.packs, "pack was", "packs were")
    app.out.line(f"{_paths_of(receipt.places)} contained it; {replaced} replaced")
    app.out.line(f"a scan of {count_of(receipt.scanned, 'pack')} found nothing of it; receipt {receipt.id}")
    if receipt.rows:
        app.out.line(f"{count_of(receipt.rows, 'row was', 'rows were')} removed")
    if receipt.names:
        app.out.line(f"{count_of(receipt.names, 'name was', 'names were')} replaced with placeholders")
    if receipt.unfinished:
        app.out.line(f"{count_of(receipt.unfinished, 'unfinished write was', 'unfinished writes were')} removed")
    if receipt.kept:
        app.warn(
            f"note: {count_of(receipt.kept, 'chunk stays', 'chunks stay')}, since other files share them: see --like"
        )
    if receipt.left:
        files = count_of(len(receipt.left), "unfinished write")
        app.warn(
            f"warning: {files} may contain the bytes, since a writer may be active; run `sheaf store gc` after it has ended:"
            f" {', '.join(map(quote, receipt.left))}"
        )
    if receipt.spills:
        app.note(
            "warning: uncommitted changes of writable mounts may contain the bytes; commit or delete them:"
            f" {', '.join(map(quote, receipt.spills))}"
        )
    if not app.store.url.startswith(("file:", "memory:")):
        app.warn(f"note: {_VERSIONS}")


@verb(
    example="sheaf store erased\nsheaf store erased --receipts --json",
    exits=(3, 5, 6, 8, 9),
    fields=lambda: {"": _NOTICE, "--receipts": _RECEIPT},
)
@click.option("--receipts", is_flag=True, help="List erasure receipts instead of erased contents.")
def erased(app: App, receipts: bool) -> None:
    """List the erased contents of the store."""
    if receipts:
        app.out.listing(_RECEIPT, app.store.erasure.receipts())
    else:
        app.out.listing(_NOTICE, app.store.erasure.erased())


# -- output


def _record(value: Notice | Receipt) -> dict[str, Any]:
    record: dict[str, Any] = msgspec.to_builtins(value)
    return record


def _file_of(file: ErasedFile) -> str:
    return quote(_address(file))


def _address(file: ErasedFile) -> str:
    return f"{file.repo}@{file.bundle}:{file.path}"


def _like_record(like: Similar) -> dict[str, Any]:
    places = [msgspec.to_builtins(file) for file in like.places]
    return {"content": like.content, "size": like.size, "shared": like.shared, "places": places}


_FILE: Final[View[ErasedFile]] = View(line=_file_of, record=msgspec.to_builtins)
_ROWS: Final[View[RowsHit]] = View(
    line=lambda hit: _file_of(hit.file),
    record=lambda hit: {**msgspec.to_builtins(hit.file), "rows": hit.rows},
    columns=("PLACE", "ROWS"),
    cells=lambda hit: (_address(hit.file), hit.rows),
)
_LIKE: Final[View[Similar]] = View(
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
