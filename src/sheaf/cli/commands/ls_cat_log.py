"""Short commands for reading: ``ls``, ``cat``, ``log``."""

from __future__ import annotations

import heapq
import itertools
import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, BinaryIO, Final

import click

from sheaf.cli import options
from sheaf.cli.app import App
from sheaf.cli.inputs import address_of, bundle_at, showing
from sheaf.cli.output import views
from sheaf.cli.output.render import View
from sheaf.cli.output.text import go_time, quote
from sheaf.cli.verb_tree import verb
from sheaf.errors import InvalidInput

if TYPE_CHECKING:
    from sheaf.repo.bundle import Bundle
    from sheaf.repo.path_history import PathChange
    from sheaf.repo.repo import Repo
    from sheaf.repo.values import RepoInfo

__all__ = ["cat", "log", "ls"]

_PIECE: Final = 8 << 20
_REPO_NAME: Final[View[RepoInfo]] = View(
    line=lambda repo: repo.name, record=views.REPO.record, exact=lambda repo: repo.name
)


@verb(example="sheaf ls faces@init:train", exits=(3, 5, 6, 8, 9), fields=lambda: {"-l": views.LONG_ENTRY})
@click.argument("address", metavar="[REPO[@REF][:PATH]]", required=False)
@click.option("-R", "--recursive", is_flag=True, help="Also list everything below.")
@click.option("-l", "--long", is_flag=True, help="Show mode, size, mtime (UTC), path, target and erasure.")
@options.nul
def ls(app: App, address: str | None, recursive: bool, long: bool, nul: bool) -> None:
    """List the entries of a bundle at a path, folders with a slash; without an address, list the repos."""
    if address is None:
        app.out.listing(_REPO_NAME, app.repos(), nul=nul)
        return
    place = address_of(address)
    bundle = bundle_at(app, place)
    with showing(place):
        if place.path:
            bundle.entry(place.path)
        entries = bundle.ls(place.path, recursive=recursive, mark_erased=long or app.out.as_json)
    app.out.listing(views.LONG_ENTRY if long else views.ENTRY, entries, nul=nul)


@verb(example="sheaf cat faces@init:labels.csv | head", exits=(3, 5, 6, 8, 9))
@click.argument("addresses", metavar="REPO[@REF]:PATH...", nargs=-1, required=True)
@click.option("--offset", type=options.COUNT, default=0, metavar="BYTES", help="Skip this many bytes of each file.")
@click.option("--length", type=options.COUNT, metavar="BYTES", help="Write at most this many bytes of each file.")
def cat(app: App, addresses: tuple[str, ...], offset: int, length: int | None) -> None:
    """Write files of bundles to stdout, exactly as they were uploaded."""
    sys.stdout.flush()
    out = sys.stdout.buffer
    for text in addresses:
        place = address_of(text)
        if not place.path:
            raise InvalidInput(f"'{text}' has no path", "write REPO@REF:PATH")
        bundle = bundle_at(app, place)
        with showing(place):
            opened = bundle.open(place.path)
        with opened as stream:
            _copy(stream, out, offset, length)
    out.flush()


def _copy(stream: BinaryIO, out: BinaryIO, offset: int, length: int | None) -> None:
    stream.seek(offset)
    left = sys.maxsize if length is None else length
    while left and (piece := stream.read(min(left, _PIECE))):
        out.write(piece)
        left -= len(piece)


@verb(
    example="sheaf log faces@main -n 5",
    exits=(3, 5, 6, 8, 9),
    fields=lambda: {"--oneline": views.BUNDLE, "with a path": _CHANGE},
)
@click.argument("address", metavar="[REPO[@REF][:PATH]]", required=False)
@click.option("-n", "--number", type=options.COUNT, metavar="N", help="Show at most N bundles.")
@click.option("--oneline", is_flag=True, help="Show one line per bundle.")
def log(app: App, address: str | None, number: int | None, oneline: bool) -> None:
    """Show the history of a bundle, newest first; without an address, of all repos.

    With a path, show the bundles in which that file or folder changed.
    """
    place = address_of(address) if address else None
    if place and place.path:
        with showing(place):
            changes = app.repo(place.repo).path_log(place.path, place.ref)
            app.out.without_table().listing(_CHANGE, itertools.islice(changes, number))
        return
    bundles = _history(app, address) if address else _all_histories(app)
    view = views.BUNDLE if oneline else _Logged(app).view()
    app.out.without_table().listing(view, itertools.islice(bundles, number))


def _history(app: App, address: str) -> Iterable[Bundle]:
    place = address_of(address)
    return app.repo(place.repo).log(place.ref)


def _all_histories(app: App) -> Iterable[Bundle]:
    repos = (app.repo(info.name) for info in app.repos() if info.bundles)
    logs = [repo.log(f"bundle:{repo.bundles()[-1].id}") for repo in repos]
    return heapq.merge(*logs, key=lambda bundle: bundle.id, reverse=True)


def _change_record(change: PathChange) -> dict[str, Any]:
    renamed = {"old_path": change.old_path} if change.old_path else {}
    return {**views.bundle_record(change.bundle), "change": change.kind, "path": change.path, **renamed}


_CHANGE: Final[View[PathChange]] = View(
    line=lambda it: quote(it.path),
    record=_change_record,
    columns=("ID", "TIME", "CHANGE", "PATH", "OLD PATH", "MESSAGE"),
    cells=lambda it: (it.bundle.id, it.bundle.time, it.kind, it.path, it.old_path, it.bundle.message),
)


class _Logged:
    """Shows bundles with the labels and branches that point to them; reads these once for each repo."""

    def __init__(self, app: App) -> None:
        self._app = app
        self._names: dict[str, dict[str, list[str]]] = {}

    def view(self) -> View[Bundle]:
        return View(line=self._text, record=self._record)

    def _names_on(self, bundle: Bundle) -> list[str]:
        repo = bundle.repo_name
        if repo not in self._names:
            self._names[repo] = _names_by_bundle(self._app.repo(repo))
        return self._names[repo].get(bundle.id, [])

    def _text(self, bundle: Bundle) -> str:
        names = self._names_on(bundle)
        email = f" <{quote(bundle.author.email)}>" if bundle.author.email else ""
        lines = [
            f"bundle {bundle.id}" + (f" ({', '.join(names)})" if names else ""),
            *([f"Merge:   {' '.join(bundle.parents)}"] if len(bundle.parents) > 1 else []),
            f"Repo:    {bundle.repo_name}",
            f"Version: {bundle.version}",
            f"Author:  {quote(bundle.author.name)}{email}",
            f"Date:    {go_time(bundle.time)}",
            "",
            *(f"    {quote(line)}" for line in bundle.message.splitlines()),
            "",
        ]
        return "\n".join(lines)

    def _record(self, bundle: Bundle) -> dict[str, Any]:
        return {**views.bundle_record(bundle), "refs": self._names_on(bundle)}


def _names_by_bundle(repo: Repo) -> dict[str, list[str]]:
    names: dict[str, list[str]] = {}
    for branch in repo.branches():
        names.setdefault(branch.bundle, []).append(f"branch:{branch.name}")
    for label in repo.labels():
        names.setdefault(label.bundle, []).append(f"label:{label.name}")
    return names
