"""The entry point ``datamon``: the verbs of ``sheaf`` for scripts that were written for Datamon, on the same store.

The verbs are the same functions. This module has the differences: configuration files, flags, exit codes, wording, and
the ``.datamon/`` folder that a download leaves.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from copy import copy
from functools import cache
from typing import Final, NoReturn

import click

from sheaf.cli.app import Dialect
from sheaf.cli.datamon_commands.settings import read_datamon
from sheaf.cli.datamon_commands.traces import leave_traces
from sheaf.cli.options import GLOBAL_OPTIONS, global_option, ignored_option
from sheaf.cli.output.streams import ensure_utf8, prepare_streams
from sheaf.cli.process_setup import set_up_process
from sheaf.cli.run import start
from sheaf.cli.verb_tree import MissingOptions, VerbTree
from sheaf.cli.verbs import NOUNS as SHEAF_NOUNS
from sheaf.cli.verbs import VERBS as SHEAF_VERBS

__all__ = ["DATAMON", "NOUNS", "VERBS", "datamon", "main"]

NOUNS: Final = {noun: SHEAF_NOUNS[noun] for noun in ("bundle", "config", "context", "diamond", "label", "repo")}

_SHARED: Final = (
    "bundle commit",
    "bundle diff",
    "bundle download",
    "bundle download file",
    "bundle get",
    "bundle list",
    "bundle list files",
    "bundle mount",
    "bundle mount new",
    "bundle update",
    "bundle upload",
    "completion",
    "diamond cancel",
    "diamond commit",
    "diamond get",
    "diamond initialize",
    "diamond list",
    "diamond split add",
    "diamond split get",
    "diamond split list",
    "label get",
    "label list",
    "label set",
    "repo create",
    "repo delete",
    "repo get",
    "repo list",
    "repo rename",
    "repo squash",
)
VERBS: Final[dict[str, str]] = {
    **{name: SHEAF_VERBS[name] for name in _SHARED},
    "config create": "sheaf.cli.datamon_commands.config:create",
    "config get": "sheaf.cli.datamon_commands.config:get",
    "config set": "sheaf.cli.datamon_commands.config:set_",
    "context create": "sheaf.cli.datamon_commands.context:create",
    "context get": "sheaf.cli.datamon_commands.context:get",
    "context list": "sheaf.cli.datamon_commands.context:list_",
    "version": "sheaf.cli.datamon_commands.config:version",
}

_NOT_FOUND: Final = 3
_EXITS: Final = {0: 0, _NOT_FOUND: 2}
_MEANINGS: Final = {0: "done", 1: "it failed", 2: "not found"}


def _exit_code(code: int) -> int:
    """Convert an exit code to one of Datamon's three: done, not found (ENOENT), everything else."""
    return _EXITS.get(code, 1)


def _usage_message(error: click.ClickException) -> str:
    if isinstance(error, MissingOptions):
        names = ", ".join(f'"{name.lstrip("-")}"' for name in error.names)
        return f"required flag(s) {names} not set"
    if isinstance(error, click.MissingParameter) and isinstance(error.param, click.Option):
        return f'required flag(s) "{error.param.opts[0].lstrip("-")}" not set'
    return " ".join(error.format_message().split())


_RENAMED: Final = {
    "--jobs": "--concurrency-factor",
    "--keep-last": "--retain-n-latest",
    "--overwrite": "--force-dest",
    "--yes": "--force-yes",
}


# Cached, because click finds options by their identity.
@cache
def _option(option: click.Option) -> click.Option:
    """Return an option of a verb under Datamon's name. ``--concurrency-factor`` keeps its meaning, too."""
    if _RENAMED.keys().isdisjoint(option.opts):
        return option
    own = copy(option)
    own.opts = [_RENAMED.get(name, name) for name in option.opts if name != "-j"]
    if "--jobs" in option.opts:
        own.help, own.callback = "About N/5 files at once. Default: by the machine.", _workers
    return own


def _workers(ctx: click.Context, param: click.Parameter, factor: int | None) -> int | None:
    return None if factor is None else max(1, factor // 5)


DATAMON: Final = Dialect(
    name="datamon",
    read_settings=read_datamon,
    global_options=(
        global_option("--config", metavar="BUCKET", help="Kept for scripts; contexts are in the configuration file."),
        global_option("--format", metavar="TEMPLATE", help="A line for each thing, such as '{{.ID}}'."),
        *GLOBAL_OPTIONS,
        ignored_option("--concurrency-factor", type=click.INT),
        ignored_option("--loglevel"),
        ignored_option("--metrics", is_flag=True),
        ignored_option("--metrics-password"),
        ignored_option("--metrics-url"),
        ignored_option("--metrics-user"),
        ignored_option("--skip-auth", is_flag=True),
        ignored_option("--upgrade", is_flag=True),
    ),
    exit_code=_exit_code,
    exits=_MEANINGS,
    usage_message=_usage_message,
    error_prefix="ERROR: ",
    hint_prefix="INFO: ",
    note_prefix="INFO: ",
    partial_exit=0,  # Upstream logs what it skips and continues.
    has_tables=False,
    keeps_upstream=True,
    names_config=True,
    renamed=_RENAMED,
    option=_option,
    after_download=leave_traces,
)

datamon: Final = VerbTree(
    "datamon",
    VERBS,
    NOUNS,
    help="Datamon's commands on a Sheaf store.",
)


def main(argv: Sequence[str] | None = None) -> NoReturn:
    """Run the command line and exit with its exit code."""
    ensure_utf8()
    prepare_streams()
    set_up_process()
    start(datamon, DATAMON, list(sys.argv[1:] if argv is None else argv))
