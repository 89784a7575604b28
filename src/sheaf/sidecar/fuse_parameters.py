"""All parameters of a sidecar of the kind ``fuse``, from flags, YAML and the environment."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from sheaf.errors import InvalidInput, SheafError
from sheaf.sidecar.command_lines import FuseCommands, parse_commands
from sheaf.sidecar.coordination import FUSE, CoordinationFolder
from sheaf.sidecar.parameters import (
    behaviour_of,
    cache_bytes_of,
    commands_of_environment,
    coordination_folder_of,
    environment_options,
    likely_folder,
)
from sheaf.sidecar.supervision import Behaviour

__all__ = ["FuseParameters", "Given", "read_fuse_parameters"]


@dataclass(frozen=True, slots=True)
class Given:
    """What the command line and the environment say. ``flags``: global options by the names that YAML has.

    ``default_file``: where a ConfigMap of Datamon puts the parameters of a database, if nothing names another file.
    """

    variables: Mapping[str, str]
    flags: Mapping[str, str]
    commands: Sequence[str] = ()
    id_file: Path | None = None
    params: str | None = None
    default_file: Path = Path("/config/pgparams.yaml")


@dataclass(frozen=True, slots=True)
class FuseParameters:
    """What a sidecar runs, and how."""

    folder: CoordinationFolder
    behaviour: Behaviour
    cache_bytes: int
    commands: FuseCommands


def read_fuse_parameters(given: Given) -> FuseParameters:
    """Read all parameters. Raises InvalidInput and NotFound, and reports them in the coordination folder."""
    try:
        return _read(given)
    except SheafError as error:
        folder = likely_folder(given.variables, given.params, dict(given.flags))
        CoordinationFolder(folder, FUSE).fail(error)
        raise


def _read(given: Given) -> FuseParameters:
    options: Mapping[str, str] = {}
    if given.commands:
        if given.params:
            raise InvalidInput("-d and --params are mutually exclusive", "pass only one of them")
        commands = parse_commands(given.commands, given.id_file)
    else:
        options, commands = commands_of_environment(given.variables, given.params)
        if given.id_file is not None:
            raise InvalidInput("-i requires -d", "set destBundleID in YAML")
    commands.check()
    values = {**environment_options(given.variables), **options, **given.flags}
    folder = CoordinationFolder(coordination_folder_of(values), FUSE)
    return FuseParameters(folder, behaviour_of(values), cache_bytes_of(values), commands)
