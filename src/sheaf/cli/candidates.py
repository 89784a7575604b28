"""Complete a word that the user is typing: repos, refs and paths of the store; contexts and keys."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Final

import click

from sheaf.cli.app import App
from sheaf.settings import configfile
from sheaf.settings.settings import KEYS, default_config_path

if TYPE_CHECKING:
    from sheaf.repo.repo import Repo

__all__ = ["candidates"]

#: How long a store may delay a user who has pressed a key. These are flags, so that nothing overrides them.
_HURRY: Final = {"retries": "0", "connect_timeout_s": "2", "timeout_s": "5"}
#: Names to offer at most: a folder may have millions, and a screen shows fewer.
_MOST: Final = 500


def candidates(ctx: click.Context, kind: str, incomplete: str) -> list[str]:
    """Return names of a kind that begin with the typed text; none if the lookup fails, because a shell shows no errors."""
    app = ctx.find_object(App)
    if app is None:
        return []
    quiet = _without_terminal(app)
    try:
        found = _BY_KIND[kind](quiet, ctx.params, incomplete)
        return _printable(name for name in found if name.startswith(incomplete))
    except Exception:
        return []
    finally:
        quiet.close()


def _without_terminal(app: App) -> App:
    """Return a copy of the call whose store must not ask for a passphrase, because the user is typing a command."""
    environment = replace(app.environment, stdout_is_terminal=False, stderr_is_terminal=False)
    quiet = App(app.dialect, environment)
    quiet.flags = {**app.flags, **_HURRY}
    return quiet


def _printable(names: Iterable[str]) -> list[str]:
    kept: list[str] = []
    for name in names:
        if name.isprintable():
            kept.append(name)
        if len(kept) == _MOST:
            break
    return kept


def _repos(app: App, given: Mapping[str, object], incomplete: str) -> Iterator[str]:
    yield from (repo.name for repo in app.store.repos())


def _labels(app: App, given: Mapping[str, object], incomplete: str) -> Iterator[str]:
    yield from (label.name for label in _repo_given(app, given).labels(incomplete))


def _branches(app: App, given: Mapping[str, object], incomplete: str) -> Iterator[str]:
    yield from (branch.name for branch in _repo_given(app, given).branches())


def _refs(app: App, given: Mapping[str, object], incomplete: str) -> Iterator[str]:
    yield from _refs_of(_repo_given(app, given))


def _repo_given(app: App, given: Mapping[str, object]) -> Repo:
    return app.repo(str(given["repo"]))


def _refs_of(repo: Repo) -> Iterator[str]:
    names = [*(branch.name for branch in repo.branches()), *(label.name for label in repo.labels())]
    yield from sorted(set(names))


def _addresses(app: App, given: Mapping[str, object], incomplete: str) -> Iterator[str]:
    """Yield ``repo``, then ``repo@ref``, then ``repo@ref:path``; of paths one folder at a time."""
    name, at, rest = incomplete.partition("@")
    ref, colon, path = rest.partition(":") if at else ("", *name.partition(":")[1:])
    name = name.partition(":")[0]
    if colon:
        yield from _paths(app, name, ref, path)
    elif at:
        yield from (f"{name}@{found}" for found in _refs_of(app.repo(name)))
    else:
        names = [repo.name for repo in app.store.repos()]
        yield from names
        if name in names:
            yield from (f"{name}@{found}" for found in _refs_of(app.repo(name)))


def _paths(app: App, name: str, ref: str, path: str) -> Iterator[str]:
    folder = path.rpartition("/")[0]
    head = f"{name}@{ref}:" if ref else f"{name}:"
    for entry in app.repo(name).bundle(ref or None).ls(folder):
        yield f"{head}{entry.path}{'/' if entry.kind == 'folder' else ''}"


def _contexts(app: App, given: Mapping[str, object], incomplete: str) -> Iterator[str]:
    with contextlib.suppress(FileNotFoundError):
        yield from configfile.load(default_config_path(app.environment, app.flags)).get("contexts") or {}


def _keys(app: App, given: Mapping[str, object], incomplete: str) -> Iterator[str]:
    yield from KEYS


_BY_KIND: Final[Mapping[str, Callable[[App, Mapping[str, object], str], Iterator[str]]]] = {
    "REPO": _repos,
    "LABEL": _labels,
    "BRANCH": _branches,
    "REF": _refs,
    "ADDRESS": _addresses,
    "CONTEXT": _contexts,
    "KEY": _keys,
}
