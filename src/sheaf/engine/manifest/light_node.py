"""Leaves and inner nodes without Arrow: rows one at a time, for callers that need a few of many.

Rows come without the locations of their bytes, since most are only listed or compared.
"""

from __future__ import annotations

import struct
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from typing import Any, Literal

import msgspec
from msgspec.structs import replace

from sheaf.errors import Corrupt, InvalidInput
from sheaf.format.node_columns_v1 import NodeColumns
from sheaf.model.entries import MAX_MODE, ChunkPlace, Kind, ManifestEntry, PlaceKind, RecipePlace
from sheaf.model.nodes import Pointer
from sheaf.model.paths import check_path, join, order_key

__all__ = ["LightLeaf", "children_of"]

_HASH = 32
#: The columns that locate the bytes of a row in packs, by its kind of place.
_LOCATIONS: dict[int, tuple[str, ...]] = {
    PlaceKind.CHUNK: ("pack", "offset", "stored"),
    PlaceKind.RECIPE: ("recipe", "pack", "offset", "stored"),
}

Code = Literal["B", "H", "I", "i", "q"]  #: number formats of the struct module


class _Texts:
    """A column of texts, None where a row has none."""

    def __init__(self, node: NodeColumns, column: str) -> None:
        valid, ends, self._values = node.buffers(column)
        self._what = node.what
        self._valid = bytes(valid)
        self._ends = _numbers(ends, "i", node.rows + 1, node.what)
        if self._valid and 8 * len(self._valid) < node.rows:
            raise Corrupt(f"{node.what} is truncated")

    def __getitem__(self, row: int) -> Any:
        if self._valid and not self._valid[row >> 3] >> (row & 7) & 1:
            return None
        start, end = self._ends[row], self._ends[row + 1]
        if not 0 <= start <= end <= len(self._values):
            raise Corrupt(f"{self._what} has a text that lies outside its bounds")
        try:
            return str(self._values[start:end], "utf-8")
        except UnicodeDecodeError as error:
            raise Corrupt(f"{self._what} has a text that is not UTF-8") from error


def _numbers(buffer: bytes | memoryview, code: Code, count: int, what: str) -> Sequence[int]:
    size = struct.calcsize(code) * count
    if len(buffer) < size:
        raise Corrupt(f"{what} is truncated")
    if _IS_LITTLE:
        return memoryview(buffer)[:size].cast(code)
    return struct.unpack(f"<{count}{code}", buffer[:size])


_IS_LITTLE = struct.pack("=H", 1) == struct.pack("<H", 1)


class _Values:
    """A node's columns, each decompressed when it is first needed; those shared with a twin only once."""

    def __init__(self, node: NodeColumns) -> None:
        self.node = node
        self.twin: _Values | None = None
        self._texts: dict[str, _Texts] = {}
        self._kept: dict[str, Sequence[int]] = {}
        self._hashes: dict[str, bytes | memoryview] = {}

    def text(self, column: str) -> _Texts:
        if column not in self._texts:
            twin = self._twin_of(column)
            self._texts[column] = twin.text(column) if twin else _Texts(self.node, column)
        return self._texts[column]

    def number(self, column: str, code: Code) -> Sequence[int]:
        if column not in self._kept:
            twin = self._twin_of(column)
            self._kept[column] = twin.number(column, code) if twin else self._number(column, code)
        return self._kept[column]

    def _number(self, column: str, code: Code) -> Sequence[int]:
        return _numbers(self.node.buffers(column)[1], code, self.node.rows, self.node.what)

    def _twin_of(self, column: str) -> _Values | None:
        return self.twin if self.twin and self.node.is_same(self.twin.node, column) else None

    def hashes(self, column: str) -> bytes | memoryview:
        """Return all hashes of a column, one after the other."""
        if column not in self._hashes:
            buffer = self.node.buffers(column)[1]
            if len(buffer) < _HASH * self.node.rows:
                raise Corrupt(f"{self.node.what} is truncated")
            self._hashes[column] = buffer[: _HASH * self.node.rows]
        return self._hashes[column]

    def has(self, column: str, row: int) -> bool:
        """True if a row has a value in a column of numbers or hashes. Raises Corrupt."""
        valid = self.node.buffers(column)[0]
        if not valid:
            return True
        if 8 * len(valid) < self.node.rows:
            raise Corrupt(f"{self.node.what} is truncated")
        return bool(valid[row >> 3] >> (row & 7) & 1)

    def hash(self, column: str, row: int) -> bytes:
        return bytes(self.hashes(column)[_HASH * row : _HASH * (row + 1)])


class LightLeaf:
    """A leaf: its rows in order, with absolute folders."""

    def __init__(self, node: NodeColumns, pointer: Pointer) -> None:
        if node.rows != pointer.rows:
            raise Corrupt(f"{node.what} is not the node that its parent describes")
        self._node = node
        self._columns = _Values(node)
        self._prefix = pointer.prefix

    def key(self, row: int) -> bytes:
        """Return the order key of a row."""
        folder, name = self._columns.text("folder"), self._columns.text("name")
        return order_key(join(self._prefix, folder[row]), name[row])

    def find(self, key: bytes) -> int | None:
        """Return the number of the row with an order key, or None."""
        row = bisect_left(range(self._node.rows), key, key=self.key)
        return row if row < self._node.rows and self.key(row) == key else None

    def locate(self, entry: ManifestEntry, row: int) -> ManifestEntry | None:
        """Return the entry of a row with its place; None if its bytes aren't in packs or lack a part of their location."""
        c = self._columns
        kind = c.number("place", "B")[row]
        if kind == PlaceKind.NONE:
            return entry
        needed = _LOCATIONS.get(kind)
        if needed is None or not all(c.has(column, row) for column in needed):
            return None
        at = c.hash("pack", row), c.number("offset", "I")[row], c.number("stored", "I")[row]
        place = RecipePlace(c.hash("recipe", row), *at) if kind == PlaceKind.RECIPE else ChunkPlace(*at)
        return replace(entry, place=place)

    def between(self, low: bytes, high: bytes) -> Iterator[ManifestEntry]:
        """Yield the rows after one order key and before another."""
        rows = range(self._node.rows)
        return map(self.entry, range(bisect_right(rows, low, key=self.key), bisect_left(rows, high, key=self.key)))

    def entry(self, row: int) -> ManifestEntry:
        """Return one row as an entry. Raises Corrupt if it is invalid."""
        c = self._columns
        folder, name = join(self._prefix, c.text("folder")[row]), c.text("name")[row]
        kind, mode = c.number("kind", "B")[row], c.number("mode", "H")[row]
        mtime, size = c.number("mtime", "q")[row], c.number("size", "q")[row]
        target, attrs = c.text("target")[row], c.text("attrs")[row]
        try:
            if "/" in name or size < 0 or mode > MAX_MODE:
                raise ValueError(f"its name is {name!r}, its size {size}, its mode {mode:o}")
            check_path(join(folder, name) if name else name)
            known = msgspec.json.decode(attrs, type=dict[str, str]) if attrs else {}
            return ManifestEntry(folder, name, Kind(kind), mode, mtime, size, c.hash("content", row), target, known)
        except (InvalidInput, ValueError, msgspec.MsgspecError) as error:
            raise Corrupt(f"{self._node.what} has an invalid row: {error}", "run `sheaf store check`") from error

    def unlike(self, other: LightLeaf) -> list[int] | None:
        """Return the rows that differ from those of another leaf in kind, execute bit or content; None if paths differ."""
        mine, yours = self._node, other._node
        if self._prefix != other._prefix or not all(mine.is_same(yours, column) for column in ("folder", "name")):
            return None
        other._columns.twin = self._columns
        rows = set(_unequal(self._columns.hashes("content"), other._columns.hashes("content"), _HASH, mine.rows))
        if not (mine.is_same(yours, "kind") and mine.is_same(yours, "mode")):
            ours, theirs = self._kinds(), other._kinds()
            rows |= {row for row in range(mine.rows) if ours[row] != theirs[row]}
        return sorted(rows)

    def _kinds(self) -> list[tuple[int, bool]]:
        """Return for each row its kind, and True if it is a file that its owner may execute."""
        kinds, modes = self._columns.number("kind", "B"), self._columns.number("mode", "H")
        files = (Kind.FILE, Kind.EXTERNAL)
        return [(kind, kind in files and bool(mode & 0o100)) for kind, mode in zip(kinds, modes, strict=True)]


def _unequal(left: bytes | memoryview, right: bytes | memoryview, width: int, count: int) -> Iterator[int]:
    """Yield the numbers of values that differ between two columns of equal length, found by halving: most are equal."""
    pending = [(0, count)]
    while pending:
        start, end = pending.pop()
        span = slice(width * start, width * end)
        if bytes(left[span]) == bytes(right[span]):
            continue
        if end - start == 1:
            yield start
        else:
            middle = (start + end) // 2
            pending += [(start, middle), (middle, end)]


def children_of(node: NodeColumns, pointer: Pointer) -> Sequence[Pointer]:
    """Return an inner node's children, each created when it is accessed; without the packs that leaves need."""
    columns = _Values(node)
    if sum(columns.number("rows", "q")) != pointer.rows or not node.rows:
        raise Corrupt(f"{node.what} does not have the number of rows that its parent gives")
    return _Children(columns, pointer)


class _Children(Sequence[Pointer]):
    def __init__(self, columns: _Values, pointer: Pointer) -> None:
        self._columns = columns
        self._pointer = pointer

    def __len__(self) -> int:
        return self._columns.node.rows

    def __getitem__(self, at: Any) -> Any:
        if isinstance(at, slice):
            return [self[i] for i in range(*at.indices(len(self)))]
        c, up = self._columns, self._pointer.prefix
        length, rows, size = (c.number(name, "q")[at] for name in ("length", "rows", "size"))
        prefix, folder, name = (c.text(column)[at] for column in ("prefix", "folder", "name"))
        id, logical, full = (c.hash(column, at) for column in ("id", "logical", "full"))
        level = self._pointer.level - 1
        return Pointer(id, length, level, join(up, prefix), rows, size, logical, full, join(up, folder), name)
