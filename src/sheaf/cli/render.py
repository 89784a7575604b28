"""How answers look: lines, tables, JSON Lines or a template. What a thing looks like is its :class:`View`."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final, Generic, Literal, TypeVar

__all__ = ["Output", "View", "to_json"]

T = TypeVar("T")

_WIDEST: Final = 10_000  # columns of a table that no terminal bounds
_FIGURES: Final = frozenset({"BUNDLES", "FILES", "SIZE"})


@dataclass(frozen=True, slots=True)
class View(Generic[T]):
    """The faces of one kind of thing. Lines and cells are quoted, ``exact`` (for ``-z``) and ``record`` are not."""

    line: Callable[[T], str]
    record: Callable[[T], Mapping[str, object]]
    columns: tuple[str, ...] = ()
    cells: Callable[[T], tuple[str, ...]] | None = None
    exact: Callable[[T], str] | None = None
    #: For ``--format``: the field names that Datamon's templates use.
    fields: Callable[[T], Mapping[str, object]] | None = None


def to_json(value: object) -> str:
    """One line of JSON; times as RFC 3339, paths as text."""
    import msgspec  # here, since most calls print no JSON and start-up counts

    return msgspec.json.encode(value, enc_hook=str).decode()


@dataclass(frozen=True, slots=True)
class Output:
    """Prints to stdout in the way that was asked for."""

    as_json: bool = False
    as_table: bool = False
    template: str | None = None

    def listing(self, view: View[T], items: Iterable[T], *, nul: bool = False) -> None:
        """Many things: one each line, or a table, or JSON Lines, or (``nul``) exact names that each end in NUL."""
        if nul and not self.as_json:
            exact = view.exact or view.line
            self._write(f"{exact(item)}\0" for item in items)
        elif self.as_table and view.cells and not (self.as_json or self.template):
            _table(view.columns, [view.cells(item) for item in items])
        else:
            self._write(self._text(view, item) + "\n" for item in items)

    def one(self, view: View[T], item: T) -> None:
        """One thing: one line or one JSON object."""
        self._write([self._text(view, item) + "\n"])

    def line(self, text: str) -> None:
        """A line that only people and line-reading scripts get: nothing with ``--json`` or ``--format``."""
        if not (self.as_json or self.template):
            self._write([text + "\n"])
            sys.stdout.flush()

    def object(self, value: Mapping[str, Any]) -> None:
        """An object that only ``--json`` prints."""
        if self.as_json:
            self._write([to_json(value) + "\n"])

    def without_table(self) -> Output:
        """The same, for what never is a table."""
        return replace(self, as_table=False)

    def _text(self, view: View[T], item: T) -> str:
        if self.as_json:
            return to_json(view.record(item))
        if self.template:
            from sheaf.cli.gotemplate import fill

            return fill(self.template, (view.fields or view.record)(item))
        return view.line(item)

    @staticmethod
    def _write(texts: Iterable[str]) -> None:
        write = sys.stdout.write
        for text in texts:
            write(text)


def _table(columns: tuple[str, ...], rows: list[tuple[str, ...]]) -> None:
    if not rows:
        return
    from rich.cells import cell_len
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for at, column in enumerate(columns):
        width = max([len(column), *(cell_len(row[at]) for row in rows)])
        is_last = at == len(columns) - 1  # the one that gives way on a narrow terminal
        justify: Literal["left", "right"] = "right" if column in _FIGURES else "left"
        table.add_column(column, no_wrap=not is_last, justify=justify, min_width=None if is_last else width)
    for row in rows:
        table.add_row(*map(Text, row))
    console = Console(file=sys.stdout, highlight=False)
    if not console.is_terminal:
        natural = console.measure(table, options=console.options.update(max_width=_WIDEST)).maximum
        console.width = max(console.width, natural)
    with console.capture() as printed:
        console.print(table)
    for line in printed.get().splitlines():
        sys.stdout.write(f"{line.rstrip()}\n")
