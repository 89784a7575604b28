"""How answers look: lines, tables, JSON Lines or a template. What a thing looks like is its :class:`View`."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final, Generic, Literal, TypeVar

__all__ = ["Output", "View", "to_json"]

T = TypeVar("T")

_GAP: Final = 2  # blanks between columns
_LAST: Final = 24  # characters of the last column that the others make room for
_SHORT: Final = 11  # of the others, the ellipsis included: of a time the date
_GIVE_WAY: Final = ("AUTHOR", "TIME", "CREATED", "ID", "BUNDLE")  # in this order
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

    console = Console(file=sys.stdout, highlight=False)
    natural = [max([cell_len(name), *(cell_len(row[at]) for row in rows)]) for at, name in enumerate(columns)]
    room = console.width if console.is_terminal else max(console.width, sum(natural) + _GAP * len(columns))
    console.width = room
    table = Table(box=None, pad_edge=False, padding=(0, _GAP, 0, 0), header_style="bold")
    for at, (column, width) in enumerate(zip(columns, _fitted(columns, natural, room), strict=True)):
        is_last = at == len(columns) - 1  # it goes on in the next line
        justify: Literal["left", "right"] = "right" if column in _FIGURES else "left"
        table.add_column(column, no_wrap=not is_last, justify=justify, width=width, overflow=_overflow(is_last))
    for row in rows:
        table.add_row(*map(Text, row))
    with console.capture() as printed:
        console.print(table)
    for line in printed.get().splitlines():
        sys.stdout.write(f"{line.rstrip()}\n")


def _overflow(is_last: bool) -> Literal["fold", "ellipsis"]:
    return "fold" if is_last else "ellipsis"


def _fitted(columns: tuple[str, ...], natural: list[int], room: int) -> list[int]:
    """Widths that fit: the last column, which says what a thing is, keeps the most; the others are cut from their ends."""
    widths = list(natural)
    room -= _GAP * (len(columns) - 1)
    widths[-1] = min(widths[-1], max(_LAST, room - sum(widths[:-1])))
    for name in _GIVE_WAY:
        over = sum(widths) - room
        if over > 0 and name in columns[:-1]:
            at = columns.index(name)
            widths[at] = max(min(widths[at], _SHORT), widths[at] - over)
    return widths
