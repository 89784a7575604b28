"""Small stores for tests of single parts of the engine."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from sheaf.engine.chunks.chunk_reader import Contents
from sheaf.engine.chunks.dedup import ChunkIndex
from sheaf.engine.chunks.ingest import Ingest, StoredFile
from sheaf.engine.chunks.pack_writer import PackSink
from sheaf.engine.clock import SystemClock
from sheaf.engine.core import Core, create_store, open_store
from sheaf.engine.core_limits import DEFAULT, Limits
from sheaf.engine.manifest.node_store import Nodes
from sheaf.engine.manifest.tree_writer import leaves_of
from sheaf.format import keys
from sheaf.format.session_v1 import Condemned, encode_condemned
from sheaf.format.store_v1 import Chunker
from sheaf.model.entries import ChunkPlace, Kind, ManifestEntry, PlaceKind, RecipePlace
from sheaf.model.entries import Place as Where
from sheaf.model.ids import ksuid
from sheaf.model.records import BundleRecord as Descriptor
from sheaf.model.records import Root
from sheaf.repo.bundle import Bundle
from sheaf.repo.repo import Repo
from sheaf.repo.store import Store
from sheaf.storage.folder.backend import FolderBackend
from sheaf.storage.memory import MemoryBackend
from sheaf.storage.port import LARGEST, Backend, Buffer, Created, Stat
from sheaf.storage.wrappers.wrapper import WrapperBackend
from sheaf.testing.clock import SteeredClock

ZEROS = "00" * 32
GENERATION = ksuid(1_700_000_000, bytes(16))


def new_backend() -> MemoryBackend:
    """An empty store."""
    backend = MemoryBackend()
    create_store(backend, SteeredClock("store"))
    return backend


def open_core(backend: Backend, seed: str = "core") -> Core:
    """A process that works on a store; ``seed``: another one for each."""
    return Core(backend, open_store(backend), clock=SteeredClock(seed), workers=2)


def store_with(folder: Path, limits: Limits) -> Store:
    """A new store in a local folder, opened with these limits."""
    backend = FolderBackend(folder)
    create_store(backend, SystemClock())
    return Store(backend, limits=limits)


def noise(size: int, seed: int = 0) -> bytes:
    """Bytes that can't be compressed, the same in every run."""
    return random.Random(seed).randbytes(size)


def descriptor(id: str, message: str = "", parents: tuple[str, ...] = ()) -> Descriptor:
    """A bundle's descriptor that leads nowhere: enough for tests of logs."""
    root = Root(ZEROS, 0, 0, 0, 0, ZEROS, ZEROS)
    return Descriptor(id, ZEROS, root, message, "2026-01-01T00:00:00.000000Z", 0, parents=parents)


def commit(repo: Repo, files: dict[str, bytes], message: str = "m", branch: str = "main") -> str:
    """Add files to what a branch has; returns the bundle's id."""
    with repo.edit(message=message, branch=branch) as edit:
        for path, content in files.items():
            edit.put(path, content)
        return edit.commit().id


@dataclass
class Place:
    """A store with one repo, and folders to upload."""

    backend: Backend
    scratch: Path
    stores: list[Store] = field(default_factory=list)

    def store(self, backend: Backend | None = None, *, cache: Path | None = None, limits: Limits = DEFAULT) -> Store:
        """Another process with the store open, a second later, through this backend if one is given."""
        # an hour ahead of the files' times: what has just changed is not remembered as unchanged
        clock = SteeredClock(f"process {len(self.stores)}", int(time.time()) + 3600 + len(self.stores))
        opened = Store(backend or self.backend, clock=clock, cache=cache, limits=limits)
        self.stores.append(opened)
        return opened

    def repo(self, backend: Backend | None = None, *, cache: Path | None = None, limits: Limits = DEFAULT) -> Repo:
        """The repo, as another process sees it."""
        return self.store(backend, cache=cache, limits=limits).repo("faces")

    def folder(self, name: str, files: dict[str, bytes]) -> Path:
        """A local folder with these files."""
        root = self.scratch / name
        for path, content in files.items():
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            (root / path).write_bytes(content)
        root.mkdir(exist_ok=True)
        return root


class Recorder(WrapperBackend):
    """Keeps what is asked of the inner backend, in order, as (call, key)."""

    def __init__(self, inner: Backend) -> None:
        super().__init__(inner)
        self.calls: list[tuple[str, str]] = []

    def create(self, key: str, data: Buffer | Sequence[Buffer]) -> Created:
        self.calls.append(("create", key))
        return super().create(key, data)

    def get(self, key: str, limit: int = LARGEST) -> bytes:
        self.calls.append(("get", key))
        return super().get(key, limit)

    def get_ranges(self, key: str, ranges: Sequence[tuple[int, int]]) -> Sequence[Buffer]:
        self.calls.append(("get_ranges", key))
        return super().get_ranges(key, ranges)

    def list(self, prefix: str = "", *, sort: bool = False) -> Iterator[Stat]:
        self.calls.append(("list", prefix))
        return super().list(prefix, sort=sort)

    def newest(self, prefix: str) -> str | None:
        self.calls.append(("newest", prefix))
        return super().newest(prefix)

    def at(self, call: str, prefix: str) -> int:
        """When the first such call was made."""
        return next(n for n, (made, key) in enumerate(self.calls) if made == call and key.startswith(prefix))


def replaced(backend: Backend, key: str, data: bytes | None) -> None:
    """What no program does: other bytes under a key (None: nothing)."""
    backend.delete(key)
    if data is not None:
        backend.create(key, data)


def flipped(data: bytes, at: int, bit: int = 0) -> bytes:
    """The same bytes with one bit turned over."""
    return data[:at] + bytes([data[at] ^ (1 << bit)]) + data[at + 1 :]


def nodes_of(core: Core) -> Nodes:
    """The nodes of a store, nothing of them remembered."""
    return Nodes(core)


class Interrupted(WrapperBackend):
    """Runs an action once, right before the first create below a prefix."""

    def __init__(self, inner: Backend) -> None:
        super().__init__(inner)
        self._actions: dict[str, Callable[[], object]] = {}

    def before(self, prefix: str, action: Callable[[], object]) -> None:
        """Before the next object below ``prefix`` is created, do this."""
        self._actions[prefix] = action

    def create(self, key: str, data: Buffer | Sequence[Buffer]) -> Created:
        for prefix in [prefix for prefix in self._actions if key.startswith(prefix)]:
            self._actions.pop(prefix)()
        return super().create(key, data)


def packs_of(bundle: Bundle) -> set[bytes]:
    """Every pack that a bundle's manifest sends its readers to, those in recipes included."""
    found: set[bytes] = set()
    contents = Contents(bundle.tree.nodes._core)
    for entry in bundle.tree.entries():
        match entry.place:
            case ChunkPlace(pack):
                found.add(pack)
            case RecipePlace(_, pack):
                found |= {pack, *(row[2] for row in contents.recipe_rows(entry.place))}
    return found


def nodes_in(bundle: Bundle) -> set[bytes]:
    """The ids of all nodes of a bundle's manifest."""
    return {pointer.id for pointer in leaves_of(bundle.tree.nodes, bundle.tree.root)}


def condemn(
    backend: Backend,
    *,
    dead: Collection[bytes] = (),
    moving: Collection[bytes] = (),
    nodes: Collection[bytes] = (),
    name: str = GENERATION,
) -> str:
    """What gc writes when it begins a generation; returns the key."""
    key = keys.condemned(name)
    listed = Condemned(name, frozenset(dead), frozenset(moving), frozenset(nodes), frozenset())
    backend.create(key, encode_condemned(listed))
    return key


def sweep(backend: Backend, packs: Collection[bytes], nodes: Collection[bytes] = ()) -> None:
    """What gc does when it ends a generation."""
    for key in [*map(keys.pack, packs), *map(keys.node, nodes)]:
        backend.delete(key)


#: Chunks of about a kilobyte, so that small files have many.
TINY = Chunker(min=256, avg=1024, max=4096)


@dataclass
class Bench:
    """Contents in and out of a store, with nothing around them."""

    backend: Backend = field(default_factory=new_backend)
    chunker: Chunker = Chunker()  # noqa: RUF009 - it is frozen
    erased: frozenset[bytes] = frozenset()
    limits: Limits = DEFAULT

    def __post_init__(self) -> None:
        config = msgspec.structs.replace(open_store(self.backend), chunker=self.chunker)
        self.core = Core(self.backend, config, clock=SteeredClock("bench"), workers=2, limits=self.limits)
        self.session = self.core.clock.new_id()
        self.index = ChunkIndex([], frozenset())
        self.sink = PackSink(self.core, self.session, self.index)
        self.ingest = Ingest(self.core, self.sink, self.index, self.erased)

    def store(self, content: bytes, blocks: Sequence[int] = ()) -> ManifestEntry:
        """Store a file, cut into blocks of these lengths and a last one; it is durable afterwards."""
        placed = self.ingest.store_stream(_cut(content, blocks)) if blocks else self.ingest.store_bytes(content)
        self.sink.flush()
        return entry_of(placed)

    def read(self, entry: ManifestEntry, start: int = 0, length: int | None = None) -> bytes:
        """Bytes of a file, by a reader that knows nothing yet."""
        return Contents(self.core).read(entry, start, length)


def entry_of(placed: StoredFile) -> ManifestEntry:
    """A file that is stored, as a manifest would have it."""
    place: Where | None = None
    if placed.place == PlaceKind.CHUNK:
        place = ChunkPlace(placed.pack, placed.offset, placed.stored)
    if placed.place == PlaceKind.RECIPE:
        place = RecipePlace(placed.recipe, placed.pack, placed.offset, placed.stored)
    return ManifestEntry("", "file", Kind.FILE, size=placed.size, content=placed.content, place=place)


def _cut(content: bytes, blocks: Sequence[int]) -> Iterator[bytes]:
    at = 0
    for length in blocks:
        yield content[at : at + length]
        at += length
    yield content[at:]
