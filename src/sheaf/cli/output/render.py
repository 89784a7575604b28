"""Print results as lines, tables, JSON Lines or a template. A :class:`View` describes one kind of thing."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from typing import Any, Final, Generic, Literal, TypeVar

from msgspec import Struct
from msgspec.structs import replace

from sheaf.cli.output.text import exact_time, human_size, quote, short_time
from sheaf.local_errors import printable

__all__ = ["Cell", "Output", "View", "to_json"]

T = TypeVar("T")
Cell = str | int | datetime | None

_TAB: Final = "\t"
_GAP: Final = 2  # blanks between columns
_LEAST: Final = 24  # the least width of the column that folds, in characters
_DROPPED: Final = ("AUTHOR", "MODE", "FILES", "SIZE")  # columns to leave out if there is no room, in this order
_WHOLE: Final = frozenset({"ID", "BUNDLE", "TIME", "CREATED", "STARTED", "DELETED"})  # useless unless complete
_FIGURES: Final = frozenset({"BUNDLES", "FILES", "SIZE"})
_IF_ANY: Final = frozenset({"STATE"})  # columns that a table shows only if a row has a value
_FIELDS_ONLY: Final = frozenset({"EMAIL", "ENDED", "CONFLICTS", "CHECKPOINTS"})  # a table has no room for these


class View(Struct, Generic[T], frozen=True):
    """Output formats of one kind of thing. Only ``line`` is already quoted; the others are quoted when printed."""

    #: Datamon's line, or the line of a thing without cells.
    line: Callable[[T], str]
    record: Callable[[T], Mapping[str, object]]
    columns: tuple[str, ...] = ()
    #: Exact values, one for each column: a table shows them rounded, ``sheaf``'s plain lines as they are.
    cells: Callable[[T], tuple[Cell, ...]] | None = None
    #: True if a terminal shows a table of it; otherwise it shows ``line``.
    is_tabular: bool = True
    exact: Callable[[T], str] | None = None
    #: For ``--format``: the field names that Datamon's templates use.
    fields: Callable[[T], Mapping[str, object]] | None = None


def to_json(value: object) -> str:
    """Format a value as one line of JSON; times as RFC 3339, paths as text."""
    # Imported here, since most calls print no JSON and start-up time counts.
    import msgspec

    try:
        return msgspec.json.encode(value, enc_hook=str).decode()
    except UnicodeEncodeError:
        # A local path that is not UTF-8, which JSON can't represent.
        return msgspec.json.encode(_printable(msgspec.to_builtins(value, enc_hook=str))).decode()


def _printable(value: Any) -> Any:
    if isinstance(value, dict):
        return {_printable(key): _printable(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_printable(item) for item in value]
    return printable(value) if isinstance(value, str) else value


class Output(Struct, frozen=True):
    """Prints results to stdout in the requested format."""

    as_json: bool = False
    as_table: bool = False
    template: str | None = None
    #: True if plain lines are the exact cells with tabs between them; False for Datamon's lines.
    has_fields: bool = False

    def listing(self, view: View[T], items: Iterable[T], *, nul: bool = False) -> None:
        """Print many things: as lines, a table, JSON Lines, or with ``nul`` exact names that each end in NUL."""
        if nul and not self.as_json:
            exact = view.exact or view.line
            self._write(f"{exact(item)}\0" for item in items)
        elif self.as_table and view.cells and view.is_tabular and not (self.as_json or self.template):
            _table(view.columns, [view.cells(item) for item in items])
        else:
            self._write(self._text(view, item) + "\n" for item in items)

    def one(self, view: View[T], item: T) -> None:
        """Print one thing as a line or a JSON object."""
        self._write([self._text(view, item) + "\n"])

    def line(self, text: str) -> None:
        """Print a line of text. Prints nothing with ``--json`` or ``--format``."""
        if not (self.as_json or self.template):
            self._write([text + "\n"])
            sys.stdout.flush()

    def row(self, *cells: Cell) -> None:
        """Print several fields in one line outside of a listing. Prints nothing with ``--json`` or ``--format``."""
        self.line((_TAB if self.has_fields else " , ").join(map(_plain, cells)))

    def object(self, value: Mapping[str, Any]) -> None:
        """Print an object as JSON. Prints nothing without ``--json``."""
        if self.as_json:
            self._write([to_json(value) + "\n"])

    def without_table(self) -> Output:
        """Return this output without tables."""
        return replace(self, as_table=False)

    def _text(self, view: View[T], item: T) -> str:
        if self.as_json:
            return to_json(view.record(item))
        if self.template:
            from sheaf.cli.output.gotemplate import fill

            return fill(self.template, (view.fields or view.record)(item))
        if self.has_fields and view.cells and (view.is_tabular or not self.as_table):
            return _TAB.join(map(_plain, view.cells(item)))
        return view.line(item)

    @staticmethod
    def _write(texts: Iterable[str]) -> None:
        write = sys.stdout.write
        for text in texts:
            write(text)


def _plain(cell: Cell) -> str:
    if isinstance(cell, datetime):
        return exact_time(cell)
    return "" if cell is None else quote(str(cell))


def _shown(column: str, cell: Cell) -> str:
    if isinstance(cell, datetime):
        return short_time(cell)
    return human_size(cell) if column == "SIZE" and isinstance(cell, int) else _plain(cell)


def _for_people(
    columns: tuple[str, ...], rows: list[tuple[Cell, ...]]
) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """Return the columns that a table shows, and its rows as text."""
    kept = [
        at
        for at, column in enumerate(columns)
        if column not in _FIELDS_ONLY and (column not in _IF_ANY or any(row[at] for row in rows))
    ]
    return tuple(columns[at] for at in kept), [tuple(_shown(columns[at], row[at]) for at in kept) for row in rows]


def _table(all_columns: tuple[str, ...], items: list[tuple[Cell, ...]]) -> None:
    if not items:
        return
    columns, rows = _for_people(all_columns, items)
    from rich.cells import cell_len
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console(file=sys.stdout, highlight=False)
    natural = [max([cell_len(name), *(cell_len(row[at]) for row in rows)]) for at, name in enumerate(columns)]
    room = console.width if console.is_terminal else sum(natural) + _GAP * len(columns)
    widths = _fitted(dict(zip(columns, natural, strict=True)), room)
    # A table wider than the terminal is better than one whose text is cut.
    console.width = max(room, sum(widths.values()) + _GAP * len(widths))
    table = Table(box=None, pad_edge=False, padding=(0, _GAP, 0, 0), header_style="bold")
    for column, width in widths.items():
        justify: Literal["left", "right"] = "right" if column in _FIGURES else "left"
        table.add_column(column, justify=justify, width=width, overflow="fold")
    rows = [tuple(cell for column, cell in zip(columns, row, strict=True) if column in widths) for row in rows]
    for row in rows:
        table.add_row(*map(Text, row))
    with console.capture() as printed:
        console.print(table)
    for line in printed.get().splitlines():
        sys.stdout.write(f"{line.rstrip()}\n")


def _fitted(natural: dict[str, int], room: int) -> dict[str, int]:
    """Return the columns to show and their widths: some are left out and one text folds, but nothing is cut."""
    widths = dict(natural)
    for name in _DROPPED:
        if _needed(widths) > room:
            widths.pop(name, None)
    if text := _folding(widths):
        others = sum(widths.values()) - widths[text] + _GAP * (len(widths) - 1)
        widths[text] = min(widths[text], max(_LEAST, room - others))
    return widths


def _needed(widths: dict[str, int]) -> int:
    text = _folding(widths)
    folded = max(0, widths[text] - _LEAST) if text else 0
    return sum(widths.values()) - folded + _GAP * (len(widths) - 1)


def _folding(widths: dict[str, int]) -> str | None:
    """Return the column whose text may fold: the last one that is neither a name, an id nor a time."""
    return next((name for name in [*widths][:0:-1] if name not in _WHOLE and name not in _DROPPED), None)
