"""``config``: create, set, unset, get."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import click

from sheaf.cli.app import App
from sheaf.cli.options import stack
from sheaf.cli.output.text import quote, redact
from sheaf.cli.verb_tree import verb
from sheaf.errors import InvalidInput, NotFound
from sheaf.settings import configfile
from sheaf.settings.checked import checked
from sheaf.settings.settings import KEYS, Settings, check_key, default_config_path

__all__ = ["create", "effective", "get", "given_keys", "set_", "unset"]

_OPTIONS = stack(
    click.option("--name", metavar="NAME", help="Your name, recorded in bundles and labels."),
    click.option("--email", metavar="EMAIL", help="Your e-mail address."),
    click.option("--credential", metavar="FILE", help="Credential file for the store's cloud."),
    click.option("--cache", metavar="DIR", help="Cache folder."),
)
_EXAMPLE = "sheaf config create --name 'Ada Lovelace' --email ada@example.org --store s3://my-bucket/sheaf"


def given_keys(flags: Mapping[str, str], own: Mapping[str, str | None]) -> dict[str, str]:
    """Return the settings given by a verb's own options and the global ones, in the order of KEYS. Raises InvalidInput."""
    given = {**flags, **{key: value for key, value in own.items() if value is not None}}
    return checked({key: given[key] for key in KEYS if key in given})


def _write(app: App, changes: Mapping[str, str]) -> None:
    path = default_config_path(app.environment, app.flags)
    value: dict[str, Any] = {**configfile.load(path), **changes}
    if "context" in changes and changes["context"] not in (value.get("contexts") or {}):
        raise NotFound(f"context '{changes['context']}' not found in {path}", "create it with `sheaf context create`")
    configfile.save(path, value)
    app.note(f"config file written: {path}")
    app.out.object({"path": str(path), **{key: redact(value) for key, value in changes.items()}})


@verb(example=_EXAMPLE, exits=(3, 9))
@_OPTIONS
def create(app: App, **own: str | None) -> None:
    """Write settings to the configuration file.

    Sets the keys of the given options, including global ones. Other keys are kept.
    """
    _write(app, given_keys(app.flags, own))


@verb(name="set", example="sheaf config set region eu-central-1", exits=(3, 9))
@click.argument("key", metavar="[KEY]", required=False)
@click.argument("value", metavar="[VALUE]", required=False)
@_OPTIONS
def set_(app: App, key: str | None, value: str | None, **own: str | None) -> None:
    """Set KEY to VALUE in the configuration file.

    Options set the keys of their names. Invalid values are rejected; paths are made absolute.
    """
    changes = given_keys(app.flags, own)
    if key is not None:
        check_key(key, "config set")
        if value is None:
            raise InvalidInput(f"config set {key}: missing value")
        changes |= checked({key: value})
    if not changes:
        raise InvalidInput("config set: nothing to set", f"known keys: {', '.join(KEYS)}")
    _write(app, changes)


@verb(example="sheaf config set region eu-central-1\nsheaf config unset region", exits=(3, 9))
@click.argument("key", metavar="KEY")
def unset(app: App, key: str) -> None:
    """Remove KEY from the configuration file."""
    path = default_config_path(app.environment, app.flags)
    value = configfile.load(path)
    if key not in value or key == "contexts":
        check_key(key, "config unset")
        raise NotFound(f"'{key}' is not set in {path}")
    del value[key]
    configfile.save(path, value)
    app.note(f"config file written: {path}")
    app.out.object({"path": str(path), "unset": key})


@verb(example="sheaf config get store", exits=(3,))
@click.argument("key", metavar="[KEY]", required=False)
def get(app: App, key: str | None) -> None:
    """Show all settings in effect, or the value of KEY.

    Options and environment variables override the configuration file.
    """
    values = effective(app.settings)
    if key is not None:
        check_key(key, "config get")
        if key not in values:
            raise NotFound(f"'{key}' is not set")
        app.out.line(quote(values[key]))
        app.out.object({key: values[key]})
        return
    app.out.object({"path": str(app.settings.config_path), **values})
    for name, value in values.items():
        app.out.line(f"{name}: {quote(value)}")


def effective(settings: Settings) -> dict[str, str]:
    """Return settings as keys and text, without secrets in URLs."""
    values = {
        "store": settings.store,
        "context": settings.context or "",
        "name": settings.name,
        "email": settings.email,
        "cache": str(settings.cache),
        **settings.options,
    }
    return {key: redact(value) for key, value in values.items() if value}
