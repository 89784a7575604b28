"""Check manifests: every node exists and matches its parent, rows are valid and in order, folders have their rows."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise

import msgspec
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from blake3 import blake3

from sheaf.engine.check.chunk_refs import ChunkRefs
from sheaf.engine.check.report import FAULTS, CheckReport, ReportProgress
from sheaf.engine.chunks.chunk_reader import Contents, Erased
from sheaf.engine.clock import parse_time
from sheaf.engine.core import Core
from sheaf.engine.manifest.node_store import Nodes, mark_of, pointer_of
from sheaf.engine.manifest.tree import entries
from sheaf.engine.sessions.damage import note_damage
from sheaf.errors import Corrupt, InvalidInput, SheafError
from sheaf.format import keys
from sheaf.format.columns import hashes_of
from sheaf.format.node_v1 import children_hashes, hashes_array, leaf_packs, row_hashes, rows_prefix
from sheaf.format.recipe_v1 import Row
from sheaf.model.entries import Kind, ManifestEntry, ObjectPlace, PlaceKind, RecipePlace
from sheaf.model.ids import is_ksuid
from sheaf.model.nodes import Pointer
from sheaf.model.paths import check_path, join, order_key
from sheaf.model.records import BundleRecord

__all__ = ["Trees"]

_REMEMBERED = 32 << 20  # bytes of data kept about checked leaves
_SHOWN = 100  # characters of an invalid value that a message shows
_EMPTY = blake3(b"").digest()

Ids = npt.NDArray[np.uint64]


@dataclass(frozen=True, slots=True)
class _Leaf:
    """What bundles that share a leaf need to know about it. Folders are given by the first bytes of their paths' hashes."""

    first: bytes
    last: bytes
    files: int
    listed: Ids  #: folders that have a row in this leaf
    used: Ids  #: folders that contain rows of this leaf

    @property
    def nbytes(self) -> int:
        return self.listed.nbytes + self.used.nbytes + len(self.first) + len(self.last) + 300


class Trees:
    """Checks bundles one after the other; nodes that they share are checked once."""

    def __init__(self, core: Core, places: ChunkRefs, report: CheckReport, on_progress: ReportProgress) -> None:
        self._core = core
        self._nodes = Nodes(core)
        self._contents = Contents(core)
        self._places = places
        self._report = report
        self._on_progress = on_progress
        self._sound: set[bytes] = set()
        self._broken: set[bytes] = set()
        self._leaves: OrderedDict[bytes, _Leaf] = OrderedDict()
        self._size = 0

    def bundle(self, bundle: BundleRecord) -> None:
        """Check a bundle's descriptor and its whole tree."""
        self._report.count("bundles")
        with self._report.noting("bundle", bundle.id):
            if not is_ksuid(bundle.id):
                raise Corrupt(f"{bundle.id[:_SHOWN]!r} is not a bundle id")
            parse_time(bundle.time)
            self._tree(bundle, pointer_of(bundle.root))

    def _tree(self, bundle: BundleRecord, root: Pointer) -> None:
        """Check the tree of a bundle against its descriptor, and that each folder has a row."""
        # The version of a redacted bundle still covers the removed rows, so it differs from the root's. The tree is
        # checked by its own hashes.
        if bundle.redacted:
            self._report.count("redacted bundles")
        elif bundle.version != bundle.root.logical:
            self._say(bundle, "has a different version than its root")
        leaves = [leaf for leaf in self._walk(root, is_root=True) if leaf is not None]
        if not self._is_sound(root):
            return  # reported already
        if sum(leaf.files for leaf in leaves) != bundle.files:
            self._say(bundle, f"records {bundle.files} files but has {sum(leaf.files for leaf in leaves)}")
        if any(after.first <= before.last for before, after in pairwise(leaves)):
            self._say(bundle, "has nodes that are out of order")
        listed = np.concatenate([_ids([""]), *(leaf.listed for leaf in leaves)])
        used = np.concatenate([_ids([]), *(leaf.used for leaf in leaves)])
        if not np.isin(used, listed).all():
            self._say(bundle, "has a folder without an entry of its own")

    def _say(self, bundle: BundleRecord, what: str) -> None:
        self._report.add("bundle", bundle.id, f"bundle {bundle.id} {what}")

    # -- nodes ---------------------------------------------------------------------------------------------------------

    def _walk(self, pointer: Pointer, *, is_root: bool = False) -> Iterator[_Leaf | None]:
        """Yield the leaves in order, None for each part that can't be read, which was reported then."""
        if mark_of(pointer) in self._broken:
            yield None
        elif pointer.level == 0:
            yield self._leaf(pointer, is_root=is_root)
        else:
            children = self._children(pointer)
            for child in children:
                yield from self._walk(child)
            if not all(map(self._is_sound, children)):
                self._broken.add(mark_of(pointer))

    def _is_sound(self, pointer: Pointer) -> bool:
        return mark_of(pointer) not in self._broken

    def _children(self, pointer: Pointer) -> list[Pointer]:
        try:
            children = self._nodes.children(pointer)
            if self._is_new(pointer):
                hashes = children_hashes(pointer.level, children, pointer.prefix)
                _agree(pointer, *hashes, sum(child.size for child in children))
            return children
        except FAULTS as error:
            self._fault(pointer, error)
            return []

    def _leaf(self, pointer: Pointer, *, is_root: bool) -> _Leaf | None:
        """Return the data of a checked leaf, None if it is damaged, which is reported. Each leaf is checked once."""
        mark = mark_of(pointer)
        if (known := self._leaves.get(mark)) is not None:
            self._leaves.move_to_end(mark)
            return known
        try:
            batch = self._nodes.rows(pointer)
            if self._is_new(pointer):
                self._check_leaf(pointer, batch, is_root=is_root)
            leaf = _known(batch)
        except FAULTS as error:
            self._fault(pointer, error)
            return None
        self._remember(mark, leaf)
        return leaf

    def _is_new(self, pointer: Pointer) -> bool:
        mark = mark_of(pointer)
        if mark in self._sound:
            return False
        self._sound.add(mark)
        self._report.count("nodes")
        self._on_progress("nodes", len(self._sound))
        return True

    def _fault(self, pointer: Pointer, error: SheafError) -> None:
        key = keys.node(pointer.id)
        self._broken.add(mark_of(pointer))
        self._report.fault("node", key, error, missing=self._core.backend.stat(key) is None)

    def _remember(self, mark: bytes, leaf: _Leaf) -> None:
        self._leaves[mark] = leaf
        self._size += leaf.nbytes
        while self._size > _REMEMBERED and len(self._leaves) > 1:
            self._size -= self._leaves.popitem(last=False)[1].nbytes

    # -- leaves --------------------------------------------------------------------------------------------------------

    def _check_leaf(self, pointer: Pointer, batch: pa.RecordBatch, *, is_root: bool) -> None:
        """Check a leaf against its pointer, then its rows, and its files of many chunks. Raises one of FAULTS."""
        name = pointer.id.hex()
        _agree(pointer, *row_hashes(batch, pointer.prefix), int(batch["size"].to_numpy().sum()))
        if batch.num_rows and rows_prefix(batch) != pointer.prefix:
            raise Corrupt(f"node {name} does not have the prefix that its parent gives")
        if pointer.packs != leaf_packs(batch) and not is_root:
            raise Corrupt(f"node {name} does not need the packs that its parent gives")
        _check_order(batch, name)
        _check_rows(batch, name)
        self._report.count("entries", batch.num_rows)
        self._add_chunks(batch)
        place = batch["place"].to_numpy()
        big = batch.filter(pa.array((place == PlaceKind.RECIPE) | (place == PlaceKind.OBJECT)))
        for entry, uses in zip(entries(big), big["packs"].to_pylist(), strict=True):
            self._check_big(entry, uses or ())

    def _add_chunks(self, batch: pa.RecordBatch) -> None:
        chosen = batch.filter(pc.equal(batch["place"], int(PlaceKind.CHUNK)))
        if chosen.num_rows:
            offset, stored, size = (
                chosen[name].to_numpy(zero_copy_only=False) for name in ("offset", "stored", "size")
            )
            self._places.add(chosen["pack"], offset, stored, hashes_array(chosen["content"]), size)

    def _check_big(self, entry: ManifestEntry, uses: Iterable[dict[str, bytes]]) -> None:
        """Check a file that has a recipe or is an object of its own, and report its problems."""
        try:
            if isinstance(entry.place, RecipePlace):
                self._add_recipe(entry, entry.place)
            elif isinstance(entry.place, ObjectPlace):
                self._check_object(entry, entry.place.session)
        except Erased:
            self._report.count("erased files")
        except FAULTS as error:
            suspects = tuple(keys.pack(use["pack"]) for use in uses)
            self._report.fault("file", entry.path, error, suspects=suspects)

    def _add_recipe(self, entry: ManifestEntry, place: RecipePlace) -> None:
        # Add the recipe itself before it is read: it is needed even if it can't be read.
        self._add([(place.recipe, -1, place.pack, place.offset, place.stored)])
        parts = self._contents.parts_of(place)
        self._add([(hash, -1, pack, offset, stored) for hash, _, pack, offset, stored in parts])
        self._add(list(self._contents.leaves(entry, place)))

    def _add(self, rows: list[Row]) -> None:
        if rows:
            hashes, sizes, packs, offsets, stored = zip(*rows, strict=True)
            columns = (np.array(offsets), np.array(stored), hashes_of(hashes), np.array(sizes, np.int64))
            self._places.add(pa.array(packs, pa.binary(32)), *columns)

    def _check_object(self, entry: ManifestEntry, session: str) -> None:
        """Check that an object has the size that its file's row gives, and report it otherwise."""
        key = keys.stored_object(session, entry.content)
        found = self._core.backend.stat(key)
        if found is not None and found.size == entry.size:
            self._report.count("objects")
        elif found is None and self._core.backend.stat(keys.erased(entry.content)) is not None:
            self._report.count("erased files")
        else:
            what = "is missing" if found is None else f"has {found.size} bytes instead of {entry.size}"
            self._report.add("object", key, f"{key} ('{entry.path}') {what}", missing=found is None)
            note_damage(self._core, key, f"it {what}")


def _ids(folders: list[str]) -> Ids:
    return np.array([int.from_bytes(blake3(path.encode()).digest(8), "little") for path in folders], np.uint64)


def _known(batch: pa.RecordBatch) -> _Leaf:
    folders = batch.filter(pc.equal(batch["kind"], int(Kind.FOLDER)))
    listed = [join(f, n) for f, n in zip(folders["folder"].to_pylist(), folders["name"].to_pylist(), strict=True)]
    n = batch.num_rows
    ends = [order_key(batch["folder"][i].as_py(), batch["name"][i].as_py()) for i in (0, n - 1)] if n else [b"", b""]
    return _Leaf(ends[0], ends[1], n - folders.num_rows, _ids(listed), _ids(pc.unique(batch["folder"]).to_pylist()))


def _agree(pointer: Pointer, logical: bytes, full: bytes, size: int) -> None:
    if (pointer.logical, pointer.full, pointer.size) != (logical, full, size):
        raise Corrupt(f"node {pointer.id.hex()} does not have the hashes and size that its parent gives")


def _check_order(batch: pa.RecordBatch, node: str) -> None:
    """Raise Corrupt unless paths are valid and in strictly ascending order."""
    before = b""
    for folder, name in zip(batch["folder"].to_pylist(), batch["name"].to_pylist(), strict=True):
        try:
            path = check_path(join(folder, name))
        except InvalidInput as error:
            raise Corrupt(f"node {node}: {error.message}") from error
        key = order_key(folder, name)
        if key <= before or "/" in name or not name:
            raise Corrupt(f"node {node} is not in order at '{path}'")
        before = key


def _check_rows(batch: pa.RecordBatch, node: str) -> None:
    """Raise Corrupt unless kinds, locations, sizes and contents of rows are consistent."""
    kind, place, size = (batch[name].to_numpy() for name in ("kind", "place", "size"))
    content = hashes_array(batch["content"])
    is_file, is_folder, is_link = kind == Kind.FILE, kind == Kind.FOLDER, kind == Kind.SYMLINK
    needs_place = (is_file & (size > 0)) | (kind == Kind.EXTERNAL)
    odd = (kind > Kind.EXTERNAL) | (place > PlaceKind.EXTERNAL) | (size < 0)
    odd |= needs_place != (place != PlaceKind.NONE)
    odd |= is_folder & (content.any(axis=1) | (size != 0))
    odd |= is_file & (size == 0) & (content != np.frombuffer(_EMPTY, np.uint8)).any(axis=1)
    for row in np.flatnonzero(is_link).tolist():
        target = (batch["target"][row].as_py() or "").encode()
        odd[row] |= blake3(target).digest() != content[row].tobytes() or len(target) != size[row]
    for text in batch["attrs"].drop_null().to_pylist():
        try:
            msgspec.json.decode(text, type=dict[str, str])
        except msgspec.MsgspecError as error:
            raise Corrupt(f"node {node} has invalid attributes: {error}") from error
    if odd.any():
        row = int(np.flatnonzero(odd)[0])
        path = join(batch["folder"][row].as_py(), batch["name"][row].as_py())
        raise Corrupt(f"node {node} has an invalid entry for '{path}'")
