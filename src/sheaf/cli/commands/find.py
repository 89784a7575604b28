"""``find``: find files in all bundles of all repos."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any, Final

import click

from sheaf.cli import options
from sheaf.cli.app import App
from sheaf.cli.inputs import read_meta
from sheaf.cli.output import views
from sheaf.cli.output.render import View
from sheaf.cli.output.text import quote
from sheaf.cli.verb_tree import verb
from sheaf.errors import InvalidInput

if TYPE_CHECKING:
    from sheaf.repo.search import FoundFile

__all__ = ["find"]


def _place(found: FoundFile) -> str:
    return f"{found.bundle.repo_name}@{found.bundle.id}:{found.entry.path}"


def _record(found: FoundFile) -> dict[str, Any]:
    return {"repo": found.bundle.repo_name, "bundle": found.bundle.id, **views.ENTRY.record(found.entry)}


_FOUND: Final[View[FoundFile]] = View(line=lambda found: quote(_place(found)), record=_record, exact=_place)


@verb(example="sheaf find '**/anna*.csv' --repo faces\nsheaf find --meta site=north --limit 10", exits=(3, 5, 6, 8, 9))
@click.argument("pattern", metavar="[PATTERN]", required=False)
@click.option("--hash", "content", metavar="HASH", help="Only files with this BLAKE3 hash, as printed by b3sum.")
@click.option("--repo", metavar="REPO", help="Search only this repo.")
@click.option("--branch", metavar="BRANCH", help="Search only bundles in the history of this branch.")
@click.option("--meta", multiple=True, metavar="K=V", help="Search only bundles with this metadata; repeatable.")
@click.option("--limit", type=options.COUNT, metavar="N", help="Print at most N results.")
def find(
    app: App,
    *,
    pattern: str | None,
    content: str | None,
    repo: str | None,
    branch: str | None,
    meta: tuple[str, ...],
    limit: int | None,
) -> None:
    """Find files by path, glob or hash in all bundles.

    Each line is REPO@BUNDLE:PATH. In a glob, * and ? match within one folder, ** across folders. Deleted bundles are
    skipped.
    """
    if pattern is None and content is None and not meta:
        raise InvalidInput("nothing to search for", "pass a PATTERN, --hash or --meta")
    found = app.store.find(pattern or "**", content=content, repo=repo, branch=branch, meta=read_meta(meta))
    app.out.without_table().listing(_FOUND, itertools.islice(found, limit))
