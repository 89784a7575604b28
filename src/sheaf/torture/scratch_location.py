"""The location to test, which several processes can open, and a temporary prefix below it."""

from __future__ import annotations

import secrets
import shutil
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import quote

from sheaf.errors import InvalidInput, Refused, SheafError
from sheaf.format import keys
from sheaf.storage.open import open_backend, parse_location
from sheaf.storage.port import Backend
from sheaf.storage.storage_options import StorageOptions

__all__ = ["ScratchLocation", "scratch"]

_DELETERS = 16
_ATTEMPTS = 20
_PAUSE_S = 0.1  # between two listings that must both be empty


def _as_it_is(backend: Backend) -> Backend:
    return backend


@dataclass(frozen=True, slots=True)
class ScratchLocation:
    """A folder or a prefix of a bucket. Can be pickled if ``wrap`` can; tests use ``wrap`` to inject faults."""

    url: str  #: without options
    options: StorageOptions
    wrap: Callable[[Backend], Backend] = _as_it_is

    @classmethod
    def at(cls, url: str, options: StorageOptions) -> ScratchLocation:
        """Create the location of a store's URL or plain path. Raises InvalidInput."""
        location = parse_location(url, options)
        if (location.options.sse_customer_key_file or "").startswith("/dev/"):
            raise InvalidInput(
                "the customer's key must be readable several times", "put it in a file: sse_customer_key_file"
            )
        if location.scheme == "file":
            return cls(Path(location.path).as_uri(), location.options)
        path = quote(f"{location.host}/{location.path}".rstrip("/"))
        return cls(f"{location.scheme}://{path}", location.options)

    @property
    def scheme(self) -> str:
        """``file``, ``memory``, ``s3``, …"""
        return self.url.partition(":")[0]

    @property
    def folder(self) -> Path | None:
        """The local folder, or None for other schemes."""
        location = parse_location(self.url, self.options)
        return Path(location.path) if self.scheme == "file" else None

    @property
    def is_shared(self) -> bool:
        """True if other processes can open it."""
        return self.scheme != "memory"

    def below(self, name: str) -> ScratchLocation:
        """The location ``name`` below this one."""
        return replace(self, url=f"{self.url.rstrip('/')}/{name}" if self.url != "memory://" else f"memory://{name}")

    def open(self) -> Backend:
        """Open a new client."""
        return self.wrap(open_backend(self.url, self.options))


@contextmanager
def scratch(outer: ScratchLocation, *, keep: bool = False) -> Iterator[ScratchLocation]:
    """Yield a location with a random name below ``outer``, removed at the end, even after an error, unless ``keep``.

    Raises:
        Refused: there is a store at ``outer`` itself.
        Denied: objects can't be written or deleted there.
    """
    with outer.open() as above:
        if above.stat(keys.CONFIG) is not None:
            raise Refused(f"there is a store at {outer.url}", "choose another prefix, or a folder below it")
    found = outer.below(f"torture-{secrets.token_hex(8)}")
    with _made_folder(found, keep=keep):
        _try(found)
        try:
            yield found
        finally:
            if not keep:
                _clean(found)


def _try(location: ScratchLocation) -> None:
    """Raise Denied early if objects can't be written or deleted here, before there is anything to clean up."""
    with location.open() as backend:
        backend.create("first", b"made by sheaf store torture; may be deleted")
        backend.delete("first")


def _clean(location: ScratchLocation) -> None:
    """Delete all objects, listing again until nothing is found: a store that fails the checks may list late or in part."""
    with location.open() as backend, ThreadPoolExecutor(_DELETERS) as pool:
        try:
            empty = attempts = 0
            while empty < 2 and attempts < _ATTEMPTS:
                found = [stat.key for stat in backend.list()]
                list(pool.map(backend.delete, found))
                empty, attempts = (0 if found else empty + 1), attempts + 1
                time.sleep(0 if found else _PAUSE_S)
        except SheafError as error:
            raise type(error)(f"can't clean up: {error.message}", f"delete the objects below {location.url}") from error
    if empty < 2 and location.scheme != "file":
        raise Refused(f"can't delete the objects below {location.url}", "delete them with another tool")


@contextmanager
def _made_folder(location: ScratchLocation, *, keep: bool) -> Iterator[None]:
    """Create the folder of ``location``; at the end remove it and the folders above that were created for it."""
    folder = location.folder
    if folder is None:
        yield
        return
    missing = [above for above in folder.parents if not above.exists()]
    # The name is random. Without exist_ok this fails rather than delete an existing folder at the end.
    folder.mkdir(parents=True)
    try:
        yield
    finally:
        if not keep:
            shutil.rmtree(folder, ignore_errors=True)
            if folder.exists():
                raise Refused(f"can't remove all of {folder}", "delete it with another tool")
            for above in missing:
                try:
                    above.rmdir()
                except OSError:
                    # The folder contains something that another process has created.
                    break
