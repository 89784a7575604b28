"""Make rows of a manifest from entries."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.compute as pc
from blake3 import blake3

from sheaf.engine.chunks.ingest import StoredFile
from sheaf.format.node_v1 import ROWS
from sheaf.model.entries import (
    ChunkPlace,
    ExternalPlace,
    Kind,
    ManifestEntry,
    ObjectPlace,
    Place,
    PlaceKind,
    RecipePlace,
    clamp_time,
)
from sheaf.model.paths import check_path, check_target, join, relative, split

__all__ = ["folder_entry", "moved_rows", "place_of", "row_of", "row_with_path", "symlink_entry"]


def folder_entry(path: str, mode: int = 0o755, mtime: int = 0) -> ManifestEntry:
    """Return the entry of a folder. ``mtime``: nanoseconds since 1970."""
    folder, name = split(check_path(path))
    return ManifestEntry(folder, name, Kind.FOLDER, mode, mtime)


def symlink_entry(path: str, target: str, mtime: int = 0) -> ManifestEntry:
    """Return the entry of a symlink; its content is the hash of its target."""
    folder, name = split(check_path(path))
    raw = check_target(target, path).encode()
    return ManifestEntry(folder, name, Kind.SYMLINK, 0o777, mtime, len(raw), blake3(raw).digest(), target)


def place_of(placed: StoredFile) -> Place | None:
    """Return the location of a stored file, None if it is empty."""
    if placed.place == PlaceKind.CHUNK:
        return ChunkPlace(placed.pack, placed.offset, placed.stored)
    if placed.place == PlaceKind.RECIPE:
        return RecipePlace(placed.recipe, placed.pack, placed.offset, placed.stored)
    return None


def row_of(entry: ManifestEntry, packs: Sequence[tuple[bytes, int]] | None = None) -> pa.RecordBatch:
    """Return one entry as a batch of one row. ``packs``: for a recipe, what the file needs (the `packs` column)."""
    values: dict[str, Any] = dict.fromkeys(ROWS.names)
    for name in ("folder", "name", "kind", "mode", "mtime", "size", "content", "target"):
        values[name] = getattr(entry, name)
    values["mtime"] = clamp_time(entry.mtime)
    if entry.attrs:
        values["attrs"] = msgspec.json.encode(entry.attrs, order="sorted").decode()
    match entry.place:
        case ChunkPlace(pack, offset, stored):
            values |= {"place": PlaceKind.CHUNK, "pack": pack, "offset": offset, "stored": stored}
        case RecipePlace(recipe, pack, offset, stored):
            values |= {"place": PlaceKind.RECIPE, "recipe": recipe, "pack": pack, "offset": offset, "stored": stored}
            values["packs"] = [{"pack": pack, "live": live} for pack, live in packs or ()]
        case ObjectPlace(session):
            values |= {"place": PlaceKind.OBJECT, "url": session}
        case ExternalPlace(url, etag):
            values |= {"place": PlaceKind.EXTERNAL, "url": url, "etag": etag}
        case None:
            values["place"] = PlaceKind.NONE
    return pa.RecordBatch.from_pylist([values], ROWS)


def row_with_path(row: pa.RecordBatch, path: str) -> pa.RecordBatch:
    """Return a batch of one row with another path."""
    folder, name = split(path)
    moved = row.set_column(0, ROWS.field("folder"), pa.array([folder], pa.string()))
    return moved.set_column(1, ROWS.field("name"), pa.array([name], pa.string()))


def moved_rows(rows: pa.RecordBatch, source: str, target: str) -> pa.RecordBatch:
    """Return rows below folder ``source`` as rows below ``target``. Raises InvalidInput if a path becomes too long."""
    if source == target:
        return rows
    # Many rows are in few folders, so each folder is changed only once.
    folders = rows["folder"].dictionary_encode()
    moved = [join(target, relative(folder, source)) for folder in folders.dictionary.to_pylist()]
    column = pa.array(moved, pa.string()).take(folders.indices)
    lengths = pc.add(pc.binary_length(column), pc.binary_length(rows["name"])).to_numpy()
    longest = int(lengths.argmax())
    check_path(join(column[longest].as_py(), rows["name"][longest].as_py()))
    return rows.set_column(0, ROWS.field("folder"), column)
