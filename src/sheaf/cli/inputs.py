"""Conversion of user input for the API: choices of a bundle, addresses, lists of files, answers to prompts."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterable, Iterator
from io import TextIOWrapper
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Final, cast

import click

from sheaf.api import Address, parse_address
from sheaf.cli.app import App
from sheaf.cli.output.text import quote
from sheaf.errors import InvalidInput, NotFound, Refused

if TYPE_CHECKING:
    from sheaf.repo.bundle import Bundle
    from sheaf.repo.repo import Repo

__all__ = [
    "address_of",
    "bundle_at",
    "choose_bundle",
    "confirm",
    "first_line",
    "is_address",
    "is_local",
    "read_list",
    "read_meta",
    "repo_at",
    "showing",
    "standard_input",
]

_SURE: Final = "pass --yes to proceed"


def choose_bundle(
    app: App, repo: Repo, *, bundle: str | None = None, label: str | None = None, branch: str | None = None
) -> Bundle:
    """The one bundle that ``--bundle``, ``--label`` and ``--branch`` name; without any, the head of ``main``.

    Raises InvalidInput if more than one was given, NotFound if there is none.
    """
    given = {"--bundle": bundle, "--label": label, "--branch": branch}
    named = [flag for flag, value in given.items() if value]
    if len(named) > 1:
        raise InvalidInput(
            f"{' and '.join(named)} are mutually exclusive", "pass only one of them, or none for the head of main"
        )
    if not named and app.dialect.keeps_upstream:
        return repo.newest()
    if label:
        return repo.bundle(f"label:{label}")
    return repo.bundle(f"branch:{branch}" if branch else bundle)


def is_address(text: str) -> bool:
    """True if an argument of ``cp`` is an address in a store. A local file with such a name is written ``./name``."""
    return not is_local(text) and ("@" in text or ":" in text)


def address_of(text: str) -> Address:
    """Parse ``repo@ref:path``. Raises InvalidInput."""
    try:
        return parse_address(text)
    except InvalidInput as error:
        raise InvalidInput(error.message, _local_hint(text) or error.hint) from error


def repo_at(app: App, address: Address, typed: str) -> Repo:
    """The repo of an address. Raises NotFound, with another hint if ``typed`` is the name of a local file."""
    try:
        return app.repo(address.repo)
    except NotFound as error:
        raise NotFound(error.message, _local_hint(typed) or error.hint) from error


def bundle_at(app: App, address: Address, typed: str = "") -> Bundle:
    """The bundle that an address names. Raises NotFound, Ambiguous."""
    return repo_at(app, address, typed).bundle(address.ref)


@contextlib.contextmanager
def showing(address: Address) -> Iterator[None]:
    """Within it, NotFound gets a hint: the command that lists the bundle of an address."""
    try:
        yield
    except NotFound as error:
        ref = f"@{address.ref}" if address.ref else ""
        raise NotFound(error.message, f"see `sheaf ls {address.repo}{ref}`") from error


def is_local(text: str) -> bool:
    """True if an argument can only be a local file or folder."""
    return text.startswith((".", "/", "~"))


def _local_hint(text: str) -> str:
    return f"write ./{quote(text)} for the local file or folder" if text and os.path.lexists(text) else ""


def read_list(name: str, folder: Path) -> list[str]:
    """The lines of a ``--files`` list, with absolute paths made relative to the folder. Raises InvalidInput.

    Only a newline ends a line (or a NUL, if there is one): any other character may be part of a name.
    """
    raw = standard_input().read() if name == "-" else Path(name).read_bytes()
    try:
        lines = raw.decode().split("\0" if b"\0" in raw else "\n")
    except UnicodeDecodeError:
        raise InvalidInput(f"the list {name} is not valid UTF-8") from None
    return list(_relative((line for line in lines if line), folder))


def standard_input() -> BinaryIO:
    """The bytes of standard input. Raises InvalidInput if it is closed."""
    if not isinstance(sys.stdin, TextIOWrapper):
        raise InvalidInput("standard input is closed", "redirect it from a file or a pipe, such as </dev/null")
    return cast(BinaryIO, sys.stdin.buffer)


def first_line() -> str:
    """The first line of standard input, without its end (LF or CRLF). Raises InvalidInput."""
    raw = standard_input().readline()
    try:
        return raw.removesuffix(b"\n").removesuffix(b"\r").decode()
    except UnicodeDecodeError:
        raise InvalidInput("the line on standard input is not valid UTF-8") from None


def _relative(lines: Iterable[str], folder: Path) -> Iterable[str]:
    root = os.path.abspath(folder)  # noqa: PTH100 - lexical: a list must not be resolved through symlinks
    for line in lines:
        relative = os.path.relpath(line, root) if line.startswith("/") else os.path.normpath(line)
        if relative == ".." or relative.startswith("../"):
            raise InvalidInput(f"'{line}' in the list is not below {folder}", "list paths relative to the folder")
        yield relative


def read_meta(pairs: Iterable[str]) -> dict[str, str]:
    """Parse ``k=v`` arguments into a mapping. Raises InvalidInput."""
    meta: dict[str, str] = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals or not key:
            raise InvalidInput(f"invalid value '{pair}' for --meta: expected KEY=VALUE")
        meta[key] = value
    return meta


def confirm(question: str, *, is_sure: bool) -> None:
    """Ask on stderr and read a line from stdin; any answer but y or yes raises Refused. Without a terminal, don't ask."""
    if is_sure:
        return
    context = click.get_current_context(silent=True)
    app = context.find_object(App) if context else None
    as_json, is_seen = app is not None and app.out.as_json, sys.stdin is not None and sys.stdin.isatty()
    choices = "[y|n]" if app is not None and app.dialect.keeps_upstream else "[y/N]"
    if as_json and is_seen:
        raise Refused(f"confirmation required: {question}", _SURE)
    if is_seen:
        print(f"{question} {choices} ", end="", file=sys.stderr, flush=True)
    line = sys.stdin.readline() if sys.stdin is not None else ""
    answer = line.strip()
    if answer.lower() in {"y", "yes"}:
        return
    if as_json or not (line or is_seen):
        raise Refused(f"confirmation required: {question}", _SURE)
    if not (line and is_seen):  # else whoever typed has ended the line
        print("" if is_seen else f"{question} {choices} {quote(answer)}", file=sys.stderr)
    raise Refused("user aborted", _SURE)
