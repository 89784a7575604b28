"""Options that several verbs, or all of them, share."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import click

from sheaf.cli.app import App
from sheaf.cli.tree import check_text
from sheaf.cli.words import make_completable

__all__ = [
    "COUNT",
    "GLOBAL_OPTIONS",
    "IGNORED_OPTIONS",
    "PLACE",
    "Number",
    "bundle_choice",
    "exit_code",
    "file_list",
    "folder_option",
    "global_option",
    "ignored_option",
    "jobs",
    "move_label",
    "name_filter",
    "nul",
    "read_data",
    "repo",
    "skip_on_error",
    "stack",
    "yes",
]

F = Callable[..., Any]
Decorator = Callable[[F], F]


def _keep(ctx: click.Context, param: click.Parameter, value: object) -> None:
    """Global flags go to the App; one given twice counts the last time, the verb's before the group's."""
    app = ctx.find_object(App)
    is_unset = value is None or (value == 0 and param.name != "table")
    if app is None or is_unset or param.name is None:
        return
    check_text(ctx, param, value)
    if value == "" and not app.dialect.keeps_upstream:  # from a variable that isn't set: the default is another store
        raise click.BadParameter("it is empty", ctx, param)
    app.flags[param.name] = value if isinstance(value, str) else str(value).lower()


def global_option(*names: str, **extra: Any) -> click.Option:
    """An option that any verb takes; its value is kept in ``App.flags``."""
    option = click.Option(names, expose_value=False, callback=_keep, **extra)
    make_completable([option])
    return option


def ignored_option(name: str, **extra: Any) -> click.Option:
    """A flag that is taken and means nothing here."""
    return click.Option([name], expose_value=False, hidden=True, **extra)


#: Datamon's flags that have no meaning here: verification is always on, retries always bounded.
IGNORED_OPTIONS: Final = (
    ignored_option("--batch-size", type=click.INT),
    ignored_option("--retry", is_flag=True),
    ignored_option("--verify-hash", is_flag=True),
    ignored_option("--verify-blob-hash", is_flag=True),
)

#: What both programs take.
GLOBAL_OPTIONS: Final = (
    global_option("--store", metavar="URL", help="The store: a folder or s3://, gs://, az://, memory://."),
    global_option("--context", metavar="CONTEXT", help="A context of the configuration file."),
    global_option("--endpoint", metavar="URL", help="Base URL of an S3, GCS or Azure look-alike."),
    global_option("--region", metavar="NAME", help="The bucket's region."),
    global_option("--profile", metavar="NAME", help="A profile of ~/.aws/credentials and ~/.aws/config."),
    global_option("--key-file", metavar="FILE", help="The key of an encrypted store."),
    global_option("--limit-rate", metavar="SIZE", help="At most so many bytes a second each way, such as 10M."),
    global_option("--json", is_flag=True, help="Lists as JSON Lines, single things as one object, errors too."),
    global_option("--debug", is_flag=True, help="Show the traceback of an error."),
    *IGNORED_OPTIONS,
)


def stack(*decorators: Decorator) -> Decorator:
    """Several decorators as one, in the order in which help shows them."""

    def decorate(function: F) -> F:
        for decorator in reversed(decorators):
            function = decorator(function)
        return function

    return decorate


repo: Final = click.option("--repo", required=True, metavar="REPO", help="The repo's name.")
bundle_choice: Final = stack(
    click.option("--bundle", metavar="REF", help="A bundle id, or any other ref. Default: the head of main."),
    click.option("--label", metavar="LABEL", help="The bundle that has this label."),
    click.option("--branch", metavar="BRANCH", help="The newest bundle of this branch."),
)
jobs: Final = click.option(
    "-j",
    "--jobs",
    type=click.IntRange(1),
    metavar="N",
    help="Number of concurrent transfers. Default: by the machine.",
)
file_list: Final = click.option(
    "--files", metavar="LIST", help="Only the files named in LIST, one a line, relative to the folder ('-': stdin)."
)
yes: Final = click.option("-y", "--yes", is_flag=True, help="Don't ask.")
name_filter: Final = click.option(
    "--name-filter", metavar="REGEX", help="Only paths in which this expression is found."
)
skip_on_error: Final = click.option(
    "--skip-on-error", is_flag=True, help="Leave out files that can't be read, and say which (exit code 11)."
)
move_label: Final = click.option("--move-label", is_flag=True, help="Move the label if it is set already.")
allow_empty: Final = click.option("--allow-empty", is_flag=True, help="Make a bundle even without any file.")
allow_erased: Final = click.option(
    "--allow-erased", is_flag=True, help="Let files come back that were erased from the store; they are warned of."
)
nul: Final = click.option("-z", "nul", is_flag=True, help="Exact names, each followed by a NUL byte.")
exit_code: Final = click.option("--exit-code", is_flag=True, help="Exit with 1 if there are differences.")


class _Place(click.Path):
    """A path. An empty one would be the current folder, though it comes from a variable that isn't set."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        text = str(value)
        if not text or "\0" in text:
            self.fail("it holds a NUL byte" if text else "it is empty: for the current folder write .", param, ctx)
        return super().convert(value, param, ctx)


class Number(click.FloatRange):
    """A number within bounds; ``nan`` is within none."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        number = super().convert(value, param, ctx)
        if math.isnan(number):
            self.fail(f"'{value}' is not a number", param, ctx)
        return number


#: A place of this machine. Whether it may be read is said by what reads it.
PLACE: Final = _Place(path_type=Path, readable=False)
#: A number of things or bytes.
COUNT: Final = click.IntRange(0, sys.maxsize)


def folder_option(name: str, text: str) -> Decorator:
    """A required option that names a folder of this machine."""
    return click.option(name, required=True, type=PLACE, metavar="DIR", help=text)


def _share(value: str) -> float:
    """``10%`` or ``0.1`` as 0.1."""
    try:
        share = float(value.removesuffix("%")) / (100 if value.endswith("%") else 1)
    except ValueError:
        share = -1.0
    if not 0 < share <= 1:
        raise click.BadParameter(f"'{value}' is no part between 0% and 100%")
    return share


def read_data(help: str) -> Decorator:
    """How much of the data is read: a part between 0 and 1, None without the option."""
    return click.option("--read-data", type=_share, is_flag=False, flag_value="100%", metavar="[=N%]", help=help)
