"""``datamon context``: contexts with Datamon's names, in the configuration file, with a store if one is named."""

from __future__ import annotations

from typing import Any, Final

import click

from sheaf.cli.app import App
from sheaf.cli.commands.config import given_keys
from sheaf.cli.datamon_commands.settings import config_files, contexts_of, second_generation
from sheaf.cli.output.render import View
from sheaf.cli.verb_tree import verb
from sheaf.errors import AlreadyExists, InvalidInput, NotFound
from sheaf.settings import configfile

__all__ = ["create", "get", "list_"]

_DEFAULT: Final = "dev"
_BUCKETS: Final = ("wal", "readlog", "blob", "metadata", "vmetadata")
_Context = tuple[str, dict[str, Any]]


def _line(context: _Context) -> str:
    name, it = context
    words = {
        "WAL": "wal",
        "ReadLog": "readlog",
        "Blob": "blob",
        "Metadata": "metadata",
        "Version Metadata": "vmetadata",
    }
    buckets = ", ".join(f"{word}: {it.get(key, '')}" for word, key in words.items())
    return f"Model Version: {it.get('version', 0)}, Name: {name}, {buckets}"


def _fields(context: _Context) -> dict[str, Any]:
    name, it = context
    words = {"WAL": "wal", "ReadLog": "readlog", "Blob": "blob", "Metadata": "metadata", "VMetadata": "vmetadata"}
    return {"Name": name, "Version": it.get("version", 0), **{word: it.get(key, "") for word, key in words.items()}}


_VIEW: Final[View[_Context]] = View(line=_line, record=lambda it: {"name": it[0], **it[1]}, fields=_fields)


def _contexts(app: App) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}
    for path in reversed(config_files(app.environment)):
        found |= contexts_of(configfile.load(path))
    return found


@verb(example="datamon context create --context dev --meta m --vmeta v --blob b --wal w --read-log r")
@click.option("--meta", "metadata", metavar="BUCKET", help="Datamon's metadata bucket.")
@click.option("--vmeta", "vmetadata", metavar="BUCKET", help="Its bucket of versioned metadata.")
@click.option("--blob", metavar="BUCKET", help="Its blob bucket.")
@click.option("--wal", metavar="BUCKET", help="Its write-ahead log.")
@click.option("--read-log", "readlog", metavar="BUCKET", help="Its read log.")
def create(app: App, **buckets: str | None) -> None:
    """Create a context. The buckets are only recorded and shown; the data is in the store that --store names."""
    name = app.flags.get("context", _DEFAULT)
    if name in _contexts(app):
        raise AlreadyExists(f'context "{name}" already exists')
    values: dict[str, Any] = {key: buckets[key] for key in _BUCKETS if buckets[key]}
    values |= given_keys({key: value for key, value in app.flags.items() if key != "context"}, {})
    missing = [key for key in _BUCKETS if key not in values]
    if missing and "store" not in values:
        raise InvalidInput(f'context "{name}": {", ".join(missing)} not set', "name the buckets, or --store URL")
    path = second_generation(app.environment)
    config = configfile.load(path)
    config["contexts"] = {**contexts_of(config), name: {**values, "version": 0}}
    configfile.save(path, config)


@verb(example="datamon context get --context dev", exits=(2,))
def get(app: App) -> None:
    """Show one context."""
    name = app.flags.get("context", _DEFAULT)
    contexts = _contexts(app)
    if name not in contexts:
        raise NotFound(f'didn\'t find context "{name}"')
    app.out.one(_VIEW, (name, contexts[name]))


@verb(name="list", example="datamon context list")
def list_(app: App) -> None:
    """List the contexts on one line."""
    contexts = _contexts(app)
    app.out.line(f"[{' '.join(sorted(contexts))}]")
    if app.out.as_json or app.out.template:
        app.out.listing(_VIEW, sorted(contexts.items()))
