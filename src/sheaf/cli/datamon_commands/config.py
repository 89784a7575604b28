"""``datamon config`` and ``datamon version``: the files and the wording of both of Datamon's generations."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import click

from sheaf import __version__
from sheaf.cli.app import App
from sheaf.cli.commands.config import effective, given_keys
from sheaf.cli.datamon_commands.settings import config_files, first_generation, second_generation
from sheaf.cli.options import stack
from sheaf.cli.output.render import View
from sheaf.cli.output.text import quote
from sheaf.cli.verb_tree import verb
from sheaf.settings import configfile
from sheaf.settings.settings import text_of

__all__ = ["create", "get", "set_", "version"]

#: The buckets that the first generation wrote by default.
_BUCKETS: Final = {"metadata": "datamon-meta-data", "blob": "datamon-blob-data"}
_KEYS: Final = stack(
    click.option("--name", metavar="NAME", help="Your name, for bundles and labels."),
    click.option("--email", metavar="EMAIL", help="Your e-mail address."),
    click.option("--credential", metavar="FILE", help="Google's key file; used for gs:// stores only."),
    click.option("--meta", "metadata", hidden=True),
    click.option("--blob", hidden=True),
)
_Key = str | None


@verb(example='datamon config create --name "Ada Lovelace" --email ada@example.org')
@_KEYS
def create(app: App, *, metadata: _Key, blob: _Key, **own: _Key) -> None:
    """Write the configuration file: of the first generation if --name and --email are given, else of the second."""
    is_first = any((own["name"], own["email"], metadata, blob))
    if not is_first:
        _set(app, own)
        return
    path = first_generation(app.environment)
    said = {key: value for key, value in {"metadata": metadata, "blob": blob}.items() if value}
    _write(path, {**_BUCKETS, **configfile.load(path), **said, **_changes(app, own)})


@verb(name="set", example="datamon config set --context dev --credential ~/key.json")
@_KEYS
def set_(app: App, *, metadata: _Key, blob: _Key, **own: _Key) -> None:
    """Write the configuration file of the second generation."""
    _set(app, own)


def _set(app: App, own: dict[str, _Key]) -> None:
    path = second_generation(app.environment)
    _write(path, {**configfile.load(path), **_changes(app, own)})
    app.out.line(f"config file created in {path}")


def _changes(app: App, own: dict[str, _Key]) -> dict[str, str]:
    bucket = {"config": app.flags["config"]} if "config" in app.flags else {}
    return {**given_keys(app.flags, own), **bucket}


def _write(path: Path, value: dict[str, Any]) -> None:
    configfile.save(path, value)


@verb(example="datamon config get")
def get(app: App) -> None:
    """Show the effective settings and the buckets that the file names."""
    values = effective(app.settings)
    for path in reversed(config_files(app.environment)):
        content = configfile.load(path)
        values |= {key: text_of(content[key]) for key in ("metadata", "blob", "config") if key in content}
    app.out.object(values)
    for key, value in values.items():
        app.out.line(f"{key}: {quote(value)}")


_VERSION: Final[View[str]] = View(
    line=lambda it: f"Version: {it}\nBuildDate: unknown\nCommit: unknown\nWorking tree: unknown",
    record=lambda it: {"version": it},
    fields=lambda it: {"Version": it, "BuildDate": "unknown", "GitCommit": "unknown", "GitState": "unknown"},
)


@verb(example="datamon version")
def version(app: App) -> None:
    """Show the version."""
    app.out.one(_VERSION, __version__)
