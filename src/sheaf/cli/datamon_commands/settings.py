"""The settings of ``datamon``: where its configuration files are, and how they are merged with those of ``sheaf``.

In order of precedence: flag, environment, context, datamon.yaml, the settings of ``sheaf``.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from msgspec import structs

from sheaf.errors import InvalidInput
from sheaf.settings import configfile
from sheaf.settings.settings import Environment, Settings, combine, read_sheaf

__all__ = ["config_files", "contexts_of", "first_generation", "read_datamon", "second_generation"]

_FILE: Final = "datamon.yaml"


def first_generation(environment: Environment) -> Path:
    """Return the path of the file that ``config create --name … --email …`` writes."""
    return _at_home(environment, ".datamon")


def second_generation(environment: Environment) -> Path:
    """Return the path of the file that ``config set`` writes."""
    return _at_home(environment, ".datamon2")


def _at_home(environment: Environment, folder: str) -> Path:
    named = environment.variables.get("DATAMON_CONFIG")
    if named:
        return Path(named).expanduser()
    if environment.home is None:
        raise InvalidInput("there is no home folder", "set DATAMON_CONFIG to the path of the configuration file")
    return environment.home / folder / _FILE


def config_files(environment: Environment) -> list[Path]:
    """Return the configuration files that exist, by precedence.

    The working folder is not searched: other users may have put a file there.
    """
    homes = [second_generation(environment), first_generation(environment)]
    if environment.variables.get("DATAMON_CONFIG"):
        return [path for path in homes[:1] if path.exists()]
    return [path for path in (*homes, Path("/etc/datamon2", _FILE), Path("/etc/datamon", _FILE)) if path.exists()]


def read_datamon(environment: Environment, flags: Mapping[str, str]) -> Settings:
    """Return the settings of a call of ``datamon``. Raises InvalidInput, and NotFound for an unknown context."""
    files = config_files(environment)
    config = _merged(files)
    below = _of_sheaf(read_sheaf(environment, {}))
    variables = {**environment.variables, "SHEAF_CONTEXT": environment.variables.get("DATAMON_CONTEXT", "")}
    given = dict(flags)
    # Datamon kept its contexts elsewhere: a name without such a context must not stop a script.
    if not contexts_of(config):
        given.pop("context", None)
        config.pop("context", None)
        variables["SHEAF_CONTEXT"] = ""
    surroundings = dataclasses.replace(environment, variables=variables)
    path = files[0] if files else second_generation(environment)
    settings = combine(surroundings, given, {**below, **config}, path)
    return structs.replace(_with_needed_credential(settings), config_was_read=bool(files))


def contexts_of(config: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Return the contexts in a file's content, by name."""
    contexts = config.get("contexts") or {}
    return contexts if isinstance(contexts, dict) else {}


def _merged(files: list[Path]) -> dict[str, Any]:
    merged: dict[str, Any] = {}
    for path in reversed(files):
        merged.update(configfile.load(path))
    return merged


def _of_sheaf(settings: Settings) -> dict[str, str]:
    own = {"name": settings.name, "email": settings.email, "cache": str(settings.cache), **settings.options}
    return own if settings.is_embedded else {"store": settings.store, **own}


def _with_needed_credential(settings: Settings) -> Settings:
    """Return settings without Datamon's key file unless the store is Google's.

    The file is for Google only; other stores must not fail because of it, least of all because it doesn't exist.
    """
    if settings.store.startswith("gs://"):
        return settings
    options = {key: value for key, value in settings.options.items() if key != "credential"}
    return structs.replace(settings, options=options)
