"""Stores with something to forget in them, and a scan that shows whether it is forgotten."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
from blake3 import blake3
from tests.crash.builders import clone

from sheaf.engine.core import Core, create_store
from sheaf.engine.gc.grace import Decision
from sheaf.errors import NotFound, Unavailable
from sheaf.format import keys
from sheaf.format.envelope import decode_envelope
from sheaf.format.frame_v1 import unframe
from sheaf.format.index_v1 import decode_index
from sheaf.format.node_columns_v1 import NodeHeader
from sheaf.format.pack_v1 import decode_table
from sheaf.format.recipe_v1 import decode_part
from sheaf.format.record_v1 import decode_page
from sheaf.format.session_v1 import Session
from sheaf.repo.bundle import Bundle
from sheaf.repo.repo import Repo
from sheaf.repo.store import Store
from sheaf.storage.memory import MemoryBackend
from sheaf.storage.port import Backend
from sheaf.storage.wrappers.retry import RetryBackend, RetryPolicy
from sheaf.testing.clock import SteeredClock
from sheaf.testing.faults import Fault, FaultyBackend

SECRET = b"a person's own words " * 200
BIG = random.Random(1).randbytes(900_000)  #: cut into many chunks, so it gets a recipe
NEAR = BIG[:600_000] + b"!" + BIG[600_001:]  #: shares most of them
OTHER = b"what stays " * 100


class Now:
    """Waits for nobody: whoever has a session open is ended."""

    def __call__(self, sessions: list[Session]) -> Decision:
        return Decision.END

    def settle(self, seconds: float) -> None:
        return


class Later(Now):
    """Ends nobody: leaves the work to another gc."""

    def __call__(self, sessions: list[Session]) -> Decision:
        return Decision.LEAVE


def hash_of(data: bytes) -> str:
    return blake3(data).hexdigest()


def new_backend() -> MemoryBackend:
    backend = MemoryBackend()
    create_store(backend, SteeredClock("store"))
    return backend


@contextmanager
def process(backend: Backend, seed: str, cache: Path | None = None) -> Iterator[Store]:
    """A process that has the store open; ``seed`` names it, since no two may draw the same ids."""
    with Store(backend, clock=SteeredClock(seed, 1_790_000_000), cache=cache) as store:
        yield store


def core_of(store: Store) -> Core:
    return store._core


def put(repo: Repo, files: dict[str, bytes], message: str = "m", branch: str = "main") -> Bundle:
    """Add files to what a branch has."""
    with repo.edit(message=message, branch=branch) as edit:
        for path, content in files.items():
            edit.put(path, content)
        return edit.commit()


def packs_of(backend: Backend) -> set[str]:
    return {stat.key for stat in backend.list(keys.PACKS)}


# -- looking for traces ------------------------------------------------------------------------------------------------


def stored_bytes(backend: Backend) -> Iterator[tuple[str, bytes]]:
    """Everything that the store holds, decompressed: (where, bytes)."""
    for stat in backend.list():
        data = backend.get(stat.key)
        yield stat.key, data
        if stat.key.startswith(keys.PACKS):
            table = decode_table(data, len(data), stat.key)
            for at, length in zip(table.offsets.tolist(), table.stored.tolist(), strict=True):
                yield f"{stat.key} at {at}", unframe(memoryview(data)[at : at + length], stat.key)


def traces(backend: Backend, content: bytes, window: int = 64) -> list[str]:
    """Where bytes of a content still are: every stretch of ``window`` bytes of it is looked for, a stride apart."""
    wanted = {content[at : at + window] for at in range(0, len(content) - window + 1, 997)} or {content}
    found = []
    for where, data in stored_bytes(backend):
        if any(piece in data for piece in wanted):
            found.append(where)
    return found


def named_in(backend: Backend, name: str) -> list[str]:
    """Where a name stands: in the plain, in what packs hold, in the columns of nodes, or in pages of logs."""
    return [where for where, data in [*stored_bytes(backend), *_decoded(backend)] if name.encode() in data]


def _decoded(backend: Backend) -> Iterator[tuple[str, bytes]]:
    for stat in backend.list():
        if stat.key.startswith(keys.NODES):
            _, payload = decode_envelope(backend.get(stat.key), "N", NodeHeader, stat.key)
            table = pa.ipc.open_stream(pa.py_buffer(payload)).read_all()
            yield f"{stat.key} decoded", repr(table.to_pylist()).encode()
        elif "pages/" in stat.key:
            yield f"{stat.key} decoded", repr(decode_page(backend.get(stat.key), stat.key)).encode()


def hashes_in(backend: Backend) -> set[bytes]:
    """The hashes of all chunks that packs, recipes in packs and the index speak of."""
    found: set[bytes] = set()
    for where, data in stored_bytes(backend):
        if where.startswith(keys.INDEX):
            found |= {hash.tobytes() for hash in decode_index(data, where)[1].hashes}
        elif where.startswith(keys.PACKS) and " at " not in where:
            found |= {hash.tobytes() for hash in decode_table(data, len(data), where).hashes}
        elif data.startswith(b"SHFR"):
            found |= {hash.tobytes() for hash in decode_part(data, where).hashes}
    return found


def traces_in_folder(folder: Path, content: bytes) -> list[Path]:
    piece = content[: min(len(content), 64)]
    return [path for path in folder.rglob("*") if path.is_file() and piece in path.read_bytes()]


# -- what readers get --------------------------------------------------------------------------------------------------


def readable(bundle: Bundle, but: Iterable[bytes] = ()) -> dict[str, bytes]:
    """The files of a bundle; those with an erased content must say so, and no others may."""
    gone = {hash_of(content) for content in but}
    found = {}
    for entry in bundle.ls(recursive=True):
        if entry.kind == "file":
            try:
                found[entry.path] = bundle.read(entry.path)
            except NotFound as error:
                assert error.kind == "erased"
                assert entry.content in gone, entry.path
            else:
                assert entry.content not in gone, entry.path
                assert hash_of(found[entry.path]) == entry.content
    return found


def identities(store: Store) -> dict[str, Any]:
    """What must not change: ids, versions, names, the list of files."""
    return {
        info.name: [
            (
                bundle.id,
                bundle.version,
                [(entry.path, entry.content, entry.size) for entry in bundle.ls(recursive=True)],
            )
            for bundle in store.repo(info.name).bundles()
        ]
        for info in store.repos()
    }


def assert_survives_lost_answers(
    made: MemoryBackend, fault: Fault, erase: Callable[[Store], object], check: Callable[[Store], None]
) -> None:
    """Each write of an erasure meets the fault once: retried by the backend, and by whoever asked for it.

    ``check`` looks at a store from which all should be gone.
    """
    undisturbed = FaultyBackend(clone(made))
    with process(undisturbed, "eraser") as store:
        erase(store)
    for nth in range(1, undisturbed.written + 1):
        retried = FaultyBackend(clone(made), {nth: fault})
        with process(RetryBackend(retried, RetryPolicy(sleep=lambda seconds: None)), "eraser") as store:
            erase(store)
        told = FaultyBackend(clone(made), {nth: fault})
        with process(told, "eraser") as store:
            try:
                erase(store)
            except Unavailable:
                erase(store)
        for backend in (retried.inner, told.inner):
            with process(backend, "afterwards") as store:
                check(store)
