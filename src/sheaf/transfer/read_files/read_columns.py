"""The contents of a batch of a scan as columns: hashes of files, and where their bytes are stored."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from blake3 import blake3
from msgspec import Struct, field

from sheaf.engine.chunks.ingest import StoredFile, StoredFiles
from sheaf.format.columns import Array, Hashes
from sheaf.format.node_v1 import ROWS
from sheaf.model.entries import Kind, PlaceKind
from sheaf.transfer.local.read import FileState
from sheaf.transfer.local.scan import ScanBatch, Skipped

__all__ = ["Fresh", "ReadFiles"]


class ReadFiles(Struct):
    """Files of a batch that were read, by row number. ``states``: of those that had changed since the scan."""

    rows: list[int] = field(default_factory=list)
    files: StoredFiles | None = None  #: the files of ``rows``
    others: dict[int, StoredFile] = field(default_factory=dict)
    states: dict[int, FileState] = field(default_factory=dict)
    skipped: dict[int, Skipped] = field(default_factory=dict)

    def add(self, other: ReadFiles) -> None:
        """Add a file that was read separately."""
        self.others |= other.others
        self.states |= other.states
        self.skipped |= other.skipped


class Fresh:
    """Columns of a whole batch. ``kept``: rows that were not skipped; ``changed``: those newer than the scan."""

    def __init__(self, batch: ScanBatch) -> None:
        n = len(batch)
        self._batch = batch
        self._recipes: dict[int, StoredFile] = {}
        self._content: Hashes = np.zeros((n, 32), np.uint8)
        self._place: Array = np.full(n, PlaceKind.NONE, np.uint8)
        self._pack: Hashes = np.zeros((n, 32), np.uint8)
        self._offset: Array = np.zeros(n, np.uint32)
        self._stored: Array = np.zeros(n, np.uint32)
        self.kept: npt.NDArray[np.bool_] = np.ones(n, np.bool_)
        self.changed: npt.NDArray[np.bool_] = np.zeros(n, np.bool_)
        for row in np.flatnonzero(batch.kind == Kind.SYMLINK).tolist():
            self._content[row] = _array(blake3((batch.target[row] or "").encode()).digest())

    def add(self, taken: ReadFiles) -> None:
        """Add what was read. Where it is newer than the scan, the batch is corrected."""
        if taken.files is not None:
            self._content[taken.rows] = taken.files.content
            self._place[taken.rows] = taken.files.place
            self._pack[taken.rows] = taken.files.pack
            self._offset[taken.rows] = taken.files.offset
            self._stored[taken.rows] = taken.files.stored
            self._recipes |= {taken.rows[i]: file for i, file in taken.files.recipes.items()}
        for row, placed in taken.others.items():
            self._content[row], self._place[row], self._pack[row] = (
                _array(placed.content),
                placed.place,
                _array(placed.pack),
            )
            self._offset[row], self._stored[row] = placed.offset, placed.stored
        self._recipes |= {row: file for row, file in taken.others.items() if file.place == PlaceKind.RECIPE}
        self.kept[list(taken.skipped)] = False
        b = self._batch
        # The hashes belong to the files as they were read, so size and times must, too.
        for row, state in taken.states.items():
            if (state.size, state.mtime, state.ctime) != (b.size[row], b.mtime[row], b.ctime[row]):
                self.changed[row] = True
                b.size[row], b.mtime[row], b.mode[row] = state.size, state.mtime, state.mode

    def table(self) -> pa.Table:
        """Return the columns of a manifest; those of names, kinds and times are empty."""
        n, stored = len(self._batch), pa.array(self._place != PlaceKind.NONE)
        columns = {
            "content": _hashes(self._content),
            "place": pa.array(self._place),
            "pack": _hashes(self._pack, stored),
            "offset": pa.array(self._offset, mask=self._place == PlaceKind.NONE),
            "stored": pa.array(self._stored, mask=self._place == PlaceKind.NONE),
        }
        if self._recipes:
            recipes = list(map(self._recipes.get, range(n)))
            columns["recipe"] = pa.array([file and file.recipe for file in recipes], ROWS.field("recipe").type)
            columns["packs"] = pa.array(map(_packs, recipes), ROWS.field("packs").type)
        columns |= {f.name: pa.nulls(n, f.type) for f in ROWS if f.name not in columns}
        return pa.Table.from_arrays([columns[name] for name in ROWS.names], schema=ROWS)


def _array(hash: bytes) -> Array:
    return np.frombuffer(hash, np.uint8)


def _hashes(values: Hashes, valid: pa.Array | None = None) -> pa.Array:
    """Return an (n, 32) array as a column."""
    mask = None if valid is None else valid.buffers()[1]
    return pa.Array.from_buffers(pa.binary(32), len(values), [mask, pa.py_buffer(values)])


def _packs(file: StoredFile | None) -> list[dict[str, bytes | int]] | None:
    return [{"pack": pack, "live": live} for pack, live in file.packs.items()] if file else None
