"""Read files chunk by chunk, where reading them together has failed: bytes were moved, erased or damaged.

The chunks of all files are still fetched in the order in which they are stored. Each has its own hash, so it is known
which one is damaged, and only that one is read again.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import pyarrow as pa
from blake3 import blake3

from sheaf.engine.chunks.wants import DAMAGE, OnDamaged, OnErased, Want
from sheaf.engine.sessions.forwarding import Erased
from sheaf.errors import Corrupt, SheafError
from sheaf.format.recipe_v1 import Row, decode_rows
from sheaf.model.entries import PlaceKind, RecipePlace
from sheaf.model.paths import join

__all__ = ["ChunkSource", "salvage"]

_COLUMNS = ("place", "pack", "offset", "stored", "content", "size", "recipe")


class ChunkSource(Protocol):
    """Fetches chunks; :class:`sheaf.engine.chunks.chunk_reader.Contents` is one."""

    def fetch(
        self, wants: Sequence[Want], on_erased: OnErased | None = None, on_damaged: OnDamaged | None = None, /
    ) -> Iterator[tuple[int, bytes]]:
        """Yield (tag, verified bytes) of each chunk."""

    def recipe_rows(self, place: RecipePlace, *, parts: bool = True) -> Iterator[Row]:
        """Yield the rows of a recipe; without ``parts`` only the chunks."""


@dataclass(slots=True)
class _File:
    """A file whose chunks are being fetched. ``open``: the number of chunks that are still missing."""

    row: int
    parts: list[bytes]
    open: int


def salvage(
    source: ChunkSource,
    batch: pa.RecordBatch,
    rows: Sequence[int],
    on_erased: OnErased | None = None,
    on_damaged: OnDamaged | None = None,
) -> Iterator[tuple[int, bytes]]:
    """Yield (row, verified content) of some rows of a batch. The callbacks are called with rows, at most once for each.

    Raises what can't be handed to a callback: Erased, Corrupt, NotFound, Unsupported.
    """
    return _Salvage(source, batch, on_erased, on_damaged).files(rows)


@dataclass(slots=True)
class _Salvage:
    source: ChunkSource
    batch: pa.RecordBatch
    on_erased: OnErased | None
    on_damaged: OnDamaged | None
    gone: set[int] = field(default_factory=set)

    def files(self, rows: Sequence[int]) -> Iterator[tuple[int, bytes]]:
        """Yield (row, content): first files that are one chunk, then those with a recipe."""
        chosen = self.batch.take(pa.array(rows, pa.int64()))
        columns = (chosen[name].to_numpy(zero_copy_only=False).tolist() for name in _COLUMNS)
        wants: list[Want] = []
        recipes: dict[int, tuple[RecipePlace, int]] = {}
        for row, place, pack, offset, stored, content, size, recipe in zip(rows, *columns, strict=True):
            is_chunk = place == PlaceKind.CHUNK
            wants.append(Want(row, pack, int(offset), int(stored), *((content, size) if is_chunk else (recipe, -1))))
            if not is_chunk:
                recipes[row] = RecipePlace(recipe, pack, int(offset), int(stored)), size
        listed: dict[int, list[Row]] = {}
        for row, data in self._fetch(wants, range(self.batch.num_rows)):
            if row not in recipes:
                yield row, data
            elif (chunks := self._chunks_of(row, data, *recipes[row])) is not None:
                listed[row] = chunks
        yield from self._joined(listed)

    def _fetch(self, wants: list[Want], owner: Sequence[int]) -> Iterator[tuple[int, bytes]]:
        """Fetch chunks in the order of storage. ``owner``: the row of each tag, for the callbacks."""
        wants.sort(key=lambda want: (want.pack, want.offset))
        on_erased = None if self.on_erased is None else lambda tag: self._lose(owner[tag], None)
        on_damaged = None if self.on_damaged is None else lambda tag, error: self._lose(owner[tag], error)
        return self.source.fetch(wants, on_erased, on_damaged)

    def _lose(self, row: int, error: SheafError | None) -> None:
        """Report a row whose bytes are damaged, or erased (None). Raises the error if there is no callback for it."""
        if row in self.gone:
            return
        self.gone.add(row)
        if error is None or isinstance(error, Erased):
            if self.on_erased is not None:
                self.on_erased(row)
            elif error is not None:
                raise error
        elif self.on_damaged is not None:
            self.on_damaged(row, error)
        else:
            raise error

    def _chunks_of(self, row: int, data: bytes, place: RecipePlace, size: int) -> list[Row] | None:
        """Return the chunks that a recipe lists, None if it is damaged."""
        try:
            chunks = decode_rows(data, f"recipe {place.recipe.hex()}")
            if chunks is None:
                chunks = list(self.source.recipe_rows(place, parts=False))
            if (found := sum(chunk[1] for chunk in chunks)) != size:
                raise Corrupt(f"'{self._path(row)}' has {found} bytes in the store, but {size} in its manifest")
        except (*DAMAGE, Erased) as error:
            self._lose(row, error)
            return None
        return chunks

    def _joined(self, listed: dict[int, list[Row]]) -> Iterator[tuple[int, bytes]]:
        """Fetch the chunks of files, and yield each file once it is complete."""
        files: list[tuple[_File, int]] = []  # by tag: the file, and the number of the chunk in it
        wants: list[Want] = []
        for row, chunks in listed.items():
            file = _File(row, [b""] * len(chunks), len(chunks))
            for i, (hash, length, pack, offset, stored) in enumerate(chunks):
                wants.append(Want(len(files), pack, offset, stored, hash, length))
                files.append((file, i))
        for tag, data in self._fetch(wants, [file.row for file, _ in files]):
            file, i = files[tag]
            file.parts[i] = data
            file.open -= 1
            if not file.open and (whole := self._whole(file)) is not None:
                yield file.row, whole

    def _whole(self, file: _File) -> bytes | None:
        """Return the content of a complete file. Hashes of chunks alone don't show whether they belong to this file."""
        data = b"".join(file.parts)
        file.parts.clear()
        if blake3(data).digest() == self.batch["content"][file.row].as_py():
            return data
        self._lose(
            file.row,
            Corrupt(f"'{self._path(file.row)}' doesn't match the manifest", "run `sheaf store check --read-data`"),
        )
        return None

    def _path(self, row: int) -> str:
        return join(self.batch["folder"][row].as_py(), self.batch["name"][row].as_py())
