"""``cache``: info, clear, limit."""

from __future__ import annotations

import shutil
from typing import Final

import click

from sheaf.cli.app import App
from sheaf.cli.output.render import Cell, View
from sheaf.cli.output.text import human_size, quote
from sheaf.cli.verb_tree import verb
from sheaf.engine.object_cache import Use, room_of, set_room, shrink, use_of
from sheaf.errors import Denied
from sheaf.settings.sizes import parse_size

__all__ = ["clear", "info", "limit"]

#: The parts of a cache folder.
_PARTS: Final = {
    "objects": "copies of remote manifests, indexes and logs",
    "blocks": "blocks of mounted files",
    "checks": "packs that checks have read",
    "stat": "hashes of unchanged local files",
    "folders": "bundles that local folders came from",
}


def _cells(part: tuple[str, Use]) -> tuple[Cell, ...]:
    name, use = part
    return (name, use.files, use.bytes, _PARTS[name])


_PART: Final[View[tuple[str, Use]]] = View(
    line=lambda part: part[0],
    record=lambda part: {},
    columns=("PART", "FILES", "SIZE", "DESCRIPTION"),
    cells=_cells,
)


@verb(example="sheaf cache info", fields=lambda: {"": _PART})
def info(app: App) -> None:
    """Show the folder, size limit and contents of the cache."""
    cache = app.settings.cache
    uses = {part: use_of(cache / part) for part in _PARTS}
    room = room_of(cache)
    app.out.line(f"folder: {quote(str(cache))}")
    app.out.line(f"limit for objects: {room} ({human_size(room)})")
    if not app.out.as_json:
        app.out.listing(_PART, uses.items())
    parts = {part: {"files": use.files, "bytes": use.bytes} for part, use in uses.items()}
    app.out.object({"folder": str(cache), "limit_bytes": room, "parts": parts})


@verb(example="sheaf cache clear", exits=(9,))
def clear(app: App) -> None:
    """Clear the cache. No data is lost; the next commands take longer."""
    cache = app.settings.cache
    freed = 0
    for part in _PARTS:
        freed += use_of(cache / part).bytes
        shutil.rmtree(cache / part, ignore_errors=True)
        freed -= use_of(cache / part).bytes
    app.out.line(f"freed {human_size(freed)}")
    app.out.object({"freed_bytes": freed})


@verb(example="sheaf cache limit 10GiB", exits=(9,))
@click.argument("size")
def limit(app: App, size: str) -> None:
    """Limit the size of cached objects of each store. The least recently used are removed first."""
    cache, room = app.settings.cache, parse_size(size)
    try:
        set_room(cache, room)
    except OSError as error:
        raise Denied(f"{quote(str(cache))} can't be written: {error.strerror}") from error
    for store in sorted((cache / "objects").glob("*")):
        shrink(store, room)
    app.out.line(f"limit for objects: {room} ({human_size(room)})")
    app.out.object({"limit_bytes": room})
