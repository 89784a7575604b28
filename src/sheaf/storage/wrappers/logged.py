"""Write each request to a store to the log, which ``-vv`` prints."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from sheaf.errors import NotFound
from sheaf.storage.buffers import total, views
from sheaf.storage.port import LARGEST, Backend, Buffer, Created, Stat
from sheaf.storage.wrappers.wrapper import WrapperBackend

__all__ = ["LogBackend", "with_log"]

_log = logging.getLogger("sheaf")


def with_log(backend: Backend) -> Backend:
    """Wrap the backend so that its requests are logged, if debug logging is on."""
    return LogBackend(backend) if _log.isEnabledFor(logging.DEBUG) else backend


class LogBackend(WrapperBackend):
    """Logs each call to ``inner`` in one line: the call, the key, bytes, the result and the time in milliseconds."""

    def create(self, key: str, data: Buffer | Sequence[Buffer]) -> Created:
        with _logged("create", key) as said:
            said.append(f"{total(views(data))} bytes")
            created = self.inner.create(key, data)
            said.append(created.name.lower())
            return created

    def get(self, key: str, limit: int = LARGEST) -> bytes:
        with _logged("get", key) as said:
            data = self.inner.get(key, limit)
            said.append(f"{len(data)} bytes")
            return data

    def get_ranges(self, key: str, ranges: Sequence[tuple[int, int]]) -> Sequence[Buffer]:
        with _logged("get", key) as said:
            said.append(f"{sum(length for _, length in ranges)} bytes in {len(ranges)} ranges")
            return self.inner.get_ranges(key, ranges)

    def stat(self, key: str) -> Stat | None:
        with _logged("stat", key) as said:
            found = self.inner.stat(key)
            said.append(f"{found.size} bytes" if found else "not found")
            return found

    def list(self, prefix: str = "", *, sort: bool = False) -> Iterator[Stat]:
        count = 0
        with _logged("list", prefix) as said:
            for stat in self.inner.list(prefix, sort=sort):
                count += 1
                yield stat
            said.append(f"{count} keys")

    def newest(self, prefix: str) -> str | None:
        with _logged("list", prefix) as said:
            key = self.inner.newest(prefix)
            said.append(f"first: {key}" if key else "empty")
            return key

    def replace(self, key: str, data: Buffer) -> None:
        with _logged("replace", key) as said:
            said.append(f"{total(views(data))} bytes")
            self.inner.replace(key, data)

    def delete(self, key: str) -> None:
        with _logged("delete", key):
            self.inner.delete(key)


@contextmanager
def _logged(call: str, key: str) -> Iterator[list[str]]:
    said: list[str] = []
    began = time.monotonic()
    try:
        yield said
    except NotFound:
        said.append("not found")
        raise
    except Exception as error:
        said.append(f"{type(error).__name__}: {error}")
        raise
    finally:
        took = (time.monotonic() - began) * 1000
        _log.debug("%s %s: %s", call, key, ", ".join([*said, f"{took:.0f} ms"]))
