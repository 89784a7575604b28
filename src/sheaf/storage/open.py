"""Parse the URL of a store and open the backend for it."""

# ruff: noqa: PTH100

from __future__ import annotations

import os
import re
from collections.abc import Callable
from urllib.parse import parse_qsl, unquote, urlsplit

from sheaf.errors import InvalidInput
from sheaf.storage.location import Location
from sheaf.storage.port import Backend
from sheaf.storage.storage_options import StorageOptions
from sheaf.storage.wrappers.logged import with_log

__all__ = ["SCHEMES", "is_path", "open_backend", "parse_location"]

_SCHEME = re.compile(r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*):(?P<slashes>/{0,2})")


def open_backend(url: str, options: StorageOptions | None = None) -> Backend:
    """Return the backend for a URL or a plain path, without reading or writing anything yet.

    Raises ``InvalidInput`` for an invalid URL or option, ``Unsupported`` if an optional package is missing.
    """
    location = parse_location(url, options or StorageOptions())
    backend = with_log(SCHEMES[location.scheme](location))
    if location.options.limit_rate is None:
        return backend
    from sheaf.storage.wrappers.rate_limit import LimitBackend

    return LimitBackend.at(backend, location.options.limit_rate)


def parse_location(url: str, options: StorageOptions) -> Location:
    """Parse a store's URL or path. Raises ``InvalidInput``."""
    if is_path(url):
        return Location("file", "", _absolute(url), options)
    match = _SCHEME.match(url)
    # A text that the pattern doesn't match is a path, which was handled above.
    assert match is not None
    scheme = match["scheme"].lower()
    if scheme not in SCHEMES:
        raise InvalidInput(f"unknown kind of store {scheme}://", _scheme_hint(scheme))
    if match["slashes"] != "//":
        raise InvalidInput(f"not a store's URL: {scheme}:…", f"write {scheme}://… with two slashes")
    return _split(scheme, url, options)


def is_path(url: str) -> bool:
    """True if ``url`` is a plain path on this machine rather than a URL."""
    match = _SCHEME.match(url)
    return match is None or (not match["slashes"] and match["scheme"].lower() not in SCHEMES)


def _split(scheme: str, url: str, options: StorageOptions) -> Location:
    parts = urlsplit(url)
    if "@" in parts.netloc:
        raise InvalidInput(
            f"the {scheme}:// URL contains credentials",
            "remove them; set them in the environment, a profile or with credential=FILE",
        )
    if parts.fragment:
        raise InvalidInput(f"the {scheme}:// URL contains a '#'", "write %23 for a # in the name")
    options = options.merged(dict(parse_qsl(parts.query, keep_blank_values=True)))
    if scheme == "file":
        if parts.netloc not in {"", "localhost"}:
            raise InvalidInput(f"file://{parts.netloc}/… refers to another machine", "write file:///path")
        return Location(scheme, "", _absolute(unquote(parts.path)), options)
    return Location(scheme, parts.netloc, unquote(parts.path).strip("/"), options)


def _absolute(path: str) -> str:
    if not path or "\0" in path:
        raise InvalidInput("the store's path is empty" if not path else "the store's path contains a NUL")
    # pathlib would keep "..", so that one folder would have several URLs.
    return os.path.abspath(path)


def _scheme_hint(scheme: str) -> str:
    import difflib  # only for mistyped words

    near = [_ALIASES[scheme]] if scheme in _ALIASES else difflib.get_close_matches(scheme, SCHEMES, 1, 0.5)
    known = ", ".join(f"{name}://" for name in SCHEMES)
    return f"did you mean {near[0]}://? known: {known}" if near else f"known: {known}"


def _open_file(location: Location) -> Backend:
    # Importing a backend only when it is used keeps start-up fast.
    from sheaf.storage.folder.backend import FolderBackend

    return FolderBackend(location.path, durability=location.options.durability, shared=location.options.shared)


def _open_memory(location: Location) -> Backend:
    from sheaf.storage.memory import MemoryBackend

    return MemoryBackend("/".join(part for part in (location.host, location.path) if part))


def _open_s3(location: Location) -> Backend:
    from sheaf.storage.bucket.clients import open_s3

    return open_s3(location)


def _open_gcs(location: Location) -> Backend:
    from sheaf.storage.bucket.clients import open_gcs

    return open_gcs(location)


def _open_azure(location: Location) -> Backend:
    from sheaf.storage.bucket.clients import open_azure

    return open_azure(location)


#: Schemes that other tools use for the same kinds of store. They are not accepted, so that each store has one URL.
_ALIASES = {
    "gcs": "gs",
    "azure": "az",
    "abfs": "az",
    "abfss": "az",
    "wasb": "az",
    "s3a": "s3",
    "s3n": "s3",
    "mem": "memory",
}

#: The function that opens each kind of store, by the scheme of its URL.
SCHEMES: dict[str, Callable[[Location], Backend]] = {
    "file": _open_file,
    "memory": _open_memory,
    "s3": _open_s3,
    "gs": _open_gcs,
    "az": _open_azure,
}
