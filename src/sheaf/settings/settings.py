"""The settings of a process, merged from all sources.

Only this module reads the environment, the home folder and the terminal; a cloud's own variables are read where its
library needs them, in ``storage/bucket/clients.py``. The result of reading is a value (:class:`Environment`); everything
else is a function of it.

Precedence: flag > environment > context > configuration file > default. A context named by ``--context`` counts as a
flag. If another source overrides the store of a context, the whole context is ignored, since its options belong to it.
"""

from __future__ import annotations

import contextlib
import getpass
import os
import sys
from collections import ChainMap
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, TextIO

from msgspec import Struct, structs

from sheaf.errors import InvalidInput, NotFound
from sheaf.local_errors import printable
from sheaf.settings import configfile
from sheaf.settings.sizes import parse_size
from sheaf.storage.open import is_path
from sheaf.storage.storage_options import StorageOptions

__all__ = [
    "FILES",
    "KEYS",
    "OPTION_KEYS",
    "Environment",
    "Settings",
    "check_config_file",
    "check_key",
    "combine",
    "default_config_path",
    "flat",
    "is_store_named",
    "is_verbose_terminal",
    "options_for",
    "read_environment",
    "read_sheaf",
    "storage_options",
    "text_of",
]

OPTION_KEYS: Final = StorageOptions.__struct_fields__
#: The keys of a file, of a context (except ``context``) and, as ``SHEAF_<KEY>``, of the environment.
KEYS: Final = ("store", "context", "name", "email", "cache", *OPTION_KEYS)
#: Variables whose values are never shown.
SECRETS: Final = ("SHEAF_KEY", "SHEAF_PASSPHRASE", "SHEAF_SSE_CUSTOMER_KEY")
#: Keys whose values are paths on this machine.
FILES: Final = ("cache", "ca_file", "credential", "sse_customer_key_file", "key_file")


@dataclass(frozen=True, slots=True)
class Environment:
    """The environment of the process. ``home`` is None if there is no home folder, as in some containers."""

    variables: Mapping[str, str] = field(repr=False)  # not shown, since some values are secret
    home: Path | None
    user: str
    stdout_is_terminal: bool = False
    stderr_is_terminal: bool = False

    def text(self, variable: str) -> str:
        """Return a variable, "" if it is not set. Raises InvalidInput if it is not UTF-8 text."""
        value = self.variables.get(variable, "")
        if not value.isascii() and value != printable(value):
            shown = "its value" if variable in SECRETS else f"'{printable(value)}'"
            raise InvalidInput(f"{variable}: {shown} is not UTF-8 text", "set it to UTF-8 text")
        return value

    def folder(self, variable: str, fallback: str) -> Path:
        """Return an XDG folder. A relative path in the environment is ignored, as its specification says."""
        given = self.variables.get(variable, "")
        if given.startswith("/"):
            return Path(given)
        if self.home is None:
            raise InvalidInput("no home folder", f"set HOME or {variable} to an absolute path")
        return self.home / fallback


class Settings(Struct, frozen=True):
    """The effective settings. ``is_embedded``: no store was named, so it is the one in the user's data folder."""

    store: str
    is_embedded: bool
    context: str | None
    name: str
    email: str
    cache: Path
    config_path: Path
    config_was_read: bool
    options: Mapping[str, str]

    def storage_options(self) -> StorageOptions:
        """Return the options for opening the store. Raises InvalidInput for an invalid value."""
        options = dict(self.options)
        if "limit_rate" in options:
            options["limit_rate"] = str(parse_size(options["limit_rate"]))
        return StorageOptions().merged(options)


def read_environment() -> Environment:
    """Read the environment of the process."""
    home = os.path.expanduser("~")  # noqa: PTH111 - Path.home() raises where there is no home
    try:
        user = printable(getpass.getuser())
    except (KeyError, OSError, ImportError):
        user = "unknown"
    terminals = _is_terminal(sys.stdout), _is_terminal(sys.stderr)
    variables = dict(os.environ)  # noqa: TID251 - the only module that may
    return Environment(variables, Path(home) if home.startswith("/") else None, user, *terminals)


def _is_terminal(stream: TextIO | None) -> bool:
    """True if the stream is a terminal. Programs that use the library may have closed their streams, or have none."""
    return stream is not None and not stream.closed and stream.isatty()


def is_verbose_terminal(environment: Environment) -> bool:
    """True if progress can be drawn, which requires a terminal that can move its cursor."""
    return environment.stderr_is_terminal and environment.variables.get("TERM") != "dumb"


def default_config_path(environment: Environment, flags: Mapping[str, str]) -> Path:
    """Return the path of the configuration file."""
    named = flags.get("config") or environment.variables.get("SHEAF_CONFIG")
    if named:
        return Path(named).expanduser()
    return environment.folder("XDG_CONFIG_HOME", ".config") / "sheaf" / "config.yaml"


def check_config_file(environment: Environment, flags: Mapping[str, str]) -> None:
    """Raise InvalidInput if the file of ``--config`` does not exist: the defaults could name another store."""
    path = default_config_path(environment, flags) if flags.get("config") else None
    if path is not None and not path.exists():
        raise InvalidInput(
            f"--config: file {path} does not exist", f"create it with `sheaf config create --config {path}`"
        )


def read_sheaf(environment: Environment, flags: Mapping[str, str]) -> Settings:
    """Return the settings of a call of ``sheaf``. Raises InvalidInput; NotFound for a context that does not exist."""
    check_config_file(environment, flags)
    path = default_config_path(environment, flags)
    config = configfile.load(path)
    for key in config:
        if key != "contexts":
            check_key(key, path)
    contexts = config.get("contexts")
    for name, values in contexts.items() if isinstance(contexts, dict) else ():
        for key in values if isinstance(values, dict) else ():
            check_key(key, f"{path}, context '{name}'")
    return combine(environment, flags, config, path)


def combine(environment: Environment, flags: Mapping[str, str], config: Mapping[str, Any], path: Path) -> Settings:
    """Merge settings from flags, ``SHEAF_*`` variables and a file, with the precedence of the module's docstring."""
    variables = {key: _variable(environment, key) for key in KEYS}
    file = flat(config, path)
    context = flags.get("context") or variables["context"] or file.get("context") or None
    chosen = _context(config, context, path)
    above = [flags] if flags.get("context") else [flags, variables]
    if any(layer.get("store") for layer in above):
        context, chosen = None, {}
    order = [flags, chosen, variables, file] if flags.get("context") else [flags, variables, chosen, file]
    said = ChainMap(*({key: value for key, value in layer.items() if value} for layer in order))
    return _settings(environment, said, context, path, bool(config))


def _variable(environment: Environment, key: str) -> str:
    """Return the value of a key in the environment. Only local paths may be any bytes."""
    name = f"SHEAF_{key.upper()}"
    value = environment.variables.get(name, "")
    return value if key in FILES or (key == "store" and is_path(value)) else environment.text(name)


def is_store_named(environment: Environment, flags: Mapping[str, str]) -> bool:
    """True if a flag or the environment names a store or a context: more than a default."""
    return any(flags.get(key) or environment.variables.get(f"SHEAF_{key.upper()}") for key in ("store", "context"))


def options_for(settings: Settings, url: str) -> StorageOptions:
    """Return the options for another store, such as a replica: those of its context, or those of the store itself."""
    config = configfile.load(settings.config_path)
    for name in config.get("contexts") or {}:
        chosen = _context(config, name, settings.config_path)
        if chosen.get("store") == url:
            options = {key: _expanded(key, chosen[key]) for key in OPTION_KEYS if key in chosen}
            return structs.replace(settings, options=options).storage_options()
    return settings.storage_options()


@contextlib.contextmanager
def storage_options(environment: Environment, settings: Settings) -> Iterator[StorageOptions]:
    """Yield the options for the store, while it is being opened.

    The customer's key of S3 may come from the environment instead of a file: then it is passed through a pipe.
    """
    options = settings.storage_options()
    key = environment.text("SHEAF_SSE_CUSTOMER_KEY")
    if not key or options.sse != "customer" or options.sse_customer_key_file:
        yield options
        return
    reader, writer = os.pipe()
    try:
        with os.fdopen(writer, "wb") as stream:
            stream.write(key.encode())
        yield structs.replace(options, sse_customer_key_file=f"/dev/fd/{reader}")
    finally:
        os.close(reader)


def _settings(
    environment: Environment, said: Mapping[str, str], context: str | None, path: Path, was_read: bool
) -> Settings:
    cache = said.get("cache")
    return Settings(
        store=said.get("store") or str(environment.folder("XDG_DATA_HOME", ".local/share") / "sheaf" / "store"),
        is_embedded="store" not in said,
        context=context,
        name=said.get("name") or environment.user,
        email=said.get("email", ""),
        cache=Path(cache).expanduser() if cache else environment.folder("XDG_CACHE_HOME", ".cache") / "sheaf",
        config_path=path,
        config_was_read=was_read,
        options={key: _expanded(key, said[key]) for key in OPTION_KEYS if key in said},
    )


def _context(config: Mapping[str, Any], name: str | None, path: Path) -> dict[str, str]:
    if name is None:
        return {}
    contexts = config.get("contexts") or {}
    if not isinstance(contexts, dict) or not isinstance(contexts.get(name), dict):
        raise NotFound(f"context '{name}' not found in {path}", "run `sheaf context list` to list the contexts")
    return flat(contexts[name], path)


def flat(mapping: Mapping[str, Any], path: Path) -> dict[str, str]:
    """Return the known keys of a mapping, their values as text. Raises InvalidInput for a value that is not a scalar."""
    values: dict[str, str] = {}
    for key in KEYS:
        value = mapping.get(key)
        if isinstance(value, (dict, list)):
            raise InvalidInput(f"{path}: '{key}' must be a single value")
        if value is not None:
            values[key] = text_of(value)
    return values


def text_of(value: object) -> str:
    """Format a scalar as in the environment: ``true``, ``10``, ``eu-central-1``."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def check_key(key: str, where: object) -> None:
    """Raise InvalidInput for an unknown key."""
    if key not in KEYS:
        import difflib  # only for mistyped keys

        near = difflib.get_close_matches(str(key), KEYS, 1)
        known = f"known keys: {', '.join(KEYS)}"
        raise InvalidInput(f"{where}: unknown key '{key}'", f"did you mean {near[0]}? {known}" if near else known)


def _expanded(key: str, value: str) -> str:
    return str(Path(value).expanduser()) if key in FILES else value
