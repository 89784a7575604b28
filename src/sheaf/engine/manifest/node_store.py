"""Manifest nodes: read, verified and cached; written in parallel."""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future
from functools import partial
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

from blake3 import blake3

from sheaf.engine.core import Core
from sheaf.engine.manifest.light_node import LightLeaf, children_of
from sheaf.engine.objects import get_object
from sheaf.engine.sessions.damage import read_again
from sheaf.errors import Corrupt, InvalidInput, NotFound
from sheaf.fork import Lock, Threads
from sheaf.format import keys
from sheaf.format.node_columns_v1 import MAX_LEVEL, NodeColumns, decode_columns
from sheaf.model.ids import parse_hash
from sheaf.model.nodes import Pointer
from sheaf.model.records import Root

# The import takes 0.1 s, and the light reader works without it.
if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["Nodes", "mark_of", "pointer_of", "root_of"]

T = TypeVar("T")
Key: TypeAlias = tuple[bytes, str, bool]  #: a node's id; its prefix, since two folders may share bytes; whether light
_AHEAD = 4  # leaves being fetched while one is used
_MANY = 1 << 63  # greater than any count in the columns of nodes
_REMEMBERED = 64 << 20  # bytes of decoded nodes kept in memory


def mark_of(pointer: Pointer) -> bytes:
    """Return a short id of a node at a prefix: equal bytes may be nodes below two folders."""
    return blake3(pointer.id + pointer.prefix.encode()).digest(16)


def pointer_of(root: Root) -> Pointer:
    """Return the pointer in a bundle's descriptor. Raises Corrupt if there can be no such node."""
    try:
        id, logical, full = map(parse_hash, (root.id, root.logical, root.full))
    except InvalidInput as error:
        raise Corrupt(f"a bundle's root is invalid: {error}", "run `sheaf store check`") from error
    if not 0 <= root.level <= MAX_LEVEL or not 0 <= root.rows < _MANY or not 0 <= root.size < _MANY:
        raise Corrupt(f"a bundle's root {root.id} has impossible counts", "run `sheaf store check`")
    return Pointer(id, root.length, root.level, "", root.rows, root.size, logical, full)


def root_of(pointer: Pointer) -> Root:
    """Return the pointer to a root in the form of a bundle's descriptor."""
    p = pointer
    return Root(p.id.hex(), p.length, p.level, p.rows, p.size, p.logical.hex(), p.full.hex())


class Nodes:
    """The nodes of a store. Thread-safe."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self._lock = Lock()
        self._kept: OrderedDict[Key, tuple[int, Any]] = OrderedDict()
        self._size = 0

    @property
    def io(self) -> Threads:
        """The threads that fetch nodes concurrently."""
        return self._core.io

    def rows(self, pointer: Pointer) -> pa.RecordBatch:
        """Return a leaf's rows (schema ROWS, absolute folders). Raises Corrupt, NotFound."""
        key = (pointer.id, pointer.prefix, False)
        found = self._remembered(key)
        if found is None:
            found = self._rows(pointer)
            self._remember(key, found.nbytes, found)
        return found

    def leaves(self, pointers: Iterable[Pointer]) -> Iterator[pa.RecordBatch]:
        """Yield the rows of many leaves in order; a few are fetched ahead and none is cached. Raises Corrupt, NotFound."""
        ahead: deque[Future[pa.RecordBatch]] = deque()
        for pointer in pointers:
            ahead.append(self._core.io.submit(self._rows, pointer))
            if len(ahead) > _AHEAD:
                yield ahead.popleft().result()
        while ahead:
            yield ahead.popleft().result()

    def children(self, pointer: Pointer) -> list[Pointer]:
        """Return an inner node's children, in order. Raises Corrupt, NotFound."""
        from sheaf.format.node_v1 import decode_children

        key = (pointer.id, pointer.prefix, False)
        found: list[Pointer] | None = self._remembered(key)
        if found is None:
            found = self._load(pointer, lambda data: decode_children(data, pointer))
            self._remember(key, 500 * len(found), found)
        return found

    def light_leaf(self, pointer: Pointer) -> LightLeaf | None:
        """Return a leaf read without Arrow; None if only Arrow can read it. Raises Corrupt, NotFound."""
        return self._light(pointer, LightLeaf)

    def light_children(self, pointer: Pointer) -> Sequence[Pointer] | None:
        """Return an inner node's children without Arrow; None if only Arrow can read it. Raises Corrupt, NotFound."""
        return self._light(pointer, children_of)

    def _light(self, pointer: Pointer, node_of: Callable[[NodeColumns, Pointer], T]) -> T | None:
        key = (pointer.id, pointer.prefix, True)
        found: T | None = self._remembered(key)
        if found is None and (columns := self.columns(pointer)) is not None:
            found = node_of(columns, pointer)
            self._remember(key, columns.size, found)
        return found

    def columns(self, pointer: Pointer) -> NodeColumns | None:
        """Return a node's columns without Arrow, uncached; None if only Arrow can read it. Raises Corrupt, NotFound."""
        what = f"node {pointer.id.hex()}"
        return self._load(pointer, lambda data: decode_columns(data, pointer.level, what))

    def data(self, pointer: Pointer) -> bytes:
        """Return a node's verified bytes, uncached in memory. Raises Corrupt, NotFound."""
        return self._load(pointer, bytes)

    def is_readable(self, pointer: Pointer) -> bool:
        """True if a node can be read; a parent that can be read says nothing about its children."""
        try:
            self.data(pointer)
        except Corrupt:
            return False
        return True

    def check(self, pointer: Pointer) -> bytes:
        """Return a node's verified bytes, read from the store without any cache. Raises Corrupt, NotFound."""
        return _checked(get_object(self._core.backend, keys.node(pointer.id)), pointer)

    def sound(self, pointers: Sequence[Pointer]) -> list[Pointer]:
        """Return those of some nodes that are sound in the store at this moment."""
        checked = zip(pointers, self._core.io.map(self._is_sound, pointers), strict=True)
        return [
            pointer
            for pointer, is_sound in checked
            if is_sound or read_again(self._core, keys.node(pointer.id), partial(self.check, pointer)) is not None
        ]

    def _is_sound(self, pointer: Pointer) -> bool:
        try:
            self.check(pointer)
        except (Corrupt, NotFound):
            return False
        return True

    def _rows(self, pointer: Pointer) -> pa.RecordBatch:
        from sheaf.format.node_v1 import decode_rows

        return self._load(pointer, lambda data: decode_rows(data, pointer))

    def _load(self, pointer: Pointer, decode: Callable[[bytes], T]) -> T:
        try:
            return self._read(pointer, decode)
        except Corrupt:
            data = read_again(self._core, keys.node(pointer.id), lambda: self.check(pointer))
            if data is None:
                raise
            return decode(data)

    def _read(self, pointer: Pointer, decode: Callable[[bytes], T]) -> T:
        try:
            return self._core.load(keys.node(pointer.id), lambda data: decode(_checked(data, pointer)))
        except NotFound as error:
            hint = "open the bundle again if something was just erased from it; otherwise run `sheaf store check`"
            raise Corrupt(f"node {pointer.id.hex()} is missing", hint) from error

    def _remembered(self, key: Key) -> Any:
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
                return self._kept[key][1]
            return None

    def _remember(self, key: Key, size: int, value: Any) -> None:
        with self._lock:
            # Another thread may have read the same node in the meantime.
            self._size += size - self._kept.pop(key, (0, None))[0]
            self._kept[key] = (size, value)
            while self._size > _REMEMBERED and len(self._kept) > 1:
                self._size -= self._kept.popitem(last=False)[1][0]


def _checked(data: bytes, pointer: Pointer) -> bytes:
    if len(data) != pointer.length or blake3(data).digest() != pointer.id:
        raise Corrupt(f"node {pointer.id.hex()} is damaged: its bytes don't match its id", "run `sheaf store check`")
    return data
