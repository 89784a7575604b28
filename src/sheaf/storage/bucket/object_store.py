"""Store objects in a bucket of S3, Google Cloud Storage or Azure, through obstore."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, TypeVar

import obstore

from sheaf.errors import Corrupt, NotFound, SheafError, Unavailable
from sheaf.fork import ProcessOrigin, Semaphore
from sheaf.storage.bucket.obstore_errors import is_panic, translate
from sheaf.storage.buffers import check_ranges, check_size, is_equal, joined, views
from sheaf.storage.key_rules import check_key, check_prefix
from sheaf.storage.port import LARGEST, Backend, Buffer, Created, Stat
from sheaf.storage.wrappers.count import COALESCE
from sheaf.storage.wrappers.retry import RetryPolicy

if TYPE_CHECKING:
    from obstore import ObjectMeta
    from obstore.store import AzureStore, GCSStore, S3Store

__all__ = ["ObstoreBackend"]

T = TypeVar("T")

_PAGE = 1_000
_HINT = "start processes with multiprocessing's 'spawn' or 'forkserver', or use the bucket only after the fork"
#: The process in which the library runs its threads, set by the first request. A forked child would wait for them endlessly.
_asking: ProcessOrigin | None = None


class ObstoreBackend(Backend):
    """Objects of a bucket, below the store's own prefix.

    The library's own retries must be off: it would repeat a create whose answer was lost and then report our own object
    as another writer's. All retries are made here, where a doubtful create is resolved by reading the key back.
    """

    def __init__(
        self,
        store: S3Store | GCSStore | AzureStore,
        url: str,
        *,
        ordered: bool,
        retry: RetryPolicy | None = None,
        concurrency: int = 32,
        ready: Callable[[], None] | None = None,
    ) -> None:
        """``ready`` is called before the first request; it must raise a class of ``sheaf.errors`` if no request can succeed."""
        self.url = url
        self.ordered = ordered
        self._store = store
        self._retry = retry or RetryPolicy()
        self._ready = ready
        self._slots = Semaphore(concurrency)

    # ── writing ───────────────────────────────────────────────────────────────

    def create(self, key: str, data: Buffer | Sequence[Buffer]) -> Created:
        check_key(key)
        parts = views(data)
        body = joined(parts)
        return self._retry.run(lambda: self._create_once(key, body))

    def _create_once(self, key: str, body: Buffer) -> Created:
        try:
            self._ask(f"write {key}", lambda: obstore.put(self._store, key, body, mode="create", use_multipart=False))
        except Unavailable as doubt:
            return self._settled(key, body, doubt)
        return Created.CREATED

    def _settled(self, key: str, body: Buffer, doubt: Unavailable) -> Created:
        """Read back whose bytes the key has after "exists", a conflict, a time-out or a server error."""
        try:
            found = self._get_once(key, memoryview(body).nbytes)
        except NotFound:
            # The key does not exist, so the caller may try again.
            raise doubt from None
        except Corrupt:
            # The object is longer than ours.
            return Created.OTHER
        return Created.MINE if is_equal([memoryview(body)], memoryview(found)) else Created.OTHER

    def replace(self, key: str, data: Buffer) -> None:
        check_key(key)
        self._retried(
            f"replace {key}", lambda: obstore.put(self._store, key, data, mode="overwrite", use_multipart=False)
        )

    def delete(self, key: str) -> None:
        check_key(key)
        try:
            self._retried(f"delete {key}", lambda: obstore.delete(self._store, key))
        except NotFound:
            pass

    # ── reading ───────────────────────────────────────────────────────────────

    def get(self, key: str, limit: int = LARGEST) -> bytes:
        check_key(key)
        return self._retry.run(lambda: self._get_once(key, limit)).to_bytes()

    def _get_once(self, key: str, limit: int) -> obstore.Bytes:
        return self._ask(f"read {key}", lambda: self._received(key, limit))

    def _received(self, key: str, limit: int) -> obstore.Bytes:
        """Read the body if its announced length is within the limit. The client accepts no more than was announced."""
        answer = obstore.get(self._store, key)
        check_size(key, answer.meta["size"], limit)
        return answer.bytes()

    def get_ranges(self, key: str, ranges: Sequence[tuple[int, int]]) -> Sequence[Buffer]:
        check_key(key)
        check_ranges(ranges)
        wanted = [span for span in ranges if span[1]]
        if not wanted and ranges and self.stat(key) is None:
            raise NotFound(f"no object {key} in {self.url}")
        found = iter(self._get_ranges(key, wanted) if wanted else [])
        return [next(found) if length else b"" for _, length in ranges]

    def _get_ranges(self, key: str, ranges: Sequence[tuple[int, int]]) -> list[Buffer]:
        starts, lengths = [start for start, _ in ranges], [length for _, length in ranges]
        found = self._retried(
            f"read {key}",
            lambda: obstore.get_ranges(self._store, key, starts=starts, lengths=lengths, coalesce=COALESCE),
        )
        for buffer, start, length in zip(found, starts, lengths, strict=True):
            if len(buffer) != length:
                raise Corrupt(f"{key} ends before the range {start}+{length}", "run `sheaf store check`")
        return [memoryview(buffer) for buffer in found]

    def stat(self, key: str) -> Stat | None:
        check_key(key)
        try:
            return Stat(key, self._retried(f"look up {key}", lambda: obstore.head(self._store, key))["size"])
        except NotFound:
            return None

    # ── listing ───────────────────────────────────────────────────────────────

    def list(self, prefix: str = "", *, sort: bool = False) -> Iterator[Stat]:
        check_prefix(prefix)
        found = self._retry.resumed(lambda last: self._listed(prefix, last))
        return found if self.ordered or not sort else self._sorted(found)

    @staticmethod
    def _sorted(found: Iterator[Stat]) -> Iterator[Stat]:
        yield from sorted(found, key=lambda stat: stat.key)

    def newest(self, prefix: str) -> str | None:
        check_prefix(prefix)
        if self.ordered:
            return self._retry.run(lambda: next((stat.key for stat in self._listed(prefix, "", page=1)), None))
        return next(self._descend(prefix), None)

    def _listed(self, prefix: str, last: str, page: int = _PAGE) -> Iterator[Stat]:
        """Yield the keys under ``prefix`` in the store's order, without those up to ``last`` where that saves requests."""
        folder, _, start = prefix.rpartition("/")
        after = (last or (prefix[:-1] if start else "")) if self.ordered else ""
        stream = obstore.list(self._store, folder or None, offset=after or None, chunk_size=page)
        what = f"list {prefix or 'all keys'}"
        while chunk := self._ask(what, lambda: next(stream, None)):
            for meta in chunk:
                if meta["path"].startswith(prefix):
                    yield Stat(meta["path"], meta["size"])
                elif self.ordered and meta["path"] > prefix:
                    return

    def _descend(self, prefix: str) -> Iterator[str]:
        """Yield keys in ascending order from an unordered store: one folder at a time, so that long logs are cheap."""
        folder = prefix.rpartition("/")[0]
        found = self._retried(
            f"list {prefix or 'all keys'}", lambda: obstore.list_with_delimiter(self._store, folder or None)
        )
        folders = [f"{name.rstrip('/')}/" for name in found["common_prefixes"]]
        objects: Sequence[ObjectMeta] = found["objects"]
        for name in sorted([*folders, *(meta["path"] for meta in objects)]):
            if name.startswith(prefix):
                yield from self._descend(name) if name.endswith("/") else (name,)

    # ── requests ──────────────────────────────────────────────────────────────────

    def _retried(self, what: str, call: Callable[[], T]) -> T:
        return self._retry.run(lambda: self._ask(what, call))

    def _ask(self, what: str, call: Callable[[], T]) -> T:
        """Make one request. Raises only classes of ``sheaf.errors``."""
        _ensure_threads(self.url)
        if self._ready:
            self._ready()
            self._ready = None
        try:
            with self._slots:
                return call()
        except SheafError:
            raise
        except BaseException as error:
            if not isinstance(error, Exception) and not is_panic(error):
                raise
            raise translate(error, f"{what} in {self.url}")  # noqa: B904 - it carries a cause without secrets


def _ensure_threads(url: str) -> None:
    """Raise Refused in a process that was forked from one that had already made a request to a bucket."""
    global _asking  # noqa: PLW0603 - the library's threads are the process's, too
    if _asking is None:
        _asking = ProcessOrigin(f"the connection to {url}", _HINT)
    _asking.ensure_here()
