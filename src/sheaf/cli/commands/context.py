"""``context``: named stores of the configuration file. Create, list, get, use."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import click

from sheaf.cli.app import App
from sheaf.cli.commands.config import given_keys
from sheaf.cli.output.render import View
from sheaf.cli.output.text import quote, redact
from sheaf.cli.verb_tree import verb
from sheaf.errors import AlreadyExists, InvalidInput, NotFound
from sheaf.settings import configfile
from sheaf.settings.settings import check_config_file, default_config_path, flat

__all__ = ["create", "get", "list_", "use"]

_NAME: Final = click.argument("name", metavar="[CONTEXT]", required=False)


@dataclass(frozen=True, slots=True)
class _Context:
    name: str
    values: dict[str, str]
    is_current: bool

    def record(self) -> dict[str, Any]:
        """Return the context as a record for JSON."""
        return {"name": self.name, "current": self.is_current, **self.values}


_VIEW: Final[View[_Context]] = View(
    line=lambda it: quote(it.name),
    record=_Context.record,
    columns=("NAME", "STORE", "CURRENT"),
    cells=lambda it: (it.name, it.values.get("store", ""), "*" if it.is_current else ""),
)


def _read(app: App) -> tuple[Path, dict[str, Any], dict[str, Any]]:
    path = default_config_path(app.environment, app.flags)
    config = configfile.load(path)
    contexts = config.get("contexts") or {}
    if not isinstance(contexts, dict) or not all(isinstance(value, dict) for value in contexts.values()):
        raise InvalidInput(f"{path}: 'contexts' must map names to settings")
    return path, config, contexts


def _named(app: App, name: str | None) -> str:
    name = name or app.flags.get("context")
    if not name:
        raise InvalidInput("missing context name", "pass it as an argument or with --context")
    return name


def _context(path: Path, config: dict[str, Any], name: str) -> _Context:
    values = {key: redact(value) for key, value in flat(config["contexts"][name], path).items()}
    return _Context(name, values, config.get("context") == name)


@verb(example="sheaf context create prod --store s3://prod-bucket/sheaf --region eu-central-1", exits=(4, 9))
@_NAME
@click.option("--credential", metavar="FILE", help="Credential file for the store's cloud.")
def create(app: App, name: str | None, **own: str | None) -> None:
    """Create a context, a named set of settings.

    It consists of the global options that are given, such as --store, and --credential.
    """
    name = _named(app, name)
    path, config, contexts = _read(app)
    if name in contexts:
        raise AlreadyExists(f"context '{name}' already exists in {path}")
    values = given_keys({key: value for key, value in app.flags.items() if key != "context"}, own)
    if "store" not in values:
        raise InvalidInput(f"context '{name}': missing store", "add --store URL")
    config["contexts"] = {**contexts, name: values}
    configfile.save(path, config)
    if app.out.as_json:
        app.out.one(_VIEW, _context(path, config, name))


@verb(name="list", example="sheaf context list", fields=lambda: {"": _VIEW})
def list_(app: App) -> None:
    """List the contexts, sorted by name."""
    check_config_file(app.environment, app.flags)
    path, config, contexts = _read(app)
    app.out.listing(_VIEW, [_context(path, config, name) for name in sorted(contexts)])


@verb(example="sheaf context get prod", exits=(3,), fields=lambda: {"": _VIEW})
@_NAME
def get(app: App, name: str | None) -> None:
    """Show one context; by default, the current one."""
    check_config_file(app.environment, app.flags)
    path, config, contexts = _read(app)
    name = _named(app, name or app.flags.get("context") or config.get("context"))
    if name not in contexts:
        raise NotFound(f"context '{name}' not found in {path}", "run `sheaf context list` to list the contexts")
    app.out.one(_VIEW, _context(path, config, name))


@verb(example="sheaf context use prod", exits=(3, 9))
@_NAME
def use(app: App, name: str | None) -> None:
    """Make a context the current one."""
    name = _named(app, name)
    path, config, contexts = _read(app)
    if name not in contexts:
        raise NotFound(f"context '{name}' not found in {path}", "run `sheaf context list` to list the contexts")
    configfile.save(path, {**config, "context": name})
    app.out.object({"context": name})
