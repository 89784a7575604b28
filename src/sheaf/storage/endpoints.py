"""Check addresses and names before the clients of clouds get them: the libraries fail with unclear errors on bad ones."""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import urlsplit

from sheaf.errors import InvalidInput

__all__ = ["check_bucket", "check_endpoint", "check_name", "check_proxy"]

_ODD: Final = re.compile(r"[^\x21-\x7e]")
_NAME: Final = re.compile(r"[A-Za-z0-9._-]+")
_BUCKET: Final = {"gs": re.compile(r"[A-Za-z0-9._:-]+")}  # names of Google's projects may contain a colon
_PROXIES: Final = ("http", "https", "socks5", "socks5h")


def check_endpoint(name: str, url: str) -> None:
    """Raise InvalidInput unless ``url`` is the base URL of a server. ``name``: the option or variable that it comes from."""
    _check_url(name, url, ("http", "https"))
    parts = urlsplit(url)
    if "@" in parts.netloc:
        raise InvalidInput(f"{name} contains credentials", "remove them; set them in the environment or a profile")
    if parts.query or parts.fragment:
        raise InvalidInput(f"{name} '{url}' has more than a server and a path", "remove the part after ? or #")


def check_proxy(name: str, url: str) -> None:
    """Raise InvalidInput unless ``url`` is the URL of a proxy; a host with a port means plain HTTP."""
    _check_url(name, url if "://" in url else f"http://{url}", _PROXIES)


def _check_url(name: str, url: str, schemes: tuple[str, ...]) -> None:
    shown = re.sub(r"(//|^)[^/@]*@", r"\1…@", url)
    scheme, colon, rest = url.partition("://")
    server = re.sub(r"^(https?:?)?/*([^/@]*@)?", "", rest if colon else url)
    hint = f"write http://{server or 'HOST:PORT'} or https://{server or 'HOST:PORT'}"
    if not colon:
        raise InvalidInput(f"{name} '{shown}' has no scheme", hint)
    if scheme.lower() not in schemes:
        raise InvalidInput(f"{name} '{shown}' must begin with one of {', '.join(f'{s}://' for s in schemes)}", hint)
    if _ODD.search(url):
        raise InvalidInput(f"{name} '{shown}' contains a blank or a character that URLs can't have", "write it as %XX")
    try:
        parts = urlsplit(url)
        is_sound = bool(parts.hostname) and parts.port != 0
    except ValueError:
        is_sound = False
    if not is_sound:
        raise InvalidInput(f"{name} '{shown}' has no host name", f"write {scheme}://HOST or {scheme}://HOST:PORT")


def check_name(option: str, text: str) -> None:
    """Raise InvalidInput for an invalid name of a region or an account: the library makes it a part of a host name."""
    if not _NAME.fullmatch(text):
        raise InvalidInput(f"{option} '{text}' is not a valid name", "use only letters, digits, '-', '.' and '_'")


def check_bucket(scheme: str, bucket: str) -> None:
    """Raise InvalidInput for a bucket name that no cloud allows."""
    if not bucket:
        raise InvalidInput(f"{scheme}:// has no bucket name", f"write {scheme}://BUCKET or …/BUCKET/FOLDER")
    if not _BUCKET.get(scheme, _NAME).fullmatch(bucket):
        hint = "use only letters, digits, '-', '.' and '_'"
        if re.fullmatch(r"[^:]+:\d+", bucket):
            hint = f"give the server with --endpoint http://{bucket}, and the bucket in the URL"
        raise InvalidInput(f"{scheme}://{bucket} is not a valid bucket name", hint)
