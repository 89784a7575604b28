"""Encrypt objects before they leave this process, and verify and decrypt them when they are read.

This wrapper is between the engine and the replicated store, so replicas contain and copy encrypted objects.
"""

from __future__ import annotations

import secrets
from collections import OrderedDict, deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TypeVar

from sheaf.engine.encryption.hiding import HiddenNames, is_plain, may_be_hashed
from sheaf.errors import Corrupt, NotFound, Refused, Unsupported
from sheaf.fork import Lock
from sheaf.format import keys
from sheaf.format.encrypted_v1 import HEADER, SALT, SEGMENT, ObjectCipher, StoreKey, stored_size
from sheaf.storage.buffers import check_ranges, check_reach, check_size, is_equal, joined, views
from sheaf.storage.key_rules import check_key
from sheaf.storage.port import LARGEST, Backend, Buffer, Created, Stat
from sheaf.storage.wrappers.wrapper import WrapperBackend

__all__ = ["EncryptedBackend"]

_REMEMBERED = 4096  # headers of about 500 bytes each
_KEPT = 2  # buffers kept for reuse, since the first write to new memory is slow
_KEPT_BYTES = 64 << 20
_TRIES = 3
T = TypeVar("T")


class EncryptedBackend(WrapperBackend):
    """Keeps everything derived from contents encrypted in ``inner``. Listings show the stored sizes of objects.

    Raises, in addition to the port's errors: Corrupt if an object was damaged, moved to another key, or encrypted with
    another key; Refused for objects that other programs are meant to read in place.
    """

    def __init__(self, inner: Backend, key: StoreKey, random: Callable[[int], bytes] = secrets.token_bytes) -> None:
        super().__init__(inner)
        self.ordered = False  # names with hidden hashes sort differently
        self._key = key
        self._random = random
        self._names = HiddenNames(key)
        self._lock = Lock()
        self._ciphers: OrderedDict[str, ObjectCipher] = OrderedDict()
        self._buffers: deque[bytearray] = deque(maxlen=_KEPT)

    def over(self, backend: Backend) -> EncryptedBackend:
        """Wrap another location of the same store, with the same key."""
        return EncryptedBackend(backend, self._key, self._random)

    # -- writing -------------------------------------------------------------------------------------------------------

    def create(self, key: str, data: Buffer | Sequence[Buffer]) -> Created:
        if is_plain(check_key(key)):
            return self.inner.create(key, data)
        if key.startswith(keys.OBJECTS):
            raise Refused(
                f"can't store {key} unencrypted for other programs: the store at {self.url} is encrypted",
                "keep such files in a separate, unencrypted store",
            )
        name, plain = self._names.hide(key), memoryview(joined(views(data)))
        with self._sealed(name, plain) as sealed:
            for _ in range(_TRIES):
                answer = self.inner.create(name, sealed)
                if answer is not Created.OTHER:
                    return answer
                # Encrypting the same bytes again gives other bytes, so compare them decrypted.
                try:
                    return Created.MINE if self._holds(key, name, plain) else Created.OTHER
                except NotFound:
                    # It was deleted in the meantime.
                    continue
        return Created.OTHER

    def _holds(self, key: str, name: str, plain: memoryview) -> bool:
        self._forget(name)
        return self._cipher(name).size == len(plain) and is_equal([plain], self.get(key))

    @contextmanager
    def _sealed(self, name: str, plain: memoryview) -> Iterator[memoryview]:
        """Yield the encrypted object. Its memory is reused afterwards."""
        cipher = ObjectCipher.begin(self._key, name, self._random(SALT), len(plain))
        with self._room(stored_size(len(plain))) as room:
            cipher.seal(plain, room)
            yield room

    @contextmanager
    def _room(self, size: int) -> Iterator[memoryview]:
        with self._lock:
            buffer = self._buffers.pop() if self._buffers else bytearray()
        if len(buffer) < size:
            buffer = bytearray(size)
        with memoryview(buffer) as whole, whole[:size] as room:
            yield room
        if len(buffer) <= _KEPT_BYTES:
            with self._lock:
                self._buffers.append(buffer)

    def replace(self, key: str, data: Buffer) -> None:
        if is_plain(check_key(key)):
            return self.inner.replace(key, data)
        name, plain = self._names.hide(key), memoryview(data).cast("B")
        with self._sealed(name, plain) as sealed:
            self.inner.replace(name, sealed)
        self._forget(name)
        return None

    def delete(self, key: str) -> None:
        name = self._names.hide(key)
        self.inner.delete(name)
        self._forget(name)

    # -- reading -------------------------------------------------------------------------------------------------------

    def get(self, key: str, limit: int = LARGEST) -> bytes:
        if is_plain(check_key(key)):
            return self.inner.get(key, limit)
        name = self._names.hide(key)
        raw = self.inner.get(name, stored_size(limit))
        cipher = ObjectCipher.read(self._key, name, raw[:HEADER])
        check_size(name, cipher.size, limit)
        if len(raw) != stored_size(cipher.size):
            what = f"{name} has {len(raw)} bytes instead of {stored_size(cipher.size)}"
            raise Corrupt(what, "run `sheaf store check`, or read from a replica")
        opened = cipher.open(0, memoryview(raw)[HEADER:])
        # The next line copies. Without this there would be three packs in memory.
        del raw
        return bytes(opened[: cipher.size])

    def get_ranges(self, key: str, ranges: Sequence[tuple[int, int]]) -> Sequence[Buffer]:
        if is_plain(check_key(key)):
            return self.inner.get_ranges(key, ranges)
        check_ranges(ranges)
        if not ranges:
            return []
        return self._steadily(self._names.hide(key), lambda name, cipher: self._read(name, cipher, ranges))

    def _read(self, name: str, cipher: ObjectCipher, ranges: Sequence[tuple[int, int]]) -> list[Buffer]:
        for offset, length in ranges:
            check_reach(name, cipher.size, offset, length)
        runs = _runs(ranges)
        found = self.inner.get_ranges(name, [cipher.span(*run) for run in runs])
        opened: dict[int, tuple[int, memoryview]] = {}  # by segment: the offset where its run begins, and the run
        for (first, last), sealed in zip(runs, found, strict=True):
            run = first * SEGMENT, cipher.open(first, memoryview(sealed))
            opened.update(dict.fromkeys(range(first, last + 1), run))
        return [_cut(opened, offset, length) for offset, length in ranges]

    def _steadily(self, name: str, ask: Callable[[str, ObjectCipher], T]) -> T:
        """Call ``ask`` with the object's cipher; again if a remembered header belonged to an object that was deleted since."""
        with self._lock:
            known = self._ciphers.get(name)
        try:
            return ask(name, known or self._cipher(name))
        except Corrupt:
            self._forget(name)
            if known is None or self._cipher(name).header == known.header:
                raise
        return ask(name, self._cipher(name))

    def _cipher(self, name: str) -> ObjectCipher:
        """Return the cipher of an object, from its header. Raises NotFound, Corrupt, Unsupported."""
        with self._lock:
            if (known := self._ciphers.get(name)) is not None:
                self._ciphers.move_to_end(name)
                return known
        header = self.inner.get_ranges(name, [(0, HEADER)])[0]
        cipher = ObjectCipher.read(self._key, name, bytes(header))
        with self._lock:
            self._ciphers[name] = cipher
            while len(self._ciphers) > _REMEMBERED:
                self._ciphers.popitem(last=False)
        return cipher

    def _forget(self, name: str) -> None:
        with self._lock:
            self._ciphers.pop(name, None)

    # -- stat and list -------------------------------------------------------------------------------------------------

    def stat(self, key: str) -> Stat | None:
        """Return the object's size without encryption; its stored size if the header is damaged."""
        name = self._names.hide(check_key(key))
        with self._lock:
            known = self._ciphers.get(name)
        if known is not None or is_plain(key):
            found = self.inner.stat(name)
            return Stat(key, known.size) if found and known else found
        try:
            return Stat(key, self._cipher(name).size)
        except NotFound:
            return None
        except (Corrupt, Unsupported):
            found = self.inner.stat(name)
            return Stat(key, found.size) if found else None

    def list(self, prefix: str = "", *, sort: bool = False) -> Iterator[Stat]:
        if not may_be_hashed(prefix):
            return self.inner.list(prefix, sort=sort)
        # The part of the prefix after its last slash may be a part of a hidden hash, so it can't be used in the store.
        folder = prefix[: prefix.rfind("/") + 1]
        shown = (Stat(self._names.show(stat.key), stat.size) for stat in self.inner.list(folder, sort=sort))
        chosen = (stat for stat in shown if stat.key.startswith(prefix))
        return iter(sorted(chosen, key=lambda stat: stat.key)) if sort else chosen

    def newest(self, prefix: str) -> str | None:
        if not may_be_hashed(prefix):
            return self.inner.newest(prefix)
        return min((stat.key for stat in self.list(prefix)), default=None)


def _runs(ranges: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """The segments that the ranges touch, as (first, last) of each run of adjacent ones."""
    runs: list[tuple[int, int]] = []
    for offset, length in sorted(ranges):
        if not length:
            continue
        first, last = offset // SEGMENT, (offset + length - 1) // SEGMENT
        if runs and first <= runs[-1][1] + 1:
            runs[-1] = runs[-1][0], max(last, runs[-1][1])
        else:
            runs.append((first, last))
    return runs


def _cut(opened: dict[int, tuple[int, memoryview]], offset: int, length: int) -> Buffer:
    if not length:
        return b""
    start, run = opened[offset // SEGMENT]
    return run[offset - start : offset - start + length]
