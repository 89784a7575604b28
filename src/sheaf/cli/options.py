"""Options that several verbs, or all of them, share."""

from __future__ import annotations

import functools
import math
import sys
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any, Final, cast

import click

from sheaf.cli.app import App
from sheaf.cli.verb_tree import check_text
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
    "packed",
    "read_data",
    "repo",
    "skip_on_error",
    "stack",
    "yes",
]

F = Callable[..., Any]
Decorator = Callable[[F], F]


def _keep(ctx: click.Context, param: click.Parameter, value: object) -> None:
    """Store a global flag in the App.

    The last of repeated flags counts; those of the verb override those of the group.
    """
    app = ctx.find_object(App)
    is_unset = value is None or (value == 0 and param.name != "table")
    if app is None or is_unset or param.name is None:
        return
    check_text(ctx, param, value)
    # An empty value comes from an unset shell variable: it would mean another store, the default one.
    if value == "" and not app.dialect.keeps_upstream:
        raise click.BadParameter("the value is empty", ctx, param)
    app.flags[param.name] = value if isinstance(value, str) else str(value).lower()


def global_option(*names: str, **extra: Any) -> click.Option:
    """Return an option that any verb accepts; its value is kept in ``App.flags``."""
    option = click.Option(names, expose_value=False, callback=_keep, **extra)
    make_completable([option])
    return option


def ignored_option(name: str, **extra: Any) -> click.Option:
    """Return an option that is accepted and ignored."""
    return click.Option([name], expose_value=False, hidden=True, **extra)


#: Datamon's flags that have no meaning here: verification is always on, retries always bounded.
IGNORED_OPTIONS: Final = (
    ignored_option("--batch-size", type=click.INT),
    ignored_option("--retry", is_flag=True),
    ignored_option("--verify-hash", is_flag=True),
    ignored_option("--verify-blob-hash", is_flag=True),
)

#: Options of both programs.
GLOBAL_OPTIONS: Final = (
    global_option("--store", metavar="URL", help="Store: a folder, or an s3://, gs://, az:// or memory:// URL."),
    global_option("--context", metavar="CONTEXT", help="Context of the configuration file to use."),
    global_option("--endpoint", metavar="URL", help="Base URL of an S3-, GCS- or Azure-compatible service."),
    global_option("--region", metavar="NAME", help="Region of the bucket."),
    global_option("--profile", metavar="NAME", help="Profile in ~/.aws/credentials and ~/.aws/config."),
    global_option("--key-file", metavar="FILE", help="Key file of an encrypted store."),
    global_option("--limit-rate", metavar="SIZE", help="Bandwidth limit per direction in bytes/s, such as 10M."),
    global_option("--json", is_flag=True, help="Print JSON: lists as JSON Lines, others as one object."),
    global_option("--debug", is_flag=True, help="Print the traceback of an error."),
    *IGNORED_OPTIONS,
)


def stack(*decorators: Decorator) -> Decorator:
    """Combine decorators into one, in the order in which help shows them."""

    def decorate(function: F) -> F:
        for decorator in reversed(decorators):
            function = decorator(function)
        return function

    return decorate


def packed(into: type[Any], name: str) -> Decorator:
    """Hand the options that are named as the fields of a dataclass to a verb as one value, in the parameter ``name``."""
    names = [field.name for field in fields(into)]

    def decorate(function: F) -> F:
        @functools.wraps(function)
        def call(*args: Any, **said: Any) -> Any:
            value = into(**{each: said.pop(each) for each in names})
            return function(*args, **said, **{name: value})

        return cast(F, call)

    return decorate


repo: Final = click.option("--repo", required=True, metavar="REPO", help="Name of the repo.")
bundle_choice: Final = stack(
    click.option("--bundle", metavar="REF", help="Bundle id or other ref. Default: the head of main."),
    click.option("--label", metavar="LABEL", help="Bundle that this label points to."),
    click.option("--branch", metavar="BRANCH", help="Newest bundle of this branch."),
)
jobs: Final = click.option(
    "-j",
    "--jobs",
    type=click.IntRange(1),
    metavar="N",
    help="Number of concurrent transfers. Default: by the machine.",
)
file_list: Final = click.option(
    "--files", metavar="LIST", help="Only files listed in LIST, one per line, relative to the folder ('-': stdin)."
)
yes: Final = click.option("-y", "--yes", is_flag=True, help="Don't ask for confirmation.")
name_filter: Final = click.option(
    "--name-filter", metavar="REGEX", help="Only paths that contain a match of this expression."
)
skip_on_error: Final = click.option(
    "--skip-on-error", is_flag=True, help="Skip unreadable files and list them (exit code 11)."
)
move_label: Final = click.option("--move-label", is_flag=True, help="Move the label if it already exists.")
allow_empty: Final = click.option("--allow-empty", is_flag=True, help="Commit a bundle even if it contains no files.")
allow_erased: Final = click.option("--allow-erased", is_flag=True, help="Store erased contents again, with a warning.")
nul: Final = click.option("-z", "nul", is_flag=True, help="Print exact names, each followed by a NUL byte.")
exit_code: Final = click.option("--exit-code", is_flag=True, help="Exit with 1 if there are differences.")


class _Place(click.Path):
    """A local path. An empty one, such as from an unset variable, is refused: it would be the current folder."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        text = str(value)
        if not text or "\0" in text:
            self.fail(
                "the value contains a NUL byte" if text else "the value is empty; write . for the current folder",
                param,
                ctx,
            )
        return super().convert(value, param, ctx)


class Number(click.FloatRange):
    """A number within bounds; ``nan`` is invalid."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        number = super().convert(value, param, ctx)
        if math.isnan(number):
            self.fail(f"'{value}' is not a number", param, ctx)
        return number


#: A local path. The code that reads it reports missing permissions.
PLACE: Final = _Place(path_type=Path, readable=False)
#: A number of things or bytes.
COUNT: Final = click.IntRange(0, sys.maxsize)


def folder_option(name: str, text: str) -> Decorator:
    """Return a required option that names a local folder."""
    return click.option(name, required=True, type=PLACE, metavar="DIR", help=text)


def _share(value: str) -> float:
    """Convert ``10%`` or ``0.1`` to 0.1. Raises BadParameter."""
    try:
        share = float(value.removesuffix("%")) / (100 if value.endswith("%") else 1)
    except ValueError:
        share = -1.0
    if not 0 < share <= 1:
        raise click.BadParameter(f"'{value}' is not between 0% and 100%")
    return share


def read_data(text: str) -> Decorator:
    """Return the option for the part of the data to read, between 0 and 1; None without the option."""
    return click.option("--read-data", type=_share, is_flag=False, flag_value="100%", metavar="[=N%]", help=text)
