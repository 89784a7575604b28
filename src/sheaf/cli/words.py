"""Words of the command line that a shell completes: names in a store or in the configuration.

The metavar of a parameter says what it names; :func:`name_of` knows which of them can be completed. The names
themselves are looked up by :mod:`sheaf.cli.candidates`, which loads when a shell requests completions.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

import click
from click.shell_completion import CompletionItem
from click.types import StringParamType

__all__ = ["Word", "make_completable", "name_of"]

#: Metavars for one kind of name each. A repo's name with a ref or path after it is an address.
_NAMES: Final = frozenset({"REPO", "REF", "LABEL", "BRANCH", "CONTEXT", "KEY"})
_ADDRESS: Final = re.compile(r"\bREPO\[?[@:]")
_LOCAL: Final = re.compile(r"\b(LOCAL|FOLDER)\b")


def name_of(metavar: str | None) -> str:
    """Return the kind of name that a metavar names (``REPO``, ``REF``, …, ``ADDRESS``), "" if it can't be completed."""
    metavar = (metavar or "").strip("[].")
    if _ADDRESS.search(metavar):
        return "ADDRESS"
    return metavar if metavar in _NAMES else ""


class Word(StringParamType):
    """Text that names something of a kind returned by :func:`name_of`, or with ``is_local`` a local file."""

    def __init__(self, kind: str, *, is_local: bool) -> None:
        self.kind = kind
        self.is_local = is_local

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        from sheaf.cli.candidates import candidates

        names = [CompletionItem(text) for text in candidates(ctx, self.kind, incomplete)]
        return [*names, CompletionItem(incomplete, type="file")] if self.is_local else names


def make_completable(params: Iterable[click.Parameter]) -> None:
    """Set the type of each parameter whose metavar names something, so that it can be completed."""
    for param in params:
        if param.type is click.STRING and (kind := name_of(param.metavar)):
            param.type = Word(kind, is_local=bool(_LOCAL.search(param.metavar or "")))
