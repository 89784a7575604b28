"""Displays of bundles, repos and histories in a notebook."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice
from typing import Any

from sheaf.errors import NotFound
from sheaf.notebook import html
from sheaf.notebook.preview import is_image, picture
from sheaf.repo.bundle import Bundle
from sheaf.repo.repo import Repo
from sheaf.repo.store import Store

__all__ = ["bundle_html", "history_html", "register", "repo_html", "store_html"]

_FILES, _LOOKED_AT, _PICTURES, _THUMBNAIL, _HISTORY = 20, 200, 6, 512 << 10, 5


def bundle_html(bundle: Bundle) -> str:
    """Show a summary, the first files and some images."""
    summary = html.facts(
        [
            ("bundle", f"{bundle.repo_name}@{bundle.id}"),
            ("version", bundle.version),
            ("message", bundle.message),
            ("made", _made(bundle)),
            ("contents", f"{bundle.files} files, {html.size(bundle.size)}"),
        ]
    )
    found = list(islice(bundle.ls(recursive=True), _LOOKED_AT))
    shown = [(entry.path, entry.kind, entry.size) for entry in found[:_FILES]]
    pictures = [picture(bundle, entry, 96) for entry in found if is_image(entry, _THUMBNAIL)][:_PICTURES]
    return summary + html.entries(shown, bundle.entries - len(shown)) + " ".join(pictures)


def history_html(bundles: Iterable[Bundle]) -> str:
    """Show bundles, one per line."""
    rows = ((each.id, _made(each), each.message, each.files, html.size(each.size)) for each in bundles)
    return html.table(("bundle", "made", "message", "files", "size"), rows)


def repo_html(repo: Repo) -> str:
    """Show a repo: facts, branches and labels, newest bundles."""
    about = html.facts([("repo", repo.name), ("description", repo.description)])
    names = [(branch.name, "branch", branch.bundle) for branch in repo.branches()]
    names += [(label.name, "label", label.bundle) for label in repo.labels()]
    try:
        history = history_html(islice(repo.log(), _HISTORY))
    except NotFound:
        # The repo has no bundles.
        history = html.paragraph("no bundles yet")
    return about + (html.table(("name", "kind", "bundle"), names) if names else "") + history


def store_html(store: Store) -> str:
    """Show a store: its URL and repos."""
    rows = ((repo.name, repo.description, repo.bundles) for repo in store.repos())
    return html.facts([("store", store.url)]) + html.table(("repo", "description", "bundles"), rows)


def register(shell: Any) -> None:
    """Register the displays with a shell."""
    formatter = shell.display_formatter.formatters["text/html"]
    for kind, show in ((Bundle, bundle_html), (Repo, repo_html), (Store, store_html)):
        formatter.for_type(kind, show)


def _made(bundle: Bundle) -> str:
    return f"{bundle.time:%Y-%m-%d %H:%M:%S}Z, {bundle.author.name or 'unknown'}"
