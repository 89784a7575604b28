"""``cache``: info, clear, limit."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import click

from sheaf.cli.app import App
from sheaf.cli.output.render import Cell, View
from sheaf.cli.output.text import full_size, human_size, quote
from sheaf.cli.verb_tree import verb
from sheaf.settings.sizes import parse_size
from sheaf.settings.user_cache import PARTS, UserCache

if TYPE_CHECKING:
    from sheaf.api import Use

__all__ = ["clear", "info", "limit"]


def _cells(part: tuple[str, Use]) -> tuple[Cell, ...]:
    name, use = part
    return (name, use.files, use.bytes, PARTS[name])


_PART: Final[View[tuple[str, Use]]] = View(
    line=lambda part: part[0],
    record=lambda part: {},
    columns=("PART", "FILES", "SIZE", "DESCRIPTION"),
    cells=_cells,
)


@verb(example="sheaf cache info", fields=lambda: {"": _PART})
def info(app: App) -> None:
    """Show the folder, size limit and contents of the cache."""
    cache = UserCache(app.settings.cache)
    uses, room = cache.uses(), cache.limit
    app.out.line(f"folder: {quote(str(cache.folder))}")
    app.out.line(f"limit for objects: {full_size(room)}")
    if not app.out.as_json:
        app.out.listing(_PART, uses.items())
    parts = {part: {"files": use.files, "bytes": use.bytes} for part, use in uses.items()}
    app.out.object({"folder": str(cache.folder), "limit_bytes": room, "parts": parts})


@verb(example="sheaf cache clear", exits=(9,))
def clear(app: App) -> None:
    """Clear the cache. No data is lost; the next commands take longer."""
    freed = UserCache(app.settings.cache).clear()
    app.out.line(f"freed {human_size(freed)}")
    app.out.object({"freed_bytes": freed})


@verb(example="sheaf cache limit 10GiB", exits=(9,))
@click.argument("size")
def limit(app: App, size: str) -> None:
    """Limit the size of cached objects of each store. The least recently used are removed first."""
    room = parse_size(size)
    UserCache(app.settings.cache).set_limit(room)
    app.out.line(f"limit for objects: {full_size(room)}")
    app.out.object({"limit_bytes": room})
